"""Images of papers: the preview that other sites show of a link, and thumbnails of a source."""

import io
import unicodedata
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response
from django.utils.http import http_date
from django.views.decorators.http import require_safe

from digest.cards import card
from digest.jinja import long_day
from digest.models import PaperThumbnail
from digest.site.errors import not_found
from digest.site.page_cache import cached_page
from digest.site.papers import find_paper

# Pillow is imported where it is used: it takes a twentieth of a second.
if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

# What Facebook, LinkedIn, Slack and X show without cropping.
PREVIEW_SIZE = (1200, 630)
MARGIN_PX = 80
TITLE_BOTTOM_PX = 450
# The largest at which the title has room; it is cut at the smallest.
TITLE_FONT_SIZES_PX = (68, 60, 52, 45)
LINE_HEIGHT = 1.25
# More than has room; measuring longer text would take long.
MAX_TEXT_CHARS = 300
PREVIEW_SECONDS = 3600
# Thumbnails are fetched once and never change.
THUMBNAIL_SECONDS = 30 * 86_400
FONT = Path(__file__).parent / "fonts" / "DejaVuSerif-Bold.ttf"
# As in site.css.
PAPER, INK, SOFT, ACCENT = "#fdfcf9", "#1d1b18", "#5d574d", "#9b3420"


@require_safe
@cached_page(PREVIEW_SECONDS)
def preview_image(request: HttpRequest, identifier: str) -> HttpResponse:
    paper = find_paper(identifier)
    if paper is None:
        return not_found(request)
    return HttpResponse(draw_preview(card(paper)), content_type="image/png")


def find_thumbnail(identifier: str) -> PaperThumbnail | None:
    if not settings.THUMBNAILS:
        return None
    rows = PaperThumbnail.objects.usable()
    return rows.filter(paper__identifier=identifier.replace("\0", "")).first()


@require_safe
def thumbnail(request: HttpRequest, identifier: str) -> HttpResponse:
    """Answer with our copy of the image that a source shows beside a paper."""
    row = find_thumbnail(identifier)
    if row is None:
        return not_found(request)
    response = HttpResponse(bytes(row.image), content_type="image/webp")
    response["Cache-Control"] = f"public, max-age={THUMBNAIL_SECONDS}"
    modified_at = int(row.fetched_at.timestamp())
    response["Last-Modified"] = http_date(modified_at)
    conditional = get_conditional_response(
        request, last_modified=modified_at, response=response
    )
    assert conditional is not None  # a response was given
    return conditional


def draw_preview(card: dict[str, Any]) -> bytes:
    """Draw the title, authors and date of a paper as a PNG."""
    from PIL import Image, ImageDraw

    width, height = PREVIEW_SIZE
    image = Image.new("RGB", PREVIEW_SIZE, PAPER)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, width, 14), fill=ACCENT)
    draw.text((MARGIN_PX, 60), clean_text(settings.SITE_NAME), ACCENT, load_font(32))
    lines, font = fit_title(clean_text(card["title"]), width - 2 * MARGIN_PX)
    for number, line in enumerate(lines):
        draw.text((MARGIN_PX, 130 + number * line_height(font)), line, INK, font)
    small = load_font(30)
    byline = clean_text(card["authors"] or card["organization"])
    facts = [long_day(card["date"]), card["primary"]]
    for top, text in (
        (height - 150, byline),
        (height - 95, " · ".join(filter(None, facts))),
    ):
        line = shorten(text, small, width - 2 * MARGIN_PX)
        draw.text((MARGIN_PX, top), line, SOFT, small)
    file = io.BytesIO()
    # Few colours: a quarter of the bytes, and no visible difference.
    image.quantize(64).save(file, "PNG", optimize=True)
    return file.getvalue()


@cache
def load_font(size: int) -> "FreeTypeFont":
    from PIL import ImageFont

    return ImageFont.truetype(str(FONT), size, layout_engine=ImageFont.Layout.BASIC)


def line_height(font: "FreeTypeFont") -> int:
    return round(font.size * LINE_HEIGHT)


@cache
def has_glyph(char: str) -> bool:
    """Whether the font can draw a character; otherwise it draws an empty box."""
    font = load_font(32)
    missing = font.getmask("\uffff")
    mask = font.getmask(char)
    return (mask.size, bytes(mask)) != (missing.size, bytes(missing))


def clean_text(text: str) -> str:
    """Return the text that has room, on one line, with simpler forms of characters that the font lacks: "ﬁ" as "fi"."""
    chars = []
    for char in unicodedata.normalize("NFC", " ".join(text[:MAX_TEXT_CHARS].split())):
        if char == " " or (char.isprintable() and has_glyph(char)):
            chars.append(char)
        else:
            simpler = unicodedata.normalize("NFKD", char)
            chars.extend(c for c in simpler if c.isprintable() and has_glyph(c))
    return " ".join("".join(chars).split())


def fit_title(title: str, width: int) -> tuple[list[str], "FreeTypeFont"]:
    """Wrap a title at the largest font size at which it has room."""
    for size in TITLE_FONT_SIZES_PX:
        font = load_font(size)
        lines = wrap_text(title, font, width)
        room = (TITLE_BOTTOM_PX - 130) // line_height(font)
        if len(lines) <= room:
            return lines, font
    rest = " ".join(lines[room - 1 :])
    return [*lines[: room - 1], shorten(rest, font, width)], font


def wrap_text(text: str, font: "FreeTypeFont", width: int) -> list[str]:
    """Break text into lines; a word wider than a line is cut into pieces."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for char in word:
            if font.getlength(lines[-1] + char) > width:
                lines.append("")
            lines[-1] += char
    return lines


def shorten(text: str, font: "FreeTypeFont", width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text.rstrip(' ,;:')}…"
