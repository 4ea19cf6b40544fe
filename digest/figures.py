"""Daily figures: count an edition's mails and the day's readers once, for the dashboard and reports.

On Mondays staff are mailed the figures of the week before, through the outbox of account
mails.
"""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Count, Q, Sum
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format

from accounts.models import AccountMail, Subscriber, User
from accounts.tasks import queue_mail
from digest import topic_figures
from digest.feedback import clicks
from digest.mailer import retention
from digest.models import AttentionSample, DailyFigures, Digest, Edition, Event, Paper

# Bounces, complaints and clicks of a mail arrive for days; the nightly task counts again.
RECOUNTED_DAYS = 7
BOUNCE_KINDS = ("bounce", "dropped")
WEEK_DAYS, MOST_OPENED = 7, 5
REPORT_HOUR = 7  # of Monday, in the site's time zone; after an outage on Tuesday
# Figures of the weekly report, as mails name them.
REPORTED = {
    "papers": "Papers announced",
    "accepted": "Mails accepted",
    "delivered": "Delivered",
    "bounced": "Bounced",
    "complained": "Complained",
    "clicked": "Opened a link",
    "gained": "Readers gained",
    "lost": "Readers lost",
}


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
            topic_figures.count_topics(edition)
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


def load_most_opened(last: date, days: int) -> list[tuple[Paper, int]]:
    """The papers that most readers opened in these days (UTC), and how many did each day, summed."""
    end = clicks.midnight(last + timedelta(days=1))
    samples = AttentionSample.objects.filter(
        source=clicks.READERS,
        kind=AttentionSample.Kind.CLICKS,
        at__gt=end - timedelta(days=days),
        at__lte=end,
    )
    totals = samples.values_list("paper").annotate(total=Sum("value"))
    rows = list(totals.order_by("-total", "paper")[:MOST_OPENED])
    papers = Paper.objects.defer("vector", "dense_vector").in_bulk([r[0] for r in rows])
    return [(papers[pk], total) for pk, total in rows]


def report(last: date, days: int) -> dict[str, Any]:
    """The figures of some days as plain values, for JSON."""
    rows = load_figures(last, days)
    return {
        "from": rows[0].day.isoformat(),
        "until": last.isoformat(),
        "total": sum_figures(rows),
        "most_opened": [
            {"id": paper.identifier, "title": paper.display_title, "readers": number}
            for paper, number in load_most_opened(last, days)
        ],
        "days": [
            {"day": row.day.isoformat(), "active": row.active}
            | {name: getattr(row, name) for name in COUNTED}
            for row in rows
        ],
    }


def queue_weekly_reports(now: datetime) -> int:
    """Queue the report of the week before, once for each of the staff who want it; return their number."""
    local = timezone.localtime(now)
    monday = local.date() - timedelta(days=local.weekday())
    if local.weekday() > 1 or (local.weekday() == 0 and local.hour < REPORT_HOUR):
        return 0
    unsent = Q(report_sent_on=None) | Q(report_sent_on__lt=monday)
    waiting = list(User.objects.wants_report().filter(unsent).order_by("pk"))
    payload = weekly_payload(monday - timedelta(days=1)) if waiting else {}
    claimed = [
        user
        for user in waiting
        if User.objects.filter(unsent, pk=user.pk).update(report_sent_on=local.date())
    ]
    for user in claimed:
        queue_mail(AccountMail.Kind.STAFF_REPORT, user.email, payload=payload)
    return len(claimed)


def weekly_payload(sunday: date) -> dict[str, Any]:
    rows = load_figures(sunday, 2 * WEEK_DAYS)
    before, week = sum_figures(rows[:WEEK_DAYS]), sum_figures(rows[WEEK_DAYS:])
    monday = sunday - timedelta(days=WEEK_DAYS - 1)
    return {
        "period": f"{date_format(monday, 'j F')} to {date_format(sunday, 'j F Y')}",
        "numbers": [
            [label, week[name], before[name]] for name, label in REPORTED.items()
        ],
        "papers": [
            [paper.display_title, reverse("paper", args=[paper.identifier]), number]
            for paper, number in load_most_opened(sunday, WEEK_DAYS)
        ],
    }
