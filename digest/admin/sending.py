"""The ledgers of sending: slots, batches, digests, and what was reported of them."""

from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts.admin import Ledger, counted
from accounts.models import normal
from digest.models import Batch, Candidate, Digest, Event, Interest, Slot
from digest.reasons import names_of, reason


@admin.register(Slot)
class SlotAdmin(Ledger):
    """Who is due when."""

    list_display = ("at", "edition", "kind", "planned_at", "batches_of_it")
    list_filter = ("kind", "at")
    list_select_related = ("edition",)
    ordering = ("-at", "-pk")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        own = Batch.objects.filter(slot=OuterRef("pk"))
        rows: QuerySet[Any] = (
            super().get_queryset(request).annotate(batch_count=counted(own, "slot"))
        )
        return rows

    @admin.display(description="batches")
    def batches_of_it(self, slot: Any) -> int:
        return int(slot.batch_count)


@admin.register(Batch)
class BatchAdmin(Ledger):
    """What each worker sends, and how far it is."""

    list_display = (
        "id",
        "slot",
        "state",
        "recipients",
        "handed",
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
class DigestAdmin(Ledger):
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
    fields = (
        "subscriber",
        "edition",
        "state_shown",
        "reason",
        "detail",
        "message_id",
        "batch",
        "created_at",
        "picks_shown",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request).defer("batch__readers")
        return rows

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term:
            return queryset, False
        by_address = queryset.filter(subscriber__email__startswith=normal(search_term))
        return by_address | queryset.filter(message_id=search_term), False

    @admin.display(description="papers")
    def papers(self, digest: Digest) -> int:
        return len(digest.picks)

    @admin.display(description="state")
    def state_shown(self, digest: Digest) -> str:
        return digest.state

    @admin.display(description="papers, and why")
    def picks_shown(self, digest: Digest) -> SafeString:
        """Each pick in the order of the mail: its title, and its reason."""
        picks = digest.picks
        candidates = Candidate.objects.in_bulk([pick.candidate for pick in picks])
        interests = Interest.objects.in_bulk([pick.interest for pick in picks])
        names = names_of(list(interests.values()))
        shown = [
            (found, interests.get(pick.interest))
            for pick in picks
            if (found := candidates.get(pick.candidate))
        ]
        return format_html(
            '<ol style="list-style: decimal; padding-left: 1.5rem">{}</ol>',
            format_html_join(
                "",
                '<li style="margin-bottom: .5rem"><a href="{}">{}</a><br>{}</li>',
                (
                    (
                        reverse("admin:digest_candidate_change", args=[found.pk]),
                        found.card.get("title", ""),
                        reason(found, interest, names).text,
                    )
                    for found, interest in shown
                ),
            ),
        )


@admin.register(Event)
class EventAdmin(Ledger):
    """What the provider, or our own redirect, reported."""

    list_display = ("at", "source", "kind", "digest", "received_at", "acted_at")
    list_filter = ("source", "kind", ("acted_at", admin.EmptyFieldListFilter), "at")
    list_select_related = ("digest__subscriber", "digest__edition")
    search_fields = ("key",)
    search_help_text = "The source's name for the event"
    ordering = ("-pk",)
