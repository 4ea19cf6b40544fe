"""Thumbnails: which addresses are fetched, what is stored of an image, and what is refused."""

import io
from datetime import timedelta

import pytest
from PIL import Image
from pytest_httpserver import HTTPServer
from werkzeug import Response

from digest.ingest import thumbnails
from digest.ingest.thumbnails import fetch_thumbnails, is_image_address
from digest.models import PaperThumbnail
from tests import make
from tests.make import NOW

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def allowed(settings, httpserver):
    settings.THUMBNAILS = True
    settings.HUGGINGFACE_URL = httpserver.url_for("").rstrip("/")


def encode(size=(1200, 648), kind="PNG", mode="RGB", **options):
    file = io.BytesIO()
    Image.new(mode, size, 128).save(file, kind, **options)
    return file.getvalue()


def listed(httpserver, path="/social-thumbnails/papers/1.png", **fields):
    return make.paper("Robot maps", thumbnail_url=httpserver.url_for(path), **fields)


@pytest.mark.parametrize(
    "document",
    [
        encode(),
        encode(kind="JPEG", exif=b"Exif\0\0secret place"),
        encode(kind="WEBP", mode="RGBA"),
        encode(kind="GIF", mode="P"),
        encode((3000, 40)),
    ],
    ids=["png", "jpeg", "webp", "gif", "wide"],
)
def test_image_is_stored_small_and_encoded_again(httpserver: HTTPServer, document):
    paper = listed(httpserver)
    httpserver.expect_request("/social-thumbnails/papers/1.png").respond_with_data(
        document, content_type="image/png"
    )

    assert fetch_thumbnails(NOW) == 1
    assert fetch_thumbnails(NOW) == 0

    image = Image.open(io.BytesIO(paper.thumbnail.image))
    assert image.format == "WEBP"
    assert image.width <= 400
    assert image.height <= 300
    assert b"secret" not in bytes(paper.thumbnail.image)
    assert len(httpserver.log) == 1


def too_large(request):
    return Response(
        (b"x" * 100_000 for _ in range(60)), headers={"Content-Type": "image/png"}
    )


def elsewhere(request):
    return Response(status=302, headers={"Location": "/other.png"})


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>not an image</html>",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>",
        encode()[:400],
        encode((5000, 4001), mode="1"),
        encode(kind="BMP", size=(9, 9)),
        b"",
        too_large,
        elsewhere,
    ],
    ids=["page", "svg", "cut", "pixels", "format", "empty", "bytes", "redirect"],
)
def test_anything_but_an_image_of_bounded_size_is_refused(httpserver, answer):
    paper = listed(httpserver)
    handler = httpserver.expect_request("/social-thumbnails/papers/1.png")
    if callable(answer):
        handler.respond_with_handler(answer)
    else:
        handler.respond_with_data(answer, content_type="image/png")
    httpserver.expect_request("/other.png").respond_with_data(encode())

    assert fetch_thumbnails(NOW) == 0

    assert bytes(paper.thumbnail.image) == b""
    assert [request.path for request, _ in httpserver.log] == [
        "/social-thumbnails/papers/1.png"
    ]


def test_refused_image_is_tried_again_later_and_three_times_in_all(httpserver):
    paper = listed(httpserver)
    handler = httpserver.expect_request("/social-thumbnails/papers/1.png")
    handler.respond_with_data("gone", 404)

    for hours in (0, 1, 7, 14, 21):
        fetch_thumbnails(NOW + timedelta(hours=hours))

    assert PaperThumbnail.objects.get(paper=paper).attempts == 3
    assert len(httpserver.log) == 3


def test_source_that_is_down_is_left_alone_after_some_failures(httpserver):
    for number in range(thumbnails.MAX_FAILURES_IN_A_ROW + 2):
        listed(httpserver, f"/{number}.png")

    fetch_thumbnails(NOW)

    paths = {request.path for request, _ in httpserver.log}
    assert len(paths) == thumbnails.MAX_FAILURES_IN_A_ROW


def test_old_papers_and_switched_off_thumbnails_are_not_fetched(httpserver, settings):
    listed(httpserver, announced_on=make.DAY - timedelta(days=30))
    assert fetch_thumbnails(NOW) == 0
    listed(httpserver)
    settings.THUMBNAILS = False
    assert fetch_thumbnails(NOW) == 0

    assert httpserver.log == []


@pytest.mark.parametrize(
    ("url", "is_allowed"),
    [
        ("https://cdn-thumbnails.huggingface.co/social-thumbnails/papers/1.png", True),
        ("https://cdn-uploads.huggingface.co:443/a/b.jpeg", True),
        ("http://cdn-thumbnails.huggingface.co/1.png", False),
        ("https://cdn-thumbnails.huggingface.co:8443/1.png", False),
        ("https://cdn-thumbnails.huggingface.co.evil.example/1.png", False),
        ("https://evil.example/huggingface.co/1.png", False),
        ("https://huggingface.co@127.0.0.1/1.png", False),
        ("https://user:pass@huggingface.co/1.png", False),
        ("https://127.0.0.1/1.png", False),
        ("https://[::1]/1.png", False),
        ("https://169.254.169.254/latest/meta-data", False),
        ("https://huggingface.co:x/1.png", False),
        ("https://[huggingface.co/1.png", False),
        ("file:///etc/passwd", False),
        ("//huggingface.co/1.png", False),
        ("", False),
    ],
)
def test_only_addresses_of_the_source_are_fetched(url, is_allowed):
    assert is_image_address(url) is is_allowed


def test_address_on_another_host_is_not_requested(httpserver):
    other = httpserver.url_for("/1.png").replace("localhost", "127.0.0.1")
    make.paper(thumbnail_url=other)

    assert fetch_thumbnails(NOW) == 0
    assert httpserver.log == []
