"""The brakes: while one is pulled, no worker takes a batch."""

from datetime import datetime
from typing import Self

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from digest.models.editions import Edition


class SendingPauseQuerySet(models.QuerySet["SendingPause"]):
    """Brakes, pulled and released."""

    def in_force(self) -> Self:
        return self.filter(released_at=None)

    def of(self, edition: int) -> Self:
        """Those in force that stop the edition with this id: its own, and the one for everything."""
        return self.in_force().filter(Q(edition=None) | Q(edition=edition))

    def pull(
        self,
        reason: str,
        now: datetime,
        edition: Edition | None = None,
        is_automatic: bool = True,
    ) -> bool:
        """Stop an edition, or everything; False where it was stopped already."""
        if self.in_force().filter(edition=edition).exists():
            return False
        pause = SendingPause(
            edition=edition, reason=reason[:300], is_automatic=is_automatic, at=now
        )
        self.bulk_create([pause], ignore_conflicts=True)
        return True

    def lift(self, now: datetime) -> int:
        """Let workers go on; how many were in force."""
        return self.in_force().update(released_at=now)


class SendingPause(models.Model):
    """Sending stands still, of one edition or of all, until somebody lifts this."""

    edition = models.ForeignKey(
        Edition,
        models.CASCADE,
        related_name="pauses",
        null=True,
        blank=True,
        help_text="Which edition stands still; empty for everything.",
    )
    reason = models.CharField(
        max_length=300, help_text="Why, for whoever has to lift it."
    )
    is_automatic = models.BooleanField(
        "pulled by itself", default=False, editable=False
    )
    at = models.DateTimeField("since", default=timezone.now, editable=False)
    released_at = models.DateTimeField("lifted", null=True, editable=False)

    objects = SendingPauseQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Coalesce("edition", Value(0)),
                condition=Q(released_at=None),
                name="a_brake_is_pulled_once",
                violation_error_message="This stands still already: lift that first.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.edition or 'everything'} stands still: {self.reason}"

    def clean(self) -> None:
        """Say in a form what the constraint would: no form shows its condition."""
        known = SendingPause.objects.in_force().filter(edition=self.edition)
        if self.released_at is None and known.exclude(pk=self.pk).exists():
            raise ValidationError("This stands still already: lift that first.")
