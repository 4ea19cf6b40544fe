"""Static files under names with a hash of their content, cached for years, without a build step.

The files are served from the packages. `static('digest/site.css')` gives the address
/static/digest/site.0a1b2c3d4e.css, which changes with the file.
"""

import gzip
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles import finders
from django.contrib.staticfiles.storage import StaticFilesStorage
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers
from whitenoise.middleware import WhiteNoiseMiddleware

HASH_CHARS = 10
# The files by address, of all middlewares.
FILES: dict[str, Any] = {}
# Contents by address, compressed.
COMPRESSED: dict[str, bytes] = {}
COMPRESSED_TYPES = ("text/", "application/javascript", "image/svg+xml")
HASH = re.compile(rf"\.[0-9a-f]{{{HASH_CHARS}}}(?=\.\w+$)")


class HashedStorage(StaticFilesStorage):
    """Give static files hashed addresses; in DEBUG, where files change, plain ones."""

    def url(self, name: str | None) -> str:
        path = "" if settings.DEBUG or not name else find_file(name)
        return super().url(add_hash(name, path) if name and path else name)


class HashedFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]  # untyped
    """Serve static files under their plain and their hashed addresses.

    A page that was cached before an upgrade gets the present file for its old address.
    """

    files: dict[str, Any]

    def add_files_from_finders(self) -> None:
        """Read the files once in a process; every test client makes a middleware."""
        if not FILES:
            super().add_files_from_finders()
            FILES.update(self.files)
        self.files = FILES

    def add_file_to_dictionary(
        self, url: str, path: str, stat_cache: Any = None
    ) -> None:
        super().add_file_to_dictionary(url, path, stat_cache)
        super().add_file_to_dictionary(add_hash(url, path), path, stat_cache)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        address = request.path_info
        if address.startswith(self.static_prefix) and address not in self.files:
            request.path_info = HASH.sub("", address)
        response: HttpResponse = super().__call__(request)
        is_whole = request.method == "GET" and response.status_code == 200
        if is_whole and request.path_info in self.files and not settings.DEBUG:
            return compress_file(request, response)
        return response


def compress_file(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Compress a style sheet, script or drawing for browsers that accept it, once in a process."""
    if not response["Content-Type"].startswith(COMPRESSED_TYPES):
        return response
    patch_vary_headers(response, ["Accept-Encoding"])
    if "gzip" not in request.headers.get("Accept-Encoding", ""):
        return response
    address = request.path_info
    if address not in COMPRESSED:
        COMPRESSED[address] = gzip.compress(b"".join(response))
    compressed = HttpResponse(COMPRESSED[address], headers=dict(response.items()))
    # close() of the response would announce the end of the request.
    response.file_to_stream.close()  # type: ignore[attr-defined]  # whitenoise's FileResponse
    compressed["Content-Encoding"] = "gzip"
    compressed["Content-Length"] = str(len(compressed.content))
    # It names the uncompressed bytes; Last-Modified stays.
    del compressed["ETag"]
    return compressed


@cache
def find_file(name: str) -> str:
    path = finders.find(name)
    return path if isinstance(path, str) else ""


@cache
def add_hash(name: str, path: str) -> str:
    """Insert the hash of the file at `path` before the ending of a name or an address."""
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()[:HASH_CHARS]
    stem, dot, ending = name.rpartition(".")
    return f"{stem}.{digest}.{ending}" if dot and "/" not in ending else name
