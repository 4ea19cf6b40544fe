"""Preview images of papers, and thumbnails that we copied from a source."""

import io

import pytest
from PIL import Image

from digest.models import PaperThumbnail
from digest.site import paper_images
from digest.site.paper_images import PREVIEW_SIZE, clean_text, draw_preview, fit_title
from tests import make
from tests.site.conftest import HOSTILE, body


@pytest.fixture
def paper(db):
    return make.paper("Robot maps", identifier="2611.00001")


def test_paper_page_names_a_preview_image_of_the_paper(client, paper, settings):
    address = "/papers/2611.00001/preview.png"

    page, response = body(client.get("/papers/2611.00001")), client.get(address)

    assert f'property="og:image" content="{settings.SITE_URL}{address}"' in page
    assert response["Content-Type"] == "image/png"
    assert Image.open(io.BytesIO(response.content)).size == PREVIEW_SIZE
    assert len(response.content) < 100_000
    again = client.get(address, headers={"If-None-Match": response["ETag"]})
    assert again.status_code == 304
    assert client.get("/papers/2611.99999/preview.png").status_code == 404


@pytest.mark.parametrize(
    "title",
    ["", HOSTILE, "x" * 5000, "word " * 900, "\u202eRTL \x07 \U0001f600", "王伟 " * 80],
    ids=["empty", "hostile", "one word", "long", "controls", "not in the font"],
)
def test_any_title_can_be_drawn(db, title):
    image = draw_preview(paper_images.card(make.paper(title, authors=[title] * 50)))

    assert Image.open(io.BytesIO(image)).size == PREVIEW_SIZE


def test_title_is_set_as_large_as_it_has_room_and_cut_at_the_smallest_size():
    short, large = fit_title("Robot maps", 1040)
    long, small = fit_title("Robot maps of the sea " * 30, 1040)

    assert short == ["Robot maps"]
    assert (large.size, small.size) == (68, 45)
    assert long[-1].endswith("…")
    assert all(small.getlength(line) <= 1040 for line in long)


def test_characters_without_a_glyph_get_a_simpler_form_or_none():
    assert clean_text("\U0001d538 maps\n\x07 of 王 ﬁsh ∑") == "A maps of fish ∑"


@pytest.fixture
def thumbnail(paper, settings):
    settings.THUMBNAILS = True
    return PaperThumbnail.objects.create(
        paper=paper, image=b"RIFF webp", fetched_at=make.NOW
    )


def test_list_shows_our_copy_of_a_thumbnail(client, thumbnail, paper):
    address = "/papers/2611.00001/thumbnail.webp"

    page, response = body(client.get("/papers/date/2026-11-20")), client.get(address)

    assert f'<img class="thumbnail" src="{address}" alt=""' in page
    assert response.content == b"RIFF webp"
    assert response["Content-Type"] == "image/webp"
    assert response["Cache-Control"] == "public, max-age=2592000"
    modified = {"If-Modified-Since": response["Last-Modified"]}
    assert client.get(address, headers=modified).status_code == 304


def test_no_thumbnail_where_the_operator_does_not_allow_it_or_none_was_stored(
    client, thumbnail, paper, settings
):
    other = make.paper("Tides", thumbnail_url="https://huggingface.co/a.png")
    PaperThumbnail.objects.create(paper=other, image=b"", fetched_at=make.NOW)

    assert body(client.get("/papers/date/2026-11-20")).count("<img") == 1
    assert client.get(f"/papers/{other.identifier}/thumbnail.webp").status_code == 404
    settings.THUMBNAILS = False
    assert "<img" not in body(client.get("/papers/week/2026-W47"))
    assert client.get("/papers/2611.00001/thumbnail.webp").status_code == 404
