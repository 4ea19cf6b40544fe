"""What ingest read, and which models made the vectors."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.admin import Ledger
from digest.models import IngestRun, VectorModel


@admin.register(IngestRun)
class IngestRunAdmin(Ledger):
    """Each document read, and what it brought or why it was refused."""

    list_display = (
        "started_at",
        "source",
        "origin",
        "state",
        "new",
        "updated",
        "unchanged",
        "signals",
        "took",
        "error",
    )
    list_filter = ("state", "source", "started_at")
    search_fields = ("origin", "error")

    @admin.display(description="took")
    def took(self, run: IngestRun) -> timedelta | None:
        return run.finished_at - run.started_at if run.finished_at else None


@admin.register(VectorModel)
class VectorModelAdmin(Ledger):
    """The newest one is in use."""

    list_display = ("version", "papers", "created_at")
    ordering = ("-created_at",)
    exclude = ("content",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request).defer("content")
        return rows
