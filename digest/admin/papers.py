"""Papers: found by identifier or title; what their source wrote stays as it is."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet, URLField
from django.http import HttpRequest
from django.utils.html import format_html

from accounts.admin import CountedOnce, ModelAdmin
from digest.models import Paper

EDITABLE = ("organization", "code_url", "project_url")
SHOWN = (
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
class PaperAdmin(ModelAdmin):
    """What is known of a paper. Links and organization may be mended by hand."""

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
    search_help_text = "An arXiv id, or words of the title"
    show_full_result_count = False
    list_per_page = 50
    formfield_overrides = {URLField: {"assume_scheme": "https"}}
    readonly_fields = (*SHOWN, "on_arxiv")
    fieldsets = (
        (None, {"fields": ("title", "authors", "abstract", "on_arxiv")}),
        ("Mended by hand", {"fields": EDITABLE}),
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
            "As its source wrote it",
            {
                "fields": (
                    "title_raw",
                    "abstract_raw",
                    ("created_at", "updated_at", "vector_version"),
                )
            },
        ),
    )

    def get_changelist(self, request: HttpRequest, **_: Any) -> type[CountedOnce]:
        return CountedOnce

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request).defer("vector")
        return rows

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Papers whose identifier begins so, or whose title has all these words."""
        by_title = Q()
        for word in search_term.split():
            by_title &= Q(title__icontains=word)
        wanted = Q(identifier__startswith=search_term.strip()) | by_title
        return queryset.filter(wanted) if search_term else queryset, False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="on arXiv")
    def on_arxiv(self, paper: Paper) -> str:
        return format_html('<a href="{0}" rel="noreferrer">{0}</a>', paper.arxiv_url)
