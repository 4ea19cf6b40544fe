"""Import of readers from CSV: upload, check, import, report."""

from itertools import islice
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from accounts import reader_import
from accounts.admin_base import ModelAdmin, ReadOnlyAdmin
from accounts.csv_export import stream_csv
from accounts.models import ReaderImport, ReaderImportChunk
from accounts.tasks import enqueue_on_commit, import_readers

if TYPE_CHECKING:  # unfold has no types; its classes extend these
    ModelForm = forms.ModelForm[ReaderImport]
    CheckboxWidget = forms.CheckboxInput
    FileWidget = forms.FileInput
    TextWidget = forms.TextInput
else:
    from django.forms import ModelForm
    from unfold.widgets import UnfoldAdminFileFieldWidget as FileWidget
    from unfold.widgets import UnfoldAdminTextInputWidget as TextWidget
    from unfold.widgets import UnfoldBooleanWidget as CheckboxWidget

SHOWN_PROBLEMS = 100  # lines on the page; the report holds every line
REFRESH_SECONDS = 3
LABELS = dict(ReaderImportChunk.Outcome.choices)
MAX_FILE_MB = reader_import.MAX_FILE_BYTES // 1_000_000


class ReaderImportForm(ModelForm):
    """Takes a file and stores its text."""

    file = forms.FileField(
        label="CSV file",
        widget=FileWidget(attrs={"accept": ".csv,.txt,.tsv,text/csv"}),
        help_text=f"One address per line, or a column named “email”. At most {reader_import.MAX_LINES:,} lines and {MAX_FILE_MB} MB. Nothing is imported before you have seen the result of the check.",
    )
    consent_source = forms.CharField(
        max_length=200,
        widget=TextWidget(),
        help_text="Where and when these readers agreed to be mailed, such as “Paper list at the workshop in Oslo, 14 May 2026”. Stored as the proof of consent of readers who do not confirm.",
    )
    sends_confirmation = forms.BooleanField(
        label="Send confirmation mails",
        required=False,
        initial=True,
        widget=CheckboxWidget(),
        help_text="Readers become active when they confirm. Without it, they get digests at once. Unsubscribed and suppressed addresses are never imported.",
    )

    class Meta:
        model = ReaderImport
        fields = ("consent_source", "sends_confirmation")

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size and file.size > reader_import.MAX_FILE_BYTES:
            raise ValidationError(
                f"The file is larger than {MAX_FILE_MB} MB. Split it, or keep only the column of addresses."
            )
        text = reader_import.decode_file(file.read())
        count = sum(1 for line in reader_import.split_lines(text) if line.strip())
        if count > reader_import.MAX_LINES + 1:  # and a header
            raise ValidationError(
                f"The file has {count:,} lines. Split it into files of at most {reader_import.MAX_LINES:,}."
            )
        if not count:
            raise ValidationError("The file is empty.")
        self.instance.content, self.instance.total = text, count
        self.instance.file_name = (file.name or "readers.csv")[-100:]
        return file


@admin.register(ReaderImport)
class ReaderImportAdmin(ReadOnlyAdmin):
    """Imports with their progress, and the result of each line."""

    form = ReaderImportForm
    list_display = (
        "__str__",
        "file_name",
        "state",
        "total",
        "created_by",
        "created_at",
    )
    list_select_related = ("created_by",)
    list_filter = ("state",)
    search_fields = ("file_name",)
    ordering = ("-pk",)
    change_form_outer_before_template = "admin/reader_import.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        decide, report = require_POST(view(self.decide_view)), view(self.report_view)
        name = "accounts_readerimport"
        return [
            path("<int:pk>/decide/", decide, name=f"{name}_decide"),
            path("<int:pk>/report.csv", report, name=f"{name}_report"),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request).defer("content")
        return rows

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ("file", "consent_source", "sends_confirmation")
        return (
            *("file_name", "consent_source", "sends_confirmation", "state"),
            *("created_by", "created_at", "progress_at"),
        )

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        return ModelAdmin.has_add_permission(self, request)

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("accounts.change_readerimport"))

    def save_model(
        self, request: HttpRequest, obj: ReaderImport, form: Any, change: bool
    ) -> None:
        obj.created_by_id = request.user.pk
        obj.save()
        enqueue_on_commit(import_readers, obj.pk)

    def response_add(
        self, request: HttpRequest, obj: ReaderImport, post_url_continue: Any = None
    ) -> HttpResponse:
        return HttpResponseRedirect(change_url(obj.pk))

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context, job = dict(extra_context or {}), None
        if object_id.isdecimal():
            job = ReaderImport.objects.defer("content").filter(pk=object_id).first()
        if job:
            may_decide = self.has_decide_permission(request)
            context |= {**import_context(job), "may_decide": may_decide}
        response = super().change_view(request, object_id, form_url, context)
        if job and job.is_running:
            response["Refresh"] = str(REFRESH_SECONDS)
        return response

    def decide_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Start or cancel an import."""
        if not self.has_decide_permission(request):
            raise PermissionDenied
        job = get_object_or_404(ReaderImport, pk=pk)
        if "start" in request.POST:
            if reader_import.start_import(job):
                self.log_change(request, job, f"Started the import: {describe(job)}.")
                enqueue_on_commit(import_readers, pk)
            else:
                messages.warning(
                    request, "This import was started or cancelled before."
                )
        elif reader_import.cancel_import(job):
            self.log_change(request, job, "Cancelled the import and erased its file.")
            messages.success(request, "Cancelled. The file is erased.")
        return HttpResponseRedirect(change_url(pk))

    def report_view(self, request: HttpRequest, pk: int) -> StreamingHttpResponse:
        """The result of every line as CSV, by line number and without addresses."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        job = get_object_or_404(ReaderImport.objects.defer("content"), pk=pk)
        results = reader_import.iterate_results(job)
        rows = ((number, LABELS[outcome], why) for number, outcome, why in results)
        return stream_csv(f"import-{pk}.csv", ("line", "result", "reason"), rows)


def change_url(pk: int) -> str:
    return reverse("admin:accounts_readerimport_change", args=[pk])


def describe(job: ReaderImport) -> str:
    how = "with" if job.sends_confirmation else "without"
    return f"{job.total:,} lines of “{job.file_name}”, {how} confirmation mails; consent: {job.consent_source}"


def import_context(job: ReaderImport) -> dict[str, Any]:
    Outcome = ReaderImportChunk.Outcome
    counts = reader_import.list_counts(job)
    by_label = dict(counts)
    importable = by_label[Outcome.NEW.label] + by_label[Outcome.UNCONFIRMED.label]
    problems = (
        (number, LABELS[outcome], reason)
        for number, outcome, reason in reader_import.iterate_results(job)
        if outcome != Outcome.NEW
    )
    return {
        "job": job,
        "counts": counts,
        "importable": importable,
        # Not while it refreshes: reading every result takes 0.2 s at 100,000 lines.
        "problems": []
        if job.is_running
        else list(islice(problems, SHOWN_PROBLEMS + 1)),
        "shown_problems": SHOWN_PROBLEMS,
        "shown_slice": f":{SHOWN_PROBLEMS}",
        "stalled": job.is_running
        and timezone.now() - job.progress_at > reader_import.STALLED_AFTER,
    }
