"""The LSA models that made the vectors of papers."""

from django.db import models


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
