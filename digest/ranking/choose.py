"""Choose papers: a batch's readers get their digests, chosen and stored before anything is sent."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from scipy.sparse import csr_matrix

from accounts.models import Subscriber
from digest.models import (
    Batch,
    Candidate,
    Digest,
    Edition,
    Experiment,
    Follow,
    Interest,
    Pick,
    bulk,
)
from digest.models.digests import PICK
from digest.models.papers import CANDIDATE_DAYS
from digest.ranking import (
    edition_index,
    experiments,
    interest_question,
    reader_profiles,
)
from digest.ranking.edition_index import EditionIndex
from digest.ranking.interest_blocks import PersonalQuery
from digest.ranking.interleaving import toss_coins
from digest.ranking.reader_profiles import Key, ReaderProfiles
from digest.ranking.relevance import InterestQuery, near_thresholds
from digest.ranking.score_breakdown import RankingWeights
from digest.ranking.selection import TRENDING, Block, Choice, Matches, select

FillMode = Subscriber.FillMode

PREVIEW_LENGTH = 10  # a reader's own default
# Tiers of the order in a mail, after pins and claims (0) and near papers (1).
TRENDING_TIER = 2
FAR_MATCH_TIER = 3  # chosen for a weak match, so its trend may be low
# At 7,000 candidates each interest of a block takes 35 KB, and these readers have some
# hundred shared ones and one or two of their own each: 20 to 40 MB.
READERS_PER_BLOCK = 250


def assemble_blocks(batch: Batch, now: datetime) -> Iterator[list[Digest]]:
    """Write a digest for every reader of the batch who has none of its edition yet.

    Yields all digests of the batch by id: those that exist, then block by block those that
    were just chosen and stored, so that they can be sent while the next are chosen.
    Consent, suppression and recalls are read here; readers who may not be mailed get a
    skipped digest with the reason. A repeated call changes nothing.
    """
    edition = batch.slot.edition
    stored = list(
        Digest.objects.filter(edition=edition, subscriber__in=batch.readers).order_by(
            "pk"
        )
    )
    if own := [digest for digest in stored if digest.batch_id == batch.pk]:
        yield own
    served = {digest.subscriber_id for digest in stored}
    waiting = sorted(set(batch.readers) - served)
    for start in range(0, len(waiting), READERS_PER_BLOCK):
        ids = waiting[start : start + READERS_PER_BLOCK]
        readers = Subscriber.objects.filter(pk__in=ids).with_consent(now).order_by("pk")
        digests = _build_digests(batch, edition, list(readers), now)
        with transaction.atomic():
            inserted = bulk.insert_digests(digests)
            interest_question.record_questions(inserted, now)
        if inserted:
            yield inserted


def choose(
    edition: Edition,
    subscribers: Iterable[Subscriber],
    now: datetime,
    store: bool = False,
) -> dict[int, list[Pick]]:
    """Choose the picks of each reader, by reader id.

    Excluded are the papers of their digests of the last 14 days, papers that they asked
    for more or less of, and recalled ones. Reads only, except that with `store` the groups
    of readers' example papers are stored for the next edition.
    """
    readers = list(subscribers)
    weights = experiments.default_weights()
    experiment = experiments.load_running(now)
    if experiment is None:
        return choose_with(weights, edition, readers, now, store)
    compared = [r for r in readers if experiments.participates(experiment, r)]
    ids = {reader.pk for reader in compared}
    others = [reader for reader in readers if reader.pk not in ids]
    picks = choose_with(weights, edition, others, now, store) if others else {}
    if compared:
        picks |= _choose_interleaved(experiment, edition, compared, now, store)
    return picks


def _choose_interleaved(
    experiment: Experiment,
    edition: Edition,
    readers: Sequence[Subscriber],
    now: datetime,
    store: bool,
) -> dict[int, list[Pick]]:
    """Choose with both settings of an experiment, and draft each reader's picks from both."""
    settings = experiment.first, experiment.second
    first, second = (
        choose_with(experiments.weights_of(setting), edition, readers, now, store)
        for setting in settings
    )
    index = edition_index.load_index(edition)
    fits = experiments.build_fits(index.slate, index.candidates)
    pinned = {index.candidates[i] for i in index.slate.pin.nonzero()[0].tolist()}
    return {
        reader.pk: experiments.interleave_picks(
            first[reader.pk],
            second[reader.pk],
            reader.length,
            toss_coins(experiment.pk, edition.pk, reader.pk),
            fits,
            pinned,
        )
        for reader in readers
    }


def choose_with(
    weights: RankingWeights,
    edition: Edition,
    readers: Sequence[Subscriber],
    now: datetime,
    store: bool = False,
) -> dict[int, list[Pick]]:
    """Choose with these weights, whatever experiment is running."""
    frequencies = sorted({is_weekly(reader) for reader in readers})
    indexes = {
        weekly: edition_index.load_index(edition, weekly, weights)
        for weekly in frequencies
    }
    picks = dict[int, list[Pick]]()
    for start in range(0, len(readers), READERS_PER_BLOCK):
        block = readers[start : start + READERS_PER_BLOCK]
        profiles = reader_profiles.load_profiles(block, now, store)
        sent = load_sent_candidates(edition, block)
        keys = profiles.keys
        queries = dict(zip(keys, profiles.build_queries(keys), strict=True))
        for weekly, index in indexes.items():
            group = [reader for reader in block if is_weekly(reader) == weekly]
            if group:
                excluded = exclude_columns(index, profiles, sent, group)
                picks |= _choose_block(group, index, profiles, queries, excluded)
    return picks


def _choose_block(
    readers: Sequence[Subscriber],
    index: EditionIndex,
    profiles: ReaderProfiles,
    queries: Mapping[Key, InterestQuery | PersonalQuery],
    excluded: Mapping[int, set[int]],
) -> dict[int, list[Pick]]:
    own = [profiles.profiles.get(reader.pk, {}) for reader in readers]
    keys = sorted({key for profile in own for key in profile})
    block = Block(
        reader_profiles.weight_matrix(own, keys),
        [list(excluded[reader.pk]) for reader in readers],
        [reader.length for reader in readers],
        _trending_bounds(readers),
        [key.role for key in keys],
    )
    rows = [queries[key] for key in keys]
    matches, near_from = index.match(rows), near_thresholds(rows)
    chosen = select(index.slate, matches, block)
    return {
        reader.pk: [
            _pick(choice, reader.pk, index, profiles, keys)
            for choice in in_mail_order(index, matches, near_from, row, most > 0)
        ]
        for reader, row, (_, most) in zip(readers, chosen, block.trending, strict=True)
    }


def in_mail_order(
    index: EditionIndex,
    matches: Matches,
    near_from: Sequence[float],
    choices: Sequence[Choice],
    fills: bool = True,
) -> list[Choice]:
    """Put pins and claimed papers before near ones, and these before what fills the mail.

    The first paper names the mail in the inbox, so it must not be a guess. A paper below
    `near_from` of its interest only fills the mail, after the trending papers; without
    `fills` it is left out.
    """
    named = [_drop_far_interest(choice, matches, near_from) for choice in choices]
    tiers = [
        _tier(choice, index, is_far_match=choice.interest != original.interest)
        for choice, original in zip(named, choices, strict=True)
    ]
    order = sorted(range(len(named)), key=tiers.__getitem__)
    return [named[i] for i in order if fills or tiers[i] < TRENDING_TIER]


def _drop_far_interest(
    choice: Choice, matches: Matches, near_from: Sequence[float]
) -> Choice:
    if choice.interest < 0 or choice.is_claimed:
        return choice
    relevance = matches.relevance[choice.interest, choice.candidate]
    is_near = relevance >= near_from[choice.interest]
    return choice if is_near else choice._replace(interest=TRENDING)


def _tier(choice: Choice, index: EditionIndex, is_far_match: bool) -> int:
    if choice.is_claimed or index.slate.pin[choice.candidate]:
        return 0
    if is_far_match and index.slate.boost[choice.candidate] <= 0:
        return FAR_MATCH_TIER
    return TRENDING_TIER if choice.interest < 0 else 1


def is_weekly(reader: Subscriber) -> bool:
    return reader.frequency == Subscriber.Frequency.WEEKLY


def preview(
    edition: Edition,
    interests: Sequence[Interest],
    length: int = PREVIEW_LENGTH,
    muted: Sequence[Interest] = (),
    excluded: Collection[int] = (),
) -> list[tuple[Candidate, Interest | None, bool]]:
    """Choose for a visitor with these interests, stored or not; stores nothing.

    `excluded` papers are left out. True with papers that are only near their interest.
    """
    columns = [*interests, *muted]
    weights = csr_matrix([[1.0] * len(interests) + [-1.0] * len(muted)])
    index = edition_index.load_index(edition)
    queries = edition_index.build_queries(columns)
    columns_left_out = [i for i, pk in enumerate(index.papers) if pk in excluded]
    block = Block(weights, [columns_left_out], [length])
    matches = index.match(queries)
    choices = select(index.slate, matches, block)[0]
    rows = Candidate.objects.select_related("paper").in_bulk(
        [index.candidates[choice.candidate] for choice in choices]
    )
    return [
        (
            rows[index.candidates[choice.candidate]],
            columns[choice.interest] if choice.interest >= 0 else None,
            choice.interest >= 0 and not choice.is_claimed,
        )
        for choice in in_mail_order(index, matches, near_thresholds(queries), choices)
    ]


def preview_for(edition: Edition, subscriber: Subscriber, now: datetime) -> list[Pick]:
    """Choose what this reader would get now, as for the mail; stores nothing."""
    return choose(edition, [subscriber], now)[subscriber.pk]


def _build_digests(
    batch: Batch, edition: Edition, readers: Sequence[Subscriber], now: datetime
) -> list[Digest]:
    mailable = [each for each in readers if each.is_mailable and not each.is_suppressed]
    picks = choose(edition, mailable, now, store=True)
    digests = []
    for reader in readers:
        digest = Digest(subscriber=reader, edition=edition, batch=batch, created_at=now)
        digest.picks = picks.get(reader.pk, [])
        digest.reason = digest.find_skip_reason()
        if digest.reason:
            digest.outcome = Digest.Outcome.SKIPPED
        digests.append(digest)
    interest_question.add_questions(digests, now)
    return digests


def followers(readers: Iterable[Subscriber]) -> set[int]:
    """Ids of the readers who follow anything.

    Opened papers do not count: a click must not turn ten papers into two.
    """
    follows = Follow.objects.filter(
        subscriber__in=[reader.pk for reader in readers], weight__gt=0
    ).exclude(source=Follow.Source.OPENED)
    return set(follows.values_list("subscriber_id", flat=True))


def _trending_bounds(readers: Sequence[Subscriber]) -> list[tuple[int, int]]:
    """The least and the most trending picks of each reader.

    A reader who follows nothing gets trending papers whatever their fill mode: no paper can
    match, and a service that never mails looks broken.
    """
    following = followers(r for r in readers if r.fill_mode == FillMode.FOLLOWED_ONLY)
    return [_bounds(reader, reader.pk in following) for reader in readers]


def _bounds(reader: Subscriber, follows: bool) -> tuple[int, int]:
    match reader.fill_mode:
        case FillMode.FOLLOWED_ONLY if follows:
            return 0, 0
        case FillMode.HALF:
            return reader.length // 2, reader.length
        case _:
            return 0, reader.length


def _pick(
    choice: Choice,
    reader: int,
    index: EditionIndex,
    profiles: ReaderProfiles,
    keys: Sequence[Key],
) -> Pick:
    candidate = index.candidates[choice.candidate]
    if choice.interest < 0:
        return Pick(candidate, 0)
    row = index.vectors[choice.candidate]
    interest = profiles.nearest_interest(keys[choice.interest], row)
    opened = interest in profiles.opened.get(reader, ())
    return Pick(candidate, interest, opened, not choice.is_claimed)


def exclude_columns(
    index: EditionIndex,
    profiles: ReaderProfiles,
    sent: Mapping[int, Sequence[int]],
    readers: Sequence[Subscriber],
) -> dict[int, set[int]]:
    """The columns of papers that each reader was sent, or asked for more or less of, by reader id."""
    by_candidate = index.load_columns(set().union(*sent.values()))
    by_identifier = index.column_by_identifier
    excluded = dict[int, set[int]]()
    for reader in readers:
        candidates, papers = sent.get(reader.pk, ()), profiles.papers.get(reader.pk, ())
        excluded[reader.pk] = {by_candidate[c] for c in candidates if c in by_candidate}
        excluded[reader.pk] |= {by_identifier[p] for p in papers if p in by_identifier}
    return excluded


def load_sent_candidates(
    edition: Edition, readers: Sequence[Subscriber]
) -> dict[int, list[int]]:
    """The candidates of each reader's digests that this edition could repeat, by reader id.

    Counted in edition days, not hours: a candidate was announced at most 13 days before
    this edition's day, so no earlier edition holds it, however late that was mailed.
    """
    recent = Digest.objects.filter(
        subscriber__any_of=[reader.pk for reader in readers],
        edition__day__gt=edition.day - timedelta(days=CANDIDATE_DAYS),
    ).exclude(outcome=Digest.Outcome.SKIPPED)
    sent = defaultdict[int, list[int]](list)
    for reader, packed_picks in recent.values_list("subscriber_id", "packed_picks"):
        sent[reader] += [pick[0] for pick in PICK.iter_unpack(bytes(packed_picks))]
    return sent
