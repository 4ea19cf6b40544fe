"""Topics, interests and follows."""

from django.db import models
from django.urls import reverse
from django.utils.formats import date_format

from accounts.models import Subscriber
from digest.models.papers import Paper


class Topic(models.Model):
    """A field of research, named and described by an editor."""

    name = models.CharField(
        max_length=80, unique=True, help_text="What readers see on the chip."
    )
    slug = models.SlugField(
        max_length=80,
        unique=True,
        help_text="Part of its URL, /topics/…; do not change it.",
    )
    description = models.TextField(
        help_text="One or two sentences; its words also find papers."
    )
    keywords = models.JSONField(
        default=list,
        blank=True,
        help_text='Words and phrases of the field, as a list: ["quantization", "int4"].',
    )
    categories = models.JSONField(
        default=list,
        blank=True,
        help_text='arXiv categories where its papers appear: ["cs.LG"].',
    )
    examples = models.ManyToManyField(
        Paper,
        blank=True,
        help_text="Example papers; similar papers are found by them.",
    )
    position = models.PositiveSmallIntegerField(
        default=100, help_text="Low numbers come first in lists."
    )
    is_listed = models.BooleanField(
        "listed",
        default=True,
        help_text="Clear to archive it: it is no longer offered, and its followers keep it.",
    )
    merged_into = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        editable=False,
        db_index=False,  # there are some tens of topics
        related_name="merged_topics",
        help_text="The topic that has its followers now; its pages lead there.",
    )

    class Meta:
        ordering = ["position", "name"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("topic", args=[self.slug])


class TopicFigures(models.Model):
    """What one day's digests say about a topic: papers picked for it, opened, and disliked."""

    topic = models.ForeignKey(Topic, models.CASCADE, related_name="figures")
    day = models.DateField(help_text="The day of the edition.")
    picks = models.PositiveIntegerField(
        default=0, help_text="Papers in digests that were picked for the topic."
    )
    clicks = models.PositiveIntegerField(
        default=0, help_text="Those that their reader opened."
    )
    disliked = models.PositiveIntegerField(
        default=0, help_text="Those that their reader wanted less of."
    )

    class Meta:
        verbose_name_plural = "topic figures"
        constraints = [
            models.UniqueConstraint(
                fields=["topic", "day"], name="a_topic_has_figures_once_a_day"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.topic}, {date_format(self.day)}"


class Interest(models.Model):
    """One thing that can be followed or muted, shared by all its followers."""

    class Kind(models.TextChoices):
        TOPIC = "topic", "topic"
        CATEGORY = "category", "category"
        KEYWORD = "keyword", "keyword or phrase"
        AUTHOR = "author", "author"
        PAPER = "paper", "papers like this one"
        SEARCH = "search", "saved search"

    kind = models.CharField(max_length=8, choices=Kind.choices)
    value = models.CharField(
        max_length=250,
        help_text="A topic's slug, a category, a phrase, a name, a paper's identifier, or the words of a search.",
    )
    #: LSA row of a search, and the model that made it; empty until the next ranking.
    vector = models.BinaryField(null=True, editable=False)
    vector_version = models.CharField(
        max_length=16, blank=True, default="", db_default="", editable=False
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "value"],
                name="an_interest_is_shared_by_all_who_follow_it",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.value}"


class Follow(models.Model):
    """A reader follows (positive weight) or mutes (negative weight) an interest.

    Weight 0 declines one paper that only filled a digest; nothing else follows from it.
    """

    class Source(models.TextChoices):
        CHOSEN = "chosen", "chosen by the reader"
        FEEDBACK = "feedback", "more or less like this"
        OPENED = "opened", "opened from a digest"

    subscriber = models.ForeignKey(Subscriber, models.CASCADE, related_name="follows")
    interest = models.ForeignKey(Interest, models.CASCADE, related_name="follows")
    weight = models.FloatField(default=1.0, help_text="From -1 (mute) to 1 (follow).")
    source = models.CharField(
        max_length=8, choices=Source.choices, default=Source.CHOSEN
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["subscriber", "interest"],
                name="a_reader_has_one_stance_to_an_interest",
            ),
            models.CheckConstraint(
                condition=models.Q(weight__gte=-1, weight__lte=1),
                name="a_weight_is_between_minus_one_and_one",
            ),
        ]

    def __str__(self) -> str:
        verb = "follows" if self.weight > 0 else "mutes"
        return f"{self.subscriber} {verb} {self.interest}"


class ExampleGroups(models.Model):
    """How a reader's example papers and opened papers divide into groups.

    Clustering takes as long as choosing, so its result is stored. A key is a hash of what
    was clustered: groups whose key differs are computed again, so no change of a
    preference has to reach this row.
    """

    subscriber = models.OneToOneField(
        Subscriber, models.CASCADE, primary_key=True, related_name="example_groups"
    )
    liked_key = models.BinaryField(default=b"", editable=False)
    liked_groups = models.BinaryField(default=b"", editable=False)
    opened_key = models.BinaryField(default=b"", editable=False)
    opened_groups = models.BinaryField(default=b"", editable=False)

    class Meta:
        verbose_name_plural = "example groups"

    def __str__(self) -> str:
        return f"groups of {self.subscriber}"
