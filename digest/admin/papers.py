"""Papers: search by identifier or title; only links and the organization can be edited."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet, URLField
from django.http import HttpRequest
from django.utils.html import format_html

from accounts.admin_base import LargeTableAdmin
from digest.models import Paper

EDITABLE_FIELDS = ("organization", "code_url", "project_url")
READONLY_FIELDS = (
    "identifier",
    "version",
    "announced_on",
    "announce_type",
    "title",
    "authors",
    "abstract",
    "categories",
    "published_at",
    "doi",
    "license",
    "votes",
    "comments",
    "stars",
    "title_raw",
    "abstract_raw",
    "created_at",
    "updated_at",
    "vector_version",
)


@admin.register(Paper)
class PaperAdmin(LargeTableAdmin):
    """Papers as their sources describe them, with links that an editor can correct."""

    list_display = (
        "identifier",
        "title",
        "primary",
        "announced_on",
        "announce_type",
        "votes",
        "comments",
        "stars",
    )
    list_filter = ("announce_type", "announced_on")
    search_fields = ("identifier", "title")
    search_help_text = "arXiv ID, or words from the title"
    formfield_overrides = {URLField: {"assume_scheme": "https"}}
    readonly_fields = (*READONLY_FIELDS, "on_arxiv")
    fieldsets = (
        (None, {"fields": ("title", "authors", "abstract", "on_arxiv")}),
        ("Edit", {"fields": EDITABLE_FIELDS}),
        (
            "Announced",
            {
                "fields": (
                    ("identifier", "version"),
                    ("announced_on", "announce_type"),
                    ("categories", "published_at"),
                    ("doi", "license"),
                )
            },
        ),
        ("Attention", {"fields": (("votes", "comments", "stars"),)}),
        (
            "Source data",
            {
                "fields": (
                    "title_raw",
                    "abstract_raw",
                    ("created_at", "updated_at", "vector_version"),
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = (
            super().get_queryset(request).defer("vector", "dense_vector")
        )
        return rows

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Match the beginning of the identifier, or every word in the title."""
        by_title = Q()
        for word in search_term.split():
            by_title &= Q(title__icontains=word)
        matches = Q(identifier__startswith=search_term.strip()) | by_title
        return queryset.filter(matches) if search_term else queryset, False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="on arXiv")
    def on_arxiv(self, paper: Paper) -> str:
        return format_html('<a href="{0}" rel="noreferrer">{0}</a>', paper.arxiv_url)
