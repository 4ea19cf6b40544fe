"""Circuit breaker: pauses all sending during outages and when too many mails fail or bounce.

An automatic pause tests itself: after a while one digest is sent, and if the provider
accepts it, sending resumes. Failures of one recipient domain do not pause the others.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog
from django.db.models import F, Max, Q, Sum
from django.utils import timezone

from digest.models import Batch, Digest, Event, SendingPause
from digest.models.digests import DatabaseNow

log = structlog.get_logger(__name__)

# Consecutive failed or unknown digests of one worker: the provider is broken, and each
# further mail would be one more of unknown outcome.
MAX_CONSECUTIVE_FAILURES = 20
# Consecutive temporary refusals of a batch, within three minutes, while no worker had a
# mail accepted: the provider is down.
OUTAGE_ATTEMPTS, OUTAGE_WINDOW = 3, timedelta(minutes=5)
# The share that may fail within the window. A healthy list has less than 2 %; below the
# minimum number of digests a share means nothing.
FAILURE_WINDOW, MAX_FAILURE_SHARE, MIN_SENT_FOR_FAILURES = (
    timedelta(minutes=15),
    0.1,
    200,
)
# Older digests, which only an operator sends again, do not count.
MAX_DIGEST_AGE = timedelta(days=7)
# The share that may bounce within the window: at 5 % providers begin to suspend accounts.
BOUNCE_WINDOW, MAX_BOUNCE_SHARE, MIN_SENT_FOR_BOUNCES = timedelta(hours=1), 0.05, 200
# From this share on, failures in a single domain are that domain's problem.
ONE_DOMAIN_SHARE = 0.9
# The first test of an automatic pause; the interval doubles up to the maximum.
PROBE_INTERVAL, MAX_PROBE_INTERVAL = timedelta(minutes=1), timedelta(minutes=15)


def pause_sending(reason: str, tests_itself: bool = True) -> None:
    """Pause all sending until a test succeeds, or until an operator resumes it."""
    now = timezone.now()
    probe_at = now + PROBE_INTERVAL if tests_itself else None
    if SendingPause.objects.trigger(reason, now, probe_at=probe_at):
        log.error("sending paused", reason=reason, tests_itself=tests_itself)


# Testing whether an automatic pause can end


def take_probe() -> SendingPause | None:
    """Return the automatic pause that is due for a test, to one worker at a time."""
    due = SendingPause.objects.in_force().filter(
        edition=None, is_automatic=True, probe_at__lte=timezone.now()
    )
    for pause in due:
        interval = min(
            PROBE_INTERVAL * 2 ** min(pause.probes + 1, 8), MAX_PROBE_INTERVAL
        )
        taken = due.filter(pk=pause.pk, probe_at=pause.probe_at).update(
            probe_at=timezone.now() + interval, probes=F("probes") + 1
        )
        if taken:
            return pause
    return None


def finish_probe(pause: SendingPause, is_accepted: bool, detail: str) -> None:
    """End the pause if the provider accepted the test digest, and log the result."""
    if is_accepted:
        SendingPause.objects.filter(pk=pause.pk).release(timezone.now())
        log.warning("sending resumed: a test digest was accepted", reason=pause.reason)
    else:
        log.warning(
            "sending stays paused: a test digest was not accepted", detail=detail
        )


# Reasons to pause


def check_outage(batch: Batch, detail: str) -> None:
    """Pause sending if the provider has refused this batch for minutes and accepted no other mail."""
    if batch.attempts < OUTAGE_ATTEMPTS:
        return
    recent = DatabaseNow() - OUTAGE_WINDOW
    if not Batch.objects.filter(
        released_at__gt=recent, accepted_at__gt=recent
    ).exists():
        pause_sending(f"the provider is unavailable: {detail}")


def check_failure_rates(now: datetime) -> None:
    start = window_start(now - FAILURE_WINDOW)
    failures, sent = failures_by_domain(start), count_sent(start)
    if sent >= MIN_SENT_FOR_FAILURES and failures.total() > sent * MAX_FAILURE_SHARE:
        text = f"digests failed or are unknown within {FAILURE_WINDOW}"
        pause_unless_one_domain(failures, start, text)
    start = window_start(now - BOUNCE_WINDOW)
    bounces, sent = bounces_by_domain(start), count_sent(start)
    if sent >= MIN_SENT_FOR_BOUNCES and bounces.total() > sent * MAX_BOUNCE_SHARE:
        text = f"mails bounced within {BOUNCE_WINDOW}"
        # A test digest would be accepted and would show nothing about bounces.
        pause_unless_one_domain(bounces, start, text, tests_itself=False)


def pause_unless_one_domain(
    counts: Counter[str], start: datetime, text: str, tests_itself: bool = True
) -> None:
    domain = failing_domain(counts)
    if domain and has_accepted_elsewhere(domain, start):
        log.error("one domain refuses our mail", domain=domain, count=counts[domain])
    else:
        pause_sending(f"{counts.total()} {text}", tests_itself)


def failing_domain(counts: Mapping[str, int]) -> str:
    """Return the domain that has nearly all of these failures, "" if there is none."""
    domain, number = Counter(counts).most_common(1)[0]
    return domain if number >= ONE_DOMAIN_SHARE * sum(counts.values()) else ""


def has_accepted_elsewhere(domain: str, start: datetime) -> bool:
    recent = Batch.objects.filter(
        Q(released_at__gt=start) | Q(state=Batch.State.SENDING)
    )
    accepted = Digest.objects.filter(
        batch__in=recent, outcome=Digest.Outcome.ACCEPTED, outcome_at__gt=start
    )
    return accepted.exclude(subscriber__email__endswith=f"@{domain}").exists()


def window_start(start: datetime) -> datetime:
    """Begin no earlier than the last resumption: what was before has been dealt with."""
    resumed_at = SendingPause.objects.aggregate(at=Max("released_at"))["at"]
    return max(start, resumed_at) if resumed_at else start


def count_sent(start: datetime) -> int:
    """Approximate number of digests sent since `start`, including batches in progress.

    Failures in other workers' batches count at once, so their successes must, too.
    """
    recent = Q(released_at__gt=start) | Q(state=Batch.State.SENDING)
    return Batch.objects.filter(recent).aggregate(n=Sum("last_position"))["n"] or 0


def failures_by_domain(start: datetime) -> Counter[str]:
    """Count failed and unknown digests by recipient domain; refused recipients are not our failure."""
    failures = Digest.objects.went_wrong(start - MAX_DIGEST_AGE)
    failures = failures.filter(outcome_at__gt=start)
    failures = failures.exclude(reason=Digest.Reason.RECIPIENT)
    emails = failures.values_list("subscriber__email", flat=True)
    return Counter(map(domain_of, emails.iterator()))


def bounces_by_domain(start: datetime) -> Counter[str]:
    bounces = Event.objects.filter(
        kind__in=["bounce", "dropped"], received_at__gt=start
    ).exclude(digest=None)
    emails = bounces.values_list("digest__subscriber__email", flat=True)
    return Counter(map(domain_of, emails.iterator()))


def domain_of(email: str) -> str:
    return email.rpartition("@")[2].lower()
