"""System checks of the settings: wrong values, and values that do not work together."""

import json
import os
import sys
from email.utils import parseaddr
from typing import Any, Literal
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import (
    CheckMessage,
    Error,
    Info,
    Tags,
    Warning,
    register,
    run_checks,
)

from digest.text.arxiv_categories import is_selected

SETTINGS_TAG = "settings"
# gunicorn stops instead of restarting a worker that exits with this status.
GUNICORN_BOOT_ERROR = 3
MIN_KEY_LENGTH = 32
FREE_MAIL_DOMAINS = {
    *("gmail.com", "googlemail.com", "yahoo.com", "outlook.com", "hotmail.com"),
    *("icloud.com", "gmx.de", "gmx.net", "web.de", "aol.com", "proton.me"),
}
LOOPBACK_HOSTS = {"localhost", "127.0.0.1", "::1"}


@register(SETTINGS_TAG)
def check_values(**_: Any) -> list[CheckMessage]:
    return [
        Error(problem.message, hint=problem.hint, id="digest.E001")
        for problem in settings.SETTING_PROBLEMS
    ]


@register(SETTINGS_TAG)
def check_transport(**_: Any) -> list[CheckMessage]:
    messages: list[CheckMessage] = []
    if settings.MAIL_TRANSPORT == "sendgrid" and not settings.SENDGRID_API_KEY:
        hint = "Create an API key with the permission Mail Send, or use another MAIL_TRANSPORT."
        messages.append(
            Error("SENDGRID_API_KEY is empty.", hint=hint, id="digest.E003")
        )
    if settings.UNKNOWN_RESEND_AFTER and settings.MAIL_TRANSPORT != "sendgrid":
        hint = (
            "Set it to 0: only SendGrid reports which unknown digests were delivered."
        )
        text = f"UNKNOWN_RESEND_AFTER may double mails over {settings.MAIL_TRANSPORT}."
        messages.append(Error(text, hint=hint, id="digest.E004"))
    return messages


@register(SETTINGS_TAG)
def check_bounces(**_: Any) -> list[CheckMessage]:
    if settings.BOUNCE_ADDRESS:
        return []
    return [
        Error(
            f"{name} is set without BOUNCE_ADDRESS.",
            hint="Set BOUNCE_ADDRESS to the address that receives bounces.",
            id="digest.E006",
        )
        for name in ("BOUNCE_IMAP_URL", "SMTP_SUCCESS_REPORTS")
        if getattr(settings, name)
    ]


@register(SETTINGS_TAG)
def check_proxy(**_: Any) -> list[CheckMessage]:
    if not settings.HTTPS or settings.BEHIND_PROXY:
        return []
    hint = "Set BEHIND_PROXY=true if a proxy ends TLS and sets X-Forwarded-Proto."
    text = "SITE_URL is https without BEHIND_PROXY: pages may redirect forever."
    return [Warning(text, hint=hint, id="digest.W005")]


@register(SETTINGS_TAG)
def check_embedding_files(**_: Any) -> list[CheckMessage]:
    return check_embedding_folder("read_folder")


@register(SETTINGS_TAG, deploy=True)
def check_embedding_model(**_: Any) -> list[CheckMessage]:
    """Load the model, which takes a second."""
    return [] if check_embedding_files() else check_embedding_folder("load_folder")


@register("topics", deploy=True)
def check_topic_categories(**_: Any) -> list[CheckMessage]:
    fixture = settings.ROOT / "digest" / "fixtures" / "topics.json"
    unread = {}
    for row in json.loads(fixture.read_text()):
        names = row["fields"]["categories"]
        missing = [
            name for name in names if not is_selected(name, settings.ARXIV_CATEGORIES)
        ]
        if missing and len(missing) == len(names):
            unread[row["fields"]["name"]] = missing
    if not unread:
        return []
    listed = "; ".join(f"{name} ({', '.join(c)})" for name, c in unread.items())
    hint = (
        "Add a category of each to ARXIV_CATEGORIES, or unlist the topics in the admin."
    )
    text = f"Topics have no category that is ingested: {listed}."
    return [Info(text, hint=hint, id="digest.I001")]


def check_embedding_folder(
    step: Literal["read_folder", "load_folder"],
) -> list[CheckMessage]:
    """Run a step of onnx_model, which imports numpy and scikit-learn, if a folder is set."""
    if not settings.EMBEDDING_FOLDER:
        return []
    from digest.ranking import onnx_model

    try:
        getattr(onnx_model, step)(settings.EMBEDDING_FOLDER)
    except onnx_model.UnusableModel as error:
        text = f"EMBEDDING_FOLDER: {error}"
        return [Error(text, hint=error.hint, id="digest.E005")]
    return []


@register(Tags.security, deploy=True)
def check_production(**_: Any) -> list[CheckMessage]:
    """Report what the law, mailbox providers and a restore require in production."""
    messages: list[CheckMessage] = []

    def warn(code: str, text: str, hint: str) -> None:
        messages.append(Warning(text, hint=hint, id=f"digest.{code}"))

    if not settings.POSTAL_ADDRESS:
        hint = "Bulk mail must name the sender's postal address (CAN-SPAM)."
        warn("W001", "POSTAL_ADDRESS is empty.", hint)
    domain = parseaddr(settings.MAIL_FROM)[1].rpartition("@")[2].lower()
    if domain in FREE_MAIL_DOMAINS | LOOPBACK_HOSTS:
        hint = "Use an address of a domain with your DKIM and DMARC records."
        warn("W002", f"MAIL_FROM is at {domain}, which is not your domain.", hint)
    if settings.MAIL_TRANSPORT == "sendgrid" and not settings.SENDGRID_WEBHOOK_KEY:
        hint = "Set the verification key of the event webhook: bounces and complaints need it."
        warn("W003", "SENDGRID_WEBHOOK_KEY is empty.", hint)
    reports = (
        *(settings.BOUNCE_ADDRESS, settings.SES_TOPIC_ARN),
        settings.POSTMARK_WEBHOOK_PASSWORD,
    )
    if settings.MAIL_TRANSPORT == "smtp" and not any(reports):
        hint = "Set BOUNCE_ADDRESS, and read its mail, or the webhook of SES or Postmark (docs/operating.md): bounces and complaints need it."
        warn("W009", "BOUNCE_ADDRESS is empty.", hint)
    for name in ("SECRET_KEY", "SUPPRESSION_KEY"):
        if not (os.environ.get(name) or os.environ.get(f"{name}_FILE")):
            hint = f"Set the same {name} on all machines, and back it up."
            warn("W004", f"{name} is generated on this machine.", hint)
    if len(settings.SUPPRESSION_KEY) < MIN_KEY_LENGTH:
        hint = f"Use a random string of at least {MIN_KEY_LENGTH} characters."
        warn("W006", "SUPPRESSION_KEY is short.", hint)
    is_public = urlsplit(settings.SITE_URL).hostname not in LOOPBACK_HOSTS
    if settings.MAIL_TRANSPORT == "files" and is_public:
        hint = "Use smtp or sendgrid: files only writes mails to MAIL_DIR."
        warn("W007", "MAIL_TRANSPORT is files on a public site.", hint)
    if settings.VAR.exists() and settings.VAR.stat().st_mode & 0o077:
        warn("W008", "VAR_DIR is open to other users.", f"chmod 700 {settings.VAR}")
    return messages


def exit_on_wrong_settings(status: int = 1, **_: Any) -> None:
    """End a server whose settings cannot work; `manage.py` runs the checks by itself."""
    errors = [
        message
        for message in run_checks(tags=[SETTINGS_TAG])
        if message.is_serious() and not message.is_silenced()
    ]
    for error in errors:
        sys.stderr.write(f"{error}\n")
    if errors:
        sys.exit(status)
