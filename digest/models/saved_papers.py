"""The papers that readers saved to their reading lists."""

from django.db import models

from accounts.models import Subscriber
from digest.models.papers import Paper


class SavedPaper(models.Model):
    """A paper on a reader's reading list. Saving says nothing about what they follow."""

    MAX_PER_READER = 2_000
    MAX_NOTE_CHARS = 500

    subscriber = models.ForeignKey(
        Subscriber, models.CASCADE, related_name="saved_papers"
    )
    paper = models.ForeignKey(Paper, models.CASCADE, related_name="saves")
    note = models.CharField(max_length=MAX_NOTE_CHARS, blank=True)
    is_done = models.BooleanField(default=False)
    saved_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["subscriber", "paper"], name="a_reader_saves_a_paper_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.paper_id} saved by {self.subscriber_id}"
