"""What the feeds told of papers, against OAI-PMH: what they missed, and what is put right."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from digest.ingest import monitoring
from digest.ingest.pg_copy import update
from digest.ingest.sources import arxiv_calendar
from digest.ingest.sources.listing import Listing
from digest.models import IngestRun, Paper
from digest.text.plain import to_plain_names, to_plain_text

AGREES = "agrees with the feeds"
SILENT = "no new papers of the day, there or in the feeds"
_CORRECTED = (
    *("title_raw", "title", "abstract_raw", "abstract", "authors"),
    *("categories", "primary", "vector", "vector_version", "updated_at"),
)


def compare(
    run: IngestRun, listings: Sequence[Listing], now: datetime
) -> list[Listing]:
    """Count on `run` what its page tells otherwise than the feeds; give what to store.

    That is every known paper, and the unknown ones of days that we have read: an old
    paper that was merely touched is no news. At the same version OAI-PMH is right
    about title, abstract and categories; it gives authors only where there are none,
    for its names carry affiliations. A newer version is written by `store`.
    Must run in the transaction that stores the page.
    """
    today = arxiv_calendar.today(run.started_at)
    begin = min(
        today, monitoring.begin(today - timedelta(monitoring.LOOK_BACK)) or today
    )
    known = _known(one.identifier for one in listings)
    kept = [
        one for one in listings if one.identifier in known or _in(one, begin, today)
    ]
    run.missed += sum(_is_missed(one, known) and _in(one, begin, today) for one in kept)
    pairs = [(known[one.identifier], one) for one in kept if one.identifier in known]
    wrong = [paper for paper, one in pairs if _correct(paper, one)]
    for paper in wrong:
        paper.updated_at = now
    update(wrong, _CORRECTED)
    run.corrected += len(wrong) + sum(_is_newer(*pair) for pair in pairs)
    return kept


def conclude(run: IngestRun, names: Collection[str]) -> None:
    """Count which of the day's new papers this page confirmed; at the end, say it all.

    `names` are the identifiers of the page, those of deleted papers too.
    """
    ours = _new_papers(run)
    run.confirmed += ours.filter(identifier__in=names).count()
    if run.state == IngestRun.State.DONE:
        run.unconfirmed = max(0, ours.count() - run.confirmed)
        run.outcome = _words(run)
    run.save(update_fields=["confirmed", "unconfirmed", "outcome"])


def _known(names: Iterable[str]) -> dict[str, Paper]:
    """Locked in the order in which `store` locks them."""
    rows = Paper.objects.select_for_update().filter(identifier__in=list(names))
    return {one.identifier: one for one in rows.order_by("identifier")}


def _in(listing: Listing, begin: date, today: date) -> bool:
    day = listing.announced_on
    return day is not None and begin <= day <= today


def _is_missed(listing: Listing, known: Mapping[str, Paper]) -> bool:
    """Whether no feed told of it."""
    paper = known.get(listing.identifier)
    quiet = (Paper.Announced.LISTED, Paper.Announced.ADDED_BY_READER)
    return paper is None or paper.announce_type in quiet


def _is_newer(paper: Paper, listing: Listing) -> bool:
    return listing.version > paper.version


def _correct(paper: Paper, listing: Listing) -> bool:
    """Put right what differs at the same version; whether anything did."""
    if listing.version != paper.version or not paper.categories:
        return False
    texts = {**_title(paper, listing), **_abstract(paper, listing)}
    if texts:
        texts |= {"vector": None, "vector_version": ""}
    changes = {**texts, **_authors(paper, listing), **_categories(paper, listing)}
    for name, value in changes.items():
        setattr(paper, name, value)
    return bool(changes)


def _title(paper: Paper, listing: Listing) -> dict[str, Any]:
    raw = listing.title_raw
    if _same(raw, paper.title_raw) or to_plain_text(raw) == paper.title:
        return {}
    return {"title_raw": raw, "title": to_plain_text(raw)}


def _abstract(paper: Paper, listing: Listing) -> dict[str, Any]:
    raw = listing.abstract_raw
    if _same(raw, paper.abstract_raw) or to_plain_text(raw) == paper.abstract:
        return {}
    return {"abstract_raw": raw, "abstract": to_plain_text(raw)}


def _same(one: str, other: str) -> bool:
    """But for white space: cleaning costs a hundred times as much as this."""
    return one.split() == other.split()


def _authors(paper: Paper, listing: Listing) -> dict[str, Any]:
    told = to_plain_names(listing.authors)
    return {"authors": told} if told and not paper.authors else {}


def _categories(paper: Paper, listing: Listing) -> dict[str, Any]:
    """The order of those after the primary one means nothing."""
    told, primary = list(listing.categories), listing.primary
    same = primary == paper.primary and set(told) == set(paper.categories)
    if same or not told or len(primary) > _longest("primary"):
        return {}
    return {"categories": told, "primary": primary}


def _longest(name: str) -> int:
    return getattr(Paper._meta.get_field(name), "max_length", 0)


def _new_papers(run: IngestRun) -> QuerySet[Paper]:
    """The run's day's new papers of our categories in its set."""
    archive = run.part.rpartition(":")[2]
    ours = [
        name for name in settings.ARXIV_CATEGORIES if name.partition(".")[0] == archive
    ]
    today = Paper.objects.announced_on_day(arxiv_calendar.today(run.started_at))
    return today.filter(announce_type=Paper.Announced.NEW, primary__in=ours)


def _words(run: IngestRun) -> str:
    counts = [
        (run.missed, "missed by the feeds"),
        (run.corrected, "corrected"),
        (run.withdrawn, "withdrawn"),
        (run.unconfirmed, "of the day not in OAI-PMH yet"),
    ]
    said = ", ".join(f"{number} {what}" for number, what in counts if number)
    return said or (AGREES if run.confirmed else SILENT)
