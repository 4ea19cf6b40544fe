"""Public pages, rendered once a minute: validators, compression and Cache-Control.

Only for answers that are the same for every visitor: they set no cookie and hold no key.
Each web process caches by itself, so that a hit needs no network and memory is bounded.
"""

import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from urllib.parse import parse_qsl, urlencode

from django.core.cache import caches
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.cache import get_conditional_response, patch_vary_headers
from django.utils.http import http_date, parse_http_date

from digest.site.decorators import P, View

# How long lists may lag behind an editor or a source.
LIST_SECONDS = 60
# About, privacy, imprint: they change with a release.
TEXT_SECONDS = 3600
# A shared cache may serve an old page for this long while it fetches a new one.
STALE_SECONDS = 300
# A page of 200 KB takes 6 ms at this level, 20 ms at the highest one for 2 % less.
COMPRESSION_LEVEL = 6
MIN_COMPRESSED_BYTES = 500


@dataclass(frozen=True)
class Page:
    """A rendered page, as cached."""

    body: bytes
    compressed: bytes
    headers: dict[str, str]
    etag: str
    modified_at: int


def cached_page(seconds: int = LIST_SECONDS) -> Callable[[View[P]], View[P]]:
    """Answer GET and HEAD requests from the cache; only answers with the status 200 are cached."""

    def decorator(view: View[P]) -> View[P]:
        @wraps(view)
        def wrapper(
            request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs
        ) -> HttpResponse:
            if request.method not in ("GET", "HEAD"):
                return view(request, *args, **kwargs)
            cache, key = caches["pages"], cache_key(request)
            page: Page | None = cache.get(key)
            if page is None:
                response = view(request, *args, **kwargs)
                if response.status_code != 200 or response.cookies:
                    return response
                page = build_page(response)
                cache.set(key, page, seconds)
            return answer(request, page, seconds)

        return wrapper

    return decorator


def cache_key(request: HttpRequest) -> str:
    query = urlencode(sorted(parse_qsl(request.META.get("QUERY_STRING", ""))))
    address = f"{request.get_host()}{request.path}?{query}"
    return hashlib.sha256(address.encode("utf-8", "replace")).hexdigest()


def build_page(response: HttpResponse) -> Page:
    body = response.content
    is_text = not response["Content-Type"].startswith("image/")
    is_large = is_text and len(body) >= MIN_COMPRESSED_BYTES
    modified = response.get("Last-Modified")
    return Page(
        body=body,
        compressed=gzip.compress(body, COMPRESSION_LEVEL, mtime=0) if is_large else b"",
        headers=dict(response.items()),
        etag=f'W/"{hashlib.sha256(body).hexdigest()[:32]}"',
        modified_at=parse_http_date(modified)
        if modified
        else int(timezone.now().timestamp()),
    )


def answer(request: HttpRequest, page: Page, seconds: int) -> HttpResponse:
    accepts_gzip = "gzip" in request.headers.get("Accept-Encoding", "")
    is_compressed = bool(page.compressed) and accepts_gzip
    response = HttpResponse(
        page.compressed if is_compressed else page.body, headers=page.headers
    )
    if is_compressed:
        response["Content-Encoding"] = "gzip"
    response["Content-Length"] = str(len(response.content))
    response["ETag"] = page.etag
    response["Last-Modified"] = http_date(page.modified_at)
    response["Cache-Control"] = (
        f"public, max-age={seconds}, stale-while-revalidate={STALE_SECONDS}"
    )
    patch_vary_headers(response, ["Accept-Encoding"])
    conditional = get_conditional_response(
        request, page.etag, page.modified_at, response
    )
    assert conditional is not None  # a response was given
    return conditional
