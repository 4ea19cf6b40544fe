"""Previews of digests, for readers and for made-up profiles, and tests mailed to staff."""

import smtplib
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from typing import Any

import httpx
import structlog
from django.conf import settings
from django.contrib import messages
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.http import HttpRequest, QueryDict

from accounts.models import Subscriber, new_key
from digest import follows
from digest.mailer import compose
from digest.mailer.transports import ConfigurationError, Mail
from digest.mailer.transports.http import NoResponseError, NotSentError
from digest.models import Edition, Interest, Pick, RankingSetting, Topic
from digest.reasons import ExplainedPick, explain_picks

log = structlog.get_logger(__name__)

# What a transport raises when the mail did not leave.
TRANSPORT_ERRORS = (
    *(ConfigurationError, NotSentError, NoResponseError),
    *(smtplib.SMTPException, httpx.HTTPError, OSError, ValueError),
)
MAX_LINES = 20  # of keywords, authors or mutes
LENGTHS = range(1, 31)
PREVIEW_TABS = [
    ("html", "Mail"),
    ("text", "Plain text"),
    ("headers", "Headers"),
    ("why", "Reasons"),
]
# Widths of the frame that shows a mail, in CSS pixels; None fills the page.
PREVIEW_WIDTHS = [
    ("Desktop", None),
    ("Tablet", 600),
    ("Phone", 375),
    ("Small phone", 320),
]
EVALUATED = "evaluated"  # compares with the weights that Paper Round ships
DARK_RULE, SCHEMES = "@media (prefers-color-scheme: dark)", 'content="light dark"'
# Gmail shows the first 102 KB of a mail and hides the rest behind a link.
GMAIL_CLIPS_AT_BYTES = 102 * 1024


@dataclass(frozen=True)
class MadeUpProfile:
    """What an invented reader follows and mutes, and how their digest is filled."""

    topics: list[str]
    keywords: list[str]
    authors: list[str]
    mutes: list[str]
    length: int
    fill_mode: str

    @classmethod
    def parse(cls, given: QueryDict) -> "MadeUpProfile":
        length = given.get("length", "")
        is_valid = length.isascii() and length.isdecimal() and len(length) < 3
        fill_mode = given.get("fill_mode", "")
        return cls(
            topics=given.getlist("topic")[:MAX_LINES],
            keywords=parse_lines(given.get("keywords", "")),
            authors=parse_lines(given.get("authors", "")),
            mutes=parse_lines(given.get("mutes", "")),
            length=int(length) if is_valid and int(length) in LENGTHS else 10,
            fill_mode=fill_mode
            if fill_mode in Subscriber.FillMode.values
            else Subscriber.FillMode.FOLLOWED_FIRST,
        )

    @property
    def lines(self) -> dict[str, str]:
        """The typed fields, as the form shows them again."""
        fields = {
            "keywords": self.keywords,
            "authors": self.authors,
            "mutes": self.mutes,
        }
        return {name: "\n".join(values) for name, values in fields.items()}

    def create_reader(self, now: datetime) -> Subscriber:
        """Store the reader; the caller rolls this back."""
        reader = Subscriber(
            email=f"preview-{new_key().lower()}@example.org",
            length=self.length,
            fill_mode=self.fill_mode,
        )
        reader.confirm(now, "preview")
        Kind = Interest.Kind
        interests = [(Kind.TOPIC, value) for value in self.topics]
        interests += [(Kind.KEYWORD, value) for value in self.keywords]
        interests += [(Kind.AUTHOR, value) for value in self.authors]
        for kind, value in interests:
            follows.follow(reader, kind, value)
        for value in self.mutes:
            follows.follow(reader, Kind.KEYWORD, value, weight=-1)
        return reader


def parse_lines(text: str) -> list[str]:
    """Split a field at line ends and commas."""
    parts = (" ".join(part.split()) for part in text.replace(",", "\n").splitlines())
    return [part for part in parts if part][:MAX_LINES]


def preview_profile(
    edition: Edition, profile: MadeUpProfile, now: datetime, compared: str = ""
) -> dict[str, Any]:
    """Preview the digest of an invented reader by the same functions as a real one's.

    The reader exists in a transaction that is rolled back.
    """
    with transaction.atomic():
        context = preview_digest(edition, profile.create_reader(now), now, compared)
        transaction.set_rollback(True)
    return context


def preview_digest(
    edition: Edition | None, reader: Subscriber, now: datetime, compared: str = ""
) -> dict[str, Any]:
    """The picks of a reader and their mail; stores nothing.

    `compared` is the id of a ranking setting to show beside, or EVALUATED, or empty.
    """
    from digest.ranking import choose

    picks = choose.preview_for(edition, reader, now) if edition else []
    mail = None
    if edition and (picks or reader.wants_note):
        mail = compose.compose_preview(edition, reader, picks, now)
    return {
        "reader": reader,
        "edition": edition,
        "picks": explain_picks(picks),
        "mail": mail,
        "preview_tabs": PREVIEW_TABS,
        "preview_widths": PREVIEW_WIDTHS,
        "compare_choices": compare_choices(),
        "compared": compared,
        **describe_mail(mail),
        **(compare_setting(edition, reader, picks, now, compared) if edition else {}),
    }


def compare_choices() -> list[tuple[str, str]]:
    stored = RankingSetting.objects.values_list("pk", "name")
    return [(EVALUATED, "Evaluated weights"), *((str(pk), name) for pk, name in stored)]


@dataclass(frozen=True)
class ComparedRow:
    """What stands at one place of both lists, and the place that each paper has in the other."""

    pick: ExplainedPick | None
    other: ExplainedPick | None
    place_in_other: int | None
    place_here: int | None  # of `other`


def compare_setting(
    edition: Edition,
    reader: Subscriber,
    picks: list[Pick],
    now: datetime,
    compared: str,
) -> dict[str, Any]:
    """The picks of another ranking setting beside those of the mail."""
    from digest.ranking import choose, experiments

    is_id = compared.isascii() and compared.isdecimal() and len(compared) < 19
    setting = RankingSetting.objects.filter(pk=compared).first() if is_id else None
    if setting is None and compared != EVALUATED:
        return {}
    weights = experiments.weights_of(setting)
    others = choose.choose_with(weights, edition, [reader], now)[reader.pk]
    left = {pick.candidate.pk: pick for pick in explain_picks(picks)}
    right = {pick.candidate.pk: pick for pick in explain_picks(others)}
    rows = [
        ComparedRow(
            left.get(here) if here else None,
            right.get(there) if there else None,
            right[here].number if here in right else None,
            left[there].number if there in left else None,
        )
        for here, there in zip_longest(left, right)
    ]
    return {
        "compared_rows": rows,
        "compared_name": setting or "Evaluated weights",
        "differs": [*left] != [*right],
    }


def describe_mail(mail: Mail | None) -> dict[str, Any]:
    """The size of a mail, and its HTML as light and as dark programs show it."""
    if mail is None:
        return {}
    size = len(mail.html.encode())
    return {
        "html_bytes": size,
        "is_clipped": size > GMAIL_CLIPS_AT_BYTES,
        "light_html": force_scheme(mail.html, "light"),
        "dark_html": force_scheme(mail.html, "dark"),
    }


def force_scheme(html: str, scheme: str) -> str:
    """Show a mail in light or dark, whatever this browser prefers."""
    media = "@media all" if scheme == "dark" else "@media not all"
    return html.replace(DARK_RULE, media).replace(SCHEMES, f'content="{scheme}"')


def topic_choices() -> list[tuple[str, str]]:
    return list(Topic.objects.filter(is_listed=True).values_list("slug", "name"))


def build_test_mail(mail: Mail, address: str) -> EmailMultiAlternatives:
    """A copy for staff, without the headers whose links unsubscribe the reader."""
    message = EmailMultiAlternatives(f"[Test] {mail.subject}", mail.text, to=[address])
    message.attach_alternative(mail.html, "text/html")
    return message


def send_test(request: HttpRequest, mail: Mail) -> bool:
    """Mail a preview to the staff user; report why where it did not leave."""
    address = request.user.email  # type: ignore[union-attr]
    try:
        build_test_mail(mail, address).send()
    except TRANSPORT_ERRORS as error:
        log.warning("test mail failed", error=str(error))
        reason = str(error) or type(error).__name__
        text = f"The test was not sent: {reason}. Mails go by MAIL_TRANSPORT={settings.MAIL_TRANSPORT}; ask an operator to check it."
        messages.error(request, text)
        return False
    messages.success(request, f"Test sent to {address}.")
    return True
