"""The transport for one machine: every mail becomes an .eml file in MAIL_DIR, whole or not at all."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from accounts.models import new_key
from digest.mailer.mail import Mail, as_bytes
from digest.mailer.transports import Result, Send, accepted, refused


@contextmanager
def connect() -> Iterator[Send]:
    """Nothing to connect to."""
    yield send


def send(mail: Mail) -> Result:
    """Write one mail as `<day>-<key>.eml`; writing it again replaces it with the same bytes."""
    try:
        write(f"{mail.day:%Y-%m-%d}-{mail.key}.eml", as_bytes(mail))
    except OSError as error:  # full or read-only: an operator can mend that
        return refused(f"{settings.MAIL_DIR}: {error.strerror}", retry=True)
    return accepted(mail.headers["Message-ID"])


def find(key: str) -> bool:
    """Whether the mail with this key was written."""
    return any(Path(settings.MAIL_DIR).glob(f"*-{key}.eml"))


def write(name: str, content: bytes) -> None:
    """Make a file appear under its name with all its content on the disk, or not at all."""
    folder = Path(settings.MAIL_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(prefix=".draft-", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, folder / name)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    sync(folder)


def sync(folder: Path) -> None:
    """Make a rename survive a power cut."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


class EmailBackend(BaseEmailBackend):
    """Django's way out for confirmations: into the same folder."""

    def __init__(self, fail_silently: bool = False, **kwargs: Any) -> None:
        super().__init__(fail_silently=fail_silently)

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        for message in email_messages:
            stamp = datetime.now(UTC)
            name = f"{stamp:%Y-%m-%d}-{stamp:%H%M%S%f}-{new_key()}.eml"
            write(name, message.message().as_bytes())
        return len(email_messages)
