"""Constructors for the tests of sending: a planned batch, a provider, and a worker at a given time."""

from contextlib import nullcontext
from datetime import timedelta

import time_machine

from digest.mailer import calls, claims, deliver
from digest.mailer.transports import accepted, as_bytes
from digest.models import Digest
from tests import make

NOW = make.NOW + timedelta(hours=1)
LATER = NOW + timedelta(minutes=6)  # after any lease taken at NOW


class Killed(BaseException):
    """Ends a worker at any point: nothing catches it."""


class FakeTransport:
    """A transport whose connections call `send(mail)`."""

    FORMAT, PIPELINES = "mime", False

    def check_settings(self):
        pass

    def encode_mail(self, mail):
        return as_bytes(mail)

    def connect(self):
        return self

    def send_mail(self, mail, begin_call, next_mail=None):
        begin_call()
        return self.send(mail)

    def close(self):
        pass

    def was_sent(self, key):
        return None


class Provider(FakeTransport):
    """A provider whose answers are given by address; it records every attempt."""

    def __init__(self, answers=()):
        self.answers, self.attempts = dict(answers), []

    def send(self, mail):
        self.attempts.append(mail.to)
        answer = self.answers.get(mail.to, accepted("id"))
        answer = answer.pop(0) if isinstance(answer, list) else answer
        if isinstance(answer, BaseException):
            raise answer
        return answer


def planned_batch(readers=3, **fields):
    """A batch of readers r0, r1, … of an edition frozen at nine, and their digests."""
    edition = make.edition(papers=2)
    picks = [(candidate.pk, 0) for candidate in edition.candidates.all()]
    edition = make.frozen(edition)
    rows = [make.subscriber(f"r{n}@example.org") for n in range(readers)]
    batch = make.batch(edition, rows, **fields)
    for row in rows:
        make.digest(batch, row, picks)
    return batch


def deliver_batch(batch, digests, pool=None):
    """Deliver a claimed batch with these digests."""
    with calls.open_pool() if pool is None else nullcontext(pool) as opened:
        ((_, counts),) = deliver.deliver_batches([(batch, [digests])], opened)
    return counts


def deliver_at(now, batch, digests=None):
    """Deliver a claimed batch while the clock shows `now`."""
    digests = list(batch.digests.order_by("pk")) if digests is None else digests
    with time_machine.travel(now, tick=False):
        return deliver_batch(batch, digests)


def claim_at(now, *arguments):
    with time_machine.travel(now, tick=False):
        return claims.claim_next(*arguments)


def resolve_at(now):
    """Resolve abandoned batches at this time."""
    with time_machine.travel(now, tick=False):
        return claims.resolve_abandoned_batches()


def run_worker(now=NOW):
    """Claim and deliver one batch; None if none is claimable."""
    batch = claim_at(now)
    return deliver_at(now, batch) if batch else None


def outcomes():
    """The outcome of each digest, in the order of their ids."""
    return list(Digest.objects.order_by("pk").values_list("outcome", flat=True))
