"""Editions, and the day's list that editors curate."""

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
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from accounts.admin_base import ModelAdmin, ReadOnlyAdmin, count_related
from accounts.models import Subscriber
from digest.admin import curating, score_lines
from digest.mailer import ledger, retention
from digest.models import Candidate, Digest, Edition, Frozen, Paper, Recall
from digest.ranking import freeze


def newest() -> Edition | None:
    """The edition that an editor means: the newest open one, else the newest."""
    return Edition.objects.open().first() or Edition.objects.first()


def chosen(request: HttpRequest) -> Edition | None:
    """The edition that the address names, else the one that an editor means."""
    given = request.GET.get("edition", "")
    return Edition.objects.filter(pk=given).first() if given.isdecimal() else newest()


def recipients(now: datetime) -> int:
    """How many readers may be mailed at all."""
    return Subscriber.objects.mailable(now).not_suppressed().count()


@admin.register(Edition)
class EditionAdmin(ReadOnlyAdmin):
    """One day's papers: its note, its freeze, its numbers."""

    list_display = (
        "day_shown",
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
    change_form_outer_before_template = "admin/edition_links.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        own = Candidate.objects.filter(edition=OuterRef("pk"))
        rows: QuerySet[Any] = (
            super()
            .get_queryset(request)
            .annotate(
                paper_count=count_related(own, "edition"),
                pin_count=count_related(own.filter(pin__isnull=False), "edition"),
                hidden_count=count_related(own.filter(is_hidden=True), "edition"),
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
        """A note may be written while the edition is open."""
        may = ModelAdmin.has_change_permission(self, request, obj)
        return may and (obj is None or obj.is_open)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except Frozen as why:  # it froze while the form was open
            messages.error(request, str(why))
            return HttpResponseRedirect(request.path)

    def save_model(
        self, request: HttpRequest, obj: Edition, form: Any, change: bool
    ) -> None:
        """The note alone, behind the freeze: a whole row read before it would reopen the edition."""
        Edition.objects.select_for_update().get(pk=obj.pk)
        obj.save(update_fields=form.changed_data)

    @admin.display(description="day", ordering="day")
    def day_shown(self, edition: Edition) -> str:
        shown = f"{edition.day:%a %d %b %Y}"
        return format_html('<a href="{}">{}</a>', list_of(edition), shown)

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
        return sent_words(edition)

    def freeze_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET asks and says how many readers follow; POST freezes."""
        edition = get_object_or_404(Edition, pk=pk)
        if not ModelAdmin.has_change_permission(self, request, edition):
            raise PermissionDenied
        now = timezone.now()
        if request.method == "POST":
            return self.freeze(request, edition, now)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Freeze {edition.day:%A, %d %B}?",
            "edition": edition,
            "back": list_of(edition),
            "numbers": numbers(edition),
            "recipients": recipients(now),
        }
        return TemplateResponse(request, "admin/freeze.html", context)

    def freeze(
        self, request: HttpRequest, edition: Edition, now: datetime
    ) -> HttpResponse:
        if freeze.freeze(edition, now):
            self.log_change(request, edition, "Frozen by hand.")
            said = f"Frozen: {recipients(now):,} readers get it at their hours."
            messages.success(request, said)
        else:
            messages.error(request, "It is frozen already, or it has no papers.")
        return HttpResponseRedirect(list_of(edition))


def sent_words(edition: Edition) -> str:
    """What became of an edition's readers; digests are not kept for ever."""
    if edition.is_open:
        return ""
    if retention.is_forgotten(edition, timezone.now()):
        return f"forgotten after {retention.days()} days"
    return in_words(ledger.tally(edition))


def in_words(tally: Any) -> str:
    """A tally as an operator reads it; what is zero is left out, except what was accepted."""
    rest = [
        f"{getattr(tally, name):,} {name}"
        for name in ("failed", "unknown", "skipped", "waiting")
        if getattr(tally, name)
    ]
    return ", ".join([f"{tally.accepted:,} of {tally.recipients:,} accepted", *rest])


def list_of(edition: Edition) -> str:
    """The address of an edition's list."""
    return f"{reverse('admin:digest_candidate_changelist')}?edition={edition.pk}"


def numbers(edition: Edition) -> dict[str, int]:
    """Papers, pins and hidden ones of an edition."""
    return edition.candidates.aggregate(
        papers=Count("pk"),
        pins=Count("pk", filter=Q(pin__isnull=False)),
        hidden=Count("pk", filter=Q(is_hidden=True)),
    )


class EditionFilter(admin.SimpleListFilter):
    """One edition at a time; without a choice, the one that an editor means."""

    title = "edition"
    parameter_name = "edition"
    shown = 14

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        latest = Edition.objects.all()[: self.shown]
        return [(str(row.pk), f"{row.day:%a %d %b %Y}") for row in latest]

    @cached_property
    def meant(self) -> Edition | None:
        return newest()

    def value(self) -> str | None:
        given = super().value() or ""
        if given.isdecimal():
            return given
        return str(self.meant.pk) if self.meant else None

    def choices(self, changelist: Any) -> Any:
        return list(super().choices(changelist))[1:]  # "All" would mix days

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(edition=self.value() or 0)


class CategoryFilter(admin.SimpleListFilter):
    """The primary categories that the edition has."""

    title = "category"
    parameter_name = "category"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        edition = chosen(request)
        rows = edition.candidates.order_by("paper__primary") if edition else None
        found = rows.values_list("paper__primary").distinct() if rows else []
        return [(name, name) for (name,) in found if name]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        name = self.value()
        return queryset.filter(paper__primary=name) if name else queryset


class CuratedFilter(admin.SimpleListFilter):
    """What an editor has touched."""

    title = "curated"
    parameter_name = "curated"
    touched = {
        "pinned": Q(pin__isnull=False),
        "boosted": ~Q(boost=0),
        "hidden": Q(is_hidden=True),
        "noted": ~Q(note=""),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name.capitalize()) for name in self.touched]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(self.touched.get(self.value() or "", Q()))


@admin.register(Candidate)
class CandidateAdmin(ReadOnlyAdmin):
    """The day's list: pin, boost, hide and annotate in one click each, while it is open."""

    list_display = ("title",)
    list_filter = (
        EditionFilter,
        CuratedFilter,
        "paper__announce_type",
        CategoryFilter,
    )
    list_select_related = ("paper", "edition")
    search_fields = ("paper__title", "paper__identifier")
    search_help_text = "Words of the title, or an arXiv id"
    ordering = (F("pin").asc(nulls_last=True), "-trend", "pk")
    fields = (
        "edition",
        "paper_shown",
        "trend_shown",
        "pin",
        "boost",
        "is_hidden",
        "note",
        "summary",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        heavy = ("vector", "abstract", "abstract_raw", "title_raw")
        return rows.defer(*(f"paper__{name}" for name in heavy))

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
    def paper_shown(self, candidate: Candidate) -> str:
        link = reverse("admin:digest_paper_change", args=[quote(candidate.paper_id)])
        return format_html('<a href="{}">{}</a>', link, candidate.paper)

    @admin.display(description="trend")
    def trend_shown(self, candidate: Candidate) -> str:
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
            response.context_data.update(self.about(request))
        return response

    def about(self, request: HttpRequest) -> dict[str, Any]:
        """What the head of the list says of its edition."""
        edition = chosen(request)
        if edition is None:
            return {"title": "No edition yet", "edition": None}
        return {
            "title": f"{edition.day:%A, %d %B %Y}",
            "edition": edition,
            "numbers": numbers(edition),
            "freezes_at": freeze.due_at(edition),
            "may_curate": edition.is_open and self.may_curate(request),
            "older": Edition.objects.filter(day__lt=edition.day).first(),
            "newer": Edition.objects.filter(day__gt=edition.day).last(),
            "sent": sent_words(edition),
            "pins": curating.PINS,
            "recalled": set(Recall.objects.values_list("paper_id", flat=True)),
        }

    def curate_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """One verb on one candidate; says what it did, with a button that undoes it."""
        candidate = get_object_or_404(Candidate.objects.select_related("paper"), pk=pk)
        if not self.may_curate(request):
            raise PermissionDenied
        verb, _, value = request.POST.get("verb", "").partition(":")
        try:
            change = curating.curate(candidate, verb, request.POST.get("note", value))
        except (Frozen, ValueError) as why:
            messages.error(request, str(why))
        else:
            self.log_change(request, candidate, change.sentence)
            messages.success(request, with_undo(candidate, change))
        page = back_to(request, list_of(candidate.edition)).partition("#")[0]
        return HttpResponseRedirect(f"{page}#candidate-{candidate.pk}")


def with_undo(candidate: Candidate, change: curating.Change) -> str:
    """The message after a change; its button belongs to the form of the list's page."""
    return format_html(
        '{} <b>{}</b> <button class="round-undo" form="curate" formaction="{}" name="verb" value="{}">Undo</button>',
        change.sentence,
        candidate.paper.title,
        reverse("admin:digest_candidate_curate", args=[candidate.pk]),
        change.undo,
    )


def back_to(request: HttpRequest, otherwise: str) -> str:
    """The page of ours that the form says it came from."""
    wanted = request.POST.get("next", "")
    ours = url_has_allowed_host_and_scheme(wanted, allowed_hosts={request.get_host()})
    return wanted if ours else otherwise


@admin.register(Recall)
class RecallAdmin(ModelAdmin):
    """Papers that must not be mailed any more, whatever edition holds them."""

    list_display = ("paper", "reason", "created_at")
    list_select_related = ("paper",)
    search_fields = ("paper__identifier", "paper__title")
    autocomplete_fields = ("paper",)
    ordering = ("-created_at",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request).defer("paper__vector")
        return rows

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """`?paper=<pk>` from the list of a frozen edition."""
        given = request.GET.get("paper", "")
        known = given.isdecimal() and Paper.objects.filter(pk=given).exists()
        return {"paper": given} if known else {}
