"""Daily figures: count an edition's mails and the day's readers once, for the dashboard and reports."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Count, Q
from django.utils import timezone

from accounts.models import Subscriber
from digest.feedback import clicks
from digest.mailer import retention
from digest.models import DailyFigures, Digest, Edition, Event, Paper

# Bounces, complaints and clicks of a mail arrive for days; the nightly task counts again.
RECOUNTED_DAYS = 7
BOUNCE_KINDS = ("bounce", "dropped")


def update_figures(now: datetime, days: int = RECOUNTED_DAYS) -> int:
    """Count the last days again, today included; return the number of days."""
    today = timezone.localdate(now)
    return count_days((today - timedelta(days=n) for n in range(days)), now)


def count_days(days: Iterable[date], now: datetime) -> int:
    """Write the figures of these days; repeated calls give the same rows.

    Days whose digests were deleted keep what was counted while they existed.
    """
    number = 0
    for day in days:
        edition = Edition.objects.filter(day=day).first()
        if edition and retention.is_past_retention(edition, now):
            continue
        figures = count_readers(day, now) | {"papers": count_papers(day)}
        if edition:
            figures |= count_mails(edition)
        DailyFigures.objects.update_or_create(
            day=day, defaults={**figures, "computed_at": now}
        )
        number += 1
    return number


def count_papers(day: date) -> int:
    return Paper.objects.announced_on_day(day).count()


def count_mails(edition: Edition) -> dict[str, int]:
    """Count the edition's digests by outcome, and each kind of event once per digest."""
    Outcome = Digest.Outcome
    outcomes = Digest.objects.filter(edition=edition).count_outcomes()
    digests = Count("digest", distinct=True)
    events = Event.objects.filter(digest__edition=edition).aggregate(
        delivered=Count("digest", distinct=True, filter=Q(kind="delivered")),
        bounced=Count("digest", distinct=True, filter=Q(kind__in=BOUNCE_KINDS)),
        complained=Count("digest", distinct=True, filter=Q(kind="spamreport")),
    )
    opened = Event.objects.filter(digest__edition=edition, source=clicks.SOURCE)
    return {
        "planned": sum(outcomes.values()) - outcomes.get(Outcome.SKIPPED, 0),
        "accepted": outcomes.get(Outcome.ACCEPTED, 0),
        "failed": outcomes.get(Outcome.FAILED, 0),
        "unknown": outcomes.get(Outcome.UNKNOWN, 0),
        **events,
        "clicked": opened.aggregate(number=digests)["number"],
    }


def count_readers(day: date, now: datetime) -> dict[str, int]:
    """Count who confirmed and who left on a day of the site's time zone."""
    start, end = day_bounds(day)
    confirmed = Subscriber.objects.filter(confirmed_at__gte=start, confirmed_at__lt=end)
    left = Subscriber.objects.filter(left_at__gte=start, left_at__lt=end)
    figures = {"gained": confirmed.count(), "lost": left.count()}
    # Only today's number is known: the table has no history.
    if start <= now < end:
        active = Subscriber.objects.filter(state=Subscriber.State.ACTIVE)
        figures["active"] = active.count()
    return figures


def day_bounds(day: date) -> tuple[datetime, datetime]:
    zone = ZoneInfo(settings.TIME_ZONE)
    midnight = datetime.min.time()
    return (
        datetime.combine(day, midnight, tzinfo=zone),
        datetime.combine(day + timedelta(days=1), midnight, tzinfo=zone),
    )


def load_figures(last: date, days: int) -> list[DailyFigures]:
    """The rows of `days` days up to `last`, oldest first; empty ones where none is stored."""
    first = last - timedelta(days=days - 1)
    rows = {
        row.day: row for row in DailyFigures.objects.filter(day__range=(first, last))
    }
    span = [first + timedelta(days=n) for n in range(days)]
    return [rows.get(day) or DailyFigures(day=day) for day in span]


COUNTED = (
    *("papers", "planned", "accepted", "failed", "unknown", "delivered"),
    *("bounced", "complained", "clicked", "gained", "lost"),
)


def sum_figures(rows: Iterable[DailyFigures]) -> dict[str, int]:
    listed = list(rows)
    return {name: sum(getattr(row, name) for row in listed) for name in COUNTED}


def report(last: date, days: int) -> dict[str, Any]:
    """The figures of some days as plain values, for JSON."""
    rows = load_figures(last, days)
    return {
        "from": rows[0].day.isoformat(),
        "until": last.isoformat(),
        "total": sum_figures(rows),
        "days": [
            {"day": row.day.isoformat(), "active": row.active}
            | {name: getattr(row, name) for name in COUNTED}
            for row in rows
        ],
    }
