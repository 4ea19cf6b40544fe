"""Clicks: stored once a day per link, summed per paper, and learned from."""

from collections import Counter, defaultdict
from datetime import UTC, date, datetime, time, timedelta

from django.db.models import QuerySet

from digest.feedback import implicit_follows
from digest.feedback.record import Report, record_reports
from digest.models import AttentionSample, Digest, Event, Paper

SOURCE = "click"
READERS = "readers"  # AttentionSample.source of the daily sums

# Security scanners open every link of a mail, fifty and more for a digest of ten; a
# person opens a few.
MAX_LINKS_OF_A_PERSON = 15


def record_click(digest: Digest, number: int, verb: str, now: datetime) -> None:
    """Store that the `verb` link of pick `number` was opened, once per day (UTC)."""
    candidate = digest.candidate_at(number)
    if candidate is None:
        return
    day = now.astimezone(UTC).date()
    report = Report(
        kind="click",
        key=f"{digest.key}:{number}:{verb}:{day}",
        digest_key=digest.key,
        payload={"paper": candidate.paper.identifier, "verb": verb},
    )
    record_reports([report], SOURCE, now)


def sum_finished_days(now: datetime) -> int:
    """Process the clicks of every finished day (UTC) and return their number.

    Clicks wait until their day is over: a sum is then written once, attention samples
    stay append-only, and a scanner that opened every link is recognised.
    """
    today = midnight(now.astimezone(UTC).date())
    waiting = Event.objects.filter(source=SOURCE, processed_at=None, at__lt=today)
    processed = 0
    for moment in waiting.datetimes("at", "day", tzinfo=UTC):
        day = moment.date()
        store_daily_sums(day)
        learn_from_day(day)
        pending = clicks_of_day(day).filter(processed_at=None)
        processed += pending.update(processed_at=now)
    return processed


def store_daily_sums(day: date) -> None:
    """Write one AttentionSample per paper: how many readers opened it, at the end of that day."""
    opened = papers_opened_by_people(day).values()
    counts = Counter(paper for papers in opened for paper in papers)
    papers = Paper.objects.in_bulk(list(counts), field_name="identifier")
    samples = [
        AttentionSample(
            paper=paper,
            source=READERS,
            kind=AttentionSample.Kind.CLICKS,
            value=counts[identifier],
            at=midnight(day + timedelta(days=1)),
        )
        for identifier, paper in papers.items()
    ]
    AttentionSample.objects.bulk_create(
        samples,
        update_conflicts=True,  # a click stored just after midnight corrects the sum
        unique_fields=["paper", "source", "kind", "at"],
        update_fields=["value"],
    )


def learn_from_day(day: date) -> None:
    """Learn weak follows from that day's clicks of readers with pending clicks.

    Clicks that were processed before are not learned again: the reader may have removed
    the follow since.
    """
    pending = clicks_of_day(day).filter(processed_at=None)
    keys = pending.values_list("key", flat=True)
    digests = {key.partition(":")[0] for key in keys.iterator()}
    opened = {
        key: papers
        for key, papers in papers_opened_by_people(day).items()
        if key in digests
    }
    implicit_follows.learn_follows(opened, midnight(day + timedelta(days=1)))


def papers_opened_by_people(day: date) -> dict[str, set[str]]:
    """Return the papers opened that day by digest key, without scanners."""
    clicks: defaultdict[str, list[str]] = defaultdict(list)
    # The whole payload: SQLite would return the identifier 2401.10000 as a number.
    for key, payload in clicks_of_day(day).values_list("key", "payload").iterator():
        clicks[key.partition(":")[0]].append(payload["paper"])
    return {
        key: set(papers)
        for key, papers in clicks.items()
        if len(papers) <= MAX_LINKS_OF_A_PERSON
    }


def clicks_of_day(day: date) -> QuerySet[Event]:
    start, end = midnight(day), midnight(day + timedelta(days=1))
    return Event.objects.filter(source=SOURCE, at__gte=start, at__lt=end)


def midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
