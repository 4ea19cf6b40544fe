"""The transport that this machine's settings choose."""

from importlib import import_module
from typing import cast

from django.conf import settings

from digest.mailer.transports.result import Transport


def chosen() -> Transport:
    """The module MAIL_TRANSPORT names, imported only then: the SDK of a provider takes a while to load."""
    match settings.MAIL_TRANSPORT:
        case "files" | "smtp" | "sendgrid" as name:
            return cast(Transport, import_module(f"digest.mailer.{name}"))
        case other:
            raise ValueError(
                f"MAIL_TRANSPORT is {other!r}: use files, smtp or sendgrid"
            )
