"""Ranking settings, and experiments that compare two of them on a share of the readers."""

from datetime import datetime, timedelta
from typing import Self

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.db.models import Q

# Digests are kept for 30 days at least, and are counted for some days after the end.
MAX_EXPERIMENT_DAYS = 21


def weight_field(
    text: str, most: float
) -> "models.FloatField[float | None, float | None]":
    bounds = [MinValueValidator(0.0), MaxValueValidator(most)]
    return models.FloatField(
        null=True,
        blank=True,
        validators=bounds,
        help_text=f"{text} Leave empty for the evaluated weight; 0 switches it off.",
    )


class RankingSettingQuerySet(models.QuerySet["RankingSetting"]):
    def make_default(self, setting: "RankingSetting | None") -> None:
        """Use a setting for all readers; None is the evaluated weights."""
        with transaction.atomic():
            self.filter(is_default=True).update(is_default=False)
            if setting:
                self.filter(pk=setting.pk).update(is_default=True)


class RankingSetting(models.Model):
    """Weights of the ranking that differ from the evaluated ones, under a name."""

    name = models.CharField(max_length=60, unique=True)
    trend = weight_field(
        "What the highest trend adds to the relevance of a matching paper.", 1
    )
    centroid = weight_field(
        "How much likeness to the mean of example papers counts; words count 1.", 10
    )
    nearest = weight_field(
        "How much likeness to the nearest example paper counts; words count 1.", 10
    )
    sentences = weight_field(
        "How much the sentence-transformer counts, where one is installed; words count 1.",
        10,
    )
    is_default = models.BooleanField("used for all readers", default=False)

    objects = RankingSettingQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["is_default"],
                condition=Q(is_default=True),
                name="one_ranking_setting_is_the_default",
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def was_compared(self) -> bool:
        """Whether a started experiment counted with these weights."""
        experiments = Experiment.objects.exclude(state=Experiment.State.DRAFT)
        return experiments.filter(Q(first=self.pk) | Q(second=self.pk)).exists()


class ExperimentQuerySet(models.QuerySet["Experiment"]):
    def running(self, now: datetime) -> Self:
        return self.filter(state=Experiment.State.RUNNING, ends_at__gt=now)

    def end_overdue(self, now: datetime) -> int:
        return self.filter(state=Experiment.State.RUNNING, ends_at__lte=now).update(
            state=Experiment.State.ENDED
        )


class Experiment(models.Model):
    """Two ranking settings whose picks are interleaved: `draft → running → ended`."""

    class State(models.TextChoices):
        DRAFT = "draft", "not started"
        RUNNING = "running", "running"
        ENDED = "ended", "ended"

    class Kept(models.TextChoices):
        NONE = "", "neither"
        FIRST = "first", "the first setting"
        SECOND = "second", "the second setting"

    name = models.CharField(max_length=60, unique=True)
    first = models.ForeignKey(
        RankingSetting,
        models.PROTECT,
        related_name="+",
        null=True,
        blank=True,
        help_text="Leave empty for the evaluated weights.",
    )
    second = models.ForeignKey(RankingSetting, models.PROTECT, related_name="+")
    share = models.PositiveSmallIntegerField(
        "share of readers",
        default=10,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text="Percent. A reader is in or out for the whole experiment.",
    )
    days = models.PositiveSmallIntegerField(
        default=14,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_EXPERIMENT_DAYS)],
        help_text=f"When it ends by itself; at most {MAX_EXPERIMENT_DAYS} days.",
    )
    state = models.CharField(
        max_length=7, choices=State.choices, default=State.DRAFT, editable=False
    )
    started_at = models.DateTimeField(null=True, editable=False)
    ends_at = models.DateTimeField(null=True, editable=False)
    kept = models.CharField(
        max_length=6,
        choices=Kept.choices,
        default=Kept.NONE,
        blank=True,
        editable=False,
        help_text="The setting that became the default.",
    )
    results = models.JSONField(
        default=dict, editable=False, help_text="Digests won by each setting."
    )
    counted_at = models.DateTimeField(null=True, editable=False)

    objects = ExperimentQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["state"],
                condition=Q(state="running"),
                name="one_experiment_runs_at_a_time",
            )
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.first_id == self.second_id:
            raise ValidationError({"second": "Choose two different settings."})

    def start(self, now: datetime) -> None:
        """Raise ValueError if it was started before, or if another one is running."""
        running = Experiment.objects.running(now).exclude(pk=self.pk).first()
        if running:
            raise ValueError(f"“{running}” is running. Stop it first.")
        Experiment.objects.end_overdue(now)
        drafts = Experiment.objects.filter(pk=self.pk, state=self.State.DRAFT)
        ends_at = now + timedelta(days=self.days)
        if not drafts.update(state=self.State.RUNNING, started_at=now, ends_at=ends_at):
            raise ValueError("This experiment was started before.")

    def stop(self, now: datetime) -> None:
        rows = Experiment.objects.filter(pk=self.pk, state=self.State.RUNNING)
        rows.filter(ends_at__gt=now).update(ends_at=now)
        rows.update(state=self.State.ENDED)

    def keep(self, choice: str, now: datetime) -> None:
        """Stop, and use the first or the second setting for all readers."""
        if self.state == self.State.DRAFT:
            raise ValueError("This experiment was not started yet.")
        side = self.Kept(choice)
        if side == self.Kept.NONE:
            raise ValueError("Choose the first or the second setting.")
        with transaction.atomic():
            self.stop(now)
            setting = self.first if side == self.Kept.FIRST else self.second
            RankingSetting.objects.make_default(setting)
            Experiment.objects.filter(pk=self.pk).update(kept=side)
