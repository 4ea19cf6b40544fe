"""Static files: hashed addresses that browsers keep for years."""

import gzip
import re

import pytest
from django.contrib.staticfiles.storage import staticfiles_storage
from django.templatetags.static import static

from tests.site.conftest import body


def head_of(client, address):
    """The response, read to its end, which closes its file."""
    response = client.get(address)
    response.getvalue()
    return response


HASHED = re.compile(r"/static/digest/site\.[0-9a-f]{10}\.css")


def test_hashed_address_is_kept_for_years(client):
    address = static("digest/site.css")

    response = head_of(client, address)

    assert HASHED.fullmatch(address)
    assert response.status_code == 200
    assert response["Cache-Control"] == "max-age=315360000, public, immutable"
    assert response["Content-Type"].startswith("text/css")


@pytest.mark.parametrize(
    "address", ["/static/digest/site.css", "/static/digest/site.0123456789.css"]
)
def test_plain_and_former_addresses_are_kept_for_minutes(client, address):
    response = head_of(client, address)

    assert response.status_code == 200
    assert response["Cache-Control"] == "max-age=600, public"


def test_pages_and_the_admin_link_hashed_addresses(client, db):
    assert HASHED.search(body(client.get("/about")))
    login = body(client.get("/admin/login/"))
    sheets = re.findall(r'<link href="(/static/[^"]+\.css)"', login)
    assert sheets
    for sheet in sheets:
        assert head_of(client, sheet)["Cache-Control"].endswith("immutable")


def test_missing_file_has_a_plain_address_and_is_not_found(client, db):
    address = staticfiles_storage.url("digest/none.css")

    assert address == "/static/digest/none.css"
    assert head_of(client, address).status_code == 404
    assert head_of(client, "/static/../settings.py").status_code == 404


def test_files_that_change_have_plain_addresses(settings):
    settings.DEBUG = True

    assert static("digest/site.css") == "/static/digest/site.css"


def test_text_files_are_compressed_and_images_are_not(client, settings):
    settings.DEBUG = False
    accepts = {"Accept-Encoding": "gzip"}
    address = static("digest/site.css")

    plain, packed = client.get(address), client.get(address, headers=accepts)
    image = client.get(static("digest/social.png"), headers=accepts)
    image.getvalue()  # which closes its file

    css = b"".join(plain.streaming_content)
    assert gzip.decompress(packed.content) == css
    assert len(packed.content) < len(css) / 3
    assert packed["Vary"] == plain["Vary"] == "Accept-Encoding"
    assert packed["Cache-Control"] == plain["Cache-Control"]
    assert "Content-Encoding" not in image
