"""Operations: sending pauses and the heartbeats of processes.

While a pause is in force, no worker claims a batch that it covers. A heartbeat says when
beat enqueued, or when the workers of a queue ran, a task.
"""

from datetime import datetime, timedelta
from typing import Self

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q, Value
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.formats import date_format

from digest.models.editions import Edition

ALREADY_PAUSED = "Sending is already paused here. Resume it before you pause it again."
# Names of heartbeats.
BEAT = "beat"
BOUNCE_MAILBOX = "bounce mailbox"  # the last time it was read
BACKUP = "backup"


class SendingPauseQuerySet(models.QuerySet["SendingPause"]):
    def in_force(self) -> Self:
        return self.filter(released_at=None)

    def blocking(self, edition_id: int) -> Self:
        """Pauses in force that stop this edition: its own, and the one for all editions."""
        return self.in_force().filter(Q(edition=None) | Q(edition=edition_id))

    def trigger(
        self,
        reason: str,
        now: datetime,
        edition: Edition | None = None,
        is_automatic: bool = True,
        probe_at: datetime | None = None,
    ) -> bool:
        """Pause one edition, or all; False if that was paused already.

        A manual and an automatic pause of the same scope are independent, so that an
        automatic one cannot end what an operator stopped.
        """
        same = self.in_force().filter(edition=edition, is_automatic=is_automatic)
        if same.exists():
            return False
        pause = SendingPause(
            edition=edition,
            reason=reason[:300],
            is_automatic=is_automatic,
            at=now,
            probe_at=probe_at,
        )
        self.bulk_create([pause], ignore_conflicts=True)
        return True

    def release(self, now: datetime) -> int:
        """End those of these pauses that are in force; return their number."""
        return self.in_force().update(released_at=now)


class SendingPause(models.Model):
    """Stops sending, of one edition or of all, until it is released."""

    edition = models.ForeignKey(
        Edition,
        models.CASCADE,
        related_name="pauses",
        null=True,
        blank=True,
        help_text="The edition to pause; empty for all sending.",
    )
    reason = models.CharField(
        max_length=300, help_text="Why, for the operator who will resume it."
    )
    is_automatic = models.BooleanField("automatic", default=False, editable=False)
    at = models.DateTimeField("since", default=timezone.now, editable=False)
    released_at = models.DateTimeField("resumed", null=True, editable=False)
    probe_at = models.DateTimeField(
        "next test",
        null=True,
        editable=False,
        help_text="When one digest tests whether sending works again; empty if only an operator resumes.",
    )
    probes = models.PositiveSmallIntegerField("tests", default=0, editable=False)

    objects = SendingPauseQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Coalesce("edition", Value(0)),
                "is_automatic",
                condition=Q(released_at=None),
                name="a_sending_pause_is_triggered_once",
                violation_error_message=ALREADY_PAUSED,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.edition or 'All sending'} paused: {self.reason}"

    def clean(self) -> None:
        """Report in forms what the constraint reports: forms do not check its condition."""
        pauses = SendingPause.objects.in_force().filter(
            edition=self.edition, is_automatic=self.is_automatic
        )
        if self.released_at is None and pauses.exclude(pk=self.pk).exists():
            raise ValidationError(ALREADY_PAUSED)


class HeartbeatQuerySet(models.QuerySet["Heartbeat"]):
    def record(self, name: str, now: datetime) -> None:
        self.update_or_create(name=name, defaults={"at": now})

    def is_late(self, name: str, now: datetime, max_age: timedelta) -> bool:
        return not self.filter(name=name, at__gt=now - max_age).exists()


class Heartbeat(models.Model):
    """The last sign of life of beat, or of the workers of a queue."""

    name = models.CharField(max_length=40, primary_key=True)
    at = models.DateTimeField()

    objects = HeartbeatQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.name}, {self.at}"


def worker_heartbeat(queue: str) -> str:
    return f"worker {queue}"


class DailyFigures(models.Model):
    """What became of one day's edition, and of the readers of that day; one row a day.

    The dashboard and reports read these rows, so that they do not count millions of digests.
    """

    day = models.DateField(unique=True, help_text="The day, and that of its edition.")
    papers = models.PositiveIntegerField(default=0, help_text="Announced that day.")
    planned = models.PositiveIntegerField(
        default=0, help_text="Digests that were to be mailed."
    )
    accepted = models.PositiveIntegerField(
        default=0, help_text="Accepted by the provider."
    )
    failed = models.PositiveIntegerField(default=0)
    unknown = models.PositiveIntegerField(default=0)
    delivered = models.PositiveIntegerField(
        default=0,
        help_text="Reported as delivered; 0 if the transport reports nothing.",
    )
    bounced = models.PositiveIntegerField(default=0)
    complained = models.PositiveIntegerField(default=0)
    clicked = models.PositiveIntegerField(
        default=0, help_text="Digests of which a link was opened."
    )
    gained = models.PositiveIntegerField(
        default=0, help_text="Readers who confirmed that day."
    )
    lost = models.PositiveIntegerField(
        default=0, help_text="Readers who unsubscribed that day."
    )
    active = models.PositiveIntegerField(
        null=True, help_text="Active readers at the end of the day, if it was counted."
    )
    computed_at = models.DateTimeField()

    class Meta:
        ordering = ["-day"]
        verbose_name_plural = "daily figures"

    def __str__(self) -> str:
        return f"{date_format(self.day)}: {self.accepted} of {self.planned} accepted"
