"""Batches and their workers: claiming a batch, and settling what a dead worker left."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from accounts.models import new_key
from digest.mailer import circuit_breaker, transports
from digest.mailer.call_journal import (
    CallState,
    read_journal,
    remove_journal,
    remove_old_journals,
)
from digest.models import Batch, Digest, Edition, SendingPause, Slot
from digest.models.digests import DatabaseNow

# How long a worker owns a batch after its last sign of life; each window renews it.
# Choosing for a batch takes seconds, and a call at most 30 with connecting. A worker that outlives
# its lease loses the batch, and a batch of a killed worker waits for this long.
LEASE = timedelta(minutes=1)
# What the state of a call says of its mail; BEGUN says nothing.
WAS_SENT = {CallState.WAITING: False, CallState.ACCEPTED: True}
# How many claimable batches are read at once when workers compete for them.
CLAIM_LOOKAHEAD = 10


def claim_next(
    edition: Edition | None = None, slot: Slot | None = None
) -> Batch | None:
    """Claim the batch that has waited longest, for LEASE; None if there is none.

    During an automatic pause, one worker at a time gets a batch to test with one digest
    whether sending works again.
    """
    conditions: dict[str, Any] = {}
    if edition:
        conditions["slot__edition"] = edition
    if slot:
        conditions["slot"] = slot
    if batch := claim_matching(conditions):
        return batch
    if pause := circuit_breaker.take_probe():
        return claim_matching(conditions, probing=pause)
    return None


def claim_matching(
    conditions: dict[str, Any], probing: SendingPause | None = None
) -> Batch | None:
    while True:
        claimable = Batch.objects.claimable(probing).filter(**conditions)
        rows = claimable.order_by("slot__at", "pk")
        ids = list(rows.values_list("pk", flat=True)[:CLAIM_LOOKAHEAD])
        if not ids:
            return None
        for pk in ids:
            if Batch.objects.claim(pk, LEASE, probing):
                batch = Batch.objects.select_related("slot__edition").get(pk=pk)
                batch.probing = probing
                return batch


def has_active_batches(edition: Edition) -> bool:
    active = (Batch.State.CLAIMED, Batch.State.SENDING)
    return Batch.objects.filter(slot__edition=edition, state__in=active).exists()


def resolve_abandoned_batches() -> list[Batch]:
    """Settle the batches of workers that died while sending; return those that may go on."""
    expired = Batch.objects.filter(
        state=Batch.State.SENDING, lease_until__lt=DatabaseNow()
    )
    resolved = []
    for batch in expired:
        token_of_dead = batch.lease_token
        if take_over(batch):
            calls = read_journal(token_of_dead)  # now its owner can start no more
            if resolve_abandoned_batch(batch, calls):
                resolved.append(batch)
            remove_journal(token_of_dead)
    remove_old_journals()
    return resolved


def take_over(batch: Batch) -> bool:
    """Claim an abandoned batch; False if another worker was first or its owner is alive."""
    rows = Batch.objects.owned(batch).filter(
        state=Batch.State.SENDING, lease_until__lt=DatabaseNow()
    )
    batch.lease_token = new_key()
    lease_until = DatabaseNow() + LEASE
    return rows.update(lease_until=lease_until, lease_token=batch.lease_token) == 1


def resolve_abandoned_batch(batch: Batch, calls: Mapping[int, CallState]) -> bool:
    """Settle the digests that were being sent, then make the batch claimable again.

    Such a digest is accepted if the transport finds it or the dead worker noted that, sent
    again if it was certainly not sent, and otherwise unknown: never sent again blindly.
    """
    number_unsent = settle_in_flight(list(batch.digests_in_flight()), calls)
    rows = Batch.objects.owned(batch)
    return (
        rows.update(
            state=Batch.State.PLANNED,
            last_position=batch.last_position - number_unsent,
            in_flight="",
            last_digest_id=0,
            lease_until=None,
            lease_token="",
        )
        == 1
    )


def settle_in_flight(digests: Sequence[Digest], calls: Mapping[int, CallState]) -> int:
    """Record which of these digests were sent, as far as that is known; return how many certainly were not."""
    transport = transports.get_transport()
    answers: dict[bool | None, list[int]] = {}
    for digest in digests:
        was_sent = transport.was_sent(digest.key)
        if was_sent is None:
            was_sent = WAS_SENT.get(calls.get(digest.pk, CallState.BEGUN))
        answers.setdefault(was_sent, []).append(digest.pk)
    # An event, or the worker that seems dead, may have recorded an outcome meanwhile.
    pending = Digest.objects.pending()
    pending.filter(pk__in=answers.get(True, [])).update(
        outcome=Digest.Outcome.ACCEPTED, outcome_at=DatabaseNow()
    )
    pending.filter(pk__in=answers.get(None, [])).update(
        outcome=Digest.Outcome.UNKNOWN,
        provider_detail="The worker ended while it was sending this digest.",
        outcome_at=DatabaseNow(),
    )
    return len(answers.get(False, []))
