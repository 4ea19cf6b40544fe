"""Reconcile the papers of the feeds with OAI-PMH: add missed papers, correct differences."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings

from digest.ingest import monitoring
from digest.ingest.sources import arxiv_calendar
from digest.ingest.sources.listing import Listing
from digest.models import IngestRun, Paper
from digest.models.bulk import update_papers
from digest.models.papers import WITHOUT_VECTORS, PaperQuerySet
from digest.text.arxiv_categories import archive_of, normalize_categories
from digest.text.plain import to_plain_names, to_plain_text

AGREES = "agrees with the feeds"
NOTHING_TO_COMPARE = "no new papers of the day, in OAI-PMH or in the feeds"
_CORRECTED_COLUMNS = (
    *("title_raw", "title", "abstract_raw", "abstract", "authors"),
    *("categories", "primary", "updated_at"),
    *WITHOUT_VECTORS,
)


def reconcile_page(
    run: IngestRun, listings: Sequence[Listing], now: datetime
) -> list[Listing]:
    """Correct existing papers, count the differences on `run`, return the listings to store.

    Those are existing papers, and unknown papers of days that were read: an old paper
    that was only modified is not new. At the same version OAI-PMH is right about title,
    abstract and categories; its authors carry affiliations and only fill an empty list.
    `store` writes newer versions. Must run in the transaction that stores the page.
    """
    today = arxiv_calendar.today(run.started_at)
    first = today - timedelta(days=monitoring.LOOK_BACK_DAYS)
    start = min(today, monitoring.record_start(first) or today)
    existing = _lock_existing(listing.identifier for listing in listings)
    to_store = [
        listing
        for listing in listings
        if listing.identifier in existing or _is_between(listing, start, today)
    ]
    run.missed += sum(
        _is_missed(listing, existing) and _is_between(listing, start, today)
        for listing in to_store
    )
    pairs = [
        (existing[listing.identifier], listing)
        for listing in to_store
        if listing.identifier in existing
    ]
    corrected = [paper for paper, listing in pairs if _correct_paper(paper, listing)]
    for paper in corrected:
        paper.updated_at = now
    update_papers(corrected, _CORRECTED_COLUMNS)
    newer = sum(listing.version > paper.version for paper, listing in pairs)
    run.corrected += len(corrected) + newer
    return to_store


def announce_first_versions(
    run: IngestRun, listings: Sequence[Listing], now: datetime
) -> None:
    """Announce papers that were first seen as a replacement on the day of version 1.

    Only where no feed of that day was read: the replacement of the next reading would
    otherwise hide a paper that was never announced. Must run in the transaction that
    stores the page.
    """
    today = arxiv_calendar.today(now)
    start = monitoring.record_start(today - timedelta(days=monitoring.LOOK_BACK_DAYS))
    if start is None:
        return
    days = {
        listing.identifier: listing.announced_on
        for listing in listings
        if listing.announced_on
    }
    replaced = Paper.objects.select_for_update().filter(
        identifier__in=days, announce_type__in=Paper.REPLACEMENTS
    )
    types = {listing.identifier: listing.announce_type for listing in listings}
    announced = []
    for paper in replaced.order_by("identifier"):
        day = days[paper.identifier]
        if start <= day < paper.announced_on and _is_unread(day):
            paper.announced_on = day
            paper.announce_type = types[paper.identifier]
            paper.updated_at = now
            announced.append(paper)
    update_papers(announced, ("announced_on", "announce_type", "updated_at"))
    run.missed += len(announced)


def _is_unread(day: date) -> bool:
    is_expected = arxiv_calendar.expected(day) != arxiv_calendar.Expected.WEEKEND
    return is_expected and not monitoring.feed_had_todays_papers(day)


def count_confirmed(run: IngestRun, names: Collection[str]) -> None:
    """Count the day's new papers that this page confirms; after the last page, sum up.

    `names` are the identifiers of the page, deleted papers included.
    """
    papers = _new_papers(run)
    run.confirmed += papers.filter(identifier__in=names).count()
    if run.state == IngestRun.State.DONE:
        run.unconfirmed = max(0, papers.count() - run.confirmed)
        run.note = _summarize(run)
    run.save(update_fields=["confirmed", "unconfirmed", "note"])


def _lock_existing(names: Iterable[str]) -> dict[str, Paper]:
    """Lock existing papers in identifier order, like `store`, to avoid deadlocks."""
    papers = Paper.objects.select_for_update().filter(identifier__in=list(names))
    return {paper.identifier: paper for paper in papers.order_by("identifier")}


def _is_between(listing: Listing, first: date, last: date) -> bool:
    day = listing.announced_on
    return day is not None and first <= day <= last


def _is_missed(listing: Listing, existing: Mapping[str, Paper]) -> bool:
    paper = existing.get(listing.identifier)
    not_from_feeds = (Paper.Announced.LISTED, Paper.Announced.ADDED_BY_READER)
    return paper is None or paper.announce_type in not_from_feeds


def _correct_paper(paper: Paper, listing: Listing) -> bool:
    """Set what differs at the same version; return whether anything did."""
    if listing.version != paper.version or not paper.categories:
        return False
    texts = {**_corrected_title(paper, listing), **_corrected_abstract(paper, listing)}
    if texts:
        texts |= WITHOUT_VECTORS
    changes = {
        **texts,
        **_missing_authors(paper, listing),
        **_corrected_categories(paper, listing),
    }
    for name, value in changes.items():
        setattr(paper, name, value)
    return bool(changes)


def _corrected_title(paper: Paper, listing: Listing) -> dict[str, Any]:
    raw = listing.title_raw
    if _equal_words(raw, paper.title_raw) or to_plain_text(raw) == paper.title:
        return {}
    return {"title_raw": raw, "title": to_plain_text(raw)}


def _corrected_abstract(paper: Paper, listing: Listing) -> dict[str, Any]:
    raw = listing.abstract_raw
    if _equal_words(raw, paper.abstract_raw) or to_plain_text(raw) == paper.abstract:
        return {}
    return {"abstract_raw": raw, "abstract": to_plain_text(raw)}


def _equal_words(first: str, second: str) -> bool:
    """Compare without white space, at a hundredth of the cost of converting to plain text."""
    return first.split() == second.split()


def _missing_authors(paper: Paper, listing: Listing) -> dict[str, Any]:
    authors = to_plain_names(listing.authors)
    return {"authors": authors} if authors and not paper.authors else {}


def _corrected_categories(paper: Paper, listing: Listing) -> dict[str, Any]:
    """The order of the categories after the primary one carries no meaning."""
    categories, primary = list(listing.categories), listing.primary
    is_equal = primary == paper.primary and set(categories) == set(paper.categories)
    max_length = getattr(Paper._meta.get_field("primary"), "max_length", 0)
    if is_equal or not categories or len(primary) > max_length:
        return {}
    return {"categories": categories, "primary": primary}


def _new_papers(run: IngestRun) -> PaperQuerySet:
    """The new papers of the run's day, in our categories of the run's set."""
    archive = run.set_spec.rpartition(":")[2]
    names = normalize_categories(settings.ARXIV_CATEGORIES)
    categories = [name for name in names if archive_of(name) == archive]
    papers = Paper.objects.announced_on_day(arxiv_calendar.today(run.started_at))
    new = papers.filter(announce_type=Paper.Announced.NEW)
    return new.in_categories(categories)


def _summarize(run: IngestRun) -> str:
    counts = [
        (run.missed, "missed by the feeds"),
        (run.corrected, "corrected"),
        (run.withdrawn, "withdrawn"),
        (run.restored, "restored"),
        (run.unconfirmed, "of the day not in OAI-PMH yet"),
    ]
    parts = [f"{number} {what}" for number, what in counts if number]
    agreement = AGREES if run.confirmed else NOTHING_TO_COMPARE
    return ", ".join(parts) or agreement
