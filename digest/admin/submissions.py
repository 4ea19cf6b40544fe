"""Admin of submissions: an editor approves or declines the papers that readers submit."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Case, IntegerField, OuterRef, QuerySet, Value, When
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.views.decorators.http import require_POST

from accounts.admin_base import ReadOnlyAdmin, count_related
from accounts.models import Subscriber
from digest import tasks
from digest.ingest.reader_requests import submissions
from digest.models import Paper, Submission, SubmissionRequest

CHANGELIST = "admin:digest_submission_changelist"
# Shown to the readers where the editor gives no reason.
DEFAULT_REASON = "An editor reviewed and declined it."
WAITING_FIRST = Case(
    When(state=Submission.State.WAITING, then=Value(0)),
    default=Value(1),
    output_field=IntegerField(),
).asc()
SHOWN_HASH_LENGTH = 8  # characters: enough to recognise the same reader


@admin.register(Submission)
class SubmissionAdmin(ReadOnlyAdmin):
    """Submissions of readers, waiting ones first."""

    list_display = (
        "identifier",
        "title",
        "primary",
        "announced_on",
        "requested_by",
        "created_at",
        "state",
        "why",
    )
    list_filter = ("state",)
    search_fields = ("identifier", "title")
    search_help_text = "An arXiv id, or words of the title"
    actions = ("approve", "decline")
    fields = (
        "title",
        "author_names",
        "abstract",
        "on_arxiv",
        ("primary", "announced_on"),
        ("state", "why"),
        ("created_at", "decided_at"),
    )
    readonly_fields = ("author_names", "on_arxiv")
    change_form_outer_before_template = "admin/submission.html"

    def get_urls(self) -> list[URLPattern]:
        decide = require_POST(self.admin_site.admin_view(self.decide_view))
        return [
            path("<int:pk>/decide/", decide, name="digest_submission_decide"),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        requests = SubmissionRequest.objects.filter(submission=OuterRef("pk"))
        count = count_related(requests, "submission")
        rows: QuerySet[Any] = super().get_queryset(request)
        rows = rows.annotate(request_count=count)
        return rows

    def get_ordering(self, request: HttpRequest) -> list[Any]:
        return [WAITING_FIRST, "-created_at", "-pk"]

    @admin.display(description="requested by")
    def requested_by(self, row: Any) -> str:
        return f"{row.request_count} reader{'' if row.request_count == 1 else 's'}"

    @admin.display(description="authors")
    def author_names(self, row: Submission) -> str:
        return ", ".join(row.authors) or "-"

    @admin.display(description="on arXiv")
    def on_arxiv(self, row: Submission) -> str:
        address = Paper(identifier=row.identifier).arxiv_url
        return format_html('<a href="{0}" rel="noreferrer">{0}</a>', address)

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("digest.change_submission"))

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context = {
            **(extra_context or {}),
            "requests": list_requests(request, object_id),
            "may_decide": self.has_decide_permission(request),
            "max_reason_length": Submission._meta.get_field("why").max_length,
        }
        return super().change_view(request, object_id, form_url, context)

    @admin.action(description="Approve", permissions=["decide"])
    def approve(self, request: HttpRequest, selected: QuerySet[Submission]) -> None:
        """Approve; a worker fetches the papers and ranks the open edition with them."""
        self.decide(request, selected, "approve", "")

    @admin.action(description="Decline", permissions=["decide"])
    def decline(self, request: HttpRequest, selected: QuerySet[Submission]) -> None:
        self.decide(request, selected, "decline", "")

    def decide_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Decide on one submission from its own page, with a reason."""
        if not self.has_decide_permission(request):
            raise PermissionDenied
        row = get_object_or_404(Submission, pk=pk)
        verb = "approve" if "approve" in request.POST else "decline"
        self.decide(request, [row], verb, request.POST.get("why", ""))
        return HttpResponseRedirect(reverse(CHANGELIST))

    def decide(
        self, request: HttpRequest, rows: Iterable[Submission], verb: str, why: str
    ) -> None:
        decided = skipped = 0
        reason = " ".join(why.split())
        result = f"{RESULTS[verb]} Reason: “{reason}”" if reason else RESULTS[verb]
        for row in rows:
            state = row.state
            if DECISIONS[verb](row, reason):
                self.log_change(request, row, result)
                decided += 1
                continue
            skipped += 1
            row.refresh_from_db()
            if row.state != state:  # too old to be approved
                text = f"{row.get_state_display().capitalize()}. Reason: “{row.why}”"
                self.log_change(request, row, text)
        if decided and verb == "approve":
            tasks.enqueue_best_effort(tasks.fetch_reader_requests)
        if decided:
            messages.success(request, f"{RESULTS[verb]} ({decided})")
        if skipped:
            messages.warning(
                request,
                f"{skipped} skipped: already decided, or more than 14 days old.",
            )


def approve(row: Submission, why: str) -> bool:
    return submissions.approve_submission(row, timezone.now())


def decline(row: Submission, why: str) -> bool:
    reason = why or DEFAULT_REASON
    return submissions.decline_submission(row, reason, timezone.now())


DECISIONS: dict[str, Callable[[Submission, str], bool]] = {
    "approve": approve,
    "decline": decline,
}
RESULTS = {
    "approve": "Approved: the paper is being fetched for the open edition.",
    "decline": "Declined.",
}


def list_requests(request: HttpRequest, pk: str) -> list[tuple[str, datetime]]:
    """List who requested a submission, and when.

    Editors without permission to see readers get a hash of the address.
    """
    if not pk.isdecimal():
        return []
    rows = SubmissionRequest.objects.filter(submission=int(pk))
    may_see_address = request.user.has_perm("accounts.view_subscriber")
    return [
        (
            row.subscriber.email if may_see_address else hash_reader(row.subscriber),
            row.at,
        )
        for row in rows.select_related("subscriber").order_by("at")
    ]


def hash_reader(reader: Subscriber) -> str:
    return f"reader {reader.address_hash[:SHOWN_HASH_LENGTH]}"
