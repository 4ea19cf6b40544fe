"""What readers open: every click once a day, and each paper's daily sum."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta

from django.db.models import QuerySet

from digest.feedback.picked import picked
from digest.feedback.record import Report, record
from digest.models import Digest, Event, Paper, Signal

SOURCE = "click"
READERS = "readers"  # who measured, in Signal.source

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
    stay append-only.
    """
    over = midnight(now.astimezone(UTC).date())
    waiting = Event.objects.filter(source=SOURCE, acted_at=None, at__lt=over)
    acted = 0
    for day in waiting.datetimes("at", "day", tzinfo=UTC):
        sum_day(day.date())
        acted += of_day(day.date()).filter(acted_at=None).update(acted_at=now)
    return acted


def sum_day(day: date) -> None:
    """One Signal per paper: how many readers opened it that day, measured at the midnight that ended it."""
    # The whole payload: SQLite would hand out the identifier 2401.10000 as a number.
    values = of_day(day).values_list("key", "payload").iterator()
    sums = readers_of((key, payload["paper"]) for key, payload in values)
    papers = Paper.objects.in_bulk(list(sums), field_name="identifier")
    signals = [
        Signal(
            paper=paper,
            source=READERS,
            kind=Signal.Kind.CLICKS,
            value=sums[identifier],
            at=midnight(day + timedelta(days=1)),
        )
        for identifier, paper in papers.items()
    ]
    Signal.objects.bulk_create(
        signals,
        update_conflicts=True,  # a click stored late, at midnight, corrects the sum
        unique_fields=["paper", "source", "kind", "at"],
        update_fields=["value"],
    )


def readers_of(clicks: Iterable[tuple[str, str]]) -> Counter[str]:
    """How many digests each paper was opened from, by pairs of an event's key and its paper; programs left out."""
    opened: defaultdict[str, list[str]] = defaultdict(list)
    for key, paper in clicks:
        opened[key.partition(":")[0]].append(paper)
    people = [papers for papers in opened.values() if len(papers) <= PERSON_OPENS]
    return Counter(paper for papers in people for paper in set(papers))


def of_day(day: date) -> QuerySet[Event]:
    """Every click of that day."""
    begin, end = midnight(day), midnight(day + timedelta(days=1))
    return Event.objects.filter(source=SOURCE, at__gte=begin, at__lt=end)


def midnight(day: date) -> datetime:
    """Where that day begins, in UTC."""
    return datetime.combine(day, time(), UTC)
