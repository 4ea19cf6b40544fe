"""The ledgers of sending: slots, batches, digests, what was reported of them, and the brakes."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts.addresses import canonical_address
from accounts.admin_base import ModelAdmin, ReadOnlyAdmin, count_related
from digest import tasks
from digest.mailer import resend
from digest.models import (
    Batch,
    Digest,
    Edition,
    Event,
    SendingPause,
    Slot,
)
from digest.reasons import explain_picks


@admin.register(Slot)
class SlotAdmin(ReadOnlyAdmin):
    """Who is due when. Most quarter hours are nobody's, and are not shown."""

    list_display = ("at", "edition", "kind", "planned_at", "batches_of_it")
    list_filter = ("kind", "at")
    list_select_related = ("edition",)
    ordering = ("-at", "-pk")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        own = Batch.objects.filter(slot=OuterRef("pk"))
        rows: QuerySet[Any] = (
            super()
            .get_queryset(request)
            .filter(Exists(own))
            .annotate(batch_count=count_related(own, "slot"))
        )
        return rows

    @admin.display(description="batches")
    def batches_of_it(self, slot: Any) -> int:
        return int(slot.batch_count)


@admin.register(Batch)
class BatchAdmin(ReadOnlyAdmin):
    """What each worker sends, and how far it is."""

    list_display = (
        "id",
        "slot",
        "state",
        "recipients",
        "last_position",
        "attempts",
        "lease_until",
        "error",
    )
    list_filter = ("state", "slot__kind", "slot__at")
    list_select_related = ("slot__edition",)
    ordering = ("-pk",)

    @admin.display(description="readers")
    def recipients(self, batch: Batch) -> int:
        return len(batch.readers)


@admin.register(Digest)
class DigestAdmin(ReadOnlyAdmin):
    """One reader's mail of one edition, and what became of it."""

    list_display = (
        "subscriber",
        "edition",
        "papers",
        "state_shown",
        "reason",
        "created_at",
        "detail",
    )
    list_filter = ("outcome", "reason", "batch__state", "created_at")
    list_select_related = ("subscriber", "edition", "batch")
    search_fields = ("subscriber__email", "message_id")
    search_help_text = "The beginning of an address, or the provider's message id"
    ordering = ("-pk",)
    actions = ("mark_accepted", "send_once_more")
    fields = (
        "subscriber",
        "edition",
        "state_shown",
        "reason",
        "detail",
        "message_id",
        "batch",
        "created_at",
        "outcome_at",
        "resent_at",
        "picks_shown",
    )

    def has_decide_permission(self, request: HttpRequest) -> bool:
        """Whether this editor may settle a doubt: no digest is edited otherwise."""
        return request.user.has_perm("digest.change_digest")

    @admin.action(
        description="They arrived: mark unknown ones accepted", permissions=["decide"]
    )
    def mark_accepted(self, request: HttpRequest, chosen: QuerySet[Digest]) -> None:
        ids = list(chosen.values_list("pk", flat=True))
        number = resend.mark_accepted(ids, timezone.now())
        self.say(request, number, len(ids), "marked accepted")

    @admin.action(description="Send unknown ones once more", permissions=["decide"])
    def send_once_more(self, request: HttpRequest, chosen: QuerySet[Digest]) -> None:
        ids, now = list(chosen.values_list("pk", flat=True)), timezone.now()
        editions = Edition.objects.filter(digests__in=ids).distinct()
        planned = [resend.resend(one, ids, now, Slot.Kind.MANUAL) for one in editions]
        tasks.enqueue_best_effort(tasks.send_batches)
        self.say(request, sum(planned), len(ids), "will be sent once more")

    def say(self, request: HttpRequest, number: int, of: int, what: str) -> None:
        """What an action did; the others were not in doubt."""
        known = f"; of {of - number} it is known what became of them" * (number < of)
        level = messages.SUCCESS if number else messages.WARNING
        messages.add_message(request, level, f"{number} {what}{known}.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request).defer("batch__readers")
        return rows

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term:
            return queryset, False
        by_address = queryset.filter(
            subscriber__email__startswith=canonical_address(search_term)
        )
        return by_address | queryset.filter(message_id=search_term), False

    @admin.display(description="papers")
    def papers(self, digest: Digest) -> int | str:
        return "empty, with a note" if digest.is_note else len(digest.picks)

    @admin.display(description="state")
    def state_shown(self, digest: Digest) -> str:
        return digest.state

    @admin.display(description="papers, and why")
    def picks_shown(self, digest: Digest) -> SafeString:
        """Each pick in the order of the mail: its title, and its reason."""
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
    """What the provider, or our own redirect, reported."""

    list_display = ("at", "source", "kind", "digest", "received_at", "acted_at")
    list_filter = ("source", "kind", ("acted_at", admin.EmptyFieldListFilter), "at")
    list_select_related = ("digest__subscriber", "digest__edition")
    search_fields = ("key",)
    search_help_text = "The source's name for the event"
    ordering = ("-pk",)


@admin.register(SendingPause)
class PauseAdmin(ModelAdmin):
    """The brakes: pulled by hand or by themselves, and lifted by hand."""

    list_display = ("stopped", "reason", "is_automatic", "at", "released_at")
    list_filter = ("is_automatic", ("released_at", admin.EmptyFieldListFilter))
    list_select_related = ("edition",)
    fields = ("edition", "reason")
    actions = ("lift",)
    ordering = ("-pk",)

    @admin.display(description="stands still")
    def stopped(self, pause: SendingPause) -> str:
        return str(pause.edition or "everything")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.lift_view)
        return [
            path("<int:pk>/lift/", view, name="digest_sendingpause_lift"),
            *super().get_urls(),
        ]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A brake is lifted, never rewritten."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_lift_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("digest.change_sendingpause")

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """`?edition=<pk>` from the dashboard."""
        given = request.GET.get("edition", "")
        return {"edition": given} if given.isdigit() else {}

    @admin.action(description="Lift: let workers go on", permissions=["lift"])
    def lift(self, request: HttpRequest, chosen: QuerySet[SendingPause]) -> None:
        ids = list(chosen.values_list("pk", flat=True))
        lifted = SendingPause.objects.filter(pk__in=ids).lift(timezone.now())
        tasks.enqueue_best_effort(tasks.send_batches)
        messages.success(request, f"{lifted} lifted; workers go on.")

    def lift_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The button on the dashboard."""
        if request.method != "POST" or not self.has_lift_permission(request):
            raise PermissionDenied
        pause = get_object_or_404(SendingPause, pk=pk)
        self.lift(request, SendingPause.objects.filter(pk=pause.pk))
        self.log_change(request, pause, "Lifted.")
        return HttpResponseRedirect(reverse("admin:index"))
