"""Broken HTTP responses, encodings and redirects."""

import gzip
import socket
from contextlib import suppress
from threading import Thread

import httpx
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

from digest.ingest import oai_harvest, run_source
from digest.ingest.sources import http
from digest.models import IngestRun, Paper
from tests.ingest.fake_sources import batch
from tests.make import DAY, NOW

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def wire():
    """A server that answers these bytes and closes the connection."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve(reason):
        def answer():
            for _ in range(http.MAX_ATTEMPTS):
                try:
                    asking, _ = listening.accept()
                except OSError:  # the server was closed
                    return
                with asking, suppress(OSError):  # who hangs up has heard enough
                    asking.recv(65536)
                    asking.sendall(reason)

        Thread(target=answer, daemon=True).start()
        return f"http://127.0.0.1:{listening.getsockname()[1]}/"

    yield serve
    listening.close()


@pytest.fixture
def client():
    with http.open_client() as client:
        yield client


@pytest.mark.parametrize(
    ("reason", "why"),
    [
        (OK + b"Content-Length: 90\r\n\r\n<feed>", "without sending complete message"),
        (OK + b"Content-Length: 3\r\nContent-Length: 6\r\n\r\n<feed>", "conflicting"),
        (OK + b"Content-Length: many\r\n\r\n<feed>", "bad Content-Length"),
        (CHUNKED + b"6\r\n<feed>\r\nzz\r\n", "illegal chunk header"),
        (CHUNKED + b"6\r\n<feed>\r\n", "incomplete chunked read"),
        (OK + b"X: " + b"x" * 200_000 + b"\r\n\r\n", "did not answer"),
        (b"<html>Please log in</html>\r\n\r\n", "illegal status line"),
        (b"", "disconnected without sending a response"),
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", "incorrect header"),
        (OK + b"Content-Encoding: br\r\nContent-Length: 3\r\n\r\nabc", r"not accepted \(br"),
        (b"HTTP/1.1 206 Partial Content\r\nContent-Length: 6\r\n\r\n<feed>", "answered 206"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "answered 204"),
        (b"HTTP/1.1 407 Log In First\r\nContent-Length: 0\r\n\r\n", "answered 407"),
        (b"HTTP/1.1 300 Choose\r\nContent-Length: 0\r\n\r\n", "answered 300"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_incomplete_response_is_refused_with_the_reason(wire, client, reason, why):
    with pytest.raises(http.Unreachable, match=f"{why}.*: try again later"):
        http.fetch_body(client, wire(reason))


@pytest.mark.django_db
@pytest.mark.parametrize("size", [3, 60])
def test_response_with_a_short_length_stores_nothing(sources, size):
    """HTTP accepts the short body; the parser refuses the truncated document."""
    sources.announced = batch(DAY)
    sources.faults["feed"] = [lambda answer: Response(answer.get_data()[:size])]

    (run,) = run_source.ingest_feed(NOW)

    assert "cut or broken" in run.error
    assert not Paper.objects.exists()


def test_doubly_encoded_body_is_refused(httpserver: HTTPServer, client):
    """Four kilobytes of it would become gigabytes at once, before anybody could count."""
    twice = gzip.compress(gzip.compress(b"<feed></feed>"))
    httpserver.expect_request("/feed").respond_with_data(
        twice, headers={"Content-Encoding": "gzip, gzip"}
    )

    with pytest.raises(http.Unreachable, match=r"not accepted \(gzip, gzip\)"):
        http.fetch_body(client, httpserver.url_for("/feed"))

    assert httpserver.log[0][0].headers["Accept-Encoding"] == "gzip"


def test_not_modified_is_accepted_only_for_conditional_requests(
    httpserver: HTTPServer, client
):
    httpserver.expect_request("/feed").respond_with_data("", 304)

    with pytest.raises(http.Unreachable, match="answered 304"):
        http.fetch_body(client, httpserver.url_for("/feed"))


@pytest.mark.django_db
def test_unrequested_not_modified_fails_every_source(sources):
    for endpoint in ("feed", "daily", "oai"):
        sources.faults[endpoint] = [Response(status=304)]

    run_source.ingest_feed(NOW)
    run_source.ingest_huggingface_day(DAY, NOW)
    oai_harvest.backfill(DAY, NOW)

    runs = IngestRun.objects.values_list("state", "error")
    assert len(runs) == 3
    assert all(state == "failed" and "answered 304" in why for state, why in runs)


def elsewhere(client, here, there):
    """The client in a network where `here` leads to `there`; whom it hosts."""
    hosts = []

    def answer(request):
        hosts.append(request.url.host)
        moved = httpx.Response(301, headers={"Location": there})
        return moved if len(hosts) == 1 else httpx.Response(200, text="found")

    client._transport = httpx.MockTransport(answer)
    try:
        return http.fetch_body(client, here), hosts
    except http.Unreachable as error:
        return str(error), hosts


@pytest.fixture
def dns(monkeypatch):
    """Names of arXiv resolve to a public address, and one name to this machine."""
    addresses = {
        "rebound.example.org": "127.0.0.1",
        "mapped.example.org": "::ffff:10.0.0.7",
    }

    def look_up(host, *_, **__):
        return [(0, 0, 0, "", (addresses.get(host, "151.101.3.42"), 0))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.mark.usefixtures("dns")
@pytest.mark.parametrize(
    "there",
    [
        *("http://169.254.169.254/latest/meta-data", "http://127.0.0.1:6379/"),
        *("https://10.0.0.7/", "http://[::1]/", "//192.168.0.1/login"),
        *("http://localhost:8000/", "http://redis:6379/"),
        *("https://rebound.example.org/", "https://mapped.example.org/"),
    ],
)
def test_redirect_into_a_private_network_is_refused(client, there):
    reason, hosts = elsewhere(client, "https://rss.arxiv.org/atom", there)

    assert "inside our own network" in reason
    assert hosts == ["rss.arxiv.org"]


@pytest.mark.usefixtures("dns")
@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("https://export.arxiv.org/oai2", "https://oaipmh.arxiv.org/oai"),
        ("https://export.arxiv.org/oai2", "/oai"),
        ("https://export.arxiv.org/oai2", "https://151.101.3.42/oai"),
        ("http://mirror/oai", "http://10.0.0.7/oai"),  # all of it inside
    ],
)
def test_public_redirect_is_followed(client, here, there):
    reason, hosts = elsewhere(client, here, there)

    assert (reason, len(hosts)) == (b"found", 2)
