"""A digest becomes a mail: from rows only, so that it can be built again to the byte."""

import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import css_inline
from django.conf import settings
from django.template.loader import get_template

from accounts.models import Subscriber
from digest.jinja import absolute, site, url
from digest.mailer import empty_digest
from digest.mailer.empty_digest import Quiet
from digest.mailer.mail import Mail, as_message
from digest.models import Candidate, Digest, Edition, Pick
from digest.reasons import PickRows, Reason, explain_picks, load_pick_rows

__all__ = ["Mail", "as_message", "compose", "compose_preview", "gather"]

# Mail programs on phones show about 40 characters, on desks about 110.
SUBJECT_LENGTH = 110
PREHEADER_LENGTH = 120
# Up to so many papers are seen at a glance and need no list of contents.
CONTENTS_ABOVE = 4
# Two lines on a phone and seldom more than one on a desk, so that the contents of ten
# papers leave room for the first of them.
CONTENTS_LENGTH = 90
# RFC 3676's advice for text that others will quote.
TEXT_WIDTH = 72
# The key of a mail that nobody was sent: its links open nothing.
NO_KEY = "preview"
# The joiners that Persian and emoji need; other invisible characters can deceive.
JOINERS = "\u200c\u200d"

INLINER = css_inline.CSSInliner(keep_at_rules=True, load_remote_stylesheets=False)


@dataclass(frozen=True)
class RenderData:
    """What the mails of some digests show, read in a few queries; empty digests by reader."""

    pick_rows: PickRows
    empty_digests: dict[int, Quiet]


@dataclass(frozen=True)
class Shown:
    """One paper as the templates show it: plain text to be escaped there, and full addresses."""

    number: int
    kind: str
    title: str
    short_title: str
    byline: str
    facts: list[str]
    reason: str
    note: str
    summary: str
    engagement: list[str]
    url: str
    links: list[tuple[str, str]]
    more_url: str
    less_url: str


@dataclass(frozen=True)
class Section:
    """Papers that came for one sort of reason; what leads the mail has no heading."""

    heading: str
    papers: list[Shown]


@dataclass(frozen=True)
class DigestLinks:
    """The addresses that a digest's key opens, or a preview's direct ones."""

    key: str
    redirect: bool

    def target(self, number: int, verb: str, address: str) -> str:
        """Where a link of a paper leads: through our redirect, or straight there."""
        return self.own(number, verb) if self.redirect else address

    def own(self, number: int, verb: str) -> str:
        return absolute(url("link", self.key, number, verb))

    def page(self, name: str) -> str:
        return absolute(url(name, self.key))


def compose(digest: Digest, render_data: RenderData | None = None) -> Mail:
    """The mail of one digest; `render_data` saves the queries where many are composed."""
    links = DigestLinks(digest.key, settings.CLICK_REDIRECT)
    leave = absolute(url("unsubscribe", digest.subscriber.unsubscribe_key))
    return written(digest, render_data or gather([digest]), links, leave)


def compose_preview(
    edition: Edition, subscriber: Subscriber, picks: Sequence[Pick], now: datetime
) -> Mail:
    """What this reader would get. Stores nothing, and no link in it acts in their name."""
    digest = Digest(subscriber=subscriber, edition=edition, key=NO_KEY, created_at=now)
    digest.picks = picks
    leave = absolute(url("unsubscribe", NO_KEY))
    return written(digest, gather([digest]), DigestLinks(NO_KEY, redirect=False), leave)


def gather(digests: Sequence[Digest]) -> RenderData:
    """Read what these digests of one edition name; six queries however many they are."""
    picks = [pick for digest in digests for pick in digest.picks]
    return RenderData(
        load_pick_rows(picks),
        empty_digest.gather([digest for digest in digests if not digest.packed_picks]),
    )


def written(
    digest: Digest, render_data: RenderData, links: DigestLinks, leave: str
) -> Mail:
    """Both bodies and the headers of one digest."""
    nothing = render_data.empty_digests.get(digest.subscriber_id)
    name = "empty_digest" if nothing else "digest"
    context = {
        **told(digest, render_data, links),
        "empty_digest": nothing,
        "unsubscribe_url": leave,
    }
    subject = one_line(render(f"{name}.subject.txt", context))
    text = render(f"{name}.txt", context)
    html = INLINER.inline(render(f"{name}.html", {**context, "subject": subject}))
    return Mail(
        key=digest.key,
        day=digest.edition.day,
        to=digest.subscriber.email,
        subject=subject,
        text=text,
        html=html,
        headers=headers(digest, leave),
        sent_at=digest.created_at,
    )


def told(digest: Digest, render_data: RenderData, links: DigestLinks) -> dict[str, Any]:
    """What the templates are given of a digest."""
    papers = [
        shown(pick.number, pick.candidate, pick.reason, digest, links)
        for pick in explain_picks(digest.picks, render_data.pick_rows)
    ]
    return {
        **site(),
        "day": digest.edition.day,
        "editors_note": tidy(digest.edition.note),
        "papers": papers,
        "sections": sections(papers),
        "has_contents": len(papers) > CONTENTS_ABOVE,
        "preheader": preheader(papers),
        "day_url": absolute(url("day", digest.edition.day.isoformat())),
        "recipient_reason": recipient_reason(digest, render_data),
        "links": links,
        "wrap": wrap,
    }


def render(template: str, context: dict[str, Any]) -> str:
    return get_template(f"emails/{template}").render(context)


def shown(
    number: int, candidate: Candidate, why: Reason, digest: Digest, links: DigestLinks
) -> Shown:
    """One paper, from its card: everything in it was written by strangers."""
    card = candidate.card
    page = absolute(url("paper", card["identifier"]))
    title, target = tidy(card["title"]), partial(links.target, number)
    return Shown(
        number=number,
        kind=why.kind,
        title=title,
        short_title=cut(title, CONTENTS_LENGTH),
        byline=tidy(card["organization"] or card["authors"]),
        facts=facts(card, digest.edition.day),
        reason=tidy(why.text),
        note=tidy(candidate.note),
        summary=tidy(card["summary"]),
        engagement=engagement(card, why),
        url=target("paper", page),
        links=[
            (name, target(verb, card[f"{verb}_url"])) for name, verb in outward(card)
        ],
        more_url=links.own(number, "more"),
        less_url=links.own(number, "less"),
    )


def sections(papers: list[Shown]) -> list[Section]:
    """What the reader follows and the editors picked, then what only trends; where there is one sort, without headings."""
    trending = [paper for paper in papers if paper.kind == "trend"]
    own = [paper for paper in papers if paper.kind != "trend"]
    if not own or not trending:
        return [Section("", papers)]
    return [Section("", own), Section("Also trending", trending)]


def outward(card: dict[str, Any]) -> list[tuple[str, str]]:
    """The pages elsewhere that this paper has: what to call them, and their verb."""
    named = [
        ("arXiv", "arxiv"),
        ("PDF", "pdf"),
        ("Code", "code"),
        ("Project", "project"),
    ]
    return [
        (name, verb)
        for name, verb in named
        if card[f"{verb}_url"].startswith(("https://", "http://"))
    ]


def facts(card: dict[str, Any], today: date) -> list[str]:
    """When and where it was announced."""
    crossed = "cross-listed" if card["announce_type"] == "cross" else ""
    known = [
        short_day(date.fromisoformat(card["date"]), today),
        card["primary"],
        crossed,
    ]
    return [tidy(fact) for fact in known if fact]


def engagement(card: dict[str, Any], why: Reason) -> list[str]:
    """What others say of it, above zero; nothing where votes are the reason and told there."""
    if why.kind == "trend" and card["votes"]:
        return []
    counted = [(card["votes"], "vote"), (card["comments"], "comment")]
    return [f"{n:,} {word}{'' if n == 1 else 's'}" for n, word in counted if n]


def short_day(day: date, today: date) -> str:
    """ "20 November", with the year where it is not the edition's: never the year of whoever builds it again."""
    shown = f"{day.day} {day:%B}"
    return shown if day.year == today.year else f"{shown} {day.year}"


def preheader(papers: list[Shown]) -> str:
    """What a mailbox shows after the subject, which names the first paper."""
    others = "; ".join(paper.title for paper in papers[1:3])
    if others:
        return cut(f"Then: {others}", PREHEADER_LENGTH)
    return papers[0].reason if papers else ""


def recipient_reason(digest: Digest, render_data: RenderData) -> str:
    """Why this reader gets this mail, from rows that do not change under it."""
    since = digest.subscriber.confirmed_at
    signed_up = f" on {since.day} {since:%B %Y}" if since else ""
    began = (
        f"You receive this because you signed up at {settings.SITE_NAME}{signed_up}."
    )
    return f"{began} {what_drew(digest, render_data)}"


def what_drew(digest: Digest, render_data: RenderData) -> str:
    """Whose choice the papers are."""
    if not digest.picks:
        return (
            "You asked for a short note on days when nothing matches what you follow."
        )
    drawn = [pick for pick in digest.picks if pick.interest]
    chosen = sum(not pick.opened for pick in drawn)
    known = [
        render_data.pick_rows.candidates.get(pick.candidate) for pick in digest.picks
    ]
    if chosen:
        return f"{share(chosen, len(digest.picks))} what you follow."
    if drawn:
        return f"{share(len(drawn), len(digest.picks))} papers you opened before."
    if all(one.pin for one in known if one):
        return "The editors picked these papers for all readers."
    return "These papers are the day's most discussed ones."


def share(some: int, every: int) -> str:
    """How many of the papers match, up to the verb: "3 of these 10 papers match"."""
    if some == every:
        return "This paper matches" if every == 1 else "All of these papers match"
    return f"{some} of these {every} papers {'matches' if some == 1 else 'match'}"


def headers(digest: Digest, leave: str) -> dict[str, str]:
    """What RFC 8058, 2919 and 3834 and the large mailbox providers ask of bulk mail."""
    host = urlsplit(settings.SITE_URL).hostname or "localhost"
    return {
        "Message-ID": f"<{digest.key}@{host}>",
        "List-Id": f"<digest.{host}>",
        "List-Unsubscribe": f"<{leave}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "Auto-Submitted": "auto-generated",
        "Precedence": "bulk",
        "Feedback-ID": f"{digest.edition.day:%Y%m%d}:digest:reader:{sender_id()}",
    }


def sender_id() -> str:
    """Gmail's name for us in its reports: 5 to 15 characters that stay the same."""
    letters = "".join(
        c for c in settings.SITE_NAME.lower() if c.isascii() and c.isalnum()
    )
    return f"{letters or 'paper'}round"[:15]


def tidy(text: str) -> str:
    """Text on one line, without the characters that are not seen: no new header, no reversed writing, no lone surrogate."""
    return " ".join("".join(visible(character) for character in text).split())


def visible(character: str) -> str:
    """A character, a space for one that ends lines or controls devices, nothing for one that only deceives."""
    if character.isprintable() or character in JOINERS:
        return character
    return "" if unicodedata.category(character) in ("Cf", "Cs", "Cn") else " "


def one_line(rendered: str) -> str:
    """A subject of at most SUBJECT_LENGTH characters."""
    return cut(tidy(rendered), SUBJECT_LENGTH)


def cut(text: str, length: int) -> str:
    """At most `length` characters, ending with a whole word where there is one."""
    if len(text) <= length:
        return text
    kept, space, _ = text[:length].rpartition(" ")
    return f"{(kept if space else text[: length - 1]).rstrip(' ,;:')}…"


def wrap(text: str, indent: int = 0, first: str = "") -> str:
    """Lines of at most TEXT_WIDTH characters; an address stays whole. `first` begins the first line."""
    margin = " " * indent
    return textwrap.fill(
        text,
        TEXT_WIDTH,
        initial_indent=first or margin,
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    )
