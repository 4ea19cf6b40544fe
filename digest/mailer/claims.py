"""Batches and their workers: claiming a batch, and settling what a dead worker left."""

from datetime import datetime, timedelta

from digest.mailer import transports
from digest.models import Batch, Digest, Edition

# How long a worker owns a batch after its last sign of life; each digest renews it.
# Choosing for 250 readers takes seconds and a call at most 20. A worker that outlives
# its lease loses the batch, and a batch of a killed worker waits for this long.
LEASE = timedelta(minutes=1)
# How many claimable batches are read at once when workers compete for them.
CLAIM_LOOKAHEAD = 10


def claim_next(now: datetime, edition: Edition | None = None) -> Batch | None:
    """Claim the batch that has waited longest, for LEASE; None if there is none."""
    batches = Batch.objects.filter(slot__edition=edition) if edition else Batch.objects
    while True:
        claimable = batches.claimable(now).order_by("slot__at", "pk")
        ids = list(claimable.values_list("pk", flat=True)[:CLAIM_LOOKAHEAD])
        if not ids:
            return None
        for pk in ids:
            if Batch.objects.claim(pk, now, now + LEASE):
                return Batch.objects.select_related("slot__edition").get(pk=pk)


def has_active_batches(edition: Edition) -> bool:
    """Whether a worker, alive or dead, owns a batch of this edition."""
    active = (Batch.State.CLAIMED, Batch.State.SENDING)
    return Batch.objects.filter(slot__edition=edition, state__in=active).exists()


def resolve_abandoned_batches(now: datetime) -> list[Batch]:
    """Settle the batches of workers that died while sending; return those that may go on."""
    expired = Batch.objects.filter(state=Batch.State.SENDING, lease_until__lt=now)
    return [
        batch
        for batch in expired
        if take_over(batch, now) and resolve_abandoned_batch(batch, now)
    ]


def take_over(batch: Batch, now: datetime) -> bool:
    """Claim an abandoned batch; False if another worker was first or its owner is alive."""
    rows = Batch.objects.owned_by_lease(batch).filter(state=Batch.State.SENDING)
    batch.lease_until = now + LEASE
    return rows.update(lease_until=batch.lease_until) == 1


def resolve_abandoned_batch(batch: Batch, now: datetime) -> bool:
    """Settle the digest that was being sent, then make the batch claimable again.

    That digest is accepted if the transport finds it, sent again if the transport
    knows that it was not sent, and otherwise unknown: never sent again blindly.
    """
    in_flight = batch.digests.pending().filter(pk=batch.last_digest_id).first()
    if in_flight and not probe_transport(in_flight, now):
        batch.last_position -= 1
    rows = Batch.objects.owned_by_lease(batch)
    return (
        rows.update(
            state=Batch.State.PLANNED,
            last_position=batch.last_position,
            last_digest_id=0,
            lease_until=None,
        )
        == 1
    )


def probe_transport(digest: Digest, now: datetime) -> bool:
    """Record whether the transport sent this digest; False if it certainly did not."""
    was_sent = transports.get_transport().was_sent(digest.key)
    # An event, or the worker that seems dead, may have recorded the outcome meanwhile.
    row = Digest.objects.pending().filter(pk=digest.pk)
    if was_sent is None:
        detail = "The worker ended while it was sending this digest."
        row.update(
            outcome=Digest.Outcome.UNKNOWN, provider_detail=detail, outcome_at=now
        )
    elif was_sent:
        row.update(outcome=Digest.Outcome.ACCEPTED, outcome_at=now)
    return was_sent is not False
