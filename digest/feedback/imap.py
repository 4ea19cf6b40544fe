"""Poll the mailbox of BOUNCE_ADDRESS over IMAP.

A mail that becomes an event is deleted, since it contains a reader's address. Any other
is marked as read and left for a person. A mail that is read twice, after an interruption,
is one event.
"""

import imaplib
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any
from urllib.parse import unquote, urlsplit

import structlog
from django.conf import settings

from digest.feedback import inbound
from digest.feedback.mail_reports import MAX_PARSED_BYTES
from digest.models import Heartbeat
from digest.models.operations import BOUNCE_MAILBOX

log = structlog.get_logger(__name__)

IMAP_PORT, IMAPS_PORT = 143, 993
IMAP_TIMEOUT_S = 20
MAX_MAILS_PER_POLL = 500
UNREAD = "(UNSEEN UNDELETED)"


class MailboxUnavailable(Exception):
    """The server cannot be reached, or refuses the login or the folder."""


def poll_mailbox(now: datetime) -> int:
    """Store what the unread mails report; return their number. Raises MailboxUnavailable."""
    try:
        with open_mailbox() as mailbox:
            uids = search_unread(mailbox)
            for uid in uids:
                take_mail(mailbox, uid, now)
            mailbox.expunge()
    except (OSError, imaplib.IMAP4.error) as error:
        raise MailboxUnavailable(f"{type(error).__name__}: {error}") from error
    Heartbeat.objects.record(BOUNCE_MAILBOX, now)
    return len(uids)


@contextmanager
def open_mailbox() -> Iterator[imaplib.IMAP4]:
    """Log in and select the folder that BOUNCE_IMAP_URL names, INBOX by default."""
    parts = urlsplit(settings.BOUNCE_IMAP_URL)
    host = parts.hostname or ""
    if parts.scheme == "imaps":
        mailbox: imaplib.IMAP4 = imaplib.IMAP4_SSL(
            host,
            parts.port or IMAPS_PORT,
            ssl_context=ssl.create_default_context(),
            timeout=IMAP_TIMEOUT_S,
        )
    else:
        mailbox = imaplib.IMAP4(host, parts.port or IMAP_PORT, timeout=IMAP_TIMEOUT_S)
    try:
        mailbox.login(unquote(parts.username or ""), unquote(parts.password or ""))
        folder = unquote(parts.path.strip("/")) or "INBOX"
        quoted = folder.replace("\\", r"\\").replace('"', r"\"")
        require_ok(mailbox.select(f'"{quoted}"'))
        yield mailbox
    finally:
        with suppress(OSError, imaplib.IMAP4.error):
            mailbox.logout()


def search_unread(mailbox: imaplib.IMAP4) -> list[str]:
    (line, *_) = require_ok(mailbox.uid("SEARCH", UNREAD))
    return bytes(line or b"").decode().split()[:MAX_MAILS_PER_POLL]


def take_mail(mailbox: imaplib.IMAP4, uid: str, now: datetime) -> None:
    """Store what one mail reports, then delete it, or mark it as read if it is no report."""
    part = f"(BODY.PEEK[]<0.{MAX_PARSED_BYTES}>)"
    data = require_ok(mailbox.uid("FETCH", uid, part))
    content = next((item[1] for item in data if isinstance(item, tuple)), b"")
    flag = r"(\Deleted)" if inbound.store_mail(content, [], now) else r"(\Seen)"
    require_ok(mailbox.uid("STORE", uid, "+FLAGS.SILENT", flag))


def require_ok(response: tuple[str, list[Any]]) -> list[Any]:
    status, data = response
    if status != "OK":
        raise imaplib.IMAP4.error(re.sub(r"\s+", " ", str(data))[:200])
    return data
