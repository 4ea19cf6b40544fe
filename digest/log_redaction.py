"""Keeps secrets out of the log, whoever names them: a path, a message, an exception or the one that caused it."""

import logging
import os
import re
from urllib.parse import quote, unquote, urlsplit

from django.conf import settings

# Whoever reads the log must not be able to open anybody's preferences with it: Django
# names the path of every page that fails.
KEYS = re.compile(r"(/(?:preferences|digests|d|confirm|unsubscribe|address)/)[\w-]{8,}")
# user:password@ of any address, ours or not.
PASSWORDS = re.compile(r"(\w://[^\s/:@]*:)[^\s/@]+(?=@)")
SECRETS = ("SECRET_KEY", "SUPPRESSION_KEY", "SENDGRID_API_KEY")
ADDRESSES = ("SMTP_URL", "REDIS_URL")
# A shorter one may be part of any word, and is hidden in addresses only.
SHORTEST = 6


def secrets() -> list[str]:
    """What only this machine may know, as it is written and as an address writes it; longest first."""
    given = [getattr(settings, name) for name in SECRETS]
    given += [urlsplit(getattr(settings, name)).password or "" for name in ADDRESSES]
    given += [str(settings.DATABASES["default"].get("PASSWORD") or "")]
    given += [os.environ.get("EDITOR_PASSWORD", "")]
    spelled = {way for one in given for way in (one, unquote(one), quote(one, safe=""))}
    return sorted((one for one in spelled if len(one) >= SHORTEST), key=len)[::-1]


class Discreet(logging.Formatter):
    """A line with its traceback, and without secrets: the last to see what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.known = re.compile("|".join(map(re.escape, secrets())) or r"(?!)")

    def format(self, record: logging.LogRecord) -> str:
        told = self.known.sub("…", super().format(record))
        return KEYS.sub(r"\1…", PASSWORDS.sub(r"\1…", told))
