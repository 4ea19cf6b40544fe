"""What readers open: every click once a day, each paper's daily sum, and what it says of the reader."""

from collections import Counter, defaultdict
from datetime import UTC, date, datetime, time, timedelta

from django.db.models import QuerySet

from digest.feedback import implicit_follows
from digest.feedback.picked import picked
from digest.feedback.record import Report, record
from digest.models import AttentionSample, Digest, Event, Paper

SOURCE = "click"
READERS = "readers"  # who measured, in AttentionSample.source

# Programs that check mail open every link of it. A digest of ten has fifty links
# and more; a person opens a few.
PERSON_OPENS = 15


def click(digest: Digest, number: int, verb: str, now: datetime) -> None:
    """Remember that a reader opened the `verb` link of pick `number`; again that day changes nothing."""
    candidate = picked(digest, number)
    if candidate is None:
        return
    day = now.astimezone(UTC).date()
    report = Report(
        kind="click",
        key=f"{digest.key}:{number}:{verb}:{day}",
        digest_key=digest.key,
        payload={"paper": candidate.paper.identifier, "verb": verb},
    )
    record([report], SOURCE, now)


def sum_up(now: datetime) -> int:
    """Write the sums of every day (UTC) that is over and has clicks waiting; how many clicks they were.

    Clicks wait until their day is over, so that a sum is written once and signals
    stay append-only, and that a program which opened every link is known for what it is.
    """
    over = midnight(now.astimezone(UTC).date())
    waiting = Event.objects.filter(source=SOURCE, acted_at=None, at__lt=over)
    acted = 0
    for day in waiting.datetimes("at", "day", tzinfo=UTC):
        sum_day(day.date())
        learn_day(day.date())
        acted += of_day(day.date()).filter(acted_at=None).update(acted_at=now)
    return acted


def sum_day(day: date) -> None:
    """One AttentionSample per paper: how many readers opened it that day, measured at the midnight that ended it."""
    by_people = opened_by_people(day).values()
    sums = Counter(paper for papers in by_people for paper in papers)
    papers = Paper.objects.in_bulk(list(sums), field_name="identifier")
    signals = [
        AttentionSample(
            paper=paper,
            source=READERS,
            kind=AttentionSample.Kind.CLICKS,
            value=sums[identifier],
            at=midnight(day + timedelta(days=1)),
        )
        for identifier, paper in papers.items()
    ]
    AttentionSample.objects.bulk_create(
        signals,
        update_conflicts=True,  # a click stored late, at midnight, corrects the sum
        unique_fields=["paper", "source", "kind", "at"],
        update_fields=["value"],
    )


def learn_day(day: date) -> None:
    """What the readers whose clicks still wait opened that day is a weak sign of what they like.

    What was learned before is not learned again: they may have removed it since.
    """
    waiting = of_day(day).filter(acted_at=None).values_list("key", flat=True)
    digests = {key.partition(":")[0] for key in waiting.iterator()}
    found = opened_by_people(day).items()
    fresh = {key: papers for key, papers in found if key in digests}
    implicit_follows.learn(fresh, midnight(day + timedelta(days=1)))


def opened_by_people(day: date) -> dict[str, set[str]]:
    """The papers opened that day, by the key of the digest; programs that open every link left out."""
    links: defaultdict[str, list[str]] = defaultdict(list)
    # The whole payload: SQLite would hand out the identifier 2401.10000 as a number.
    for key, payload in of_day(day).values_list("key", "payload").iterator():
        links[key.partition(":")[0]].append(payload["paper"])
    return {
        key: set(papers) for key, papers in links.items() if len(papers) <= PERSON_OPENS
    }


def of_day(day: date) -> QuerySet[Event]:
    """Every click of that day."""
    begin, end = midnight(day), midnight(day + timedelta(days=1))
    return Event.objects.filter(source=SOURCE, at__gte=begin, at__lt=end)


def midnight(day: date) -> datetime:
    """Where that day begins, in UTC."""
    return datetime.combine(day, time(), UTC)
