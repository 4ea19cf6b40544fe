"""Assemble: a batch's readers get their digests, chosen and stored before anything is sent."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from scipy.sparse import csr_matrix

from accounts.models import Subscriber
from digest.models import (
    Batch,
    Candidate,
    Digest,
    Edition,
    Follow,
    Interest,
    Pick,
    decode_picks,
)
from digest.ranking import edition_index, reader_profiles
from digest.ranking.rank_edition import DAYS
from digest.ranking.reader_profiles import Key, Stances
from digest.ranking.relevance import InterestQuery
from digest.ranking.selection import Block, Choice, select

FillMode = Subscriber.FillMode

LENGTH = 10  # of a preview, as a reader's own default


def assemble(batch: Batch, now: datetime) -> list[Digest]:
    """Write a digest for every reader of the batch who has none of its edition yet.

    Consent, suppression and recalls are read here; who may not be mailed gets a skipped
    digest that says why. The digests of this batch by id; again changes nothing.
    """
    edition = batch.slot.edition
    served = Digest.objects.filter(edition=edition, subscriber__in=batch.readers)
    waiting = Subscriber.objects.filter(pk__in=batch.readers).order_by("pk")
    readers = list(waiting.exclude(pk__in=served.values("subscriber")))
    made = _digests(batch, edition, readers, now) if readers else []
    with transaction.atomic():
        Digest.objects.bulk_create(made, ignore_conflicts=True)
    return list(batch.digests.select_related("subscriber", "edition").order_by("pk"))


def choose(
    edition: Edition, subscribers: Iterable[Subscriber], now: datetime
) -> dict[int, list[Pick]]:
    """The picks of each reader, by their id; reads only.

    Left out: what their digests of the last 14 days held, papers of which they asked
    for more or less like this, and recalled ones.
    """
    readers = list(subscribers)
    known, sent = reader_profiles.of(readers, now), known_papers(edition, readers)
    requested_interests, picks = (
        known.requested_interests(known.keys),
        dict[int, list[Pick]](),
    )
    for weekly in (False, True):
        group = [reader for reader in readers if is_weekly(reader) == weekly]
        if group:
            table = edition_index.table(edition, weekly)
            picks |= _choose(table, group, known, requested_interests, sent)
    return picks


def _choose(
    table: edition_index.Table,
    readers: Sequence[Subscriber],
    known: Stances,
    requested_interests: Sequence[InterestQuery],
    sent: Mapping[int, set[int]],
) -> dict[int, list[Pick]]:
    places = {paper: i for i, paper in enumerate(table.papers)}
    keys = known.keys
    block = Block(
        reader_profiles.matrix(
            [known.readers.get(reader.pk, {}) for reader in readers], keys
        ),
        [
            [places[paper] for paper in sent[reader.pk] if paper in places]
            for reader in readers
        ],
        [reader.length for reader in readers],
        _fill_modes(readers),
    )
    found = _select(table, requested_interests, block)
    return {
        reader.pk: [_pick(choice, reader.pk, table, known, keys) for choice in choices]
        for reader, choices in zip(readers, found, strict=True)
    }


def is_weekly(reader: Subscriber) -> bool:
    return reader.frequency == Subscriber.Frequency.WEEKLY


def preview(
    edition: Edition,
    requested_interests: Sequence[Interest],
    length: int = LENGTH,
    muted: Sequence[Interest] = (),
) -> list[tuple[Candidate, Interest | None]]:
    """What somebody with these interests, stored or not, would get; stores nothing."""
    interests = [*requested_interests, *muted]
    weights = csr_matrix([[1.0] * len(requested_interests) + [-1.0] * len(muted)])
    table = edition_index.table(edition)
    wanted = edition_index.requested_interests(interests)
    choices = _select(table, wanted, Block(weights, [[]], [length]))[0]
    rows = Candidate.objects.select_related("paper").in_bulk(
        [table.candidates[choice.candidate] for choice in choices]
    )
    return [
        (rows[table.candidates[c]], interests[i] if i >= 0 else None)
        for c, i in choices
    ]


def preview_for(edition: Edition, subscriber: Subscriber, now: datetime) -> list[Pick]:
    """What this reader would get now: the same choice as for the mail, stored nowhere."""
    return choose(edition, [subscriber], now)[subscriber.pk]


def _digests(
    batch: Batch, edition: Edition, readers: Sequence[Subscriber], now: datetime
) -> list[Digest]:
    asked = Subscriber.objects.filter(pk__in=[reader.pk for reader in readers])
    awake = set(asked.mailable(now).values_list("pk", flat=True))
    allowed = set(asked.not_suppressed().values_list("pk", flat=True))
    picks = choose(edition, [r for r in readers if r.pk in awake & allowed], now)
    made = []
    for reader in readers:
        digest = Digest(subscriber=reader, edition=edition, batch=batch, created_at=now)
        digest.picks = picks.get(reader.pk, [])
        digest.reason = _reason(reader, awake, allowed, bool(digest.packed_picks))
        if digest.reason:
            digest.outcome = Digest.Outcome.SKIPPED
        made.append(digest)
    return made


def _reason(
    reader: Subscriber, awake: set[int], allowed: set[int], has_papers: bool
) -> Digest.Reason:
    """Why a reader is skipped, or that they are not: a digest without papers is a note to who wants one."""
    if reader.pk not in awake:
        return Digest.Reason.LEFT
    if reader.pk not in allowed:
        return Digest.Reason.SUPPRESSED
    told = has_papers or reader.wants_note
    return Digest.Reason.NONE if told else Digest.Reason.NOTHING


def followers(readers: Iterable[Subscriber]) -> set[int]:
    """Which of these follow anything, by their ids. To have opened papers is not to follow: a click must not turn ten papers into two."""
    followed = Follow.objects.filter(
        subscriber__in=[reader.pk for reader in readers], weight__gt=0
    ).exclude(source=Follow.Source.OPENED)
    return set(followed.values_list("subscriber_id", flat=True))


def _fill_modes(readers: Sequence[Subscriber]) -> list[tuple[int, int]]:
    """Of each reader the least and the most picks that may come for their trend alone.

    Whoever follows nothing gets what trends, even if they chose only their own: no paper
    can match, and silence for ever looks like a service that is broken.
    """
    known = followers(r for r in readers if r.fill_mode == FillMode.FOLLOWED_ONLY)
    return [_fill_mode(reader, reader.pk in known) for reader in readers]


def _fill_mode(reader: Subscriber, follows: bool) -> tuple[int, int]:
    match reader.fill_mode:
        case FillMode.FOLLOWED_ONLY if follows:
            return 0, 0
        case FillMode.HALF:
            return reader.length // 2, reader.length
        case _:
            return 0, reader.length


def _select(
    table: edition_index.Table,
    requested_interests: Sequence[InterestQuery],
    block: Block,
) -> list[list[Choice]]:
    relevance = table.relevance(requested_interests)
    return select(
        table.slate, relevance, reader_profiles.mute_from(requested_interests), block
    )


def _pick(
    choice: Choice,
    reader: int,
    table: edition_index.Table,
    known: Stances,
    keys: Sequence[Key],
) -> Pick:
    candidate = table.candidates[choice.candidate]
    if choice.interest < 0:
        return Pick(candidate, 0)
    row = table.vectors[choice.candidate]
    interest = known.nearest(keys[choice.interest], row)
    return Pick(candidate, interest, interest in known.opened.get(reader, ()))


def known_papers(
    edition: Edition, readers: Sequence[Subscriber]
) -> dict[int, set[int]]:
    """The papers that each reader was sent, or said more or less of, by the reader's id."""
    known = sent_papers(edition, readers)
    said = Follow.objects.filter(
        subscriber__in=[reader.pk for reader in readers],
        interest__kind=Interest.Kind.PAPER,
    )
    values = list(said.values_list("subscriber_id", "interest__value"))
    named = edition.candidates.filter(
        paper__identifier__in={value for _, value in values}
    )
    papers = dict(named.values_list("paper__identifier", "paper_id"))
    for reader, value in values:
        if value in papers:
            known[reader].add(papers[value])
    return known


def sent_papers(edition: Edition, readers: Sequence[Subscriber]) -> dict[int, set[int]]:
    """The papers of each reader's digests that this edition could repeat.

    Counted in edition days, not hours: a candidate of this day was announced at most 13
    days before it, so no earlier edition can have held it, however late that was mailed.
    """
    recent = Digest.objects.filter(
        subscriber__in=[reader.pk for reader in readers],
        edition__day__gt=edition.day - timedelta(days=DAYS),
    ).exclude(outcome=Digest.Outcome.SKIPPED)
    picked: dict[int, set[int]] = defaultdict(set)
    for reader, packed_picks in recent.values_list("subscriber_id", "packed_picks"):
        picked[reader].update(pick.candidate for pick in decode_picks(packed_picks))
    papers = _papers(set().union(*picked.values()))
    sent = {
        reader: {papers[pk] for pk in pks if pk in papers}
        for reader, pks in picked.items()
    }
    return defaultdict(set, sent)


def _papers(candidates: set[int]) -> dict[int, int]:
    """The paper of each candidate."""
    found: dict[int, int] = {}
    for portion in edition_index.chunks(sorted(candidates)):
        found |= dict(
            Candidate.objects.filter(pk__in=portion).values_list("pk", "paper_id")
        )
    return found
