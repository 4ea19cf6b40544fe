"""Assemble: a batch's readers get their digests, chosen and stored before anything is sent."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
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
from digest.ranking import prepare
from digest.ranking.rescore import DAYS
from digest.ranking.selection import Block, Choice, select

LENGTH = 10  # of a preview, as a reader's own default

Stances = dict[int, dict[int, float]]  # reader's id: interest's id: weight


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
    stances, interests = _follows(readers)
    table = prepare.table(edition)
    known = _known(edition, readers, stances, interests)
    places = {paper: i for i, paper in enumerate(table.papers)}
    columns = {interest.pk: i for i, interest in enumerate(interests)}
    block = Block(
        _weights([stances[reader.pk] for reader in readers], columns),
        [
            [places[paper] for paper in known[reader.pk] if paper in places]
            for reader in readers
        ],
        [reader.length for reader in readers],
    )
    found = _select(table, interests, block)
    return {
        reader.pk: [_pick(choice, table, interests) for choice in choices]
        for reader, choices in zip(readers, found, strict=True)
    }


def preview(
    edition: Edition,
    wishes: Sequence[Interest],
    length: int = LENGTH,
    muted: Sequence[Interest] = (),
) -> list[tuple[Candidate, Interest | None]]:
    """What somebody with these interests, stored or not, would get; stores nothing."""
    interests = [*wishes, *muted]
    weights = csr_matrix([[1.0] * len(wishes) + [-1.0] * len(muted)])
    table = prepare.table(edition)
    choices = _select(table, interests, Block(weights, [[]], [length]))[0]
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
        digest.reason = _reason(reader.pk, awake, allowed, picks)
        if digest.reason:
            digest.outcome = Digest.Outcome.SKIPPED
        made.append(digest)
    return made


def _reason(
    reader: int, awake: set[int], allowed: set[int], picks: dict[int, list[Pick]]
) -> Digest.Reason:
    """Why a reader is skipped, or that they are not."""
    if reader not in awake:
        return Digest.Reason.LEFT
    if reader not in allowed:
        return Digest.Reason.SUPPRESSED
    return Digest.Reason.NONE if picks[reader] else Digest.Reason.NOTHING


def _follows(readers: Sequence[Subscriber]) -> tuple[Stances, list[Interest]]:
    """Who follows or mutes what, and all those interests by id."""
    rows = Follow.objects.filter(subscriber__in=[reader.pk for reader in readers])
    stances: Stances = defaultdict(dict)
    for reader, interest, weight in rows.values_list(
        "subscriber_id", "interest_id", "weight"
    ):
        stances[reader][interest] = weight
    ids = {interest for stance in stances.values() for interest in stance}
    found: dict[int, Interest] = {}
    for portion in prepare.chunks(sorted(ids)):
        found |= Interest.objects.in_bulk(portion)
    return stances, [found[pk] for pk in sorted(found)]


def _weights(
    stances: Sequence[dict[int, float]], columns: dict[int, int]
) -> csr_matrix:
    cells = [
        (weight, row, columns[interest])
        for row, stance in enumerate(stances)
        for interest, weight in stance.items()
    ]
    weights, rows, places = zip(*cells, strict=True) if cells else ((), (), ())
    return csr_matrix(
        (weights, (rows, places)), shape=(len(stances), len(columns)), dtype=float
    )


def _select(
    table: prepare.Table, interests: Sequence[Interest], block: Block
) -> list[list[Choice]]:
    relevance = table.relevance(prepare.wishes(interests))
    return select(table.slate, relevance, prepare.mute_from(interests), block)


def _pick(choice: Choice, table: prepare.Table, interests: Sequence[Interest]) -> Pick:
    interest = interests[choice.interest].pk if choice.interest >= 0 else 0
    return Pick(table.candidates[choice.candidate], interest)


def _known(
    edition: Edition,
    readers: Sequence[Subscriber],
    stances: Stances,
    interests: Sequence[Interest],
) -> dict[int, set[int]]:
    """The papers that each reader was sent, or said more or less of, by the reader's id."""
    known = _sent(edition, readers)
    examples = {i.pk: i.value for i in interests if i.kind == Interest.Kind.PAPER}
    named = edition.candidates.filter(paper__identifier__in=set(examples.values()))
    papers = dict(named.values_list("paper__identifier", "paper_id"))
    for reader, stance in stances.items():
        values = [examples[pk] for pk in stance if pk in examples]
        known[reader].update(papers[value] for value in values if value in papers)
    return known


def _sent(edition: Edition, readers: Sequence[Subscriber]) -> dict[int, set[int]]:
    """The papers of each reader's digests that this edition could repeat.

    Counted in edition days, not hours: a candidate of this day was announced at most 13
    days before it, so no earlier edition can have held it, however late that was mailed.
    """
    recent = Digest.objects.filter(
        subscriber__in=[reader.pk for reader in readers],
        edition__day__gt=edition.day - timedelta(days=DAYS),
    ).exclude(outcome=Digest.Outcome.SKIPPED)
    picked: dict[int, set[int]] = defaultdict(set)
    for reader, packed in recent.values_list("subscriber_id", "packed"):
        picked[reader].update(pick.candidate for pick in decode_picks(packed))
    papers = _papers(set().union(*picked.values()))
    sent = {
        reader: {papers[pk] for pk in pks if pk in papers}
        for reader, pks in picked.items()
    }
    return defaultdict(set, sent)


def _papers(candidates: set[int]) -> dict[int, int]:
    """The paper of each candidate."""
    found: dict[int, int] = {}
    for portion in prepare.chunks(sorted(candidates)):
        found |= dict(
            Candidate.objects.filter(pk__in=portion).values_list("pk", "paper_id")
        )
    return found
