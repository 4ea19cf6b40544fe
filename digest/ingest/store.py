"""Listings become papers and signals, a document at a time."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter

from django.db import transaction

from digest.ingest.pg_copy import Overtaken, Row, insert, update
from digest.ingest.sources.listing import Listing, Measurement
from digest.models import AttentionSample, IngestRun, Paper, Recall
from digest.text.plain import to_plain_names, to_plain_text

# How a paper is best known, first to last: as new in its primary category.
_BEST = ("new", "cross", "replace", "replace-cross", "", "added")
# AttentionSample kinds and the columns of Paper that repeat the newest of them.
_COLUMNS = {"upvotes": "votes", "comments": "comments", "stars": "stars"}
_FILLED = (
    *("organization", "code_url", "project_url", "doi", "license", "published_at"),
    *("ai_summary", "ai_keywords"),
)
WITHDRAWN = "withdrawn on arXiv"
# What decides whether a listing says anything new of a known paper. Its text does not,
# and is most of its weight: nearly all papers are listed again unchanged.
_DECIDING = (
    *("pk", "identifier", "version", "categories", "announce_type", "announced_on"),
    *(*_FILLED, *_COLUMNS.values()),
)
# How often another process may be quicker with some of the new papers, which are known
# ones from then on. There are hardly ever two: arXiv is asked by one at a time.
PATIENCE = 3
# What a paper's vector is made of.
_EMBEDDED = {"title", "abstract"}

# The measurements of a paper by one source of one kind: moments and values.
_History = dict[tuple[int, str, str], dict[datetime, int]]


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
    for _ in range(PATIENCE):
        with suppress(Overtaken):
            return _store(merged, run, now, deleted)
    return _store(merged, run, now, deleted)


@transaction.atomic
def _store(
    merged: Mapping[str, Listing],
    run: IngestRun,
    now: datetime,
    deleted: Iterable[str],
) -> Counts:
    known = _known(merged)
    new = insert([_new(merged[name], now) for name in merged.keys() - known.keys()])
    keys = new | {name: row["pk"] for name, row in known.items()}
    history = _history(merged, known)
    signals = _measured(merged, keys, history)
    revised = _revise(_changes(merged, known, history), now)
    AttentionSample.objects.bulk_create(signals, ignore_conflicts=True, batch_size=1000)
    moved = revised | {signal.paper_id for signal in signals}
    updated = sum(row["pk"] in moved for row in known.values())
    unchanged, withdrawn = len(known) - updated, _recall(merged, deleted)
    counts = Counts(len(new), updated, unchanged, len(signals), withdrawn)
    _record(run, counts, now)
    return counts


def _merged(listings: Iterable[Listing]) -> dict[str, Listing]:
    """One listing a paper: its newest text, its best announcement, all its counts."""
    merged: dict[str, Listing] = {}
    for one in listings:
        seen = merged.get(one.identifier)
        merged[one.identifier] = _both(seen, one) if seen else one
    return merged


def _both(seen: Listing, one: Listing) -> Listing:
    newest = max(seen, one, key=attrgetter("version"))
    kind = min(seen.announce_type, one.announce_type, key=_BEST.index)
    counts = dict.fromkeys((*seen.measurements, *one.measurements))
    return replace(newest, announce_type=kind, measurements=tuple(counts))


def _known(names: Iterable[str]) -> dict[str, Row]:
    """The known ones, locked in one order so that two processes never embrace."""
    rows = Paper.objects.select_for_update().filter(identifier__in=list(names))
    found = rows.order_by("identifier").values(*_DECIDING)
    return {row["identifier"]: row for row in found}


def _new(listing: Listing, now: datetime) -> Row:
    return {
        "identifier": listing.identifier,
        "announced_on": listing.announced_on or now.date(),
        "announce_type": listing.announce_type or Paper.Announced.LISTED.value,
        "created_at": now,
        "updated_at": now,
        **_attention(listing),
        **_text(listing),
        **_facts(listing),
    }


def _attention(listing: Listing) -> Row:
    """The newest count of each kind, by column; at the same moment the first counts."""
    newest: dict[str, Measurement] = {}
    for one in listing.measurements:
        newest[one.kind] = max(newest.get(one.kind, one), one, key=attrgetter("at"))
    return {_COLUMNS[kind]: one.value for kind, one in newest.items()}


def _text(listing: Listing) -> Row:
    title, abstract = _kept(listing.title_raw), _kept(listing.abstract_raw)
    return {
        "title_raw": title,
        "abstract_raw": abstract,
        "title": to_plain_text(title),
        "abstract": to_plain_text(abstract),
        "authors": to_plain_names(listing.authors),
        "categories": [_kept(name) for name in listing.categories],
        "primary": _fitting("primary", listing.primary),
        "version": listing.version,
    }


def _facts(listing: Listing) -> Row:
    return {
        "organization": to_plain_text(listing.organization)[:200],
        "published_at": listing.published_at,
        "ai_summary": to_plain_text(listing.ai_summary),
        "ai_keywords": [to_plain_text(word) for word in listing.ai_keywords],
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


def _history(merged: Mapping[str, Listing], known: Mapping[str, Row]) -> _History:
    """What was measured before of the papers that are measured now."""
    history: _History = {}
    keys = [row["pk"] for name, row in known.items() if merged[name].measurements]
    signals = AttentionSample.objects.filter(paper__in=keys, kind__in=_COLUMNS)
    for paper, source, kind, at, value in signals.values_list(
        "paper", "source", "kind", "at", "value"
    ):
        history.setdefault((paper, source, kind), {})[at] = value
    return history


def _measured(
    merged: Mapping[str, Listing], keys: Mapping[str, int], history: _History
) -> list[AttentionSample]:
    """The measurements that tell more than the history, which holds them from now on."""
    signals = []
    for name, listing in merged.items():
        for one in listing.measurements:
            counts = history.setdefault((keys[name], listing.source, one.kind), {})
            if _tells_more(one, counts):
                counts[one.at] = one.value
                signals.append(_signal(keys[name], listing.source, one))
    return signals


def _tells_more(one: Measurement, counts: Mapping[datetime, int]) -> bool:
    """Whether it differs from the count before it; the same moment counts once."""
    earlier = [at for at in counts if at <= one.at]
    if one.at in counts:
        return False
    return not earlier or counts[max(earlier)] != one.value


def _signal(paper: int, source: str, one: Measurement) -> AttentionSample:
    return AttentionSample(
        paper_id=paper, source=source, kind=one.kind, value=one.value, at=one.at
    )


def _changes(
    merged: Mapping[str, Listing], known: Mapping[str, Row], history: _History
) -> dict[int, Row]:
    """What may be new of the known papers, by key."""
    changes = {}
    for name, row in known.items():
        found = _added(merged[name], row) | _newest(merged[name], row, history)
        if found:
            changes[row["pk"]] = found
    return changes


def _added(listing: Listing, row: Row) -> Row:
    """What this listing adds to what we know of a paper."""
    facts = _facts(listing)
    found = {name: facts[name] for name in _FILLED if facts[name] and not row[name]}
    if listing.source == "arxiv":
        found |= _announced(listing, row)
        # Only arXiv names categories, so without them the text is another's.
        if listing.version > row["version"] or not row["categories"]:
            found |= _text(listing)
    if row["announce_type"] == Paper.Announced.ADDED_BY_READER != listing.announce_type:
        found |= _met(listing, row)
    return found


def _met(listing: Listing, row: Row) -> Row:
    """What only a reader's list had brought is announced for the first time now."""
    return {
        "announce_type": listing.announce_type or Paper.Announced.LISTED.value,
        "announced_on": listing.announced_on or row["announced_on"],
    }


def _announced(listing: Listing, row: Row) -> Row:
    """New is better than cross-listed on the same day, and than merely listed."""
    kinds = was, said = row["announce_type"], listing.announce_type
    best = was
    if was == Paper.Announced.LISTED:
        best = said if said in {"new", "cross"} else was
    elif row["announced_on"] == listing.announced_on:
        best = min(kinds, key=_BEST.index)
    return {"announce_type": best} if best != was else {}


def _newest(listing: Listing, row: Row, history: _History) -> Row:
    """The counts that are no longer the newest, by column."""
    found = {}
    for one in listing.measurements:
        counts = history[row["pk"], listing.source, one.kind]
        found[_COLUMNS[one.kind]] = counts[max(counts)]
    return {name: value for name, value in found.items() if value != row[name]}


def _revise(changes: Mapping[int, Row], now: datetime) -> set[int]:
    """Write what is new indeed; the keys of the papers that it is new of."""
    touched, written = [], {"updated_at"}
    for paper in Paper.objects.filter(pk__in=changes).order_by("identifier"):
        if differing := _set(paper, changes[paper.pk]):
            paper.updated_at = now
            touched.append(paper)
            written |= differing
    update(touched, written)
    return {paper.pk for paper in touched}


def _set(paper: Paper, values: Row) -> set[str]:
    """The names of what differed. A paper with other words needs another vector."""
    new = {
        name: value for name, value in values.items() if getattr(paper, name) != value
    }
    if new.keys() & _EMBEDDED:
        new |= {"vector": None, "vector_version": ""}
    for name, value in new.items():
        setattr(paper, name, value)
    return set(new)


def _recall(merged: Mapping[str, Listing], deleted: Iterable[str]) -> int:
    """How many papers are recalled that were not."""
    gone = {name for name, one in merged.items() if one.is_withdrawn} | set(deleted)
    if not gone:
        return 0
    papers = Paper.objects.filter(identifier__in=gone, recall=None)
    recalls = [Recall(paper=paper, reason=WITHDRAWN) for paper in papers.only("pk")]
    Recall.objects.bulk_create(recalls, ignore_conflicts=True)
    return len(recalls)


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
