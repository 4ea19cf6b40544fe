"""Ask a reader whose digests are mostly filler, once and in the mail, for better interests.

The question and the topics that it suggests are stored on the digest, so that the mail is
the same when it is rebuilt, and its day on the reader, so that it is not repeated when
old digests are deleted.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from accounts.models import Subscriber
from digest.models import Candidate, Digest, Follow, Interest, Pick, Topic
from digest.models.digests import decode_picks

# A few days of fillers are chance: 7 of 10 papers in each of three digests.
DIGESTS_JUDGED = 3
FILLER_SHARE = 0.7
# Three weekly digests, with a day for a later hour.
JUDGED_PERIOD = timedelta(days=15)
MAX_SUGGESTIONS = 3


def is_filler(pick: Pick, pinned: Iterable[int]) -> bool:
    """Whether only its trend or newness chose it: its reason is "Trending …" or "New in …"."""
    return not pick.interest and pick.candidate not in pinned


def should_ask(digests: Sequence[Sequence[bool]]) -> bool:
    """Decide by a reader's newest digests, newest first: for each pick, whether it is a filler."""
    judged = digests[:DIGESTS_JUDGED]
    return len(judged) == DIGESTS_JUDGED and all(map(is_mostly_filler, judged))


def is_mostly_filler(fillers: Sequence[bool]) -> bool:
    return bool(fillers) and sum(fillers) >= FILLER_SHARE * len(fillers)


def rank_suggestions(
    opened: Iterable[Topic], matched: Iterable[Topic], followed: Iterable[str]
) -> list[str]:
    """Name the most frequent topics of opened papers, then of matched ones, that are not followed."""
    excluded, names = set(followed), list[str]()
    for topics in (opened, matched):
        counts = Counter(topic for topic in topics if topic.slug not in excluded)
        ordered = sorted(counts, key=lambda t: (-counts[t], t.position, t.name))
        names += [topic.name for topic in ordered]
        excluded |= {topic.slug for topic in ordered}
    return names[:MAX_SUGGESTIONS]


def add_questions(digests: Sequence[Digest], now: datetime) -> None:
    """Set `suggested_topics` on those of these new digests that ask; stores nothing.

    No query where no digest is mostly filler or its reader was asked before.
    """
    unasked = [
        digest
        for digest in digests
        if digest.packed_picks and digest.subscriber.interests_asked_on is None
        # Pins are not known yet, and count as fillers here; should_ask decides.
        if is_mostly_filler([is_filler(pick, ()) for pick in digest.picks])
    ]
    if not unasked:
        return
    picks = {
        digest.subscriber_id: [digest.picks, *earlier]
        for digest, earlier in zip(
            unasked, load_earlier_picks(unasked, now), strict=True
        )
        if len(earlier) >= DIGESTS_JUDGED - 1
    }
    pinned = load_pinned(
        pick for each in picks.values() for row in each for pick in row
    )
    asked = {
        reader: each
        for reader, each in picks.items()
        if should_ask([[is_filler(pick, pinned) for pick in row] for row in each])
    }
    suggestions = load_suggestions(asked) if asked else {}
    for digest in unasked:
        digest.suggested_topics = suggestions.get(digest.subscriber_id)


def record_questions(digests: Sequence[Digest], now: datetime) -> None:
    """Store on the readers of those of these digests that ask when they were asked."""
    asked = [d.subscriber_id for d in digests if d.suggested_topics is not None]
    if asked:
        readers = Subscriber.objects.filter(pk__in=asked)
        readers.update(interests_asked_on=now.date())


def load_earlier_picks(
    digests: Sequence[Digest], now: datetime
) -> list[list[list[Pick]]]:
    """Return the picks of the mails that each digest's reader got before it, newest first."""
    rows = Digest.objects.sent().filter(
        subscriber__in=[digest.subscriber_id for digest in digests],
        created_at__gt=now - JUDGED_PERIOD,
    )
    by_reader = defaultdict[int, list[bytes | memoryview]](list)
    for reader, packed in rows.order_by("-created_at", "-pk").values_list(
        "subscriber", "packed_picks"
    ):
        if len(by_reader[reader]) < DIGESTS_JUDGED - 1:
            by_reader[reader].append(packed)
    return [
        [decode_picks(packed) for packed in by_reader[digest.subscriber_id]]
        for digest in digests
    ]


def load_pinned(picks: Iterable[Pick]) -> set[int]:
    ids = {pick.candidate for pick in picks if not pick.interest}
    rows = Candidate.objects.filter(pk__in=ids, pin__isnull=False)
    return set(rows.values_list("pk", flat=True))


def load_suggestions(
    picks: Mapping[int, Sequence[Sequence[Pick]]],
) -> dict[int, list[str]]:
    """Return the topics to suggest, by reader; `picks` are those of their judged digests."""
    kinds = (Interest.Kind.TOPIC, Interest.Kind.PAPER)
    follows = Follow.objects.filter(subscriber__in=picks, interest__kind__in=kinds)
    followed, opened = defaultdict[int, set[str]](set), defaultdict[int, set[str]](set)
    for reader, kind, value, source in follows.values_list(
        "subscriber", "interest__kind", "interest__value", "source"
    ):
        if kind == Interest.Kind.TOPIC:
            followed[reader].add(value)  # muted ones too
        elif source == Follow.Source.OPENED:
            opened[reader].add(value)
    matched = {
        reader: {pick.candidate for row in rows for pick in row if pick.interest}
        for reader, rows in picks.items()
    }
    papers = dict(
        Candidate.objects.filter(pk__in=set().union(*matched.values())).values_list(
            "pk", "paper__identifier"
        )
    )
    topics = load_topics(set(papers.values()).union(*opened.values()))
    return {
        reader: rank_suggestions(
            [topic for paper in opened[reader] for topic in topics[paper]],
            [
                topic
                for candidate in matched[reader] & papers.keys()
                for topic in topics[papers[candidate]]
            ],
            followed[reader],
        )
        for reader in picks
    }


def load_topics(papers: set[str]) -> dict[str, list[Topic]]:
    """Return the listed topics of papers, by identifier."""
    rows = Topic.papers.through.objects.filter(
        paper__identifier__in=papers, topic__is_listed=True
    ).select_related("topic", "paper")
    topics = defaultdict[str, list[Topic]](list)
    for row in rows.only(
        "topic__name", "topic__slug", "topic__position", "paper__identifier"
    ):
        topics[row.paper.identifier].append(row.topic)
    return topics
