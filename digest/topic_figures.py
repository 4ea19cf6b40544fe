"""Figures of topics: papers picked for each, opened and disliked, by the day of the edition."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from digest.feedback import clicks
from digest.models import Digest, Edition, Event, Follow, Interest, Topic, TopicFigures
from digest.models.digests import PICK, Pick, decode_picks

CHUNK_ROWS = 5_000  # digests read together
SHOWN_DAYS = 30

Kind = Interest.Kind


def count_topics(edition: Edition) -> int:
    """Write the figures of each topic on one day; return the number of topics with picks.

    Repeated calls give the same rows. An open edition has no digests.
    """
    if edition.is_open:
        return 0
    names = Interest.objects.filter(kind=Kind.TOPIC).values_list("pk", "value")
    slug_of_interest = dict(names)
    picks = count_picks(edition)
    opened = Counter(pick.interest for pick in iterate_opened(edition))
    disliked = Counter(pick.interest for pick in iterate_disliked(edition))
    topic_ids = dict(Topic.objects.values_list("slug", "pk"))
    rows = [
        TopicFigures(
            topic_id=topic_ids[slug],
            day=edition.day,
            picks=picks[interest],
            clicks=opened[interest],
            disliked=disliked[interest],
        )
        for interest, slug in slug_of_interest.items()
        if picks[interest] and slug in topic_ids
    ]
    TopicFigures.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["topic", "day"],
        update_fields=["picks", "clicks", "disliked"],
    )
    return len(rows)


def count_picks(edition: Edition) -> Counter[int]:
    """The number of picks for each interest in the edition's accepted digests."""
    accepted = edition.digests.filter(outcome=Digest.Outcome.ACCEPTED)
    columns = accepted.order_by().values_list("packed_picks", flat=True)
    numbers: Counter[int] = Counter()
    for column in columns.iterator(chunk_size=CHUNK_ROWS):
        numbers.update(interest for _, interest, _ in PICK.iter_unpack(bytes(column)))
    return numbers


def iterate_opened(edition: Edition) -> Iterator[Pick]:
    """Yield each pick that its reader opened, once; scanners that open every link are left out."""
    events = Event.objects.filter(digest__edition=edition, source=clicks.SOURCE)
    links: defaultdict[int, list[str]] = defaultdict(list)
    for digest_id, payload in events.values_list("digest", "payload").iterator():
        links[digest_id].append(payload.get("paper", ""))
    rows = Digest.objects.filter(pk__in=events.values("digest"))
    yield from match_picks(
        edition,
        [
            (set(links[pk]), column)
            for pk, column in rows.values_list("pk", "packed_picks").iterator()
            if len(links[pk]) <= clicks.MAX_LINKS_OF_A_PERSON
        ],
    )


def iterate_disliked(edition: Edition) -> Iterator[Pick]:
    """Yield each pick of which its reader wanted less since the edition froze."""
    opinions = Follow.objects.filter(
        source=Follow.Source.FEEDBACK,
        weight__lte=0,
        interest__kind=Kind.PAPER,
        created_at__gte=edition.frozen_at,
    )
    papers: defaultdict[int, set[str]] = defaultdict(set)
    for reader, paper in opinions.values_list("subscriber", "interest__value"):
        papers[reader].add(paper)
    rows = edition.digests.filter(subscriber__in=opinions.values("subscriber"))
    columns = rows.values_list("subscriber", "packed_picks")
    yield from match_picks(edition, [(papers[pk], column) for pk, column in columns])


def match_picks(
    edition: Edition, digests: list[tuple[set[str], bytes | memoryview]]
) -> Iterator[Pick]:
    """Yield the picks of some digests whose papers are among those given with each."""
    if not digests:
        return
    identifiers = dict(edition.candidates.values_list("pk", "paper__identifier"))
    for papers, column in digests:
        for pick in decode_picks(column):
            if identifiers.get(pick.candidate) in papers:
                yield pick


def annotate_figures(topics: QuerySet[Any], today: date) -> QuerySet[Any]:
    """Annotate topics with their picks, clicks and dislikes of the last SHOWN_DAYS."""
    recent = TopicFigures.objects.filter(
        topic=OuterRef("pk"), day__gt=today - timedelta(days=SHOWN_DAYS)
    )
    for name in ("picks", "clicks", "disliked"):
        total = recent.values("topic").annotate(n=Sum(name)).values("n")
        topics = topics.annotate(**{f"{name}_sum": Coalesce(Subquery(total), 0)})
    return topics
