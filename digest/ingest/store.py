"""Store listings as papers and attention samples, one document at a time."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from operator import attrgetter

from django.db import transaction

from digest.ingest.sources.listing import Listing, Measurement, RefusedRecord
from digest.models import AttentionSample, IngestRun, Paper, Recall
from digest.models.bulk import ConcurrentInsert, Row, insert_papers, update_papers
from digest.models.papers import WITHOUT_VECTORS
from digest.text.plain import to_plain_names, to_plain_text

# Announce types from the most to the least informative.
_ANNOUNCE_TYPE_ORDER = ("new", "cross", "replace", "replace-cross", "", "added")
# Kinds of attention samples and the columns of Paper that repeat the newest value.
_ATTENTION_COLUMNS = {"upvotes": "votes", "comments": "comments", "stars": "stars"}
# Columns that any source may fill while they are empty.
_FILLABLE_COLUMNS = (
    *("organization", "code_url", "project_url", "doi", "license", "published_at"),
    *("ai_summary", "ai_keywords", "thumbnail_url"),
)
WITHDRAWN = "withdrawn on arXiv"
# The columns that decide whether a listing changes a paper. The texts are not needed for
# that and are most of a row; nearly all papers are listed again unchanged.
_COMPARED_COLUMNS = (
    *("pk", "identifier", "version", "categories", "announce_type", "announced_on"),
    *(*_FILLABLE_COLUMNS, *_ATTENTION_COLUMNS.values()),
)
# Another process may insert some of the new papers first; they exist at the next try.
MAX_STORE_RETRIES = 3
# Kept on a run; a harvest of many pages stays readable.
MAX_REFUSED_RECORDS = 200
_EMBEDDED_COLUMNS = {"title", "abstract"}

# Values by time, for each paper, source and kind.
_SampleHistory = dict[tuple[int, str, str], dict[datetime, int]]


@dataclass(frozen=True)
class Counts:
    """Numbers of papers by result, and of new attention samples."""

    new: int
    updated: int
    unchanged: int
    samples: int
    withdrawn: int = 0
    restored: int = 0


def store(
    listings: Sequence[Listing],
    run: IngestRun,
    now: datetime,
    deleted: Iterable[str] = (),
) -> Counts:
    """Store one document, or one page of a harvest, and its counts in one transaction.

    A paper is identified without its version. A higher version replaces the text and
    keeps the announcement day. Hugging Face fills empty columns and never overwrites
    arXiv. Storing the same listing again changes nothing. Withdrawn and `deleted` papers
    (identifiers) are recalled, so that no later mail includes them; a version history
    whose last version is available lifts that recall. A run with a resumption token
    stays running; any other run is done.
    """
    merged = _merge_listings(listings)
    for _ in range(MAX_STORE_RETRIES):
        with suppress(ConcurrentInsert):
            return _store(merged, run, now, deleted)
    return _store(merged, run, now, deleted)


@transaction.atomic
def _store(
    merged: Mapping[str, Listing],
    run: IngestRun,
    now: datetime,
    deleted: Iterable[str],
) -> Counts:
    existing = _lock_existing(merged)
    new_names = merged.keys() - existing.keys()
    new = insert_papers([_new_row(merged[name], now) for name in new_names])
    keys = new | {name: row["pk"] for name, row in existing.items()}
    history = _load_history(merged, existing)
    samples = _new_samples(merged, keys, history)
    revised = _revise_papers(_find_changes(merged, existing, history), now)
    AttentionSample.objects.bulk_create(samples, ignore_conflicts=True, batch_size=1000)
    changed = revised | {sample.paper_id for sample in samples}
    updated = sum(row["pk"] in changed for row in existing.values())
    counts = Counts(
        new=len(new),
        updated=updated,
        unchanged=len(existing) - updated,
        samples=len(samples),
        withdrawn=_recall_withdrawn(merged, deleted),
        restored=_lift_recalls(merged),
    )
    _add_counts(run, counts)
    return counts


def _merge_listings(listings: Iterable[Listing]) -> dict[str, Listing]:
    """Merge to one listing per paper: newest text, best announce type, all measurements."""
    merged: dict[str, Listing] = {}
    for listing in listings:
        other = merged.get(listing.identifier)
        merged[listing.identifier] = _merge_two(other, listing) if other else listing
    return merged


def _merge_two(first: Listing, second: Listing) -> Listing:
    newest = max(first, second, key=attrgetter("version"))
    types = (first.announce_type, second.announce_type)
    measurements = dict.fromkeys((*first.measurements, *second.measurements))
    return replace(
        newest,
        announce_type=min(types, key=_ANNOUNCE_TYPE_ORDER.index),
        measurements=tuple(measurements),
    )


def _lock_existing(names: Iterable[str]) -> dict[str, Row]:
    """Lock existing papers in identifier order to avoid deadlocks."""
    papers = Paper.objects.select_for_update().filter(identifier__in=list(names))
    rows = papers.order_by("identifier").values(*_COMPARED_COLUMNS)
    return {row["identifier"]: row for row in rows}


def _new_row(listing: Listing, now: datetime) -> Row:
    return {
        "identifier": listing.identifier,
        "announced_on": listing.announced_on or now.date(),
        "announce_type": listing.announce_type or Paper.Announced.LISTED.value,
        "created_at": now,
        "updated_at": now,
        **_newest_measurements(listing),
        **_text_columns(listing),
        **_fact_columns(listing),
    }


def _newest_measurements(listing: Listing) -> Row:
    """Map columns to the newest value of each kind; of equal times the first wins."""
    newest: dict[str, Measurement] = {}
    for measurement in listing.measurements:
        newest[measurement.kind] = max(
            newest.get(measurement.kind, measurement), measurement, key=attrgetter("at")
        )
    return {
        _ATTENTION_COLUMNS[kind]: measurement.value
        for kind, measurement in newest.items()
    }


def _text_columns(listing: Listing) -> Row:
    title, abstract = _storable(listing.title_raw), _storable(listing.abstract_raw)
    return {
        "title_raw": title,
        "abstract_raw": abstract,
        "title": to_plain_text(title),
        "abstract": to_plain_text(abstract),
        "authors": to_plain_names(listing.authors),
        "categories": [_storable(name) for name in listing.categories],
        "primary": _fit_column("primary", listing.primary),
        "version": listing.version,
    }


def _fact_columns(listing: Listing) -> Row:
    return {
        "organization": to_plain_text(listing.organization)[:200],
        "published_at": listing.published_at,
        "ai_summary": to_plain_text(listing.ai_summary),
        "ai_keywords": [to_plain_text(word) for word in listing.ai_keywords],
        **{
            name: _fit_column(name, getattr(listing, name))
            for name in ("code_url", "project_url", "thumbnail_url", "doi", "license")
        },
    }


def _storable(raw: str) -> str:
    """Remove the characters that no database stores: NUL and lone surrogates."""
    return raw.replace("\x00", "").encode("utf-8", "ignore").decode()


def _fit_column(name: str, value: str) -> str:
    """Return the value, or nothing where it is too long: half an address is useless."""
    if not value:
        return value
    max_length = getattr(Paper._meta.get_field(name), "max_length", 0)
    storable = _storable(value)
    return storable if len(storable) <= max_length else ""


def _load_history(
    merged: Mapping[str, Listing], existing: Mapping[str, Row]
) -> _SampleHistory:
    history: _SampleHistory = {}
    keys = [row["pk"] for name, row in existing.items() if merged[name].measurements]
    samples = AttentionSample.objects.filter(
        paper__in=keys, kind__in=_ATTENTION_COLUMNS
    )
    for paper, source, kind, at, value in samples.values_list(
        "paper", "source", "kind", "at", "value"
    ):
        history.setdefault((paper, source, kind), {})[at] = value
    return history


def _new_samples(
    merged: Mapping[str, Listing], keys: Mapping[str, int], history: _SampleHistory
) -> list[AttentionSample]:
    """Build the samples that differ from the history, and add them to it."""
    samples = []
    for name, listing in merged.items():
        for measurement in listing.measurements:
            values = history.setdefault(
                (keys[name], listing.source, measurement.kind), {}
            )
            if _is_new_sample(measurement, values):
                values[measurement.at] = measurement.value
                samples.append(_build_sample(keys[name], listing.source, measurement))
    return samples


def _is_new_sample(one: Measurement, values: Mapping[datetime, int]) -> bool:
    """Whether it differs from the value before it; a second value of one time does not count."""
    if one.at in values:
        return False
    earlier = [at for at in values if at <= one.at]
    return not earlier or values[max(earlier)] != one.value


def _build_sample(paper: int, source: str, one: Measurement) -> AttentionSample:
    return AttentionSample(
        paper_id=paper, source=source, kind=one.kind, value=one.value, at=one.at
    )


def _find_changes(
    merged: Mapping[str, Listing],
    existing: Mapping[str, Row],
    history: _SampleHistory,
) -> dict[int, Row]:
    """Map primary keys of existing papers to the columns that may change."""
    changes = {}
    for name, row in existing.items():
        columns = _changed_columns(merged[name], row)
        columns |= _changed_attention(merged[name], row, history)
        if columns:
            changes[row["pk"]] = columns
    return changes


def _changed_columns(listing: Listing, row: Row) -> Row:
    facts = _fact_columns(listing)
    columns = {
        name: facts[name] for name in _FILLABLE_COLUMNS if facts[name] and not row[name]
    }
    if listing.source == "arxiv":
        columns |= _better_announce_type(listing, row)
        # Only arXiv gives categories; without them the text is from another source.
        if listing.version > row["version"] or not row["categories"]:
            columns |= _text_columns(listing)
    if row["announce_type"] == Paper.Announced.ADDED_BY_READER != listing.announce_type:
        columns |= _first_announcement(listing, row)
    return columns


def _first_announcement(listing: Listing, row: Row) -> Row:
    """Announce a paper that so far only a reader's list had added."""
    return {
        "announce_type": listing.announce_type or Paper.Announced.LISTED.value,
        "announced_on": listing.announced_on or row["announced_on"],
    }


def _better_announce_type(listing: Listing, row: Row) -> Row:
    """Prefer new to cross-listed on the same day, and both to listed by Hugging Face."""
    stored, given = row["announce_type"], listing.announce_type
    if stored == Paper.Announced.LISTED and given in Paper.ARXIV_ANNOUNCEMENTS:
        return {"announce_type": given, "announced_on": _arxiv_day(listing, row)}
    if row["announced_on"] != listing.announced_on:
        return {}
    best = min((stored, given), key=_ANNOUNCE_TYPE_ORDER.index)
    return {"announce_type": best} if best != stored else {}


def _arxiv_day(listing: Listing, row: Row) -> date:
    """arXiv's day for a paper that Hugging Face listed; a later cross-list is not the first."""
    day: date = row["announced_on"]
    if listing.announced_on is None:
        return day
    is_new = listing.announce_type == Paper.Announced.NEW
    return listing.announced_on if is_new else min(day, listing.announced_on)


def _changed_attention(listing: Listing, row: Row, history: _SampleHistory) -> Row:
    """Map columns to the newest measured values, where they differ."""
    newest = {}
    for measurement in listing.measurements:
        values = history[row["pk"], listing.source, measurement.kind]
        newest[_ATTENTION_COLUMNS[measurement.kind]] = values[max(values)]
    return {name: value for name, value in newest.items() if value != row[name]}


def _revise_papers(changes: Mapping[int, Row], now: datetime) -> set[int]:
    """Write the columns that differ; return the primary keys of the changed papers."""
    changed, columns = [], {"updated_at"}
    for paper in Paper.objects.filter(pk__in=changes).order_by("identifier"):
        if differing := _set_columns(paper, changes[paper.pk]):
            paper.updated_at = now
            changed.append(paper)
            columns |= differing
    update_papers(changed, columns)
    return {paper.pk for paper in changed}


def _set_columns(paper: Paper, values: Row) -> set[str]:
    """Set the columns that differ and return their names; a new text needs a new vector."""
    new = {
        name: value for name, value in values.items() if getattr(paper, name) != value
    }
    if new.keys() & _EMBEDDED_COLUMNS:
        new |= WITHOUT_VECTORS
    for name, value in new.items():
        setattr(paper, name, value)
    return set(new)


def _recall_withdrawn(merged: Mapping[str, Listing], deleted: Iterable[str]) -> int:
    """Recall withdrawn and deleted papers; return how many were not recalled before."""
    names = {name for name, listing in merged.items() if listing.is_withdrawn} | set(
        deleted
    )
    if not names:
        return 0
    papers = Paper.objects.filter(identifier__in=names, recall=None)
    recalls = [
        Recall(paper=paper, reason=WITHDRAWN, is_withdrawal=True)
        for paper in papers.only("pk")
    ]
    Recall.objects.bulk_create(recalls, ignore_conflicts=True)
    return len(recalls)


def _lift_recalls(merged: Mapping[str, Listing]) -> int:
    """Lift the recalls of withdrawn papers that are available again; return their number.

    A record older than the stored version says nothing about it.
    """
    available = {
        name: listing for name, listing in merged.items() if listing.is_available
    }
    if not available:
        return 0
    recalls = Recall.objects.withdrawals().filter(paper__identifier__in=available)
    restored = [
        pk
        for pk, name, version in recalls.values_list(
            "pk", "paper__identifier", "paper__version"
        )
        if available[name].version >= version
    ]
    Recall.objects.filter(pk__in=restored).delete()
    return len(restored)


def add_refused(run: IngestRun, refused: Iterable[RefusedRecord]) -> None:
    """Add refused records to the run, for the operator; identical ones once."""
    stored = run.refused_records
    rows = [asdict(record) for record in refused]
    new = [row for row in rows if row not in stored]
    run.refused_records = [*stored, *new][:MAX_REFUSED_RECORDS]


def _add_counts(run: IngestRun, counts: Counts) -> None:
    """Add the counts of this page to the run, and finish the run after the last page."""
    run.new += counts.new
    run.updated += counts.updated
    run.unchanged += counts.unchanged
    run.samples += counts.samples
    run.withdrawn += counts.withdrawn
    run.restored += counts.restored
    if not run.token:
        run.finish(IngestRun.State.DONE)
    run.save()
