"""Editions, and the list of candidates that editors curate."""

from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied
from django.db.models import Count, F, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from accounts.admin_base import ModelAdmin, ReadOnlyAdmin, count_related, render_page
from accounts.models import Subscriber
from digest.admin import curation
from digest.mailer import retention
from digest.mailer.tally import count_outcomes
from digest.models import Candidate, Digest, Edition, Frozen, Paper, Recall
from digest.ranking import freeze


def current_edition() -> Edition | None:
    """The newest open edition, or the newest edition."""
    return Edition.objects.open().first() or Edition.objects.first()


def requested_edition(request: HttpRequest) -> Edition | None:
    pk = request.GET.get("edition", "")
    return (
        Edition.objects.filter(pk=pk).first() if pk.isdecimal() else current_edition()
    )


def count_recipients(now: datetime) -> int:
    return Subscriber.objects.mailable(now).not_suppressed().count()


@admin.register(Edition)
class EditionAdmin(ReadOnlyAdmin):
    """The edition of a day: counts, note and freezing."""

    list_display = (
        "day_link",
        "state",
        "papers",
        "pins",
        "hidden",
        "ranked_at",
        "frozen_at",
        "digests",
    )
    list_display_links = None
    list_filter = ("state",)
    list_per_page = 20
    fields = ("day", "state", "note", "ranked_at", "frozen_at", "sent")
    readonly_fields = ("day", "state", "ranked_at", "frozen_at", "sent")
    change_form_outer_before_template = "admin/edition_actions.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        candidates = Candidate.objects.filter(edition=OuterRef("pk"))
        rows: QuerySet[Any] = (
            super()
            .get_queryset(request)
            .annotate(
                paper_count=count_related(candidates, "edition"),
                pin_count=count_related(
                    candidates.filter(pin__isnull=False), "edition"
                ),
                hidden_count=count_related(
                    candidates.filter(is_hidden=True), "edition"
                ),
                digest_count=count_related(
                    Digest.objects.filter(edition=OuterRef("pk")), "edition"
                ),
            )
        )
        return rows

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.freeze_view)
        return [
            path("<int:pk>/freeze/", view, name="digest_edition_freeze"),
            *super().get_urls(),
        ]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        permitted = ModelAdmin.has_change_permission(self, request, obj)
        return permitted and (obj is None or obj.is_open)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except Frozen as error:  # frozen while the form was open
            messages.error(request, str(error))
            return HttpResponseRedirect(request.path)

    def save_model(
        self, request: HttpRequest, obj: Edition, form: Any, change: bool
    ) -> None:
        """Save only the changed fields: saving a row read before the freeze would reopen it."""
        Edition.objects.select_for_update().get(pk=obj.pk)
        obj.save(update_fields=form.changed_data)

    @admin.display(description="day", ordering="day")
    def day_link(self, edition: Edition) -> str:
        text = f"{edition.day:%a} {date_format(edition.day)}"
        return format_html('<a href="{}">{}</a>', list_url(edition), text)

    @admin.display(description="papers", ordering="paper_count")
    def papers(self, edition: Any) -> int:
        return int(edition.paper_count)

    @admin.display(description="pins", ordering="pin_count")
    def pins(self, edition: Any) -> int:
        return int(edition.pin_count)

    @admin.display(description="hidden", ordering="hidden_count")
    def hidden(self, edition: Any) -> int:
        return int(edition.hidden_count)

    @admin.display(description="digests", ordering="digest_count")
    def digests(self, edition: Any) -> int:
        return int(edition.digest_count)

    @admin.display(description="sent")
    def sent(self, edition: Edition) -> str:
        return describe_sending(edition)

    def freeze_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET asks for confirmation with the number of recipients; POST freezes."""
        edition = get_object_or_404(Edition, pk=pk)
        if not ModelAdmin.has_change_permission(self, request, edition):
            raise PermissionDenied
        now = timezone.now()
        if request.method == "POST":
            return self.freeze_edition(request, edition, now)
        return render_page(
            self,
            request,
            "admin/freeze.html",
            title=f"Freeze the edition of {date_format(edition.day, 'l, j F')}?",
            edition=edition,
            list_url=list_url(edition),
            counts=count_candidates(edition),
            recipients=count_recipients(now),
        )

    def freeze_edition(
        self, request: HttpRequest, edition: Edition, now: datetime
    ) -> HttpResponse:
        if freeze.freeze(edition, now):
            self.log_change(request, edition, "Frozen.")
            number = count_recipients(now)
            readers = f"{number:,} reader{'' if number == 1 else 's'}"
            messages.success(request, f"Edition frozen. Sending to {readers}.")
        else:
            messages.error(request, "This edition is already frozen or has no papers.")
        return HttpResponseRedirect(list_url(edition))


def describe_sending(edition: Edition) -> str:
    if edition.is_open:
        return ""
    if retention.is_past_retention(edition, timezone.now()):
        return f"deleted after {retention.retention_days()} days"
    return format_tally(count_outcomes(edition))


def format_tally(tally: Any) -> str:
    """A tally as text, without counts of zero except the accepted ones."""
    others = [
        f"{getattr(tally, name):,} {name}"
        for name in ("failed", "unknown", "skipped", "waiting")
        if getattr(tally, name)
    ]
    return ", ".join([f"{tally.accepted:,} of {tally.recipients:,} accepted", *others])


def list_url(edition: Edition) -> str:
    return f"{reverse('admin:digest_candidate_changelist')}?edition={edition.pk}"


def count_candidates(edition: Edition) -> dict[str, int]:
    return edition.candidates.aggregate(
        papers=Count("pk"),
        pins=Count("pk", filter=Q(pin__isnull=False)),
        hidden=Count("pk", filter=Q(is_hidden=True)),
    )


class EditionFilter(admin.SimpleListFilter):
    """Show one edition at a time, by default the current one."""

    title = "edition"
    parameter_name = "edition"
    listed_editions = 14

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        latest = Edition.objects.all()[: self.listed_editions]
        return [(str(row.pk), f"{row.day:%a} {date_format(row.day)}") for row in latest]

    @cached_property
    def default_edition(self) -> Edition | None:
        return current_edition()

    def value(self) -> str | None:
        pk = super().value() or ""
        if pk.isdecimal():
            return pk
        return str(self.default_edition.pk) if self.default_edition else None

    def choices(self, changelist: Any) -> Any:
        return list(super().choices(changelist))[1:]  # without "All"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(edition=self.value() or 0)


class CategoryFilter(admin.SimpleListFilter):
    """Primary categories of the edition."""

    title = "category"
    parameter_name = "category"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        edition = requested_edition(request)
        rows = edition.candidates.order_by("paper__primary") if edition else None
        names = rows.values_list("paper__primary", flat=True).distinct() if rows else []
        return [(name, name) for name in names if name]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        name = self.value()
        return queryset.filter(paper__primary=name) if name else queryset


class CuratedFilter(admin.SimpleListFilter):
    """Candidates that an editor pinned, boosted, hid or annotated."""

    title = "curated"
    parameter_name = "curated"
    conditions = {
        "pinned": Q(pin__isnull=False),
        "boosted": ~Q(boost=0),
        "hidden": Q(is_hidden=True),
        "noted": ~Q(note=""),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name.capitalize()) for name in self.conditions]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(self.conditions.get(self.value() or "", Q()))


@admin.register(Candidate)
class CandidateAdmin(ReadOnlyAdmin):
    """Candidates of an edition; while it is open, editors pin, boost, hide and annotate them."""

    list_display = ("title",)
    list_filter = (
        EditionFilter,
        CuratedFilter,
        "paper__announce_type",
        CategoryFilter,
    )
    list_select_related = ("paper", "edition")
    search_fields = ("paper__title", "paper__identifier")
    search_help_text = "Words from the title, or an arXiv ID"
    ordering = (F("pin").asc(nulls_last=True), "-trend", "pk")
    fields = (
        "edition",
        "paper_link",
        "trend_table",
        "pin",
        "boost",
        "is_hidden",
        "note",
        "summary",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        unused = ("vector", "dense_vector", "abstract", "abstract_raw", "title_raw")
        return rows.defer(*(f"paper__{name}" for name in unused))

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.curate_view))
        return [
            path("<int:pk>/curate/", view, name="digest_candidate_curate"),
            *super().get_urls(),
        ]

    @admin.display(description="paper", ordering="paper__title")
    def title(self, candidate: Candidate) -> str:
        return candidate.paper.title

    @admin.display(description="paper")
    def paper_link(self, candidate: Candidate) -> str:
        link = reverse("admin:digest_paper_change", args=[quote(candidate.paper_id)])
        return format_html('<a href="{}">{}</a>', link, candidate.paper)

    @admin.display(description="trend")
    def trend_table(self, candidate: Candidate) -> str:
        from digest.admin import score_lines  # needs numpy

        lines = score_lines.trend_lines(candidate)
        return render_to_string("admin/trend.html", {"lines": lines}, using="django")

    @admin.display(description="summary")
    def summary(self, candidate: Candidate) -> str:
        return str(candidate.card.get("summary", ""))

    def may_curate(self, request: HttpRequest) -> bool:
        return ModelAdmin.has_change_permission(self, request)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        response = super().changelist_view(request, extra_context)
        if isinstance(response, TemplateResponse) and response.context_data:
            response.context_data.update(self.list_context(request))
        return response

    def list_context(self, request: HttpRequest) -> dict[str, Any]:
        edition = requested_edition(request)
        if edition is None:
            return {"title": "No edition yet", "edition": None}
        return {
            "title": date_format(edition.day, "l, j F Y"),
            "edition": edition,
            "counts": count_candidates(edition),
            "freezes_at": freeze.due_at(edition),
            "may_curate": edition.is_open and self.may_curate(request),
            "older": Edition.objects.filter(day__lt=edition.day).first(),
            "newer": Edition.objects.filter(day__gt=edition.day).last(),
            "sent": describe_sending(edition),
            "pins": curation.PIN_PLACES,
            "recalled": set(Recall.objects.values_list("paper_id", flat=True)),
        }

    def curate_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Apply one curation action; the message has an undo button."""
        candidate = get_object_or_404(Candidate.objects.select_related("paper"), pk=pk)
        if not self.may_curate(request):
            raise PermissionDenied
        action, _, value = request.POST.get("action", "").partition(":")
        value = request.POST.get("note", value)
        try:
            change = curation.apply_action(candidate, action, value)
        except (Frozen, ValueError) as error:
            messages.error(request, str(error))
        else:
            self.log_change(request, candidate, change.message)
            messages.success(request, undo_message(candidate, change))
        page = return_url(request, list_url(candidate.edition)).partition("#")[0]
        return HttpResponseRedirect(f"{page}#candidate-{candidate.pk}")


def undo_message(candidate: Candidate, change: curation.Change) -> str:
    return format_html(
        '{} <b>{}</b> <button class="pr-undo" form="curate" formaction="{}" name="action" value="{}">Undo</button>',
        change.message,
        candidate.paper.title,
        reverse("admin:digest_candidate_curate", args=[candidate.pk]),
        change.undo,
    )


def return_url(request: HttpRequest, default: str) -> str:
    """The page named by the form's `next` field, if it is on this site."""
    url = request.POST.get("next", "")
    hosts = {request.get_host()}
    return url if url_has_allowed_host_and_scheme(url, allowed_hosts=hosts) else default


@admin.register(Recall)
class RecallAdmin(ModelAdmin):
    """Papers that must not be mailed any more, in any edition."""

    list_display = ("paper", "reason", "created_at")
    list_select_related = ("paper",)
    search_fields = ("paper__identifier", "paper__title")
    autocomplete_fields = ("paper",)
    ordering = ("-created_at",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = (
            super().get_queryset(request).defer("paper__vector", "paper__dense_vector")
        )
        return rows

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Preselect `?paper=<pk>`, the link in the list of a frozen edition."""
        pk = request.GET.get("paper", "")
        exists = pk.isdecimal() and Paper.objects.filter(pk=pk).exists()
        return {"paper": pk} if exists else {}
