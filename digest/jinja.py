"""One Jinja2 environment for mails and pages: strict about names, escaping in every .html."""

from datetime import date, datetime
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from jinja2 import Environment, StrictUndefined, select_autoescape


def url(name: str, *args: object, **query: object) -> str:
    """The path of a page by its name; keywords become the query."""
    path = reverse(name, args=args)
    return f"{path}?{urlencode(query)}" if query else path


def absolute(path: str) -> str:
    """A path of this site as a full address, for mails and feeds."""
    return f"{settings.SITE_URL}{path}"


def as_date(value: date | datetime | str) -> date:
    if isinstance(value, str):
        return date.fromisoformat(value)
    return timezone.localtime(value).date() if isinstance(value, datetime) else value


def day(value: date | datetime | str) -> str:
    """ "20 November", with the year only when it is not the current one."""
    when = as_date(value)
    shown = f"{when.day} {when:%B}"
    return shown if when.year == timezone.localdate().year else f"{shown} {when.year}"


def long_day(value: date | datetime | str) -> str:
    """ "Friday, 20 November 2026": the same whenever it is rendered."""
    when = as_date(value)
    return f"{when:%A}, {when.day} {when:%B} {when.year}"


def plural(count: int, one: str, many: str) -> str:
    """ "1 vote", "1,204 votes"."""
    return f"{count:,} {one if count == 1 else many}"


def environment(**options: Any) -> Environment:
    """The environment of both bodies of a mail and of every page."""
    options |= {
        "undefined": StrictUndefined,
        "autoescape": select_autoescape(["html"]),
        "trim_blocks": True,
        "lstrip_blocks": True,
    }
    env = Environment(**options)
    env.globals |= {"url": url, "absolute": absolute, "static": static}
    env.filters |= {"day": day, "long_day": long_day, "plural": plural}
    return env


def site(request: HttpRequest | None = None) -> dict[str, Any]:
    """What every template knows of the site."""
    about = {
        "name": settings.SITE_NAME,
        "url": settings.SITE_URL,
        "postal_address": settings.POSTAL_ADDRESS,
        # Where an installation that writes its mails into files shows them.
        "mailbox_url": reverse("mailbox") if settings.MAIL_TRANSPORT == "files" else "",
        "takes_submissions": settings.READER_SUBMISSIONS,
    }
    return {"site": about}
