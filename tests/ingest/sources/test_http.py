"""One polite, bounded request: what is tried again, and for how long."""

import gzip
from threading import Event
from types import SimpleNamespace

import httpx
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

from digest.ingest.sources import arxiv_feed, http, huggingface
from digest.ingest.sources.listing import SourceError
from tests.ingest.recorded import ATOM, DAY_2026
from tests.make import DAY


@pytest.fixture
def client():
    with http.open_client() as client:
        yield client


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_source_is_asked_again(httpserver: HTTPServer, client, status):
    httpserver.expect_ordered_request("/feed").respond_with_data("busy", status)
    httpserver.expect_ordered_request("/feed").respond_with_data("here")

    body = http.fetch_body(client, httpserver.url_for("/feed"))

    assert body == b"here"
    assert len(httpserver.log) == 2


def test_a_source_that_stays_busy_is_left_in_peace(httpserver: HTTPServer, client):
    httpserver.expect_request("/feed").respond_with_data("busy", 503)

    with pytest.raises(http.Unreachable, match="answered 503: try again later"):
        http.fetch_body(client, httpserver.url_for("/feed"))

    assert len(httpserver.log) == http.MAX_ATTEMPTS


def test_a_refusal_is_not_asked_again(httpserver: HTTPServer, client):
    httpserver.expect_request("/feed").respond_with_data("bad", 400)

    with pytest.raises(http.Unreachable, match="answered 400"):
        http.fetch_body(client, httpserver.url_for("/feed"))

    assert len(httpserver.log) == 1


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/feed", "http://127.0.0.1:x/", "ftp://x/"]
)
def test_a_source_that_is_not_there_is_refused_with_a_reason(client, url):
    with pytest.raises(SourceError, match=r"did not answer \(.+\): try again later"):
        http.fetch_body(client, url)


def test_a_source_that_hangs_is_given_up(httpserver: HTTPServer, client):
    enough = Event()

    def hang(request):
        enough.wait(2)
        return Response("late")

    httpserver.expect_request("/feed").respond_with_handler(hang)
    client.timeout = httpx.Timeout(0.05)

    with pytest.raises(http.Unreachable, match="did not answer"):
        http.fetch_body(client, httpserver.url_for("/feed"))
    enough.set()


def test_we_say_who_we_are(httpserver: HTTPServer, client):
    httpserver.expect_request("/feed").respond_with_data("here")

    http.fetch_body(client, httpserver.url_for("/feed"))

    request, _ = httpserver.log[0]
    assert request.headers["User-Agent"].startswith("paper-round/")


def test_a_name_that_no_header_can_hold_loses_only_its_odd_signs(
    httpserver: HTTPServer, settings
):
    settings.SITE_URL = "https://bücher.example"
    httpserver.expect_request("/feed").respond_with_data("here")

    with http.open_client() as client:
        http.fetch_body(client, httpserver.url_for("/feed"))

    request, _ = httpserver.log[0]
    assert "+https://bcher.example;" in request.headers["User-Agent"]


def test_a_source_that_has_moved_is_followed(httpserver: HTTPServer, client):
    moved = Response(status=301, headers={"Location": "/there"})
    httpserver.expect_request("/here").respond_with_response(moved)
    httpserver.expect_request("/there").respond_with_data("found")

    assert http.fetch_body(client, httpserver.url_for("/here")) == b"found"


def test_a_source_that_sends_us_round_in_a_circle_is_left(
    httpserver: HTTPServer, client
):
    moved = Response(status=301, headers={"Location": "/here"})
    httpserver.expect_request("/here").respond_with_response(moved)

    with pytest.raises(http.Unreachable, match=r"did not answer \(.*redirect"):
        http.fetch_body(client, httpserver.url_for("/here"))

    assert len(httpserver.log) == client.max_redirects + 1


def test_an_answer_elsewhere_than_on_the_web_is_not_looked_at(
    httpserver: HTTPServer, client
):
    moved = Response(status=301, headers={"Location": "file:///etc/hostname"})
    httpserver.expect_request("/here").respond_with_response(moved)

    with pytest.raises(http.Unreachable, match="did not answer"):
        http.fetch_body(client, httpserver.url_for("/here"))


def test_no_silence_is_borne_for_long_and_no_second_connection_made(client):
    patience = client.timeout.as_dict()

    assert patience == {"connect": 5, "read": 20, "write": 20, "pool": 20}
    assert client._transport._pool._max_connections == 1


def test_all_attempts_together_have_a_bound(
    httpserver: HTTPServer, client, monkeypatch
):
    monkeypatch.setattr(http, "MAX_ATTEMPTS", 1000)
    monkeypatch.setattr(http, "RETRY_PAUSE_S", 0.05)
    monkeypatch.setattr(http, "HTTP_TOTAL_TIMEOUT_S", 0.5)
    httpserver.expect_request("/feed").respond_with_data("busy", 503)

    with pytest.raises(http.Unreachable):
        http.fetch_body(client, httpserver.url_for("/feed"))

    assert len(httpserver.log) < 100


@pytest.fixture
def slept(monkeypatch):
    """The pauses between attempts, in seconds; nobody waits for them."""
    pauses = []
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=pauses.append))
    monkeypatch.setattr(http, "RETRY_PAUSE_S", 3.0)
    return pauses


def test_attempts_are_three_seconds_apart_then_longer_and_never_in_step(
    httpserver: HTTPServer, client, slept
):
    httpserver.expect_request("/feed").respond_with_data("busy", 503)

    for _ in range(3):
        with pytest.raises(http.Unreachable):
            http.fetch_body(client, httpserver.url_for("/feed"))

    firsts, seconds = slept[::2], slept[1::2]
    assert all(3 <= pause <= 4 for pause in firsts)
    assert all(6 <= pause <= 7 for pause in seconds)
    assert len(set(firsts)) == 3


@pytest.mark.parametrize(
    ("after", "waited"),
    [
        ("7", [7, 7]),
        ("0", [1, 1]),
        ("60", [60, 60]),
        ("61", []),
        ("Thu, 01 Jan 2026 00:00:00 GMT", [1, 1]),
    ],
)
def test_what_a_source_asks_for_is_waited_if_it_is_within_a_minute(
    httpserver: HTTPServer, client, slept, after, waited
):
    headers = {"Retry-After": after}
    httpserver.expect_request("/feed").respond_with_data("busy", 429, headers)

    with pytest.raises(http.Unreachable):
        http.fetch_body(client, httpserver.url_for("/feed"))

    assert slept == waited
    assert len(httpserver.log) == len(slept) + 1


def test_a_way_that_breaks_is_tried_again_and_an_address_that_is_none_is_not(
    client, slept
):
    with pytest.raises(http.Unreachable):
        http.fetch_body(client, "http://127.0.0.1:9/")
    assert len(slept) == http.MAX_ATTEMPTS - 1

    with pytest.raises(http.Unreachable):
        http.fetch_body(client, "http://127.0.0.1:x/")
    assert len(slept) == http.MAX_ATTEMPTS - 1


def test_what_is_unchanged_is_asked_for_with_what_the_source_said(
    httpserver: HTTPServer, client
):
    known = http.Validators('"abc"', "Thu, 19 Nov 2026 05:00:00 GMT")
    asked = {
        "If-None-Match": known.etag,
        "If-Modified-Since": known.last_modified,
    }
    httpserver.expect_request("/feed", headers=asked).respond_with_data("", 304)

    with pytest.raises(http.NotModified):
        http.fetch_document(client, httpserver.url_for("/feed"), validators=known)


def test_nothing_is_asked_of_what_the_source_did_not_say(
    httpserver: HTTPServer, client
):
    httpserver.expect_request("/feed").respond_with_data("here")

    http.fetch_document(
        client, httpserver.url_for("/feed"), validators=http.Validators("tag")
    )

    request, _ = httpserver.log[0]
    assert request.headers["If-None-Match"] == "tag"
    assert "If-Modified-Since" not in request.headers


def test_validators_that_no_row_can_hold_are_forgotten(httpserver: HTTPServer, client):
    fitting = {"ETag": "e" * 200, "Last-Modified": "m" * 64}
    too_long = {name: value + "x" for name, value in fitting.items()}
    httpserver.expect_ordered_request("/").respond_with_data("a", headers=fitting)
    httpserver.expect_ordered_request("/").respond_with_data("b", headers=too_long)

    first, second = (
        http.fetch_document(client, httpserver.url_for("/")).validators
        for _ in range(2)
    )

    assert first == http.Validators("e" * 200, "m" * 64)
    assert second == http.Validators()


def test_a_packed_body_is_measured_as_it_is_unpacked(
    httpserver: HTTPServer, client, monkeypatch
):
    monkeypatch.setattr(http, "MAX_BODY_BYTES", 1_000_000)
    packed = gzip.compress(b" " * 3_000_000)
    httpserver.expect_request("/feed").respond_with_data(
        packed, headers={"Content-Encoding": "gzip"}
    )

    with pytest.raises(http.Unreachable, match="sent more than 1 MB"):
        http.fetch_body(client, httpserver.url_for("/feed"))

    assert len(packed) < 10_000
    assert len(httpserver.log) == 1


def test_all_categories_come_in_one_document(httpserver: HTTPServer, client):
    httpserver.expect_request("/atom/cs.LG+hep-ex").respond_with_data(ATOM.read_bytes())

    document = arxiv_feed.fetch(
        client, ["cs.LG", "hep-ex"], httpserver.url_for("/atom")
    )

    assert len(arxiv_feed.parse(document.body).listings) == 4


def test_a_day_is_asked_for_by_its_date(httpserver: HTTPServer, client):
    asked = {"date": "2026-11-20", "limit": "100"}
    httpserver.expect_request(
        "/api/daily_papers", query_string=asked
    ).respond_with_data(DAY_2026.read_bytes())

    document = huggingface.fetch(client, DAY, httpserver.url_for("/"))

    assert len(huggingface.parse(document).listings) == 2
