"""Papers that readers request: submissions to the editors, and papers of reading lists."""

from datetime import date, datetime, timedelta
from typing import Self

from django.db import models

from accounts.models import Subscriber
from digest.models.papers import CANDIDATE_DAYS, Paper

# Time during which a reader may come back to see the result of a request.
RESULT_KEPT = timedelta(days=30)


def paper_is_listed() -> models.Exists:
    papers = Paper.objects.from_listings()
    return models.Exists(papers.filter(identifier=models.OuterRef("identifier")))


def paper_is_stored() -> models.Exists:
    papers = Paper.objects.filter(identifier=models.OuterRef("identifier"))
    return models.Exists(papers)


class SubmissionQuerySet(models.QuerySet["Submission"]):
    """Submissions by their next step."""

    def unchecked(self) -> Self:
        return self.filter(state=Submission.State.CHECKING)

    def waiting(self) -> Self:
        return self.filter(state=Submission.State.WAITING)

    def undecided(self) -> Self:
        return self.filter(state__in=Submission.UNDECIDED)

    def unfetched(self, now: datetime) -> Self:
        """Approved submissions, recent enough for an edition, whose paper is not listed yet."""
        approved = self.filter(state=Submission.State.APPROVED)
        recent = approved.filter(announced_on__gt=now.date() - Submission.MAX_AGE)
        return recent.exclude(paper_is_listed())

    def needless(self) -> Self:
        """Undecided submissions whose paper a source has listed meanwhile."""
        return self.undecided().filter(paper_is_listed())

    def purgeable(self, now: datetime) -> Self:
        return self.filter(decided_at__lt=now - RESULT_KEPT)


class Submission(models.Model):
    """A paper that readers submitted; an editor approves or declines it."""

    class State(models.TextChoices):
        CHECKING = "checking", "being looked up at arXiv"
        WAITING = "waiting", "waiting for an editor"
        APPROVED = "approved", "approved"
        DECLINED = "declined", "declined"

    UNDECIDED = (State.CHECKING, State.WAITING)
    MAX_AGE = timedelta(days=CANDIDATE_DAYS)

    identifier = models.CharField(
        max_length=64, unique=True, help_text="The arXiv id without its version."
    )
    state = models.CharField(
        max_length=8, choices=State.choices, default=State.CHECKING, db_index=True
    )
    title = models.TextField(blank=True, help_text="From arXiv's API.")
    authors = models.JSONField(default=list, blank=True)
    abstract = models.TextField(blank=True)
    primary = models.CharField("primary category", max_length=32, blank=True)
    announced_on = models.DateField(
        null=True, blank=True, help_text="Its announcement day, or arXiv's date."
    )
    why = models.CharField(
        "reason",
        max_length=200,
        blank=True,
        help_text="Why it was declined; shown to the readers who submitted it.",
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

    def is_recent(self, today: date) -> bool:
        return is_recent(self.announced_on, today)


def is_recent(announced_on: date | None, today: date) -> bool:
    return announced_on is not None and announced_on > today - Submission.MAX_AGE


class SubmissionRequest(models.Model):
    """One reader's request for a submission; deleted with the reader."""

    submission = models.ForeignKey(Submission, models.CASCADE, related_name="requests")
    subscriber = models.ForeignKey(
        Subscriber, models.CASCADE, related_name="submission_requests"
    )
    at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["submission", "subscriber"],
                name="a_reader_requests_a_submission_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.submission.identifier}, requested by {self.subscriber}"


class PendingPaperQuerySet(models.QuerySet["PendingPaper"]):
    """Pending papers by their next step."""

    def to_fetch(self) -> Self:
        return self.filter(not_found=False).exclude(paper_is_stored())

    def fetched(self) -> Self:
        return self.filter(paper_is_stored())


class PendingPaper(models.Model):
    """A paper of a reader's list that must be fetched before they can follow it."""

    # A paper that arXiv did not return in this time will not be returned later.
    MAX_FETCH_TIME = timedelta(days=7)
    NOT_FOUND_KEPT = RESULT_KEPT

    subscriber = models.ForeignKey(
        Subscriber, models.CASCADE, related_name="pending_papers"
    )
    identifier = models.CharField(max_length=64)
    at = models.DateTimeField()
    not_found = models.BooleanField(
        default=False, help_text="arXiv knows no such paper."
    )

    objects = PendingPaperQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["subscriber", "identifier"],
                name="a_reader_requests_a_paper_once",
            ),
        ]

    def __str__(self) -> str:
        return self.identifier
