"""Record the results of calls: digests accepted, failed, unknown, or to be tried again."""

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import structlog
from django.db import InterfaceError, OperationalError, connection

from accounts.models import Suppression
from digest.mailer.transports import Result, ResultState
from digest.models import Digest, bulk
from digest.models.digests import DatabaseNow

log = structlog.get_logger(__name__)

# A recipient's server may refuse temporarily so often, over a quarter hour, until the
# digest fails. Refusals that concern all mail never fail a digest: it waits until its
# edition expires.
MAX_RECIPIENT_REFUSALS = 5
# A restart of PostgreSQL takes a few seconds; outcomes wait for it, well below the lease.
RECORD_RETRY_S, RECORD_RETRY_PAUSE_S = 20.0, 0.5

# RFC 3463: the mailbox, the domain or the address syntax does not exist.
NO_SUCH_ADDRESS = re.compile(r"\b5\.1\.[123]\b")

Outcome = Digest.Outcome
Reason = Digest.Reason


@dataclass
class DeliveryCounts:
    """How many digests of a batch had which outcome."""

    accepted: int = 0
    failed: int = 0
    unknown: int = 0
    skipped: int = 0
    waiting: int = 0
    failing_domains: list[str] = field(default_factory=list)  # since the last success


def must_retry(digest: Digest, result: Result) -> bool:
    """Whether this refusal is temporary: always if it concerns all mail, for a while if it concerns the recipient."""
    if result.is_recipient and digest.refusals + 1 >= MAX_RECIPIENT_REFUSALS:
        return False
    return result.retry


def retry_while_database_is_down(write: Callable[[], None]) -> None:
    """Write outcomes, which a restart of the database must not lose; writing them twice changes nothing."""
    deadline = time.monotonic() + RECORD_RETRY_S
    while True:
        try:
            return write()
        except (OperationalError, InterfaceError) as error:
            if connection.in_atomic_block or time.monotonic() > deadline:
                raise
            log.warning("database is down, outcomes wait", error=str(error))
            connection.close()
            time.sleep(RECORD_RETRY_PAUSE_S)


def postpone_digests(postponed: Iterable[tuple[Digest, Result]]) -> None:
    """Record temporary refusals."""
    for digest, result in postponed:
        Digest.objects.filter(pk=digest.pk).update(
            provider_detail=clean_detail(result.detail), refusals=digest.refusals + 1
        )
    for digest, _ in postponed:
        digest.refusals += 1


def record_results(
    results: Iterable[tuple[Digest, Result]], counts: DeliveryCounts
) -> None:
    """Store outcomes, unless an event of the provider has settled them already."""
    by_state: dict[ResultState, list[tuple[Digest, Result]]] = {}
    for digest, result in results:
        by_state.setdefault(result.state, []).append((digest, result))
    accepted = by_state.get(ResultState.ACCEPTED, [])
    refused_ones = by_state.get(ResultState.REFUSED, [])
    unknown_ones = by_state.get(ResultState.UNKNOWN, [])
    bulk.record_accepted(
        [(digest.pk, result.message_id[:120]) for digest, result in accepted]
    )
    for digest, result in refused_ones:
        record_refusal(digest, result)
    for digest, result in unknown_ones:
        Digest.objects.pending().filter(pk=digest.pk).update(
            outcome=Outcome.UNKNOWN,
            provider_detail=clean_detail(result.detail),
            outcome_at=DatabaseNow(),
        )
    counts.accepted += len(accepted)
    counts.failed += len(refused_ones)
    counts.unknown += len(unknown_ones)


def record_refusal(digest: Digest, result: Result) -> None:
    detail = clean_detail(result.detail)
    Digest.objects.pending().filter(pk=digest.pk).update(
        outcome=Outcome.FAILED,
        reason=Reason.RECIPIENT if result.is_recipient else Reason.REFUSED,
        provider_detail=detail,
        outcome_at=DatabaseNow(),
    )
    if result.is_recipient and NO_SUCH_ADDRESS.search(detail):
        reader = digest.subscriber
        Suppression.add_hash(reader.address_hash, Suppression.Reason.BOUNCE)


def clean_detail(detail: str) -> str:
    """Truncate a provider's answer to its column and remove NUL, which PostgreSQL refuses."""
    return detail.replace("\x00", "")[:300]
