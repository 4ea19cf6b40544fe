"""What ingest read, once more if an editor says so, and which models made the vectors."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.decorators import display

from accounts.admin_base import ReadOnlyAdmin
from digest import tasks
from digest.admin import run_summaries
from digest.ingest import rerun, run_source
from digest.ingest.sources.listing import SourceError
from digest.models import EmbeddingModel, IngestRun

LOOKS = {"done": "success", "failed": "danger", "running": "warning"}
MOST_AGAIN = 20  # runs at once; arXiv gets one request in three seconds


class PaperForm(forms.Form):
    """An arXiv id, or an address of a paper."""

    paper = forms.CharField(max_length=200, label="arXiv id or address")


@admin.register(IngestRun)
class IngestRunAdmin(ReadOnlyAdmin):
    """Each reading of a source, and what it brought or why it was refused."""

    list_display = ("began", "reading", "state_shown", "brought", "said", "took")
    list_filter = ("state", "source", "is_check", "started_at")
    readonly_fields = ("next_step",)
    search_fields = ("origin", "error", "part")
    actions = ("read_again",)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.submit_view)
        return [
            path("submit/", view, name="digest_ingestrun_submit"),
            *super().get_urls(),
        ]

    @admin.display(description="began", ordering="started_at")
    def began(self, run: IngestRun) -> str:
        """In a column as narrow as it can be."""
        return f"{timezone.localtime(run.started_at):%d %b, %H:%M}".replace(
            " ", "\N{NO-BREAK SPACE}"
        )

    @admin.display(description="reading")
    def reading(self, run: IngestRun) -> str:
        return run_summaries.title(run)

    @display(description="state", ordering="state", label=LOOKS)  # type: ignore[untyped-decorator]
    def state_shown(self, run: IngestRun) -> str:
        return run.state

    @admin.display(description="brought")
    def brought(self, run: IngestRun) -> str:
        return run_summaries.brought(run)

    @admin.display(description="took")
    def took(self, run: IngestRun) -> str:
        seconds = (run.finished_at - run.started_at).seconds if run.finished_at else 0
        return f"{seconds // 60}:{seconds % 60:02}" if run.finished_at else ""

    @admin.display(description="outcome")
    def said(self, run: IngestRun) -> str:
        """What it was like or why it failed, and what happens next."""
        said = (run.error or run.outcome, self.next_step(run))
        return " · ".join(filter(None, said))

    @admin.display(description="what happens next", empty_value="nothing: it is done")
    def next_step(self, run: IngestRun) -> str:
        return rerun.what_next(run, timezone.now())

    def has_run_permission(self, request: HttpRequest) -> bool:
        """Whoever may add runs may have sources read."""
        return bool(request.user.has_perm("digest.add_ingestrun"))

    @admin.action(description="Read again", permissions=["run"])
    def read_again(self, request: HttpRequest, chosen: QuerySet[IngestRun]) -> None:
        """By a worker: a source may take minutes."""
        for run in chosen[:MOST_AGAIN]:
            tasks.enqueue_best_effort(tasks.rerun_ingest_run, run.pk)
            self.log_change(request, run, "Read again by hand.")
        number = min(chosen.count(), MOST_AGAIN)
        messages.success(request, f"{number} being read again: reload in a minute.")

    def submit_view(self, request: HttpRequest) -> HttpResponse:
        """GET asks which paper; POST has a worker fetch it from arXiv."""
        if not self.has_run_permission(request):
            raise PermissionDenied
        form = PaperForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                run = run_source.submitted(form.cleaned_data["paper"], timezone.now())
            except SourceError as why:
                form.add_error("paper", str(why))
            else:
                return self.submit(request, run)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Submit a paper",
            "form": form,
            "back": reverse("admin:digest_ingestrun_changelist"),
        }
        return TemplateResponse(request, "admin/submit.html", context)

    def submit(self, request: HttpRequest, run: IngestRun) -> HttpResponse:
        tasks.enqueue_best_effort(tasks.fetch_submitted_paper, run.pk)
        self.log_addition(request, run, "Submitted.")
        messages.success(request, f"{run.part} is being fetched: reload in a minute.")
        return HttpResponseRedirect(reverse("admin:digest_ingestrun_changelist"))


@admin.register(EmbeddingModel)
class VectorModelAdmin(ReadOnlyAdmin):
    """The newest one is in use."""

    list_display = ("version", "papers", "created_at")
    ordering = ("-created_at",)
    exclude = ("content",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request).defer("content")
        return rows
