"""Static files under names with a hash of their content, cached for years, without a build step.

The files are served from the packages. `static('digest/site.css')` gives the address
/static/digest/site.0a1b2c3d4e.css, which changes with the file.
"""

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles import finders
from django.contrib.staticfiles.storage import StaticFilesStorage
from django.http import HttpRequest, HttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware

HASH_CHARS = 10
# The files by address, of all middlewares.
FILES: dict[str, Any] = {}
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
        return response


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
