"""What is wrong with this machine's settings, said before the first mail instead of at four in the morning."""

from email.utils import parseaddr
from typing import Any, Literal
from zoneinfo import available_timezones

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from digest.settings import env

TRANSPORTS = ("files", "smtp", "sendgrid")
FREE_MAIL = {
    "gmail.com",
    "googlemail.com",
    "yahoo.com",
    "outlook.com",
    "hotmail.com",
    "icloud.com",
    "gmx.de",
    "aol.com",
}


@register()
def mail_settings(**_: Any) -> list[CheckMessage]:
    """Settings without which no mail can leave."""
    found: list[CheckMessage] = []
    if settings.MAIL_TRANSPORT not in TRANSPORTS:
        hint = f"Use one of {', '.join(TRANSPORTS)}."
        found.append(
            Error(
                f"MAIL_TRANSPORT is {settings.MAIL_TRANSPORT!r}.",
                hint=hint,
                id="digest.E001",
            )
        )
    if "@" not in parseaddr(settings.MAIL_FROM)[1]:
        hint = "Write it as: Paper Round <papers@example.org>."
        found.append(Error("MAIL_FROM is not an address.", hint=hint, id="digest.E002"))
    if settings.MAIL_TRANSPORT == "sendgrid" and not settings.SENDGRID_API_KEY:
        hint = "Create a key with the permission Mail Send, or choose another MAIL_TRANSPORT."
        found.append(Error("SENDGRID_API_KEY is empty.", hint=hint, id="digest.E003"))
    if settings.TIME_ZONE not in available_timezones():
        found.append(
            Error(
                "TIME_ZONE is unknown.",
                hint="Use a name such as Europe/Berlin.",
                id="digest.E004",
            )
        )
    return found


@register()
def embedding_folder(**_: Any) -> list[CheckMessage]:
    """What the folder of a sentence-transformers model lacks."""
    return check_embedding_folder("read")


@register(deploy=True)
def working_folder(**_: Any) -> list[CheckMessage]:
    """Load the model, which takes a second."""
    return [] if embedding_folder() else check_embedding_folder("load")


def check_embedding_folder(step: Literal["read", "load"]) -> list[CheckMessage]:
    """Run a step of onnx_model, which imports numpy and scikit-learn, if a folder is set."""
    if not settings.EMBEDDING_FOLDER:
        return []
    from digest.ranking import onnx_model

    try:
        getattr(onnx_model, step)(settings.EMBEDDING_FOLDER)
    except onnx_model.Unusable as error:
        what = f"EMBEDDING_FOLDER: {error}"
        return [Error(what, hint=error.hint, id="digest.E005")]
    return []


@register(Tags.security, deploy=True)
def real_mail_settings(**_: Any) -> list[CheckMessage]:
    """What the law and the large mailbox providers ask of those who really send."""
    found: list[CheckMessage] = []
    if not settings.POSTAL_ADDRESS:
        hint = "Bulk mail must name the sender's postal address (CAN-SPAM)."
        found.append(Warning("POSTAL_ADDRESS is empty.", hint=hint, id="digest.W001"))
    if parseaddr(settings.MAIL_FROM)[1].rpartition("@")[2] in FREE_MAIL | {"localhost"}:
        hint = "Use an address of a domain whose DKIM and DMARC are yours: others will reject it."
        found.append(
            Warning(
                "MAIL_FROM is at a domain that is not yours.",
                hint=hint,
                id="digest.W002",
            )
        )
    if settings.MAIL_TRANSPORT == "sendgrid" and not settings.SENDGRID_WEBHOOK_KEY:
        hint = "Without it bounces and complaints are not heard: set the event webhook's verification key."
        found.append(
            Warning("SENDGRID_WEBHOOK_KEY is empty.", hint=hint, id="digest.W003")
        )
    for name in ("SECRET_KEY", "SUPPRESSION_KEY"):
        if not env(name, ""):
            hint = f"Every machine made its own. Set one {name} for all of them, and keep it."
            found.append(
                Warning(
                    f"{name} is not in the environment.", hint=hint, id="digest.W004"
                )
            )
    return found
