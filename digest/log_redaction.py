"""Redact secrets from log records, including tracebacks and chained exceptions."""

import json
import logging
import re
from collections.abc import Callable
from functools import cache
from urllib.parse import quote, unquote, urlsplit

import structlog
from django.conf import settings

from digest.env import Environment

# Django logs the path of every page that fails, and these paths hold readers' keys.
READER_KEYS = re.compile(
    r"(/(?:preferences|digests|saved|private-feeds|submit|d|confirm|unsubscribe|address|block|set-password|mailbox)/)[\w-]{8,}"
)
# Mail servers name the recipients that they refuse; the domain stays for the operator.
EMAIL_ADDRESSES = re.compile(r"[\w.+=~-]+@(?=[\w-]+(\.[\w-]+)+)")
# The password of user:password@ in any URL.
URL_PASSWORDS = re.compile(r"(\w://[^\s/:@]*:)[^\s/@]+(?=@)")
SECRET_SETTINGS = (
    *("SECRET_KEY", "SUPPRESSION_KEY", "SENDGRID_API_KEY", "METRICS_TOKEN"),
    "POSTMARK_WEBHOOK_PASSWORD",
)
URL_SETTINGS = ("SMTP_URL", "REDIS_URL", "BOUNCE_IMAP_URL")
# A shorter secret may be part of any word; it is redacted in URLs only.
MIN_SECRET_LENGTH = 6


def configured_secrets() -> list[str]:
    """Secrets of this installation, plain, percent-encoded and escaped, longest first."""
    values = [getattr(settings, name) for name in SECRET_SETTINGS]
    values += [
        urlsplit(getattr(settings, name)).password or "" for name in URL_SETTINGS
    ]
    values += [str(settings.DATABASES["default"].get("PASSWORD") or "")]
    values += [Environment().variables.get("EDITOR_PASSWORD", "").strip()]
    spellings = {
        text
        for value in values
        for plain in (value, unquote(value))
        for text in (
            plain,
            quote(plain, safe=""),
            json.dumps(plain)[1:-1],
            repr(plain)[1:-1],
        )
    }
    long_enough = (text for text in spellings if len(text) >= MIN_SECRET_LENGTH)
    return sorted(long_enough, key=len, reverse=True)


@cache
def redactor() -> Callable[[str], str]:
    """Return the function that redacts a text, with the secrets of this installation."""
    alternatives = "|".join(map(re.escape, configured_secrets()))
    secrets = re.compile(alternatives or r"(?!)")

    def redact(text: str) -> str:
        text = secrets.sub("…", text)
        text = EMAIL_ADDRESSES.sub("…@", URL_PASSWORDS.sub(r"\1…", text))
        return READER_KEYS.sub(r"\1…", text)

    return redact


class RedactingFormatter(logging.Formatter):
    """Format a record with its traceback, then redact secrets from the whole text."""

    def format(self, record: logging.LogRecord) -> str:
        return redactor()(super().format(record))


class JsonFormatter(structlog.stdlib.ProcessorFormatter):
    """One JSON object a line, for our log lines and those of every library alike."""

    def __init__(self) -> None:
        super().__init__(
            foreign_pre_chain=[
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.add_log_level,
                structlog.processors.TimeStamper(fmt="iso"),
            ],
            processors=[
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )

    def format(self, record: logging.LogRecord) -> str:
        return redactor()(super().format(record))


def create_formatter() -> logging.Formatter:
    return JsonFormatter() if settings.LOG_FORMAT == "json" else RedactingFormatter()


class ExpectedErrorFilter(logging.Filter):
    """Drop the traceback of requests that were refused (4xx): nothing is broken."""

    def filter(self, record: logging.LogRecord) -> bool:
        status = getattr(record, "status_code", None)
        if isinstance(status, int) and status < 500:
            record.exc_info = record.exc_text = None
        return True
