"""Admin of ingest runs and embedding models."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html_join
from unfold.decorators import display

from accounts.admin_base import ReadOnlyAdmin
from digest import tasks
from digest.admin import run_summaries
from digest.ingest import rerun, run_source
from digest.ingest.sources.listing import SourceError
from digest.models import EmbeddingModel, IngestRun

LABELS = {"done": "success", "failed": "danger", "running": "warning"}
MAX_RUNS_REPEATED = 20  # at once; arXiv allows one request in three seconds


class PaperForm(forms.Form):
    """Asks for one paper."""

    paper = forms.CharField(max_length=200, label="arXiv id or address")


@admin.register(IngestRun)
class IngestRunAdmin(ReadOnlyAdmin):
    """Ingest runs, their results and what happens next."""

    list_display = ("started", "subject", "state_label", "counts", "result", "duration")
    list_filter = ("state", "kind", "feed_state", "failure", "started_at")
    readonly_fields = ("next_step", "refusals")
    exclude = ("refused_records",)
    search_fields = ("origin", "error", "set_spec", "paper_identifier")
    actions = ("run_again",)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.submit_view)
        return [
            path("submit/", view, name="digest_ingestrun_submit"),
            *super().get_urls(),
        ]

    @admin.display(description="started", ordering="started_at")
    def started(self, run: IngestRun) -> str:
        """With no-break spaces, so that the column stays narrow."""
        return f"{timezone.localtime(run.started_at):%d %b, %H:%M}".replace(
            " ", "\N{NO-BREAK SPACE}"
        )

    @admin.display(description="run")
    def subject(self, run: IngestRun) -> str:
        return run_summaries.describe_run(run)

    @display(description="state", ordering="state", label=LABELS)  # type: ignore[untyped-decorator]
    def state_label(self, run: IngestRun) -> str:
        return run.state

    @admin.display(description="papers")
    def counts(self, run: IngestRun) -> str:
        return run_summaries.describe_counts(run)

    @admin.display(description="duration")
    def duration(self, run: IngestRun) -> str:
        if run.finished_at is None:
            return ""
        seconds = int((run.finished_at - run.started_at).total_seconds())
        return f"{seconds // 60}:{seconds % 60:02}"

    @admin.display(description="result")
    def result(self, run: IngestRun) -> str:
        """Why it failed or what it read, and what happens next."""
        parts = (run.error or run.note, self.next_step(run))
        return " · ".join(filter(None, parts))

    @admin.display(description="what happens next", empty_value="nothing: it is done")
    def next_step(self, run: IngestRun) -> str:
        return rerun.next_step(run, timezone.now())

    @admin.display(description="refused records", empty_value="none")
    def refusals(self, run: IngestRun) -> str:
        rows = [
            (record["identifier"], record["reason"]) for record in run.refused_records
        ]
        return format_html_join("", "<div>{}: {}</div>", rows)

    def has_run_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("digest.add_ingestrun"))

    @admin.action(description="Run again", permissions=["run"])
    def run_again(self, request: HttpRequest, selected: QuerySet[IngestRun]) -> None:
        """Enqueue the runs: a source may take minutes."""
        for run in selected[:MAX_RUNS_REPEATED]:
            tasks.enqueue_best_effort(tasks.rerun_ingest_run, run.pk)
            self.log_change(request, run, "Run again by hand.")
        number = min(selected.count(), MAX_RUNS_REPEATED)
        messages.success(
            request, f"{number} run(s) started. Reload this page in a minute."
        )

    def submit_view(self, request: HttpRequest) -> HttpResponse:
        """GET shows the form; POST enqueues fetching the paper from arXiv."""
        if not self.has_run_permission(request):
            raise PermissionDenied
        form = PaperForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            text, now = form.cleaned_data["paper"], timezone.now()
            try:
                run = run_source.create_paper_run(text, now)
            except SourceError as refusal:
                form.add_error("paper", str(refusal))
            else:
                return self.enqueue_paper_run(request, run)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Add a paper",
            "form": form,
            "back": reverse("admin:digest_ingestrun_changelist"),
        }
        return TemplateResponse(request, "admin/submit.html", context)

    def enqueue_paper_run(self, request: HttpRequest, run: IngestRun) -> HttpResponse:
        tasks.enqueue_best_effort(tasks.fetch_submitted_paper, run.pk)
        self.log_addition(request, run, "Paper requested.")
        messages.success(
            request,
            f"Fetching {run.paper_identifier}. Reload this page in a minute.",
        )
        return HttpResponseRedirect(reverse("admin:digest_ingestrun_changelist"))


@admin.register(EmbeddingModel)
class EmbeddingModelAdmin(ReadOnlyAdmin):
    """Embedding models; the newest one is in use."""

    list_display = ("version", "papers", "created_at")
    ordering = ("-created_at",)
    exclude = ("content",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request).defer("content")
        return rows
