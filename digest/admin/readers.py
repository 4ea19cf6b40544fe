"""Readers with their follows, digests, a preview of the next digest, and why a paper has its place in a digest."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    QueryDict,
    StreamingHttpResponse,
)
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.decorators.http import require_POST

from accounts.admin import SubscriberAdmin
from accounts.admin_base import render_page
from accounts.models import Subscriber
from digest.admin import previews, score_lines
from digest.admin.reader_imports import stream_csv
from digest.mailer import retention
from digest.models import Edition, Paper
from digest.reasons import display_name, explain_picks, load_names
from digest.text.arxiv_ids import parse_arxiv_id

READER_ACTIONS = {"unsubscribe": "Unsubscribe", "suppress": "Suppress this address"}
LISTED_DIGESTS, LISTED_EDITIONS = 10, 10
EXPORTED_COLUMNS = (
    *("email", "state", "frequency", "weekday", "hour", "zone", "length", "fill_mode"),
    *("paused_until", "created_at", "confirmed_at", "left_at"),
    *("consent_text", "consent_how"),
)
EXPORTED_CHUNK_ROWS = 2_000

admin.site.unregister(Subscriber)


@admin.register(Subscriber)
class ReaderAdmin(SubscriberAdmin):
    """Readers, with a preview of their next digest."""

    change_form_outer_before_template = "admin/reader.html"
    list_before_template = "admin/reader_list.html"
    actions = (*SubscriberAdmin.actions, "export_selected")

    def get_urls(self) -> list[URLPattern]:
        preview = self.admin_site.admin_view(self.preview_view)
        explain_ = self.admin_site.admin_view(self.explain_view)
        export = require_POST(self.admin_site.admin_view(self.export_view))
        return [
            path("export/", export, name="accounts_subscriber_export"),
            path("<int:pk>/preview/", preview, name="accounts_subscriber_preview"),
            path("<int:pk>/explain/", explain_, name="accounts_subscriber_explain"),
            *super().get_urls(),
        ]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context = reader_context(object_id) if object_id.isdecimal() else {}
        return super().change_view(
            request, object_id, form_url, {**(extra_context or {}), **context}
        )

    def export_view(self, request: HttpRequest) -> StreamingHttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return export_readers(request, self.get_queryset(request))

    @admin.action(description="Export selected as CSV", permissions=["view"])
    def export_selected(
        self, request: HttpRequest, queryset: QuerySet[Any]
    ) -> StreamingHttpResponse:
        return export_readers(request, queryset)

    def preview_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET shows the digest of the newest edition; POST mails it to the staff user."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        reader = get_object_or_404(Subscriber, pk=pk)
        edition, now = Edition.objects.first(), timezone.now()
        context = previews.preview_digest(edition, reader, now)
        if request.method == "POST" and context["mail"]:
            previews.send_test(request, context["mail"])
            return HttpResponseRedirect(request.path)
        title = f"Next digest of {reader}"
        template = "admin/preview.html"
        return render_page(self, request, template, title=title, **context)

    def explain_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        reader = get_object_or_404(Subscriber, pk=pk)
        context = explain_paper(reader, request.GET)
        title = f"Explain a paper for {reader}"
        template = "admin/explain.html"
        return render_page(self, request, template, title=title, **context)


def export_readers(
    request: HttpRequest, readers: QuerySet[Any]
) -> StreamingHttpResponse:
    """Stream readers as CSV, and record in the history who exported how many."""
    assert request.user.pk  # the admin requires staff
    LogEntry.objects.create(
        user_id=request.user.pk,
        content_type=ContentType.objects.get_for_model(Subscriber),
        object_repr="Readers",
        action_flag=CHANGE,
        change_message=f"Exported {readers.count():,} readers as CSV.",
    )
    header = (*EXPORTED_COLUMNS, "suppressed")
    rows = readers.order_by("pk").values_list(*EXPORTED_COLUMNS, "is_suppressed")
    lines = (
        ["" if value is None else value for value in row]
        for row in rows.iterator(EXPORTED_CHUNK_ROWS)
    )
    return stream_csv("readers.csv", header, lines)


def reader_context(pk: str) -> dict[str, Any]:
    reader = Subscriber.objects.filter(pk=pk).first()
    if reader is None:
        return {}
    follows = reader.follows.select_related("interest").order_by("-weight", "pk")
    names = load_names([follow.interest for follow in follows])
    digests = reader.digests.select_related("edition", "batch").order_by("-pk")
    return {
        "follows": [
            (follow, display_name(follow.interest, names)) for follow in follows
        ],
        "digests": digests.defer("batch__readers")[:LISTED_DIGESTS],
        "reader_actions": READER_ACTIONS,
    }


def explain_paper(reader: Subscriber, query: QueryDict) -> dict[str, Any]:
    from digest.ranking.placement import explain_placement

    editions = list(Edition.objects.all()[:LISTED_EDITIONS])
    by_pk = {str(edition.pk): edition for edition in editions}
    edition = by_pk.get(query.get("edition", ""), next(iter(editions), None))
    typed = query.get("paper", "").strip()
    page = {
        "reader": reader,
        "editions": editions,
        "edition": edition,
        "typed": typed,
    }
    if edition is None or not typed:
        return page
    paper = find_paper(typed)
    if paper is None:
        return {**page, "absent": f"No paper found for “{typed[:60]}”."}
    candidate = edition.candidates.select_related("paper").filter(paper=paper).first()
    if candidate is None:
        return {**page, "paper": paper, "absent": explain_absence(edition, paper)}
    placement = explain_placement(edition, reader, candidate, timezone.now())
    names = load_names(score_lines.all_interests(placement))
    pick = placement.pick
    why = next(iter(explain_picks([pick])), None) if pick else None
    breakdown = score_lines.placement_context(placement, reader, names)
    return {**page, "paper": paper, "why": why, **breakdown}


def explain_absence(edition: Edition, paper: Paper) -> str:
    from digest.ranking.placement import absence

    if retention.is_past_retention(edition, timezone.now()):
        return (
            f"This edition is older than {retention.retention_days()} days: only candidates that"
            " editors pinned, boosted, hid or annotated are still stored."
        )
    return absence(edition, paper)


def find_paper(text: str) -> Paper | None:
    try:
        identifier, _ = parse_arxiv_id(text)
    except ValueError:
        identifier = text
    return Paper.objects.filter(identifier=identifier).first()
