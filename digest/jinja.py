"""The Jinja2 environment of mails and pages: undefined names are errors, .html is escaped."""

import re
from datetime import date, datetime
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from jinja2 import Environment, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

WEB_URL = re.compile(r"https?://[^\s<>\"'`]+")
# Characters that end a sentence or a bracket, not a URL.
TRAILING_PUNCTUATION = ".,;:!?)]}…"


def url(name: str, *args: object, **query: object) -> str:
    """Return the path of a page; keywords become the query string."""
    path = reverse(name, args=args)
    return f"{path}?{urlencode(query)}" if query else path


def absolute(path: str) -> str:
    """Prepend SITE_URL to a path, for mails and feeds."""
    return f"{settings.SITE_URL}{path}"


def local_date(value: date | datetime | str) -> date:
    if isinstance(value, str):
        return date.fromisoformat(value)
    return timezone.localtime(value).date() if isinstance(value, datetime) else value


def day(value: date | datetime | str) -> str:
    """Format a date as "20 November", with the year when it is not the current one."""
    when = local_date(value)
    text = f"{when.day} {when:%B}"
    return text if when.year == timezone.localdate().year else f"{text} {when.year}"


def long_day(value: date | datetime | str) -> str:
    """Format a date as "Friday, 20 November 2026", whatever the current date."""
    when = local_date(value)
    return f"{when:%A}, {when.day} {when:%B} {when.year}"


def plural(count: int, singular: str, plural: str) -> str:
    """Format a count with its noun: "1 vote", "1,204 votes"."""
    return f"{count:,} {singular if count == 1 else plural}"


def linkify(text: str) -> Markup:
    """Escape plain text and turn its http and https URLs into links."""
    parts, end = [], 0
    for match in WEB_URL.finditer(text):
        address = match[0].rstrip(TRAILING_PUNCTUATION)
        link = Markup('<a href="{0}" rel="nofollow noopener">{0}</a>').format(address)
        parts += [escape(text[end : match.start()]), link]
        end = match.start() + len(address)
    return Markup("").join([*parts, escape(text[end:])])


def render_formulas(raw: str) -> Markup:
    """Render LaTeX-like text as HTML: formulas as MathML, URLs as links, the rest escaped."""
    # 0.25 s to import, which mails and commands do without.
    from digest.text.mathml import split_formulas

    return Markup("").join(
        Markup(segment.mathml) if segment.mathml else linkify(segment.text)
        for segment in split_formulas(raw)
    )


def environment(**options: Any) -> Environment:
    """Create the environment; settings.TEMPLATES names this function."""
    options |= {
        "undefined": StrictUndefined,
        "autoescape": select_autoescape(["html"]),
        "trim_blocks": True,
        "lstrip_blocks": True,
    }
    env = Environment(**options)
    env.globals |= {"url": url, "absolute": absolute, "static": static}
    env.filters |= {
        "day": day,
        "long_day": long_day,
        "plural": plural,
        "thousands": "{:,}".format,
        "render_formulas": render_formulas,
    }
    return env


def site(request: HttpRequest | None = None) -> dict[str, Any]:
    """Return the context that every template has: what the settings say about the site."""
    site = {
        "name": settings.SITE_NAME,
        "url": settings.SITE_URL,
        "postal_address": settings.POSTAL_ADDRESS,
        "has_imprint": bool(settings.OPERATOR),
        "mailbox_url": reverse("mailbox") if settings.DEMO else "",
        "takes_submissions": settings.READER_SUBMISSIONS,
    }
    return {"site": site}
