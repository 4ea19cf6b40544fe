"""Papers that readers ask for: an editor reads what they are, and approves or declines."""

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

LIST = "admin:digest_submission_changelist"
# What those who asked read, where the editor gives no reason of their own.
UNEXPLAINED = "An editor looked at it and declined."
WAITING_FIRST = Case(
    When(state=Submission.State.WAITING, then=Value(0)),
    default=Value(1),
    output_field=IntegerField(),
).asc()
HASH_SHOWN = 8  # signs: enough to see that it is the same reader again


@admin.register(Submission)
class SubmissionAdmin(ReadOnlyAdmin):
    """What readers ask for, those that wait first."""

    list_display = (
        "identifier",
        "title",
        "primary",
        "announced_on",
        "asked_by",
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
        own = SubmissionRequest.objects.filter(submission=OuterRef("pk"))
        rows: QuerySet[Any] = (
            super()
            .get_queryset(request)
            .annotate(asked_count=count_related(own, "submission"))
        )
        return rows

    def get_ordering(self, request: HttpRequest) -> list[Any]:
        return [WAITING_FIRST, "-created_at", "-pk"]

    @admin.display(description="asked by")
    def asked_by(self, row: Any) -> str:
        return f"{row.asked_count} reader{'' if row.asked_count == 1 else 's'}"

    @admin.display(description="authors")
    def author_names(self, row: Submission) -> str:
        return ", ".join(row.authors) or "-"

    @admin.display(description="on arXiv")
    def on_arxiv(self, row: Submission) -> str:
        address = Paper(identifier=row.identifier).arxiv_url
        return format_html('<a href="{0}" rel="noreferrer">{0}</a>', address)

    def has_decide_permission(self, request: HttpRequest) -> bool:
        """Whoever may change submissions decides on them."""
        return bool(request.user.has_perm("digest.change_submission"))

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        about = {
            "who_asked": who_asked(request, object_id),
            "may_decide": self.has_decide_permission(request),
            "longest": Submission._meta.get_field("why").max_length,
        }
        return super().change_view(
            request, object_id, form_url, {**(extra_context or {}), **about}
        )

    @admin.action(description="Approve", permissions=["decide"])
    def approve(self, request: HttpRequest, chosen: QuerySet[Submission]) -> None:
        """A worker brings the papers; open editions are ranked again with them."""
        self.decide(request, chosen, "approve", "")

    @admin.action(description="Decline", permissions=["decide"])
    def decline(self, request: HttpRequest, chosen: QuerySet[Submission]) -> None:
        self.decide(request, chosen, "decline", "")

    def decide_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """One submission, from its own page, with a reason."""
        if not self.has_decide_permission(request):
            raise PermissionDenied
        row = get_object_or_404(Submission, pk=pk)
        verb = "approve" if "approve" in request.POST else "decline"
        self.decide(request, [row], verb, request.POST.get("why", ""))
        return HttpResponseRedirect(reverse(LIST))

    def decide(
        self, request: HttpRequest, rows: Iterable[Submission], verb: str, why: str
    ) -> None:
        """Do it to each, write it down, and say how many there were."""
        done = missed = 0
        for row in rows:
            if VERBS[verb](row, " ".join(why.split())):
                self.log_change(request, row, SAYS[verb])
                done += 1
            else:
                missed += 1
        if done and verb == "approve":
            tasks.enqueue_best_effort(tasks.fetch_reader_requests)
        if done:
            messages.success(request, f"{SAYS[verb]} ({done})")
        if missed:
            messages.warning(request, f"{missed} did not wait any more, or is too old.")


def approve(row: Submission, why: str) -> bool:
    return submissions.approve(row, timezone.now())


def decline(row: Submission, why: str) -> bool:
    return submissions.decline(row, why or UNEXPLAINED, timezone.now())


VERBS: dict[str, Callable[[Submission, str], bool]] = {
    "approve": approve,
    "decline": decline,
}
SAYS = {
    "approve": "Approved: being fetched, and then in the open edition.",
    "decline": "Declined.",
}


def who_asked(request: HttpRequest, pk: str) -> list[tuple[str, datetime]]:
    """Who asked for a submission, and when; editors who may not see readers see that it is the same one."""
    if not pk.isdecimal():
        return []
    rows = SubmissionRequest.objects.filter(submission=int(pk)).select_related(
        "subscriber"
    )
    may_see = request.user.has_perm("accounts.view_subscriber")
    return [
        (row.subscriber.email if may_see else hashed(row.subscriber), row.at)
        for row in rows.order_by("at")
    ]


def hashed(reader: Subscriber) -> str:
    return f"reader {reader.address_hash[:HASH_SHOWN]}"
