"""Editions: the papers of one announcement day, curated while open, unchanged once frozen."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Self

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.formats import date_format

from digest.models.papers import Paper

# A reader's first local hour after the freeze is at most 25 hours away (a day that
# daylight saving lengthens). The rest is time to repair an outage: nearly a day for the
# last reader, 26 hours for the default hour of 07:00.
EXPIRES_AFTER = timedelta(hours=48)


class Frozen(Exception):
    """A frozen edition would have been changed."""


class EditionQuerySet(models.QuerySet["Edition"]):
    def frozen(self) -> Self:
        return self.filter(state=Edition.State.FROZEN)

    def open(self) -> Self:
        return self.filter(state=Edition.State.OPEN)

    def sendable(self) -> Self:
        """Frozen editions that no operator stopped."""
        return self.frozen().filter(stopped_at=None)

    def stop(self, pk: int, now: datetime) -> bool:
        """Stop sending a frozen edition for good; False if it is open or was stopped."""
        return bool(self.sendable().filter(pk=pk).update(stopped_at=now))


class Edition(models.Model):
    """The papers of one announcement day. A frozen edition never changes."""

    class State(models.TextChoices):
        OPEN = "open", "open: may be curated"
        FROZEN = "frozen", "frozen: being mailed"

    day = models.DateField(unique=True, help_text="The announcement day.")
    state = models.CharField(
        max_length=6,
        choices=State.choices,
        default=State.OPEN,
        help_text="An open edition may be curated; a frozen one never changes.",
    )
    note = models.TextField(
        blank=True,
        max_length=600,
        help_text="Shown above the papers in every digest of the day.",
    )
    freeze_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When it freezes; empty for the site's usual time of its day.",
    )
    ranked_at = models.DateTimeField(null=True, editable=False)
    frozen_at = models.DateTimeField(null=True, editable=False)
    stopped_at = models.DateTimeField(
        null=True,
        editable=False,
        help_text="When an operator stopped it: readers without it do not get it any more.",
    )

    objects = EditionQuerySet.as_manager()

    class Meta:
        ordering = ["-day"]
        get_latest_by = "day"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state="open", frozen_at=None)
                | models.Q(state="frozen", frozen_at__isnull=False),
                name="a_frozen_edition_says_when",
            ),
        ]

    def __str__(self) -> str:
        return f"{date_format(self.day)}, {self.get_state_display()}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        refuse_if_frozen(self.pk)
        super().save(*args, **kwargs)

    @property
    def is_open(self) -> bool:
        return self.state == self.State.OPEN

    def expired(self, now: datetime) -> bool:
        return self.frozen_at is not None and now > self.frozen_at + EXPIRES_AFTER


def refuse_if_frozen(edition_id: int | None) -> None:
    if edition_id and Edition.objects.frozen().filter(pk=edition_id).exists():
        raise Frozen(
            "This edition is frozen: it is being mailed as it is. To stop a paper, recall it."
        )


# Candidates with curation; neither retention nor a new ranking deletes them.
CURATED = (
    models.Q(pin__isnull=False)
    | ~models.Q(boost=0)
    | models.Q(is_hidden=True)
    | ~models.Q(note="")
)


class Candidate(models.Model):
    """A paper in an edition, with the text that its mails show."""

    edition = models.ForeignKey(Edition, models.CASCADE, related_name="candidates")
    paper = models.ForeignKey(Paper, models.CASCADE, related_name="candidacies")
    trend = models.FloatField(
        default=0, editable=False, help_text="0 to 1, higher is more attention."
    )
    breakdown = models.JSONField(
        default=dict, editable=False, help_text="What made the trend."
    )
    card = models.JSONField(
        default=dict, editable=False, help_text="The text and links that mails show."
    )
    pin = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(3)],
        help_text="1 to 3: this paper leads every digest of the day, in that order.",
    )
    boost = models.SmallIntegerField(
        default=0,
        validators=[MinValueValidator(-2), MaxValueValidator(2)],
        help_text="-2 to 2: move it down or up among the papers that fit a reader.",
    )
    is_hidden = models.BooleanField(
        "hidden",
        default=False,
        help_text="Keeps it out of digests that are not chosen yet.",
    )
    note = models.CharField(
        max_length=300, blank=True, help_text="Shown under its title."
    )
    topic_corrections = models.JSONField(
        null=True,
        editable=False,
        help_text="The paper's topics as editors corrected them; fixed when it freezes.",
    )

    class Meta:
        ordering = ["pin", "-trend", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["edition", "paper"], name="a_paper_is_once_in_an_edition"
            ),
            models.UniqueConstraint(
                fields=["edition", "pin"], name="a_pin_has_one_paper"
            ),
            models.CheckConstraint(
                condition=models.Q(pin=None) | models.Q(pin__gte=1, pin__lte=3),
                name="at_most_three_pins",
            ),
            models.CheckConstraint(
                condition=models.Q(boost__gte=-2, boost__lte=2),
                name="a_boost_is_between_minus_two_and_two",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.paper.title} ({date_format(self.edition.day)})"

    def save(self, *args: Any, **kwargs: Any) -> None:
        refuse_if_frozen(self.edition_id)
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        refuse_if_frozen(self.edition_id)
        return super().delete(*args, **kwargs)


class CurationStepQuerySet(models.QuerySet["CurationStep"]):
    def undoable(self) -> Self:
        """Steps that change something and were not undone; an undo is not among them."""
        return self.filter(is_undo=False, undone_by=None).exclude(changes=[])


class CurationStep(models.Model):
    """One step of an editor on an edition: the values that it changed, before and after."""

    edition = models.ForeignKey(Edition, models.CASCADE, related_name="curation_steps")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        related_name="+",
        help_text="Empty once the account is deleted.",
    )
    at = models.DateTimeField()
    message = models.TextField(help_text="What changed, in words.")
    changes = models.JSONField(
        default=list, help_text="Row, id, field, and its values before and after."
    )
    undoes = models.OneToOneField(
        "self", models.SET_NULL, null=True, related_name="undone_by"
    )
    is_undo = models.BooleanField(
        default=False, help_text="False for a step that repeats an undone one."
    )

    objects = CurationStepQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.message


class RecallQuerySet(models.QuerySet["Recall"]):
    """Recalls by their cause."""

    def withdrawals(self) -> Self:
        return self.filter(is_withdrawal=True)

    def withdrawn_among(self, identifiers: Iterable[str]) -> set[str]:
        rows = self.withdrawals().filter(paper__identifier__in=set(identifiers))
        return set(rows.values_list("paper__identifier", flat=True))


class Recall(models.Model):
    """A paper that must not be mailed any more, even from a frozen edition."""

    paper = models.OneToOneField(
        Paper,
        models.CASCADE,
        related_name="recall",
        help_text="This paper is not mailed any more.",
    )
    reason = models.CharField(max_length=200, help_text="Why it was recalled.")
    is_withdrawal = models.BooleanField(
        "withdrawn by its source",
        default=False,
        help_text="A restored version lifts such a recall.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = RecallQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.paper.identifier} recalled: {self.reason}"
