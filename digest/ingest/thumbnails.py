"""Small copies of the images that a source shows beside papers.

Readers' browsers load them from us, so the source does not learn who reads what. Images are
fetched from the source's own hosts only, without redirects, because their addresses come from
outside; and encoded again, because their content does.
"""

import io
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import httpx
import structlog
from django.conf import settings
from django.db.models import F, Q, QuerySet

from digest.ingest.sources import http
from digest.ingest.sources.listing import SourceError
from digest.models import Paper, PaperThumbnail
from digest.models.papers import CANDIDATE_DAYS

log = structlog.get_logger()

# Where Hugging Face serves the images of papers.
IMAGE_HOSTS = {
    *("cdn-thumbnails.huggingface.co", "cdn-uploads.huggingface.co"),
    "huggingface.co",
}
MAX_IMAGE_BYTES = 5_000_000
# Unpacked, an image takes 3 bytes a pixel.
MAX_IMAGE_PIXELS = 20_000_000
IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
# Twice the size on pages, for dense screens.
THUMBNAIL_SIZE_PX = (400, 300)
WEBP_QUALITY = 75
# Of one run, so that a first run with many papers ends soon.
MAX_IMAGES_PER_RUN = 200
# Failures in a row after which the source counts as down.
MAX_FAILURES_IN_A_ROW = 5
RETRY_AFTER = timedelta(hours=6)


class UnusableImage(Exception):
    """The document is no image, or one that is too large."""


def fetch_thumbnails(now: datetime) -> int:
    """Fetch the missing thumbnails of recent papers; return how many are new."""
    if not settings.THUMBNAILS:
        return 0
    stored = failures = 0
    with http.open_client() as client:
        client.follow_redirects = False
        for paper in papers_without_thumbnail(now)[:MAX_IMAGES_PER_RUN]:
            image = fetch_thumbnail(client, paper)
            store_thumbnail(paper, image, now)
            stored += bool(image)
            failures = 0 if image else failures + 1
            if failures == MAX_FAILURES_IN_A_ROW:
                break
    return stored


def papers_without_thumbnail(now: datetime) -> QuerySet[Paper]:
    is_missing = Q(thumbnail=None) | Q(
        thumbnail__image=b"",
        thumbnail__attempts__lt=PaperThumbnail.MAX_ATTEMPTS,
        thumbnail__fetched_at__lte=now - RETRY_AFTER,
    )
    recent = Paper.objects.filter(
        is_missing, announced_on__gt=now.date() - timedelta(days=CANDIDATE_DAYS)
    )
    listed = recent.exclude(thumbnail_url="").only("identifier", "thumbnail_url")
    return listed.order_by("-announced_on", "-votes", "pk")


def fetch_thumbnail(client: httpx.Client, paper: Paper) -> bytes:
    """Return a paper's thumbnail, or b"" where its source gives none that can be shown."""
    url = paper.thumbnail_url
    try:
        if not is_image_address(url):
            raise UnusableImage("not an address of the source")
        document = http.fetch_document(client, url, max_bytes=MAX_IMAGE_BYTES)
        return encode_thumbnail(document.body)
    except (UnusableImage, SourceError) as error:
        log.warning("no thumbnail", paper=paper.identifier, reason=str(error))
        return b""


def is_image_address(url: str) -> bool:
    """Whether an address is on a known host over https, or on the server of HUGGINGFACE_URL."""
    try:
        parts, source = urlsplit(url), urlsplit(settings.HUGGINGFACE_URL)
        if "@" in parts.netloc:
            return False
        if (parts.scheme, parts.netloc) == (source.scheme, source.netloc):
            return True
        is_default_port = parts.port in (None, 443)
    except ValueError:
        return False
    return parts.scheme == "https" and parts.hostname in IMAGE_HOSTS and is_default_port


def encode_thumbnail(document: bytes) -> bytes:
    """Decode an image of bounded size, and encode it smaller, without its metadata."""
    # A twentieth of a second to import, which other tasks do without.
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(document), formats=IMAGE_FORMATS) as image:
            if image.width * image.height > MAX_IMAGE_PIXELS:
                raise UnusableImage(f"{image.width} x {image.height} pixels")
            image.draft("RGB", THUMBNAIL_SIZE_PX)
            small = ImageOps.exif_transpose(image).convert("RGBA")
            small.thumbnail(THUMBNAIL_SIZE_PX)
    except UnusableImage:
        raise
    except Exception as error:  # decoders raise every kind of error on damaged images
        raise UnusableImage(f"not an image: {error}") from error
    flat = Image.new("RGB", small.size, "white")
    flat.paste(small, mask=small.getchannel("A"))
    file = io.BytesIO()
    flat.save(file, "WEBP", quality=WEBP_QUALITY)
    return file.getvalue()


def store_thumbnail(paper: Paper, image: bytes, now: datetime) -> None:
    values = {"image": image, "fetched_at": now}
    row, is_new = PaperThumbnail.objects.get_or_create(paper=paper, defaults=values)
    if not is_new:
        rows = PaperThumbnail.objects.filter(pk=row.pk)
        rows.update(**values, attempts=F("attempts") + 1)
