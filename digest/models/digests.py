"""Who is mailed when (Slot, Batch), and what each reader got (Digest)."""

import struct
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple, Self

from django.db import models
from django.db.models import Exists, OuterRef, Q

from accounts.models import Link, Subscriber, new_key
from digest.models.editions import Edition
from digest.models.sending_pauses import SendingPause


class Slot(models.Model):
    """The readers of one edition who are due at one time."""

    class Kind(models.TextChoices):
        HOUR = "hour", "at the readers' hour"
        WELCOME = "welcome", "after a sign-up"
        MANUAL = "manual", "sent manually"
        RESEND = "resend", "resent after an unknown outcome"

    edition = models.ForeignKey(Edition, models.PROTECT, related_name="slots")
    at = models.DateTimeField(
        help_text="A UTC quarter hour; for a welcome or a sending by hand, the moment."
    )
    kind = models.CharField(max_length=7, choices=Kind.choices, default=Kind.HOUR)
    cursor = models.BigIntegerField(
        default=0, help_text="The last reader who is already in a batch."
    )
    planned_at = models.DateTimeField(
        null=True, help_text="When its audience was complete; nothing is sent before."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["edition", "at", "kind"], name="a_slot_is_planned_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.edition.day:%Y-%m-%d} at {self.at:%Y-%m-%d %H:%M} UTC"


class BatchQuerySet(models.QuerySet["Batch"]):
    """Batches to be taken, and by whom."""

    def free(self, now: datetime) -> Self:
        """Batches of complete slots that nobody holds, no brake stops, and whose time has come."""
        waiting = Q(state=Batch.State.PLANNED) & (
            Q(lease_until=None) | Q(lease_until__lte=now)
        )
        dropped = Q(state=Batch.State.CLAIMED, lease_until__lt=now)
        ready = Slot.objects.filter(pk=OuterRef("slot"), planned_at__isnull=False)
        pauses = SendingPause.objects.in_force()
        stopped = pauses.filter(
            Q(edition=None) | Q(edition__slots=OuterRef("slot")),
        )
        return self.filter(waiting | dropped, Exists(ready), ~Exists(stopped))

    def claim(self, pk: int, now: datetime, until: datetime) -> bool:
        """Take a free batch until `until`; False if another worker has it.

        The conditions stand on the row itself: PostgreSQL checks those again when it
        has waited for another claim, and would not look again into a subquery.
        """
        mine = self.free(now).filter(pk=pk)
        return mine.update(state=Batch.State.CLAIMED, lease_until=until) == 1

    def held_by(self, batch: "Batch") -> Self:
        """The row of this batch while its worker owns it: nobody else has the same lease."""
        return self.filter(pk=batch.pk, lease_until=batch.lease_until)

    def unstopped(self, edition: int) -> Self:
        """Nothing while a brake stops this edition."""
        return self.filter(~Exists(SendingPause.objects.of(edition)))


class Batch(models.Model):
    """Up to 250 readers of a slot, mailed by one worker: `planned → claimed → handing → accepted | failed | unknown`."""

    class State(models.TextChoices):
        PLANNED = "planned", "waiting"
        CLAIMED = "claimed", "a worker has it; nothing sent yet"
        SENDING = "sending", "being sent"
        ACCEPTED = "accepted", "accepted by the provider"
        FAILED = "failed", "failed"
        UNKNOWN = "unknown", "nobody knows"

    SIZE = 250

    slot = models.ForeignKey(Slot, models.PROTECT, related_name="batches")
    readers = models.JSONField(help_text="The ids of its readers, frozen at planning.")
    state = models.CharField(max_length=8, choices=State.choices, default=State.PLANNED)
    lease_until = models.DateTimeField(
        null=True,
        help_text="Until when its worker owns it; while planned, not to be tried before.",
    )
    attempts = models.PositiveSmallIntegerField(
        default=0, help_text="How often the provider refused and we waited."
    )
    last_position = models.PositiveSmallIntegerField(
        default=0,
        help_text="How many of its digests, in the order of their ids, were given to the provider.",
    )
    last_digest_id = models.BigIntegerField(
        default=0,
        help_text="The digest that was given to the provider last: where readers are erased, positions move.",
    )
    error = models.CharField(
        max_length=300, blank=True, help_text="What the provider said last."
    )

    released_at = models.DateTimeField(
        null=True, help_text="When a worker laid it down last."
    )

    objects = BatchQuerySet.as_manager()

    class Meta:
        indexes = [models.Index("state", "lease_until", name="batches_to_claim")]
        verbose_name_plural = "batches"

    def __str__(self) -> str:
        return f"batch {self.pk}, {len(self.readers)} readers, {self.state}"


class Pick(NamedTuple):
    """A paper in a digest, and why: the winning interest, or 0 for its trend or an editor's pin.

    `opened`: the interest is a paper that the reader had opened, not one they chose. Kept
    here, for the reader may choose or forget it later, and a mail that was sent stays as
    it was.
    """

    candidate: int
    interest: int
    opened: bool = False


# Two 32-bit ids a pick, the interest's negative where it was opened: 80 bytes a digest of
# ten. struct.error past 2.14e9 interests.
PICK = struct.Struct("<Ii")


def encode_picks(picks: Iterable[Pick]) -> bytes:
    """Picks, in the order of the mail, as one column."""
    return b"".join(
        PICK.pack(pick.candidate, -pick.interest if pick.opened else pick.interest)
        for pick in (Pick(*pick) for pick in picks)
    )


def decode_picks(column: bytes | memoryview) -> list[Pick]:
    """The inverse of encode_picks."""
    return [
        Pick(candidate, abs(interest), interest < 0)
        for candidate, interest in PICK.iter_unpack(bytes(column))
    ]


def moved_since() -> Exists:
    """Whether the reader of a digest moved after it: it lies in an inbox that is no longer theirs."""
    moves = Link.objects.filter(
        purpose=Link.Purpose.ADDRESS, subscriber=OuterRef("subscriber")
    )
    return Exists(moves.filter(used_at__gte=OuterRef("created_at")))


class Digest(models.Model):
    """One reader's mail for one edition: the picks, the key that its links carry, and what differs from its batch."""

    class Outcome(models.TextChoices):
        PENDING = "", "as its batch"
        ACCEPTED = "accepted", "accepted by the provider"
        FAILED = "failed", "failed"
        UNKNOWN = "unknown", "nobody knows"
        SKIPPED = "skipped", "not sent"

    class Reason(models.TextChoices):
        NONE = "", ""
        NOTHING = "nothing", "nothing relevant and new"
        LEFT = "left", "left, or paused"
        SUPPRESSED = "suppressed", "bounced or complained before"
        EXPIRED = "expired", "too late"
        REFUSED = "refused", "refused by the provider"

    subscriber = models.ForeignKey(Subscriber, models.CASCADE, related_name="digests")
    edition = models.ForeignKey(Edition, models.PROTECT, related_name="digests")
    batch = models.ForeignKey(Batch, models.PROTECT, related_name="digests")
    key = models.CharField(max_length=22, unique=True, default=new_key, editable=False)
    packed_picks = models.BinaryField(default=b"", editable=False)
    created_at = models.DateTimeField()
    outcome = models.CharField(
        max_length=8, choices=Outcome.choices, default=Outcome.PENDING, blank=True
    )
    reason = models.CharField(
        max_length=10, choices=Reason.choices, default=Reason.NONE, blank=True
    )
    detail = models.CharField(
        max_length=300, blank=True, help_text="What the provider said of this one."
    )
    message_id = models.CharField(
        max_length=120,
        blank=True,
        db_index=True,
        help_text="The provider's name for this mail.",
    )
    outcome_at = models.DateTimeField(
        null=True, help_text="When its outcome was recorded, be it that nobody knows."
    )
    resent_at = models.DateTimeField(
        null=True, help_text="When it was planned once more because nobody knew."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["subscriber", "edition"],
                name="a_reader_gets_one_digest_of_an_edition",
            ),
        ]
        indexes = [
            models.Index(
                "outcome_at",
                condition=Q(outcome__in=["failed", "unknown"]),
                name="digests_that_went_wrong",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.subscriber} on {self.edition.day:%Y-%m-%d}"

    @property
    def picks(self) -> list[Pick]:
        return decode_picks(self.packed_picks)

    @picks.setter
    def picks(self, picks: Iterable[Pick]) -> None:
        self.packed_picks = encode_picks(picks)

    @property
    def is_note(self) -> bool:
        """Whether it tells of a day with nothing, to a reader who asked for that."""
        return not self.packed_picks and self.outcome != self.Outcome.SKIPPED

    @property
    def state(self) -> str:
        """What became of it: its own outcome, else its batch's state."""
        return self.outcome or self.batch.state
