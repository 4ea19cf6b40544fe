"""Render a digest as a mail, from rows only, so that it can be rebuilt to the byte."""

import hashlib
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache, partial
from typing import Any
from urllib.parse import urlsplit

import css_inline
from django.conf import settings
from django.db.models import Min
from django.template.loader import get_template

from accounts.addresses import ascii_domain
from accounts.emails import mail_domain
from accounts.models import Subscriber
from digest.jinja import absolute, site, url
from digest.mailer.empty_digest import EmptyDigest, load_empty_digests
from digest.mailer.transports import Mail
from digest.models import Candidate, Digest, Edition, Pick
from digest.reasons import (
    PickRows,
    Reason,
    explain_picks,
    filler_heading,
    load_pick_rows,
)

# Mail programs on phones show about 40 characters of a subject, on desktops about 110.
MAX_SUBJECT_CHARS = 110
MAX_PREHEADER_CHARS = 120
# " (20 Nov)" stands at the end of a subject, whatever its length.
SUBJECT_DATE_CHARS = 9
# A weekly reader waits up to a week, and longer around holidays.
MAX_WAIT_FOR_FIRST_DIGEST = timedelta(days=14)
# A digest of so few papers is seen at a glance and needs no table of contents.
MAX_PAPERS_WITHOUT_CONTENTS = 4
# The contents of more papers have no links, and their full mail only the authors' own
# sentences, so that 30 papers stay under 80 KB.
MAX_PAPERS_WITH_CONTENTS_LINKS = 12
# Two lines on a phone and rarely more than one on a desktop, so that the contents of
# ten papers leave space for the first of them.
MAX_CONTENTS_TITLE_CHARS = 90
# RFC 3676's recommendation for text that may be quoted.
TEXT_WIDTH_CHARS = 72
# The key of a preview: its links open nothing.
PREVIEW_KEY = "preview"
# The zero-width joiners that Persian and emoji need; other invisible characters can
# make a text look like another.
JOINERS = "\u200c\u200d"

INLINER = css_inline.CSSInliner(keep_at_rules=True, load_remote_stylesheets=False)


@dataclass(frozen=True)
class RenderData:
    """The rows that the mails of some digests show; notes about days without matches by reader.

    `new_readers` are those whose first digest is among them.
    """

    pick_rows: PickRows
    empty_digests: dict[int, EmptyDigest]
    new_readers: frozenset[int] = frozenset()


@dataclass(frozen=True, eq=False, slots=True)
class ExplainedPaper:
    """A paper of a digest and its reason, as the texts about the whole digest use them."""

    candidate: Candidate
    kind: str  # of the reason
    title: str
    reason: str


@dataclass(frozen=True)
class PaperContext:
    """One paper for the templates: plain text, which they escape, and absolute URLs."""

    number: int
    title: str
    short_title: str
    byline: str
    facts: tuple[str, ...]
    reason: str
    note: str
    summary: str
    one_line: str
    is_generated: bool  # whether a machine wrote the one line
    engagement: tuple[str, ...]
    url: str
    links: tuple[tuple[str, str], ...]
    more_url: str
    less_url: str
    save_url: str

    @property
    def label(self) -> str:
        """The number in plain text, as wide for 7 as for 10."""
        return f"{self.number:2d}. "


@dataclass(frozen=True)
class Section:
    """Papers that were picked for one kind of reason; the first section has no heading."""

    heading: str
    papers: Sequence[PaperContext]


@dataclass(frozen=True)
class DigestLinks:
    """The URLs that a digest's key opens, or a preview's direct ones."""

    key: str
    redirect: bool

    def paper_url(self, number: int, verb: str, target: str) -> str:
        """Return our redirect to a paper's page, or its target where clicks are not counted."""
        return self.action_url(number, verb) if self.redirect else target

    def action_url(self, number: int, verb: str) -> str:
        return f"{link_prefix(settings.SITE_URL)}{self.key}/{number}/{verb}"

    def page(self, name: str) -> str:
        return key_url(name, self.key)


@lru_cache(maxsize=8)
def link_prefix(site_url: str) -> str:
    """Return what precedes the key in the URL of a paper's link."""
    path = url("link", PREVIEW_KEY, 1, "verb")
    return site_url + path.removesuffix(f"{PREVIEW_KEY}/1/verb")


def key_url(name: str, key: str) -> str:
    """Return the URL of a page that a key opens."""
    before, after = url_around_key(settings.SITE_URL, name)
    return f"{before}{key}{after}"


@lru_cache(maxsize=32)
def url_around_key(site_url: str, name: str) -> tuple[str, str]:
    before, _, after = url(name, PREVIEW_KEY).rpartition(PREVIEW_KEY)
    return site_url + before, after


def compose_digest(digest: Digest, render_data: RenderData | None = None) -> Mail:
    """Compose one digest; `render_data` saves queries where many are composed."""
    links = DigestLinks(digest.key, settings.CLICK_REDIRECT)
    unsubscribe_url = key_url("unsubscribe", digest.subscriber.unsubscribe_key)
    render_data = render_data or load_render_data([digest])
    return render_mail(digest, render_data, links, unsubscribe_url)


def render_browser_page(digest: Digest) -> str:
    """Render the HTML of a mail for its page, which does not link to itself."""
    links = DigestLinks(digest.key, settings.CLICK_REDIRECT)
    unsubscribe_url = key_url("unsubscribe", digest.subscriber.unsubscribe_key)
    render_data = load_render_data([digest])
    return render_mail(digest, render_data, links, unsubscribe_url, True).html


def compose_preview(
    edition: Edition, subscriber: Subscriber, picks: Sequence[Pick], now: datetime
) -> Mail:
    """Compose the mail this reader would get. Stores nothing; its links act for no reader."""
    digest = Digest(
        subscriber=subscriber, edition=edition, key=PREVIEW_KEY, created_at=now
    )
    digest.picks = picks
    links = DigestLinks(PREVIEW_KEY, redirect=False)
    unsubscribe_url = key_url("unsubscribe", PREVIEW_KEY)
    return render_mail(digest, load_render_data([digest]), links, unsubscribe_url)


def load_render_data(
    digests: Sequence[Digest], pick_rows: PickRows | None = None
) -> RenderData:
    """Read the rows that these digests of one edition name; eight queries however many they are."""
    if pick_rows is None:
        pick_rows = load_pick_rows([pick for each in digests for pick in each.picks])
    return RenderData(
        pick_rows,
        load_empty_digests([digest for digest in digests if not digest.packed_picks]),
        load_new_readers(digests),
    )


def load_new_readers(digests: Sequence[Digest]) -> frozenset[int]:
    """Return the readers whose first digest is among these; two queries however many they are."""
    stored = {digest.subscriber_id: digest for digest in digests if digest.pk}
    if not stored:
        return frozenset()
    recent = {
        reader: stored[reader].pk
        for reader, confirmed_at in load_confirmations(stored.values()).items()
        if confirmed_at
        and stored[reader].created_at - confirmed_at < MAX_WAIT_FOR_FIRST_DIGEST
    }
    if not recent:
        return frozenset()
    own = Digest.objects.filter(subscriber__in=recent).order_by()
    firsts = own.values("subscriber").annotate(first=Min("pk"))
    return frozenset(
        reader
        for reader, first in firsts.values_list("subscriber", "first")
        if recent[reader] == first
    )


def load_confirmations(digests: Collection[Digest]) -> dict[int, datetime | None]:
    """Return when readers confirmed, if it was lately; a query for those who are not attached yet."""
    attached = {
        digest.subscriber_id: digest.subscriber.confirmed_at
        for digest in digests
        if Digest.subscriber.is_cached(digest)
    }
    others = [d for d in digests if d.subscriber_id not in attached]
    if not others:
        return attached
    since = min(d.created_at for d in others) - MAX_WAIT_FOR_FIRST_DIGEST
    confirmed = Subscriber.objects.filter(
        pk__in=[d.subscriber_id for d in others], confirmed_at__gt=since
    )
    return attached | dict(confirmed.values_list("pk", "confirmed_at"))


def render_mail(
    digest: Digest,
    render_data: RenderData,
    links: DigestLinks,
    unsubscribe_url: str,
    in_browser: bool = False,
) -> Mail:
    """Render the three templates; what a digest is, is defined here and in them."""
    explained = explain_picks(digest.picks, render_data.pick_rows)
    papers = [explain_paper(pick.candidate, pick.reason) for pick in explained]
    edition = digest.edition
    contexts = [
        paper_context(pick.number, paper, edition.day, links)
        for pick, paper in zip(explained, papers, strict=True)
    ]
    sections = [
        Section(heading, [contexts[i] for i in indexes])
        for heading, indexes in group_sections(tuple(paper.kind for paper in papers))
    ]
    context = {
        **edition_context(edition),
        **reader_context(digest, digest.picks, papers, render_data),
        "in_browser": in_browser,
        "papers": contexts,
        "sections": sections,
        "links": links,
        "unsubscribe_url": unsubscribe_url,
    }
    name = template_name(context)
    subject = render_subject(name, context)
    text = render_template(f"{name}.txt", context)
    html = render_html(name, {**context, "subject": subject})
    return Mail(
        key=digest.key,
        day=edition.day,
        to=digest.subscriber.email,
        subject=subject,
        text=text,
        html=html,
        headers=mail_headers(digest, unsubscribe_url),
        sent_at=digest.created_at,
        return_path=digest.return_path,
    )


def edition_context(edition: Edition) -> dict[str, Any]:
    """Return what the templates show to every reader of an edition."""
    return {
        **site(),
        "day": edition.day,
        "editors_note": sanitize(edition.note),
        "subscribe_url": absolute(url("home")),
        "replies_are_read": settings.REPLIES_ARE_READ,
        "day_url": absolute(url("day", edition.day.isoformat())),
        "wrap": wrap_text,
        "in_browser": False,
    }


def reader_context(
    digest: Digest,
    picks: Sequence[Pick],
    papers: Sequence[ExplainedPaper],
    render_data: RenderData,
) -> dict[str, Any]:
    """Return what the templates show to one reader, beside the papers.

    Called for every mail: every value is a short text, a bool or another hashable value.
    """
    number, is_short = len(papers), digest.subscriber.short_mails
    return {
        "empty_digest": render_data.empty_digests.get(digest.subscriber_id),
        "subject_text": subject_text(papers),
        "is_first": digest.subscriber_id in render_data.new_readers,
        "is_short": is_short,
        "has_generated_lines": number <= MAX_PAPERS_WITH_CONTENTS_LINKS,
        "has_contents": number > MAX_PAPERS_WITHOUT_CONTENTS and not is_short,
        "has_contents_links": number <= MAX_PAPERS_WITH_CONTENTS_LINKS,
        "preheader": preheader_text(papers),
        "recipient_reason": recipient_reason(digest, picks, papers),
        "asks_for_interests": digest.suggested_topics is not None,
        "suggested_topics": suggested_topics_text(digest),
    }


def template_name(context: Mapping[str, Any]) -> str:
    return "empty_digest" if context["empty_digest"] else "digest"


def render_subject(name: str, context: dict[str, Any]) -> str:
    return subject_line(render_template(f"{name}.subject.txt", context))


def render_html(name: str, context: dict[str, Any]) -> str:
    return inline_styles(render_template(f"{name}.html", context))


def inline_styles(html: str) -> str:
    inlined: str = INLINER.inline(html)
    return inlined


def render_template(template: str, context: dict[str, Any]) -> str:
    return get_template(f"emails/{template}").render(context)


def explain_paper(candidate: Candidate, reason: Reason) -> ExplainedPaper:
    return ExplainedPaper(
        candidate, reason.kind, sanitize(candidate.card["title"]), sanitize(reason.text)
    )


def paper_context(
    number: int, paper: ExplainedPaper, edition_day: date, links: DigestLinks
) -> PaperContext:
    """Build the context of one paper from its card, whose texts are untrusted."""
    card = paper.candidate.card
    paper_page = absolute(url("paper", card["identifier"]))
    paper_url = partial(links.paper_url, number)
    return PaperContext(
        number=number,
        title=paper.title,
        short_title=truncate(paper.title, MAX_CONTENTS_TITLE_CHARS),
        byline=sanitize(
            " · ".join(filter(None, [card["authors"], card["organization"]]))
        ),
        facts=dateline(card, edition_day),
        reason=paper.reason,
        note=sanitize(paper.candidate.note),
        summary=sanitize(card["summary"]),
        # Cards of editions ranked before 0.2 have no one line.
        one_line=sanitize(card.get("one_line", card["summary"])),
        is_generated=card.get("one_line_is_generated", False),
        engagement=engagement(card, paper.kind),
        url=paper_url("paper", paper_page),
        links=tuple(
            (name, paper_url(verb, card[f"{verb}_url"]))
            for name, verb in external_links(card)
        ),
        more_url=links.action_url(number, "more"),
        less_url=links.action_url(number, "less"),
        save_url=links.action_url(number, "save"),
    )


@lru_cache(maxsize=4096)
def group_sections(kinds: tuple[str, ...]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Group papers by how sure their reason is, as headings and indexes of papers.

    A single group, and the first one, have no heading.
    """
    near = [i for i, kind in enumerate(kinds) if kind == "near"]
    fillers = [i for i, kind in enumerate(kinds) if kind in ("trend", "new")]
    matching = sorted({*range(len(kinds))} - {*near, *fillers})
    groups = [
        ("", matching),
        ("Close to what you follow", near),
        (filler_heading({kinds[i] for i in fillers}, True), fillers),
    ]
    sections = [(heading, tuple(group)) for heading, group in groups if group]
    return (("", sections[0][1]), *sections[1:]) if sections else ()


def subject_text(papers: Sequence[ExplainedPaper]) -> str:
    """Name the first paper, unless it only fills the mail: then say what the papers are."""
    if not papers:
        return str(settings.SITE_NAME)
    match papers[0].kind:
        case "near":
            noun = "paper" if len(papers) == 1 else "papers"
            text = f"{len(papers)} {noun} close to what you follow"
        case "trend":
            text = f"Trending: {papers[0].title}"
        case "new":
            text = f"New: {papers[0].title}"
        case _:
            text = papers[0].title
    return truncate(text, MAX_SUBJECT_CHARS - SUBJECT_DATE_CHARS)


EXTERNAL_LINKS = [
    ("arXiv", "arxiv"),
    ("PDF", "pdf"),
    ("Code", "code"),
    ("Project", "project"),
]


def external_links(card: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (label, verb)
        for label, verb in EXTERNAL_LINKS
        if card[f"{verb}_url"].startswith(("https://", "http://"))
    ]


def dateline(card: dict[str, Any], edition_day: date) -> tuple[str, ...]:
    cross_listed = "cross-listed" if card["announce_type"] == "cross" else ""
    announced_on = format_day(date.fromisoformat(card["date"]), edition_day)
    parts = [announced_on, card["primary"], cross_listed]
    return tuple(sanitize(part) for part in parts if part)


def engagement(card: dict[str, Any], reason_kind: str) -> tuple[str, ...]:
    """Return the paper's votes and comments; none if its reason states the votes already."""
    if reason_kind == "trend":
        return ()
    counts = [(card["votes"], "vote"), (card["comments"], "comment")]
    return tuple(f"{n:,} {word}{'' if n == 1 else 's'}" for n, word in counts if n)


def format_day(day: date, edition_day: date) -> str:
    """Format as "20 November", with the year if it is not the edition's.

    Compared with the edition and not with today, so that a rebuilt mail is the same.
    """
    text = f"{day.day} {day:%B}"
    return text if day.year == edition_day.year else f"{text} {day.year}"


def preheader_text(papers: Sequence[ExplainedPaper]) -> str:
    if papers and papers[0].kind == "near":
        titles = "; ".join(paper.title for paper in papers[:2])
        return truncate(titles, MAX_PREHEADER_CHARS)
    others = "; ".join(paper.title for paper in papers[1:3])
    if others:
        return truncate(f"Then: {others}", MAX_PREHEADER_CHARS)
    return papers[0].reason if papers else ""


def recipient_reason(
    digest: Digest, picks: Sequence[Pick], papers: Sequence[ExplainedPaper]
) -> str:
    consent = consent_phrase(settings.SITE_NAME, digest.subscriber.confirmed_at)
    return f"{consent} {why_these_papers(picks, papers)}"


def suggested_topics_text(digest: Digest) -> str:
    names = map(sanitize, digest.suggested_topics or [])
    return ", ".join(filter(None, names))


@lru_cache(maxsize=4096)
def consent_phrase(site_name: str, confirmed_at: datetime | None) -> str:
    signed_up = f" on {confirmed_at.day} {confirmed_at:%B %Y}" if confirmed_at else ""
    return f"You receive this because you signed up at {site_name}{signed_up}."


def why_these_papers(picks: Sequence[Pick], papers: Sequence[ExplainedPaper]) -> str:
    if not picks:
        return (
            "You asked for a short note on days when nothing matches what you follow."
        )
    followed = sum(bool(p.interest) and not (p.near or p.opened) for p in picks)
    if followed:
        return f"{share_phrase(followed, len(picks))} what you follow."
    opened = sum(bool(p.interest) and p.opened and not p.near for p in picks)
    if opened:
        return f"{share_phrase(opened, len(picks))} papers you opened before."
    if any(pick.near for pick in picks):
        return "No paper matches what you follow; the first ones are close to it."
    candidates = [paper.candidate for paper in papers]
    if all(candidate.pin for candidate in candidates):
        return "The editors picked these papers for all readers."
    if any(c.card["votes"] or c.card["comments"] for c in candidates):
        return "The day's most discussed papers come first."
    return "They are new papers of the last two weeks."


def share_phrase(number: int, total: int) -> str:
    """Phrase how many papers match, up to the verb: "3 of these 10 papers match"."""
    if number == total:
        return "This paper matches" if total == 1 else "All of these papers match"
    return f"{number} of these {total} papers {'matches' if number == 1 else 'match'}"


def mail_headers(digest: Digest, unsubscribe_url: str) -> dict[str, str]:
    """Build the headers that RFC 8058, 2919 and 3834 and large mailbox providers require of bulk mail."""
    return {
        "Message-ID": message_id(digest.key),
        "List-Id": f"<digest.{site_host(settings.SITE_URL)}>",
        "List-Unsubscribe": unsubscribe_uris(digest, unsubscribe_url),
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "Auto-Submitted": "auto-generated",
        "Precedence": "bulk",
        "Feedback-ID": f"{digest.edition.day:%Y%m%d}:digest:reader:{feedback_sender_id(settings.SITE_NAME)}",
    }


def message_id(key: str) -> str:
    """Hash a digest's key for its Message-ID, which mail servers log and replies quote.

    It is the same whenever the mail is rebuilt, and useless as a link.
    """
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:32]}@{mail_domain()}>"


@lru_cache(maxsize=8)
def site_host(site_url: str) -> str:
    return ascii_domain(urlsplit(site_url).hostname or "localhost")


def unsubscribe_uris(digest: Digest, unsubscribe_url: str) -> str:
    """Return the URL, and the address where BOUNCE_ADDRESS is set; a preview has no address."""
    address = digest.subscriber.unsubscribe_address if digest.pk else ""
    mailto = f", <mailto:{address}?subject=unsubscribe>" if address else ""
    return f"<{unsubscribe_url}>{mailto}"


@lru_cache(maxsize=8)
def feedback_sender_id(site_name: str) -> str:
    """Return the stable sender id, 5 to 15 characters, under which Gmail reports feedback."""
    letters = "".join(c for c in site_name.lower() if c.isascii() and c.isalnum())
    return f"{letters}round"[:15] if len(letters) < 5 else letters[:15]


def sanitize(text: str) -> str:
    """Put text on one line without invisible characters: no new header, no reversed text, no lone surrogate."""
    if not text.isprintable():
        text = "".join(visible_character(char) for char in text)
    return " ".join(text.split())


def visible_character(char: str) -> str:
    """Keep a printable character; replace line ends and controls by a space, remove invisible ones."""
    if char.isprintable() or char in JOINERS:
        return char
    return "" if unicodedata.category(char) in ("Cf", "Cs", "Cn") else " "


def subject_line(rendered: str) -> str:
    return truncate(sanitize(rendered), MAX_SUBJECT_CHARS)


def truncate(text: str, max_chars: int) -> str:
    """Shorten to at most `max_chars`, after a whole word if there is one."""
    if len(text) <= max_chars:
        return text
    head, space, _ = text[:max_chars].rpartition(" ")
    return f"{(head if space else text[: max_chars - 1]).rstrip(' ,;:')}…"


def wrap_text(text: str, indent: int = 0, first: str = "") -> str:
    """Wrap at TEXT_WIDTH_CHARS without breaking URLs; `first` begins the first line."""
    margin = " " * indent
    line, lines = "", list[str]()
    for word in text.split(" "):
        start = line or (margin if lines else first or margin)
        space = " " if line else ""
        if line and len(start) + len(word) >= TEXT_WIDTH_CHARS:
            lines.append(line)
            start, space = margin, ""
        line = f"{start}{space}{word}"
    return "\n".join([*lines, line])
