"""Papers, their attention samples, and the models of their vectors."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Self

from django.contrib.postgres.indexes import GinIndex
from django.db import connections, models
from django.db.models.expressions import RawSQL
from django.urls import reverse

# The earliest time zone is 14 hours ahead of UTC: a later announcement day is an error
# of its source and must not hide today's papers.
EARLIEST_TIME_ZONE = timedelta(hours=14)
# An edition may include papers announced in this many days, its own day included.
CANDIDATE_DAYS = 14


# SQLite has no index of the elements of a list.
PAPERS_OF_AUTHOR = """
    SELECT paper.id FROM digest_paper AS paper, json_each(paper.authors) AS author
    WHERE author.value = %s
"""


class PaperQuerySet(models.QuerySet["Paper"]):
    """Papers by how and when they were announced."""

    def announced(self) -> Self:
        """Papers that count as announced on their announcement day.

        Excluded are papers first seen as a replacement, which were announced before the
        record begins, and papers that only a reader's list added.
        """
        return self.filter(announce_type__in=Paper.FIRST_ANNOUNCEMENTS)

    def announced_on_day(self, day: date) -> Self:
        return self.announced_between(day, day)

    def announced_between(self, first: date, last: date) -> Self:
        return self.announced().filter(announced_on__range=(first, last))

    def announced_until(self, now: datetime) -> Self:
        """Announced papers whose day has begun somewhere on Earth."""
        last = (now + EARLIEST_TIME_ZONE).date()
        return self.announced().filter(announced_on__lte=last)

    def announced_by_arxiv(self) -> Self:
        """Announced papers that arXiv itself listed, not only Hugging Face."""
        return self.filter(announce_type__in=Paper.ARXIV_ANNOUNCEMENTS)

    def in_categories(self, names: Sequence[str]) -> Self:
        is_primary = models.Q(primary__in=list(names))
        for name in names:
            is_primary |= models.Q(primary__startswith=f"{name}.")
        return self.filter(is_primary)

    def by_author(self, name: str) -> Self:
        """Papers with exactly this name among their authors."""
        if connections[self.db].vendor == "postgresql":
            return self.filter(authors__contains=[name])  # uses the GIN index
        return self.filter(pk__in=RawSQL(PAPERS_OF_AUTHOR, [name]))

    def from_listings(self) -> Self:
        return self.exclude(announce_type=Paper.Announced.ADDED_BY_READER)

    def newest_day(self, now: datetime) -> date | None:
        days = self.announced_until(now).order_by("-announced_on")
        return days.values_list("announced_on", flat=True).first()


# A paper with other words needs other vectors.
WITHOUT_VECTORS = {
    "terms": None,
    "vector": None,
    "vector_version": "",
    "dense_vector": None,
    "dense_version": "",
}


class Paper(models.Model):
    """One work, with all its sources and versions."""

    class Announced(models.TextChoices):
        NEW = "new", "new"
        CROSS = "cross", "cross-listed"
        REPLACE = "replace", "replaced"
        REPLACE_CROSS = "replace-cross", "replaced cross-list"
        LISTED = "listed", "listed by Hugging Face"
        ADDED_BY_READER = "added", "added by a reader"

    ARXIV_ANNOUNCEMENTS = (Announced.NEW, Announced.CROSS)
    REPLACEMENTS = (Announced.REPLACE, Announced.REPLACE_CROSS)
    FIRST_ANNOUNCEMENTS = (*ARXIV_ANNOUNCEMENTS, Announced.LISTED)

    identifier = models.CharField(
        max_length=64,
        unique=True,
        help_text="The arXiv id without its version, such as 2401.01234.",
    )
    version = models.PositiveSmallIntegerField(
        default=1, help_text="The newest known version."
    )
    announced_on = models.DateField(
        db_index=True, help_text="The day of its first announcement."
    )
    announce_type = models.CharField(
        max_length=13,
        choices=Announced.choices,
        help_text="How it was first listed. Papers first listed as a replacement were announced earlier and are never mailed, nor are papers that only a reader's list added.",
    )
    title_raw = models.TextField(help_text="The title as in the source.")
    abstract_raw = models.TextField(help_text="The abstract as in the source.")
    title = models.TextField(help_text="The title in plain text.")
    abstract = models.TextField(help_text="The abstract in plain text.")
    authors = models.JSONField(
        default=list, help_text="Names in the order of the paper."
    )
    organization = models.CharField(
        max_length=200,
        blank=True,
        help_text="The organization, if a source names one.",
    )
    categories = models.JSONField(
        default=list, help_text="arXiv categories, the primary one first."
    )
    primary = models.CharField(
        "primary category",
        max_length=32,
        blank=True,
        db_index=True,
        help_text="Its primary arXiv category.",
    )
    published_at = models.DateTimeField(
        null=True, blank=True, help_text="When its first version was submitted."
    )
    doi = models.CharField(
        "DOI",
        max_length=200,
        blank=True,
        help_text="DOI of the published version, if a source names one.",
    )
    license = models.URLField(
        max_length=200, blank=True, help_text="The license its authors chose."
    )
    code_url = models.URLField(
        max_length=500, blank=True, help_text="The repository of its code."
    )
    project_url = models.URLField(
        max_length=500, blank=True, help_text="Its project page."
    )
    ai_summary = models.TextField(
        "AI summary",
        blank=True,
        help_text="One sentence, generated by Hugging Face.",
    )
    ai_keywords = models.JSONField(
        "AI keywords",
        default=list,
        blank=True,
        help_text="Keywords, generated by Hugging Face.",
    )
    thumbnail_url = models.URLField(
        "thumbnail",
        max_length=500,
        blank=True,
        default="",
        db_default="",
        help_text="Its preview image at the source.",
    )
    topics = models.ManyToManyField(
        "digest.Topic",
        blank=True,
        editable=False,
        related_name="papers",
        help_text="Listed topics whose interest it matches, as of the last ranking.",
    )
    corrected_title = models.TextField(
        blank=True,
        default="",
        db_default="",
        help_text="An editor's title for mails and pages; empty for the source's.",
    )
    corrected_summary = models.TextField(
        blank=True,
        default="",
        db_default="",
        help_text="An editor's summary for mails and pages; empty for that of the abstract.",
    )
    topic_corrections = models.JSONField(
        null=True,
        blank=True,
        help_text="Topics that an editor assigned (true) or removed (false), by slug.",
    )
    duplicate_of = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        db_index=False,
        related_name="duplicates",
        help_text="The paper that is mailed instead, because both are the same work.",
    )
    votes = models.PositiveIntegerField(
        default=0, help_text="Upvotes in the newest attention sample."
    )
    comments = models.PositiveIntegerField(
        default=0, help_text="Comments in the newest attention sample."
    )
    stars = models.PositiveIntegerField(
        default=0, help_text="Stars of its repository in the newest attention sample."
    )
    created_at = models.DateTimeField(editable=False)
    updated_at = models.DateTimeField(editable=False)
    vector = models.BinaryField(null=True, editable=False)
    vector_version = models.CharField(
        max_length=16, blank=True, editable=False, db_index=True
    )
    #: Its words as `ranking.bm25.pack_terms` stores them, written with the vector.
    terms = models.BinaryField(null=True, editable=False)
    dense_vector = models.BinaryField(null=True, editable=False)
    dense_version = models.CharField(
        max_length=16, blank=True, editable=False, db_index=True
    )

    objects = PaperQuerySet.as_manager()

    class Meta:
        ordering = ["-announced_on", "identifier"]
        indexes = [
            GinIndex(
                fields=["authors"],
                name="papers_by_author",
                opclasses=["jsonb_path_ops"],
            )
        ]

    def __str__(self) -> str:
        return f"{self.identifier} {self.title}"

    def get_absolute_url(self) -> str:
        return reverse("paper", args=[self.identifier])

    @property
    def is_announced(self) -> bool:
        """Whether the paper counts as announced on its day; see PaperQuerySet.announced."""
        return self.announce_type in self.FIRST_ANNOUNCEMENTS

    @property
    def display_title(self) -> str:
        """The title in plain text, as an editor corrected it if one did."""
        return self.corrected_title or self.title

    @property
    def is_from_listing(self) -> bool:
        return self.announce_type != self.Announced.ADDED_BY_READER

    @property
    def arxiv_url(self) -> str:
        return f"https://arxiv.org/abs/{self.identifier}"

    @property
    def pdf_url(self) -> str:
        return f"https://arxiv.org/pdf/{self.identifier}"


class AttentionSample(models.Model):
    """One dated measurement of a paper's attention; append-only, so that growth can be computed."""

    class Kind(models.TextChoices):
        UPVOTES = "upvotes", "upvotes"
        COMMENTS = "comments", "comments"
        STARS = "stars", "stars of its repository"
        CLICKS = "clicks", "readers' clicks of that day"

    paper = models.ForeignKey(Paper, models.CASCADE, related_name="attention_samples")
    source = models.CharField(
        max_length=16, help_text="The source: huggingface, or this site."
    )
    kind = models.CharField(max_length=8, choices=Kind.choices)
    value = models.PositiveIntegerField()
    at = models.DateTimeField(help_text="When it was measured.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["paper", "source", "kind", "at"],
                name="an_attention_sample_is_taken_once_at_a_time",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.value} {self.kind} at {self.at:%Y-%m-%d %H:%M}"


class PaperThumbnailQuerySet(models.QuerySet["PaperThumbnail"]):
    def usable(self) -> Self:
        return self.exclude(image=b"")


class PaperThumbnail(models.Model):
    """Our small copy of the image that a source shows beside a paper."""

    MAX_ATTEMPTS = 3

    paper = models.OneToOneField(
        Paper, models.CASCADE, primary_key=True, related_name="thumbnail"
    )
    image = models.BinaryField(help_text="WebP; empty while it could not be fetched.")
    attempts = models.PositiveSmallIntegerField(default=1)
    fetched_at = models.DateTimeField(help_text="When it was last requested.")

    objects = PaperThumbnailQuerySet.as_manager()

    def __str__(self) -> str:
        return f"thumbnail of {self.paper_id}, {len(self.image):,} bytes"


class EmbeddingModel(models.Model):
    """One fitted model; the newest is in use. `Paper.vector_version` names the one of its vector."""

    version = models.CharField(
        max_length=16, unique=True, help_text="A digest of its content."
    )
    content = models.BinaryField(help_text="The model, as ranking.lsa writes it.")
    papers = models.PositiveIntegerField(help_text="How many papers it was fitted on.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        get_latest_by = ["created_at", "pk"]

    def __str__(self) -> str:
        return f"{self.version}, fitted on {self.papers} papers"
