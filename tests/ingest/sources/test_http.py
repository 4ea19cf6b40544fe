"""Requests to sources: retries, timeouts, redirects and bounds."""

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
def test_busy_source_is_retried(httpserver: HTTPServer, client, status):
    httpserver.expect_ordered_request("/feed").respond_with_data("busy", status)
    httpserver.expect_ordered_request("/feed").respond_with_data("here")

    body = http.fetch_body(client, httpserver.url_for("/feed"))

    assert body == b"here"
    assert len(httpserver.log) == 2


def test_source_that_stays_busy_is_unreachable(httpserver: HTTPServer, client):
    httpserver.expect_request("/feed").respond_with_data("busy", 503)

    with pytest.raises(http.Unreachable, match="answered 503: try again later"):
        http.fetch_body(client, httpserver.url_for("/feed"))

    assert len(httpserver.log) == http.MAX_ATTEMPTS


def test_client_error_is_not_retried(httpserver: HTTPServer, client):
    httpserver.expect_request("/feed").respond_with_data("bad", 400)

    with pytest.raises(http.Unreachable, match="answered 400"):
        http.fetch_body(client, httpserver.url_for("/feed"))

    assert len(httpserver.log) == 1


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/feed", "http://127.0.0.1:x/", "ftp://x/"]
)
def test_unreachable_address_gives_a_reason(client, url):
    with pytest.raises(SourceError, match=r"did not answer \(.+\): try again later"):
        http.fetch_body(client, url)


def test_hanging_source_times_out(httpserver: HTTPServer, client):
    released = Event()

    def hang(request):
        released.wait(2)
        return Response("late")

    httpserver.expect_request("/feed").respond_with_handler(hang)
    client.timeout = httpx.Timeout(0.05)

    with pytest.raises(http.Unreachable, match="did not answer"):
        http.fetch_body(client, httpserver.url_for("/feed"))
    released.set()


def test_requests_carry_our_user_agent(httpserver: HTTPServer, client):
    httpserver.expect_request("/feed").respond_with_data("here")

    http.fetch_body(client, httpserver.url_for("/feed"))

    request, _ = httpserver.log[0]
    assert request.headers["User-Agent"].startswith("paper-round/")


def test_user_agent_drops_characters_that_no_header_can_hold(
    httpserver: HTTPServer, settings
):
    settings.SITE_URL = "https://bücher.example"
    httpserver.expect_request("/feed").respond_with_data("here")

    with http.open_client() as client:
        http.fetch_body(client, httpserver.url_for("/feed"))

    request, _ = httpserver.log[0]
    assert "+https://bcher.example;" in request.headers["User-Agent"]


def test_redirect_is_followed(httpserver: HTTPServer, client):
    moved = Response(status=301, headers={"Location": "/there"})
    httpserver.expect_request("/here").respond_with_response(moved)
    httpserver.expect_request("/there").respond_with_data("found")

    assert http.fetch_body(client, httpserver.url_for("/here")) == b"found"


def test_redirect_loop_is_unreachable(httpserver: HTTPServer, client):
    moved = Response(status=301, headers={"Location": "/here"})
    httpserver.expect_request("/here").respond_with_response(moved)

    with pytest.raises(http.Unreachable, match=r"did not answer \(.*redirect"):
        http.fetch_body(client, httpserver.url_for("/here"))

    assert len(httpserver.log) == client.max_redirects + 1


def test_redirect_to_another_scheme_is_refused(httpserver: HTTPServer, client):
    moved = Response(status=301, headers={"Location": "file:///etc/hostname"})
    httpserver.expect_request("/here").respond_with_response(moved)

    with pytest.raises(http.Unreachable, match="did not answer"):
        http.fetch_body(client, httpserver.url_for("/here"))


def test_client_has_timeouts_and_one_connection(client):
    timeouts = client.timeout.as_dict()

    assert timeouts == {"connect": 5, "read": 20, "write": 20, "pool": 20}
    assert client._transport._pool._max_connections == 1


def test_all_attempts_together_have_a_timeout(
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
def pauses(monkeypatch):
    """The pauses between attempts, in seconds, without waiting."""
    seconds = []
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=seconds.append))
    monkeypatch.setattr(http, "RETRY_PAUSE_S", 3.0)
    return seconds


def test_retries_back_off_from_three_seconds_with_jitter(
    httpserver: HTTPServer, client, pauses
):
    httpserver.expect_request("/feed").respond_with_data("busy", 503)

    for _ in range(3):
        with pytest.raises(http.Unreachable):
            http.fetch_body(client, httpserver.url_for("/feed"))

    firsts, seconds = pauses[::2], pauses[1::2]
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
def test_retry_after_is_respected_up_to_a_minute(
    httpserver: HTTPServer, client, pauses, after, waited
):
    headers = {"Retry-After": after}
    httpserver.expect_request("/feed").respond_with_data("busy", 429, headers)

    with pytest.raises(http.Unreachable):
        http.fetch_body(client, httpserver.url_for("/feed"))

    assert pauses == waited
    assert len(httpserver.log) == len(pauses) + 1


def test_connection_errors_are_retried_and_invalid_addresses_are_not(client, pauses):
    with pytest.raises(http.Unreachable):
        http.fetch_body(client, "http://127.0.0.1:9/")
    assert len(pauses) == http.MAX_ATTEMPTS - 1

    with pytest.raises(http.Unreachable):
        http.fetch_body(client, "http://127.0.0.1:x/")
    assert len(pauses) == http.MAX_ATTEMPTS - 1


def test_validators_are_sent_and_304_raises_not_modified(
    httpserver: HTTPServer, client
):
    validators = http.Validators('"abc"', "Thu, 19 Nov 2026 05:00:00 GMT")
    headers = {
        "If-None-Match": validators.etag,
        "If-Modified-Since": validators.last_modified,
    }
    httpserver.expect_request("/feed", headers=headers).respond_with_data("", 304)

    with pytest.raises(http.NotModified):
        http.fetch_document(client, httpserver.url_for("/feed"), validators=validators)


def test_missing_validators_are_not_sent(httpserver: HTTPServer, client):
    httpserver.expect_request("/feed").respond_with_data("here")

    http.fetch_document(
        client, httpserver.url_for("/feed"), validators=http.Validators("tag")
    )

    request, _ = httpserver.log[0]
    assert request.headers["If-None-Match"] == "tag"
    assert "If-Modified-Since" not in request.headers


def test_validators_too_long_for_their_columns_are_dropped(
    httpserver: HTTPServer, client
):
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


def test_body_size_is_bounded_after_decompression(
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


def test_feed_of_all_categories_is_one_request(httpserver: HTTPServer, client):
    httpserver.expect_request("/atom/cs.LG+hep-ex").respond_with_data(ATOM.read_bytes())

    document = arxiv_feed.fetch(
        client, ["cs.LG", "hep-ex"], httpserver.url_for("/atom")
    )

    assert len(arxiv_feed.parse(document.body).listings) == 4


def test_daily_papers_are_requested_by_date(httpserver: HTTPServer, client):
    params = {"date": "2026-11-20", "limit": "100"}
    httpserver.expect_request(
        "/api/daily_papers", query_string=params
    ).respond_with_data(DAY_2026.read_bytes())

    document = huggingface.fetch(client, DAY, httpserver.url_for("/"))

    assert len(huggingface.parse(document).listings) == 2
