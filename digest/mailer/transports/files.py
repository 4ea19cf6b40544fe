"""Transport without a mail server: every mail becomes an .eml file in MAIL_DIR."""

import os
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from accounts.models import new_key
from digest.mailer.transports import (
    BeginCall,
    EncodedMail,
    Result,
    accepted,
    as_bytes,
    refused,
)

# Each mail is written and flushed on its own.
FORMAT = "mime"
PIPELINES = False


def check_settings() -> None:
    """Every MAIL_DIR may work: a folder that cannot be written is a temporary refusal."""


def connect() -> "Folder":
    return Folder()


encode_mail = as_bytes


class Folder:
    """Writes mails as `<day>-<key>.eml`; writing one again replaces it with the same bytes."""

    def send_mail(
        self, mail: EncodedMail, begin_call: BeginCall, _: EncodedMail | None = None
    ) -> Result:
        begin_call()
        try:
            write_file(f"{mail.day:%Y-%m-%d}-{mail.key}.eml", mail.content)
        except OSError as error:  # disk full or read-only: an operator can fix that
            return refused(f"{settings.MAIL_DIR}: {error.strerror}", retry=True)
        return accepted()

    def close(self) -> None:
        pass


def was_sent(key: str) -> bool:
    return any(Path(settings.MAIL_DIR).glob(f"*-{key}.eml"))


def write_file(name: str, content: bytes) -> None:
    """Write a file atomically and durably: other processes see all of it or nothing."""
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
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Flush a directory, so that a rename survives a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class EmailBackend(BaseEmailBackend):
    """Django's mail backend for account mails: files in the same folder."""

    def __init__(self, fail_silently: bool = False, **kwargs: Any) -> None:
        super().__init__(fail_silently=fail_silently)

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        for message in email_messages:
            stamp = datetime.now(UTC)
            name = f"{stamp:%Y-%m-%d}-{stamp:%H%M%S%f}-{new_key()}.eml"
            write_file(name, message.message().as_bytes())
        return len(email_messages)
