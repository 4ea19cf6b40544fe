"""Sending: slots and batches say who is mailed when, digests what each reader got."""

import struct
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Self

from django.db import models
from django.db.models import Count, Exists, OuterRef, Q
from django.db.models.expressions import Combinable
from django.db.models.functions import Now
from django.utils.formats import date_format

from accounts import return_paths
from accounts.models import Link, Subscriber, new_key
from digest.models.editions import Candidate, Edition
from digest.models.operations import SendingPause

# How long the key of a digest opens its pages and takes opinions, and how long a
# reason must stay readable: as long as a mailed link to preferences. Selection reads
# 14 of these days so that no paper comes twice, so digests are kept at least as long.
DIGEST_KEY_LIFETIME = Link.LIFETIMES[Link.Purpose.PREFERENCES]


class DatabaseNow(Now):
    """The database server's clock. Leases use it because workers' clocks differ and jump."""


class Slot(models.Model):
    """The readers of one edition who are due at one time."""

    class Kind(models.TextChoices):
        HOUR = "hour", "at the readers' hour"
        WELCOME = "welcome", "after a sign-up"
        MANUAL = "manual", "sent manually"
        RESEND = "resend", "sent again after an unknown outcome"
        MISSED = "missed", "after a change of schedule"

    edition = models.ForeignKey(Edition, models.PROTECT, related_name="slots")
    at = models.DateTimeField(
        help_text="A UTC quarter hour; for other kinds, the time of planning."
    )
    kind = models.CharField(max_length=7, choices=Kind.choices, default=Kind.HOUR)
    cursor = models.BigIntegerField(
        default=0, help_text="The last reader who is already in a batch."
    )
    planned_at = models.DateTimeField(
        null=True,
        help_text="When its audience was complete; nothing is sent before that.",
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["edition", "at", "kind"], name="a_slot_is_planned_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{date_format(self.edition.day)} at {date_format(self.at, 'j M Y, H:i')} UTC"


class BatchQuerySet(models.QuerySet["Batch"]):
    def unfinished(self) -> Self:
        return self.exclude(state=Batch.State.DONE)

    def claimable(self, probing: SendingPause | None = None) -> Self:
        """Batches of planned slots that no worker owns, no pause stops, and that are not backing off.

        `probing` is a pause to ignore, because one digest is to test whether it can end.
        """
        waiting = Q(state=Batch.State.PLANNED) & (
            Q(lease_until=None) | Q(lease_until__lte=DatabaseNow())
        )
        abandoned = Q(state=Batch.State.CLAIMED, lease_until__lt=DatabaseNow())
        slot_is_planned = Slot.objects.filter(
            pk=OuterRef("slot"), planned_at__isnull=False
        )
        pauses = SendingPause.objects.in_force().filter(
            Q(edition=None) | Q(edition__slots=OuterRef("slot")),
        )
        if probing:
            pauses = pauses.exclude(pk=probing.pk)
        return self.filter(
            waiting | abandoned, Exists(slot_is_planned), ~Exists(pauses)
        )

    def claim(
        self, pk: int, lease: timedelta, probing: SendingPause | None = None
    ) -> bool:
        """Claim one batch for the length of a lease; False if another worker was first.

        The conditions are on the row itself, so that PostgreSQL evaluates them again
        after it waited for another claim; it does not evaluate a subquery again.
        """
        batch = self.claimable(probing).filter(pk=pk)
        return (
            batch.update(
                state=Batch.State.CLAIMED,
                lease_until=DatabaseNow() + lease,
                lease_token=new_key(),
            )
            == 1
        )

    def owned(self, batch: "Batch") -> Self:
        """The row of this batch while our claim on it is the latest one."""
        return self.filter(pk=batch.pk, lease_token=batch.lease_token)

    def not_paused(self, edition_id: int, probing: SendingPause | None = None) -> Self:
        pauses = SendingPause.objects.blocking(edition_id)
        if probing:
            pauses = pauses.exclude(pk=probing.pk)
        return self.filter(~Exists(pauses))


class Batch(models.Model):
    """Up to 1,000 readers of a slot, mailed by one worker: `planned → claimed → sending → done`."""

    class State(models.TextChoices):
        PLANNED = "planned", "waiting"
        CLAIMED = "claimed", "claimed, nothing sent yet"
        SENDING = "sending", "being sent"
        DONE = "done", "done"

    SIZE = 1_000

    slot = models.ForeignKey(Slot, models.PROTECT, related_name="batches")
    readers = models.JSONField(help_text="The ids of its readers, frozen at planning.")
    state = models.CharField(max_length=8, choices=State.choices, default=State.PLANNED)
    lease_until = models.DateTimeField(
        null=True,
        help_text="Until when its worker owns it; while planned, no earlier attempt.",
    )
    lease_token = models.CharField(
        max_length=22,
        blank=True,
        editable=False,
        help_text="Identifies the latest claim: a worker with another token has lost it.",
    )
    attempts = models.PositiveSmallIntegerField(
        default=0, help_text="Consecutive attempts that a temporary refusal ended."
    )
    last_position = models.PositiveSmallIntegerField(
        default=0,
        help_text="How many of its digests were offered to the provider or settled otherwise.",
    )
    in_flight = models.TextField(
        default="",
        db_default="",
        blank=True,
        editable=False,
        help_text="The ids of the digests that are being offered, as 7,9-12: a killed worker leaves their outcome unknown.",
    )
    # Written by workers of version 0.1.0 instead.
    last_digest_id = models.BigIntegerField(default=0, editable=False)
    error = models.CharField(
        max_length=300, blank=True, help_text="Why it was released before its end."
    )
    released_at = models.DateTimeField(
        null=True, help_text="When a worker last released it."
    )
    accepted_at = models.DateTimeField(
        null=True, help_text="When the provider last accepted one of its digests."
    )

    #: The pause that this claim tests with one digest, if any; not stored.
    probing: SendingPause | None = None

    objects = BatchQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index("state", "lease_until", name="batches_to_claim"),
            models.Index("released_at", name="batches_by_release"),
        ]
        verbose_name_plural = "batches"

    def __str__(self) -> str:
        return f"batch {self.pk}, {len(self.readers)} readers, {self.state}"

    def digests_in_flight(self) -> "DigestQuerySet":
        """Select the digests that a killed worker may have sent without recording it."""
        ids = {*parse_ids(self.in_flight), self.last_digest_id}
        return self.digests.pending().filter(pk__in=ids)


def format_ids(ids: Iterable[int]) -> str:
    """Format ids as ranges: 7,9-12. Those of a window are nearly all consecutive."""
    ranges: list[list[int]] = []
    for number in sorted(ids):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(
        str(first) if first == last else f"{first}-{last}" for first, last in ranges
    )


def parse_ids(text: str) -> set[int]:
    ids = set[int]()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        ids.update(range(int(first), int(last or first) + 1))
    return ids


class Pick(NamedTuple):
    """A paper in a digest and its winning interest, or 0 for a trending or pinned paper.

    `opened`: the interest is a paper that the reader had opened, not one they chose.
    Stored here because the reader may choose or remove it later, and the reason in a
    sent mail must not change. `near`: the paper is close to the interest, but no mail may
    claim that it matches. `team`: in an experiment the setting that drafted it, 1 or 2.
    """

    candidate: int
    interest: int
    opened: bool = False
    near: bool = False
    team: int = 0


# Two 32-bit ids and the flags: 90 bytes a digest of ten. Raises struct.error beyond 4.29e9
# interests.
PICK = struct.Struct("<IIB")
OPENED_FLAG, NEAR_FLAG = 1, 2
TEAM_SHIFT, TEAM_MASK = 2, 3  # two bits above the flags


def encode_picks(picks: Iterable[Pick]) -> bytes:
    return b"".join(
        PICK.pack(
            pick.candidate,
            pick.interest,
            OPENED_FLAG * pick.opened | NEAR_FLAG * pick.near | pick.team << TEAM_SHIFT,
        )
        for pick in (Pick(*pick) for pick in picks)
    )


def decode_picks(column: bytes | memoryview) -> list[Pick]:
    return [
        Pick(
            candidate,
            interest,
            bool(flags & OPENED_FLAG),
            bool(flags & NEAR_FLAG),
            flags >> TEAM_SHIFT & TEAM_MASK,
        )
        for candidate, interest, flags in PICK.iter_unpack(bytes(column))
    ]


def moved_since() -> Exists:
    """Match digests whose reader has changed address since: the old inbox may not be theirs."""
    moves = Link.objects.filter(
        purpose=Link.Purpose.ADDRESS, subscriber=OuterRef("subscriber")
    )
    return Exists(moves.filter(used_at__gte=OuterRef("created_at")))


# Includes all failed and unknown digests, of the accepted ones only those that were
# refused before: their index does not name a column that an acceptance changes.
MAYBE_WRONG = Q(reason__in=["refused", "recipient"]) | ~Q(provider_detail="")


class BlockRangeIndex(models.Index):
    """A BRIN index on PostgreSQL: a few bytes for 32 pages of rows that were inserted together."""

    def create_sql(
        self, model: Any, schema_editor: Any, using: str = "", **kwargs: Any
    ) -> Any:
        is_postgresql = schema_editor.connection.vendor == "postgresql"
        if is_postgresql:
            using = " USING brin"
        statement: Any = super().create_sql(model, schema_editor, using, **kwargs)
        if is_postgresql:
            options = "pages_per_range = 32, autosummarize = on"
            statement.parts["extra"] = f" WITH ({options})"
        return statement


class DigestQuerySet(models.QuerySet["Digest"]):
    def went_wrong(self, since: datetime | Combinable) -> Self:
        """Failed and unknown digests that were created since then."""
        outcomes = (Digest.Outcome.FAILED, Digest.Outcome.UNKNOWN)
        return self.filter(MAYBE_WRONG, outcome__in=outcomes, created_at__gt=since)

    def pending(self) -> Self:
        return self.filter(outcome=Digest.Outcome.PENDING)

    def unknown(self) -> Self:
        return self.filter(outcome=Digest.Outcome.UNKNOWN)

    def sent(self) -> Self:
        """Digests that were mailed, may have been, or still will be: all but skipped ones."""
        return self.exclude(outcome=Digest.Outcome.SKIPPED)

    def count_outcomes(self) -> dict[str, int]:
        rows = self.values_list("outcome").annotate(Count("pk")).order_by()
        return dict(rows)


class Digest(models.Model):
    """One reader's mail for one edition: its picks, the key of its links, and its outcome.

    A million rows a day are inserted once and updated once. No index has a column that an
    acceptance changes (outcome, outcome_at, message_id), so that PostgreSQL updates the row
    alone (HOT), in the half of each page that fillfactor leaves free.
    """

    class Outcome(models.TextChoices):
        PENDING = "pending", "not sent yet"
        ACCEPTED = "accepted", "accepted by the provider"
        FAILED = "failed", "failed"
        UNKNOWN = "unknown", "unknown: it may have been accepted"
        SKIPPED = "skipped", "skipped"

    class Reason(models.TextChoices):
        NONE = "", ""
        NOTHING = "nothing", "nothing new that matches"
        LEFT = "left", "unsubscribed or paused"
        SUPPRESSED = "suppressed", "bounced or complained before"
        EXPIRED = "expired", "the edition expired"
        STOPPED = "stopped", "the edition was stopped"
        REFUSED = "refused", "refused by the provider"
        RECIPIENT = "recipient", "refused for this recipient"

    subscriber = models.ForeignKey(
        Subscriber,
        models.CASCADE,
        related_name="digests",
        db_index=False,  # the unique constraint begins with it
    )
    edition = models.ForeignKey(
        Edition, models.PROTECT, related_name="digests", db_index=False
    )
    batch = models.ForeignKey(
        Batch, models.PROTECT, related_name="digests", db_index=False
    )
    key = models.CharField(max_length=22, unique=True, default=new_key, editable=False)
    packed_picks = models.BinaryField(default=b"", editable=False)
    suggested_topics = models.JSONField(
        null=True,
        editable=False,
        help_text="Names of topics, where the mail asks for better interests; else null.",
    )
    created_at = models.DateTimeField()
    outcome = models.CharField(
        max_length=8, choices=Outcome.choices, default=Outcome.PENDING
    )
    reason = models.CharField(
        "reason for outcome",
        max_length=10,
        choices=Reason.choices,
        default=Reason.NONE,
        blank=True,
    )
    provider_detail = models.CharField(
        max_length=300, blank=True, help_text="The provider's last answer about it."
    )
    refusals = models.PositiveSmallIntegerField(
        default=0, help_text="Temporary refusals so far."
    )
    resends = models.PositiveSmallIntegerField(
        default=0,
        db_default=0,
        help_text="How often it was planned again because its outcome was unknown.",
    )
    message_id = models.CharField(
        max_length=120,
        blank=True,
        help_text="The provider's id for this mail; empty where it has none (SMTP).",
    )
    outcome_at = models.DateTimeField(
        null=True, help_text="When its outcome was recorded."
    )
    resent_at = models.DateTimeField(
        null=True,
        help_text="When it was planned again because its outcome was unknown.",
    )

    objects = DigestQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["subscriber", "edition"],
                name="a_reader_gets_one_digest_of_an_edition",
            ),
        ]
        indexes = [
            BlockRangeIndex(fields=["edition"], name="digests_by_edition"),
            BlockRangeIndex(fields=["batch"], name="digests_by_batch"),
            models.Index(
                fields=["created_at"],
                condition=MAYBE_WRONG,
                name="digests_maybe_wrong",
            ),
            models.Index(
                "edition",
                condition=Q(reason="expired"),
                name="digests_that_expired",
            ),
            # For the admin's lists of skipped and failed digests, newest first. An
            # acceptance does not change the reason.
            models.Index(
                fields=["-id"],
                condition=~Q(reason=""),
                name="digests_with_a_reason",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.subscriber} on {date_format(self.edition.day)}"

    @property
    def picks(self) -> list[Pick]:
        return decode_picks(self.packed_picks)

    @picks.setter
    def picks(self, picks: Iterable[Pick]) -> None:
        self.packed_picks = encode_picks(picks)

    @property
    def return_path(self) -> str:
        """The envelope sender of this mail; "" without BOUNCE_ADDRESS, and for a preview."""
        if not self.pk:
            return ""
        return return_paths.tagged_address(
            return_paths.DIGEST, self.pk, self.return_path_secret
        )

    @property
    def return_path_secret(self) -> str:
        """What the signature of its return path covers: no report concerns a reader's later address."""
        return f"{self.key} {self.subscriber.address_hash}"

    def find_skip_reason(self) -> "Digest.Reason":
        """Decide why it must not be sent; NONE if it may be. Its reader was read by `with_consent`."""
        if not self.subscriber.is_mailable:
            return self.Reason.LEFT
        if self.subscriber.is_suppressed:
            return self.Reason.SUPPRESSED
        is_sent = self.packed_picks or self.subscriber.wants_note
        return self.Reason.NONE if is_sent else self.Reason.NOTHING

    @property
    def is_note(self) -> bool:
        """Whether it is the short note about a day without matches, for readers who want one."""
        return not self.packed_picks and self.outcome != self.Outcome.SKIPPED

    def candidate_at(self, number: int) -> Candidate | None:
        """The candidate of pick `number`, counted from 1 as in the mail's links; None if there is none."""
        picks = self.picks
        if not 1 <= number <= len(picks):
            return None
        rows = Candidate.objects.select_related("paper")
        return rows.filter(pk=picks[number - 1].candidate).first()
