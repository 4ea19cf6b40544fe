"""Listings become papers and signals, a document at a time."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from typing import Any

from django.db import transaction

from digest.ingest.bulk import insert
from digest.ingest.listing import Listing, Measurement
from digest.ingest.text import plain
from digest.models import IngestRun, Paper, Recall, Signal

# How a paper is best known, first to last: as new in its primary category.
_BEST = ("new", "cross", "replace", "replace-cross", "", "brought")
# Signal kinds and the columns of Paper that repeat the newest of them.
_COLUMNS = {"upvotes": "votes", "comments": "comments", "stars": "stars"}
_TEXT = (
    *("title_raw", "abstract_raw", "title", "abstract", "authors", "categories"),
    *("primary", "version"),
)
_FILLED = (
    *("organization", "code_url", "project_url", "doi", "license", "published_at"),
    *("ai_summary", "ai_keywords"),
)
WITHDRAWN = "withdrawn on arXiv"
_WRITTEN = (
    *(*_TEXT, *_FILLED, *_COLUMNS.values()),
    *("announce_type", "announced_on", "vector", "vector_version", "updated_at"),
)


@dataclass(frozen=True)
class Counts:
    """What became of a document's papers, and how many measurements were new."""

    new: int
    updated: int
    unchanged: int
    signals: int
    withdrawn: int = 0


def store(
    listings: Sequence[Listing],
    run: IngestRun,
    now: datetime,
    deleted: Iterable[str] = (),
) -> Counts:
    """Write one document, or one page of a harvest, and the account of it, all or nothing.

    A paper is known by its identifier without the version. A higher version brings
    new text; the announcement day stays. Hugging Face never overwrites what arXiv
    says, it fills what is empty. Storing the same again changes nothing. What was
    withdrawn or `deleted` (identifiers) is recalled: it is in no mail from now on.
    A run that has a token goes on; any other is done.
    """
    merged = _merged(listings)
    with transaction.atomic():
        known = _papers(merged)
        insert([_new(one, now) for name, one in merged.items() if name not in known])
        papers = _papers(merged)
        before = {name: _written(paper) for name, paper in papers.items()}
        measured = _measured(merged, papers)
        for name, paper in papers.items():
            # What was written a moment ago says all of its listing already, unless
            # another process wrote it.
            if name in known or paper.created_at != now:
                _revise(paper, merged[name])
        touched = _changed(papers, before, now)
        Paper.objects.bulk_update(touched, _WRITTEN, batch_size=500)
        withdrawn = _recall(merged, deleted)
        counts = replace(_counts(papers, known, touched, measured), withdrawn=withdrawn)
        _record(run, counts, now)
    return counts


def _merged(listings: Iterable[Listing]) -> dict[str, Listing]:
    """One listing a paper: its newest text, its best announcement, all its counts."""
    merged: dict[str, Listing] = {}
    for one in listings:
        seen = merged.get(one.identifier, one)
        newest = max(seen, one, key=attrgetter("version"))
        kind = min(seen.announce_type, one.announce_type, key=_BEST.index)
        counts = dict.fromkeys((*seen.measurements, *one.measurements))
        merged[one.identifier] = replace(
            newest, announce_type=kind, measurements=tuple(counts)
        )
    return merged


def _papers(names: Iterable[str]) -> dict[str, Paper]:
    """The known ones, locked in one order so that two processes never embrace."""
    rows = Paper.objects.select_for_update().filter(identifier__in=list(names))
    return {paper.identifier: paper for paper in rows.order_by("identifier")}


def _new(listing: Listing, now: datetime) -> Paper:
    return Paper(
        identifier=listing.identifier,
        announced_on=listing.announced_on or now.date(),
        announce_type=listing.announce_type or Paper.Announced.LISTED,
        created_at=now,
        updated_at=now,
        **{_COLUMNS[one.kind]: one.value for one in listing.measurements},
        **_text(listing),
        **_facts(listing),
    )


def _text(listing: Listing) -> dict[str, Any]:
    title, abstract = _kept(listing.title_raw), _kept(listing.abstract_raw)
    return {
        "title_raw": title,
        "abstract_raw": abstract,
        "title": plain(title),
        "abstract": plain(abstract),
        "authors": [name for name in map(plain, listing.authors) if name],
        "categories": [_kept(name) for name in listing.categories],
        "primary": _fitting("primary", listing.primary),
        "version": listing.version,
    }


def _recall(merged: Mapping[str, Listing], deleted: Iterable[str]) -> int:
    """How many papers are recalled that were not."""
    gone = {name for name, one in merged.items() if one.is_withdrawn} | set(deleted)
    if not gone:
        return 0
    papers = Paper.objects.filter(identifier__in=gone, recall=None)
    recalls = [Recall(paper=paper, reason=WITHDRAWN) for paper in papers.only("pk")]
    Recall.objects.bulk_create(recalls, ignore_conflicts=True)
    return len(recalls)


def _facts(listing: Listing) -> dict[str, Any]:
    return {
        "organization": plain(listing.organization)[:200],
        "published_at": listing.published_at,
        "ai_summary": plain(listing.ai_summary),
        "ai_keywords": [plain(word) for word in listing.ai_keywords],
        **{
            name: _fitting(name, getattr(listing, name))
            for name in ("code_url", "project_url", "doi", "license")
        },
    }


def _kept(raw: str) -> str:
    """As the source wrote it, but for the signs that no database keeps."""
    return raw.replace("\x00", "").encode("utf-8", "ignore").decode()


def _fitting(name: str, value: str) -> str:
    """Nothing rather than half an address."""
    if not value:
        return value
    longest = getattr(Paper._meta.get_field(name), "max_length", 0)
    kept = _kept(value)
    return kept if len(kept) <= longest else ""


def _revise(paper: Paper, listing: Listing) -> None:
    """What this listing adds to what we know of a paper."""
    if paper.announce_type == Paper.Announced.BROUGHT != listing.announce_type:
        _meet(paper, listing)
    if listing.source == "arxiv":
        _announce(paper, listing)
        # Only arXiv names categories, so without them the text is another's.
        if listing.version > paper.version or not paper.categories:
            _set(paper, _text(listing))
            paper.vector, paper.vector_version = None, ""
    facts = _facts(listing)
    _set(paper, {name: facts[name] for name in _FILLED if not getattr(paper, name)})


def _meet(paper: Paper, listing: Listing) -> None:
    """What only a reader's list had brought is announced for the first time now."""
    paper.announce_type = listing.announce_type or Paper.Announced.LISTED
    paper.announced_on = listing.announced_on or paper.announced_on


def _announce(paper: Paper, listing: Listing) -> None:
    """New is better than cross-listed on the same day, and than merely listed."""
    if paper.announce_type == Paper.Announced.LISTED:
        if listing.announce_type in {"new", "cross"}:
            paper.announce_type = listing.announce_type
    elif paper.announced_on == listing.announced_on:
        kinds = (paper.announce_type, listing.announce_type)
        paper.announce_type = min(kinds, key=_BEST.index)


def _set(paper: Paper, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        setattr(paper, name, value)


def _measured(
    merged: Mapping[str, Listing], papers: Mapping[str, Paper]
) -> list[Signal]:
    """The new measurements, written; the papers' own counts brought up to date."""
    history: dict[tuple[int, str], dict[datetime, int]] = {}
    rows = Signal.objects.filter(paper__in=papers.values(), kind__in=_COLUMNS)
    for paper, source, kind, at, value in rows.values_list(
        "paper", "source", "kind", "at", "value"
    ):
        history.setdefault((paper, f"{source} {kind}"), {})[at] = value
    signals = []
    for name, listing in merged.items():
        for one in listing.measurements:
            key = (papers[name].pk, f"{listing.source} {one.kind}")
            counts = history.setdefault(key, {})
            if _tells_more(one, counts):
                counts[one.at] = one.value
                signals.append(_signal(papers[name], listing.source, one))
            setattr(papers[name], _COLUMNS[one.kind], counts[max(counts)])
    Signal.objects.bulk_create(signals, ignore_conflicts=True, batch_size=1000)
    return signals


def _tells_more(one: Measurement, counts: Mapping[datetime, int]) -> bool:
    """Whether it differs from the count before it; the same moment counts once."""
    earlier = [at for at in counts if at <= one.at]
    if one.at in counts:
        return False
    return not earlier or counts[max(earlier)] != one.value


def _signal(paper: Paper, source: str, one: Measurement) -> Signal:
    return Signal(paper=paper, source=source, kind=one.kind, value=one.value, at=one.at)


def _written(paper: Paper) -> tuple[Any, ...]:
    return tuple(getattr(paper, name) for name in _WRITTEN)


def _changed(
    papers: Mapping[str, Paper],
    before: Mapping[str, tuple[Any, ...]],
    now: datetime,
) -> list[Paper]:
    """Those that must be written again."""
    touched = [
        paper for name, paper in papers.items() if _written(paper) != before[name]
    ]
    for paper in touched:
        paper.updated_at = now
    return touched


def _counts(
    papers: Mapping[str, Paper],
    known: Mapping[str, Paper],
    touched: Sequence[Paper],
    measured: Sequence[Signal],
) -> Counts:
    moved = {paper.identifier for paper in touched}
    moved |= {signal.paper.identifier for signal in measured}
    updated = len(moved & known.keys())
    new = len(papers) - len(known)
    return Counts(new, updated, len(known) - updated, len(measured))


def _record(run: IngestRun, counts: Counts, now: datetime) -> None:
    """The pages of a harvest add up."""
    run.new += counts.new
    run.updated += counts.updated
    run.unchanged += counts.unchanged
    run.signals += counts.signals
    run.withdrawn += counts.withdrawn
    if not run.token:
        run.state, run.finished_at = IngestRun.State.DONE, run.moment(now)
    run.save()
