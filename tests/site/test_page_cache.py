"""Cached public pages: validators, compression and what is never cached."""

import gzip

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from digest.models import Paper
from digest.site.page_cache import LIST_SECONDS, cached_page
from tests import make
from tests.make import DAY
from tests.site.conftest import body

PATH = f"/papers/date/{DAY}"


def test_second_visitor_gets_the_cached_page(client, db, django_assert_num_queries):
    make.paper("Maps")
    first = client.get(PATH)

    with django_assert_num_queries(0):
        second = client.get(PATH)

    assert second.content == first.content
    limits = f"public, max-age={LIST_SECONDS}, stale-while-revalidate=300"
    assert second["Cache-Control"] == limits
    assert "Cookie" not in second.get("Vary", "")
    assert not second.cookies


def test_page_is_rendered_again_after_a_minute(client, db, time_machine):
    time_machine.move_to(make.NOW)
    make.paper("Maps")
    client.get(PATH)
    Paper.objects.update(title="Tides", title_raw="Tides")

    assert "Tides" not in body(client.get(PATH))
    time_machine.move_to(make.NOW + make.hours(2 * LIST_SECONDS / 3600))
    assert "Tides" in body(client.get(PATH))


def test_compressed_page_is_the_page(client, db):
    make.paper("Maps")

    plain = client.get(PATH)
    compressed = client.get(PATH, headers={"Accept-Encoding": "br, gzip"})

    assert compressed["Content-Encoding"] == "gzip"
    assert int(compressed["Content-Length"]) == len(compressed.content)
    assert gzip.decompress(compressed.content) == plain.content
    assert "Content-Encoding" not in plain
    assert plain["Vary"] == compressed["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize("query", ["sort=votes", "type=cross", "topic=x"])
def test_queries_have_pages_of_their_own(client, db, query):
    make.paper("Maps")
    client.get(PATH)

    with_query = client.get(f"{PATH}?{query}")

    assert with_query["ETag"] != client.get(PATH)["ETag"]


@pytest.mark.parametrize("path", ["/papers/date/x", "/papers/2611.00009", "/topics/x"])
def test_errors_are_not_cached(client, db, path):
    assert client.get(path).status_code == 404
    assert "public" not in client.get(path).get("Cache-Control", "")


def test_answers_with_cookies_and_posts_are_not_cached():
    answers = []

    @cached_page()
    def view(request):
        answers.append(request.method)
        response = HttpResponse("x")
        response.set_cookie("a", "b")
        return response

    for method in ("get", "get", "post", "post"):
        response = view(getattr(RequestFactory(), method)("/x"))
        assert "Cache-Control" not in response
    assert len(answers) == 4


@pytest.mark.parametrize(
    "path", ["/", "/papers", "/papers?q=robot", "/?q=robot", "/papers/trending"]
)
def test_public_pages_are_compressed(client, edition, path):
    response = client.get(path, headers={"Accept-Encoding": "gzip"})

    assert response["Content-Encoding"] == "gzip"
    assert b"<!doctype html>" in gzip.decompress(response.content)
    assert "Accept-Encoding" in response["Vary"]


@pytest.mark.parametrize("path", ["/preferences/{key}", "/preferences-link"])
def test_pages_with_a_secret_are_not_compressed(client, key, path):
    response = client.get(path.format(key=key), headers={"Accept-Encoding": "gzip"})

    assert response.status_code == 200
    assert "Content-Encoding" not in response


@pytest.mark.parametrize("path", ["/", "/papers"])
def test_front_pages_are_cached(client, edition, django_assert_num_queries, path):
    first = client.get(path)

    with django_assert_num_queries(0):
        again = client.get(path, headers={"If-None-Match": first["ETag"]})

    assert again.status_code == 304
    assert "max-age=60" in first["Cache-Control"]
