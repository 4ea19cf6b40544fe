"""Circuit breaker: pauses all sending when too many mails fail, or too many bounce."""

from datetime import datetime, timedelta

import structlog
from django.db.models import Max, Q, Sum

from digest.models import Batch, Digest, Event, SendingPause

log = structlog.get_logger(__name__)

# Consecutive failed or unknown digests of one worker: the provider is broken, and each
# further mail would be one more of unknown outcome.
MAX_CONSECUTIVE_FAILURES = 20
# The share that may fail within the window. A healthy list has less than 2 %; below the
# minimum number of digests a share means nothing.
FAILURE_WINDOW, MAX_FAILURE_SHARE, MIN_SENT_FOR_FAILURES = (
    timedelta(minutes=15),
    0.1,
    200,
)
# The share that may bounce within the window: at 5 % providers begin to suspend accounts.
BOUNCE_WINDOW, MAX_BOUNCE_SHARE, MIN_SENT_FOR_BOUNCES = timedelta(hours=1), 0.05, 200


def pause_sending(reason: str, now: datetime) -> None:
    """Pause all sending until an operator resumes it."""
    if SendingPause.objects.trigger(reason, now):
        log.error("sending paused", reason=reason)


def check_failure_rates(now: datetime) -> None:
    """Pause sending if too many mails failed or bounced since it was last resumed."""
    start = window_start(now - FAILURE_WINDOW)
    failures, sent = count_failures(start), count_sent(start)
    if sent >= MIN_SENT_FOR_FAILURES and failures > sent * MAX_FAILURE_SHARE:
        pause_sending(
            f"{failures} digests failed or are unknown within {FAILURE_WINDOW}", now
        )
    start = window_start(now - BOUNCE_WINDOW)
    bounces, sent = count_bounces(start), count_sent(start)
    if sent >= MIN_SENT_FOR_BOUNCES and bounces > sent * MAX_BOUNCE_SHARE:
        pause_sending(f"{bounces} mails bounced within {BOUNCE_WINDOW}", now)


def window_start(start: datetime) -> datetime:
    """Begin no earlier than the last resumption: the operator has seen what was before."""
    resumed_at = SendingPause.objects.aggregate(at=Max("released_at"))["at"]
    return max(start, resumed_at) if resumed_at else start


def count_sent(start: datetime) -> int:
    """Approximate number of digests sent since `start`, including batches in progress.

    Failures in other workers' batches count at once, so their successes must, too.
    """
    recent = Q(released_at__gt=start) | Q(state=Batch.State.SENDING)
    return Batch.objects.filter(recent).aggregate(n=Sum("last_position"))["n"] or 0


def count_failures(start: datetime) -> int:
    outcomes = (Digest.Outcome.FAILED, Digest.Outcome.UNKNOWN)
    return Digest.objects.filter(outcome__in=outcomes, outcome_at__gt=start).count()


def count_bounces(start: datetime) -> int:
    bounces = Event.objects.filter(
        kind__in=["bounce", "dropped"], received_at__gt=start
    )
    return bounces.exclude(digest=None).count()
