"""What readers bring: papers that everybody should see, and papers of their own lists."""

from datetime import date, datetime, timedelta
from typing import Self

from django.db import models

from accounts.models import Subscriber
from digest.models.papers import Paper


def is_here() -> models.Exists:
    """Whether the paper of a submission was announced to us."""
    papers = Paper.objects.from_listings()
    return models.Exists(papers.filter(identifier=models.OuterRef("identifier")))


class SubmissionQuerySet(models.QuerySet["Submission"]):
    """Submissions by what is to be done with them."""

    def unchecked(self) -> Self:
        return self.filter(state=Submission.State.CHECKING)

    def waiting(self) -> Self:
        return self.filter(state=Submission.State.WAITING)

    def unfetched(self, now: datetime) -> Self:
        """Approved ones that are still news, and whose paper is not here as news yet."""
        approved = self.filter(state=Submission.State.APPROVED)
        young = approved.filter(announced_on__gt=now.date() - Submission.YOUNG)
        return young.exclude(is_here())

    def needless(self) -> Self:
        """Undecided ones whose paper has come by itself meanwhile."""
        undecided = (Submission.State.CHECKING, Submission.State.WAITING)
        return self.filter(is_here(), state__in=undecided)

    def forgettable(self, now: datetime) -> Self:
        """Decided long ago."""
        return self.filter(decided_at__lt=now - Submission.DECIDED_KEPT)


class Submission(models.Model):
    """A paper that readers ask for; it waits for an editor's word."""

    class State(models.TextChoices):
        CHECKING = "checking", "being looked up at arXiv"
        WAITING = "waiting", "waits for an editor"
        APPROVED = "approved", "approved"
        DECLINED = "declined", "declined"

    # Editions hold papers of 14 days, today's included.
    YOUNG = timedelta(days=14)
    # As long as somebody may ask again what became of it; by then it is too old anyway.
    DECIDED_KEPT = timedelta(days=30)

    identifier = models.CharField(
        max_length=64, unique=True, help_text="The arXiv id without its version."
    )
    state = models.CharField(
        max_length=8, choices=State.choices, default=State.CHECKING, db_index=True
    )
    title = models.TextField(blank=True, help_text="As arXiv's API told it.")
    authors = models.JSONField(default=list, blank=True)
    abstract = models.TextField(blank=True)
    primary = models.CharField("primary category", max_length=32, blank=True)
    announced_on = models.DateField(
        null=True, blank=True, help_text="Its announcement day, or arXiv's date."
    )
    why = models.CharField(
        "why not",
        max_length=200,
        blank=True,
        help_text="Why it was declined; those who asked for it are told.",
    )
    created_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True, blank=True)
    readers = models.ManyToManyField(
        Subscriber, through="SubmissionRequest", related_name="submissions"
    )

    objects = SubmissionQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.identifier} {self.title}".strip()

    def is_young(self, today: date) -> bool:
        """Whether an edition of `today` may hold it."""
        return is_young(self.announced_on, today)


def is_young(announced_on: date | None, today: date) -> bool:
    """Whether a paper of this day is young enough to be brought to everybody."""
    return announced_on is not None and announced_on > today - Submission.YOUNG


class SubmissionRequest(models.Model):
    """Who asked for a submission, and when; it goes with its reader."""

    submission = models.ForeignKey(Submission, models.CASCADE, related_name="asked")
    subscriber = models.ForeignKey(Subscriber, models.CASCADE, related_name="asked")
    at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["submission", "subscriber"],
                name="a_reader_asks_for_a_paper_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.submission.identifier}, asked for by {self.subscriber}"


class PendingPaper(models.Model):
    """A paper of a reader's list that has to be fetched before they can follow it."""

    subscriber = models.ForeignKey(
        Subscriber, models.CASCADE, related_name="pending_papers"
    )
    identifier = models.CharField(max_length=64)
    at = models.DateTimeField()
    not_found = models.BooleanField(
        default=False, help_text="arXiv knows no such paper."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["subscriber", "identifier"],
                name="a_reader_wants_a_paper_once",
            ),
        ]

    def __str__(self) -> str:
        return self.identifier
