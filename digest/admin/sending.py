"""Admin of sending: slots, batches, digests, events and sending pauses."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts.admin_base import (
    ModelAdmin,
    ReadOnlyAdmin,
    confirm_action,
    count_related,
    filter_by_address,
    log_action,
)
from accounts.models import Subscriber
from digest import tasks
from digest.admin.checks_page import checks_view
from digest.mailer import compose, resend
from digest.models import (
    Batch,
    Digest,
    Edition,
    Event,
    ForeignEventCount,
    SendingPause,
    Slot,
)
from digest.models.digests import MAYBE_WRONG
from digest.reasons import explain_picks

MAX_SEARCHED_READERS = 200  # whose digests a search lists


@admin.register(Slot)
class SlotAdmin(ReadOnlyAdmin):
    """Lists slots that have readers; most quarter hours have none."""

    list_display = ("at", "edition", "kind", "planned_at", "batch_count")
    list_filter = ("kind", "at")
    list_select_related = ("edition",)
    ordering = ("-at", "-pk")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        batches = Batch.objects.filter(slot=OuterRef("pk"))
        rows: QuerySet[Any] = (
            super()
            .get_queryset(request)
            .filter(Exists(batches))
            .annotate(number_of_batches=count_related(batches, "slot"))
        )
        return rows

    @admin.display(description="batches")
    def batch_count(self, slot: Any) -> int:
        return int(slot.number_of_batches)


@admin.register(Batch)
class BatchAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "slot",
        "state",
        "reader_count",
        "last_position",
        "attempts",
        "lease_until",
        "error",
    )
    list_filter = ("state", "slot__kind", "slot__at")
    list_select_related = ("slot__edition",)
    ordering = ("-pk",)

    @admin.display(description="readers")
    def reader_count(self, batch: Batch) -> int:
        return len(batch.readers)


class OutcomeFilter(admin.SimpleListFilter):
    """Filters by outcome, each by the index that finds its rows."""

    title = parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return Digest.Outcome.choices

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        outcome = self.value()
        if outcome == Digest.Outcome.PENDING:  # few batches have pending digests
            unfinished = Batch.objects.unfinished()
            return queryset.filter(
                outcome=outcome,
                batch__in=unfinished.values("pk"),
                edition__in=unfinished.values("slot__edition"),
            )
        if outcome in (Digest.Outcome.FAILED, Digest.Outcome.UNKNOWN):
            return queryset.filter(MAYBE_WRONG, outcome=outcome)
        if outcome == Digest.Outcome.SKIPPED:  # each with a reason
            return queryset.filter(outcome=outcome).exclude(reason="")
        return queryset.filter(outcome=outcome) if outcome else queryset


class ReasonFilter(admin.SimpleListFilter):
    """Reasons for an outcome other than accepted."""

    title = parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [choice for choice in Digest.Reason.choices if choice[0]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        return queryset.filter(reason=self.value()).exclude(reason="")


class DigestEditionFilter(admin.SimpleListFilter):
    """The latest editions."""

    title = parameter_name = "edition"
    listed_editions = 14

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        latest = Edition.objects.frozen()[: self.listed_editions]
        return [(str(row.pk), f"{row.day:%a} {date_format(row.day)}") for row in latest]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        pk = self.value() or ""
        is_pk = pk.isascii() and pk.isdecimal() and len(pk) < 19
        return queryset.filter(edition=pk) if is_pk else queryset


MARK_WARNING = "They count as delivered and are never sent again. Look one up at the provider first."
RESEND_WARNING = "Readers whose unknown digest had arrived after all get it twice."


@admin.register(Digest)
class DigestAdmin(ReadOnlyAdmin):
    list_display = (
        "subscriber",
        "edition",
        "paper_count",
        "outcome",
        "reason",
        "created_at",
        "provider_detail",
    )
    list_filter = (OutcomeFilter, ReasonFilter, DigestEditionFilter)
    list_select_related = ("subscriber", "edition")
    sortable_by = ()  # sorting millions of rows takes a minute
    search_fields = ("subscriber__email",)
    search_help_text = "The beginning of an address, or @ and a domain"
    ordering = ("-pk",)
    actions = ("mark_accepted", "send_again")
    fields = (
        "subscriber",
        "edition",
        "outcome",
        "reason",
        "provider_detail",
        "message_id",
        "message_id_header",
        "batch",
        "created_at",
        "outcome_at",
        "resent_at",
        "picks_with_reasons",
    )

    def has_decide_permission(self, request: HttpRequest) -> bool:
        """Whether this user may settle an unknown outcome; nothing else of a digest can be edited."""
        return request.user.has_perm("digest.change_digest")

    @admin.action(description="Mark unknown as accepted", permissions=["decide"])
    def mark_accepted(
        self, request: HttpRequest, selected: QuerySet[Digest]
    ) -> TemplateResponse | None:
        if "sure" not in request.POST:
            verb = "Mark as accepted:"
            return confirm_action(self, request, selected, verb, MARK_WARNING)
        ids = list(selected.values_list("pk", flat=True))
        log_action(request, selected, "Marked as accepted.")
        number = resend.mark_accepted(ids, timezone.now())
        self.report_action(request, number, len(ids), "marked as accepted")
        return None

    @admin.action(description="Send unknown and failed again", permissions=["decide"])
    def send_again(
        self, request: HttpRequest, selected: QuerySet[Digest]
    ) -> TemplateResponse | None:
        if "sure" not in request.POST:
            verb = "Send again:"
            return confirm_action(self, request, selected, verb, RESEND_WARNING)
        ids, now = list(selected.values_list("pk", flat=True)), timezone.now()
        log_action(request, selected, "Sent again.")
        number = sum(
            resend.resend_digests(edition, ids, now, Slot.Kind.MANUAL)
            for edition in Edition.objects.filter(digests__in=ids).distinct()
        )
        tasks.enqueue_best_effort(tasks.send_batches)
        self.report_action(request, number, len(ids), "will be sent again")
        return None

    def report_action(
        self, request: HttpRequest, number: int, selected: int, effect: str
    ) -> None:
        others = selected - number
        unchanged = f" {others} not changed: their outcome is known." if others else ""
        level = messages.SUCCESS if number else messages.WARNING
        messages.add_message(request, level, f"{number} {effect}.{unchanged}")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term:
            return queryset, False
        # Keys and message ids have no index.
        readers = filter_by_address(Subscriber.objects.all(), search_term)
        ids = list(readers.values_list("pk", flat=True)[:MAX_SEARCHED_READERS])
        return queryset.filter(subscriber__in=ids), False

    @admin.display(description="papers")
    def paper_count(self, digest: Digest) -> int | str:
        return "empty, with a note" if digest.is_note else len(digest.picks)

    @admin.display(description="Message-ID header")
    def message_id_header(self, digest: Digest) -> str:
        """Return what mail servers log of this mail."""
        return compose.message_id(digest.key)

    @admin.display(description="papers and reasons")
    def picks_with_reasons(self, digest: Digest) -> SafeString:
        return format_html(
            '<ol style="list-style: decimal; padding-left: 1.5rem">{}</ol>',
            format_html_join(
                "",
                '<li style="margin-bottom: .5rem"><a href="{}">{}</a><br>{}</li>',
                (
                    (
                        reverse(
                            "admin:digest_candidate_change", args=[pick.candidate.pk]
                        ),
                        pick.candidate.card.get("title", ""),
                        pick.reason.text,
                    )
                    for pick in explain_picks(digest.picks)
                ),
            ),
        )


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    list_display = ("at", "source", "kind", "digest", "received_at", "processed_at")
    list_filter = (
        "source",
        "kind",
        ("processed_at", admin.EmptyFieldListFilter),
        "at",
    )
    list_select_related = ("digest__subscriber", "digest__edition")
    search_fields = ("key",)
    search_help_text = "The source's id of the event"
    ordering = ("-pk",)


@admin.register(ForeignEventCount)
class ForeignEventCountAdmin(ReadOnlyAdmin):
    """Lists ignored events: many of them mean that another service sends over the account."""

    list_display = ("day", "source", "number")
    ordering = ("-day", "source")


@admin.register(SendingPause)
class SendingPauseAdmin(ModelAdmin):
    """Pauses are added and resumed, never edited or deleted."""

    list_display = (
        "scope",
        "reason",
        "is_automatic",
        "at",
        "probe_at",
        "released_at",
    )
    list_filter = ("is_automatic", ("released_at", admin.EmptyFieldListFilter))
    list_select_related = ("edition",)
    fields = ("edition", "reason")
    actions = ("resume",)
    ordering = ("-pk",)

    @admin.display(description="paused")
    def scope(self, pause: SendingPause) -> str:
        return str(pause.edition or "All sending")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.resume_view)
        return [
            path("<int:pk>/resume/", view, name="digest_sendingpause_resume"),
            path("checks/", self.admin_site.admin_view(checks_view), name="checks"),
            *super().get_urls(),
        ]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_resume_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("digest.change_sendingpause")

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Preselect the edition of the dashboard's link, `?edition=<pk>`."""
        edition_id = request.GET.get("edition", "")
        return {"edition": edition_id} if edition_id.isdigit() else {}

    @admin.action(description="Resume sending", permissions=["resume"])
    def resume(self, request: HttpRequest, selected: QuerySet[SendingPause]) -> None:
        ids = list(selected.values_list("pk", flat=True))
        log_action(request, selected, "Resumed.")
        number = SendingPause.objects.filter(pk__in=ids).release(timezone.now())
        tasks.enqueue_best_effort(tasks.send_batches)
        pauses = "1 pause" if number == 1 else f"{number} pauses"
        messages.success(request, f"Sending resumed: {pauses} ended.")

    def resume_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        if request.method != "POST" or not self.has_resume_permission(request):
            raise PermissionDenied
        pause = get_object_or_404(SendingPause, pk=pk)
        self.resume(request, SendingPause.objects.filter(pk=pause.pk))
        return HttpResponseRedirect(reverse("admin:index"))
