"""One polite, bounded request: what is tried again, and for how long."""

from threading import Event

import httpx
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

from digest.ingest import arxiv, huggingface, web
from digest.ingest.listing import Refused
from tests.ingest.recorded import ATOM, DAY_2026
from tests.make import DAY


@pytest.fixture
def client():
    with web.connect() as client:
        yield client


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_source_is_asked_again(httpserver: HTTPServer, client, status):
    httpserver.expect_ordered_request("/feed").respond_with_data("busy", status)
    httpserver.expect_ordered_request("/feed").respond_with_data("here")

    body = web.get(client, httpserver.url_for("/feed"))

    assert body == b"here"
    assert len(httpserver.log) == 2


def test_a_source_that_stays_busy_is_left_in_peace(httpserver: HTTPServer, client):
    httpserver.expect_request("/feed").respond_with_data("busy", 503)

    with pytest.raises(web.Unreachable, match="answered 503: try again later"):
        web.get(client, httpserver.url_for("/feed"))

    assert len(httpserver.log) == web.ATTEMPTS


def test_a_refusal_is_not_asked_again(httpserver: HTTPServer, client):
    httpserver.expect_request("/feed").respond_with_data("bad", 400)

    with pytest.raises(web.Unreachable, match="answered 400"):
        web.get(client, httpserver.url_for("/feed"))

    assert len(httpserver.log) == 1


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/feed", "http://127.0.0.1:x/", "ftp://x/"]
)
def test_a_source_that_is_not_there_is_refused_with_a_reason(client, url):
    with pytest.raises(Refused, match=r"did not answer \(.+\): try again later"):
        web.get(client, url)


def test_a_source_that_hangs_is_given_up(httpserver: HTTPServer, client):
    enough = Event()

    def hang(request):
        enough.wait(2)
        return Response("late")

    httpserver.expect_request("/feed").respond_with_handler(hang)
    client.timeout = httpx.Timeout(0.05)

    with pytest.raises(web.Unreachable, match="did not answer"):
        web.get(client, httpserver.url_for("/feed"))
    enough.set()


def test_we_say_who_we_are(httpserver: HTTPServer, client):
    httpserver.expect_request("/feed").respond_with_data("here")

    web.get(client, httpserver.url_for("/feed"))

    request, _ = httpserver.log[0]
    assert request.headers["User-Agent"].startswith("paper-round/")


def test_all_categories_come_in_one_document(httpserver: HTTPServer, client):
    httpserver.expect_request("/atom/cs.LG+hep-ex").respond_with_data(ATOM.read_bytes())

    document = arxiv.fetch(client, ["cs.LG", "hep-ex"], httpserver.url_for("/atom"))

    assert len(arxiv.parse(document.body)) == 4


def test_a_day_is_asked_for_by_its_date(httpserver: HTTPServer, client):
    asked = {"date": "2026-11-20", "limit": "100"}
    httpserver.expect_request(
        "/api/daily_papers", query_string=asked
    ).respond_with_data(DAY_2026.read_bytes())

    document = huggingface.fetch(client, DAY, httpserver.url_for("/"))

    assert len(huggingface.parse(document)) == 2
