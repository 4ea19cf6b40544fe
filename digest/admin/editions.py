"""Editions: their counts and note, freezing and reopening, and recalls of papers."""

from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html

from accounts.admin_base import ModelAdmin, ReadOnlyAdmin, count_related, render_page
from accounts.models import Subscriber, User
from digest.admin import curation, edition_sending, previews
from digest.mailer import retention
from digest.mailer.tally import count_outcomes
from digest.models import Candidate, DailyFigures, Edition, Frozen, Paper, Recall
from digest.ranking import freeze


def current_edition() -> Edition | None:
    """The newest open edition, or the newest edition."""
    return Edition.objects.open().first() or Edition.objects.first()


def may_curate(request: HttpRequest, edition: Edition) -> bool:
    return edition.is_open and request.user.has_perm("digest.change_candidate")


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
        "accepted",
        "sending_link",
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
                accepted_count=Subquery(
                    DailyFigures.objects.filter(day=OuterRef("day")).values("accepted")
                ),
            )
        )
        return rows

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path(
                "<int:pk>/freeze/", view(self.freeze_view), name="digest_edition_freeze"
            ),
            path(
                "<int:pk>/preview/",
                view(self.preview_view),
                name="digest_edition_preview",
            ),
            path(
                "<int:pk>/sending/",
                view(self.sending_view),
                name="digest_edition_sending",
            ),
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

    @admin.display(description="accepted", ordering="accepted_count", empty_value="-")
    def accepted(self, edition: Any) -> int | None:
        """From the daily figures: counting the digests of all editions takes seconds."""
        return None if edition.is_open else edition.accepted_count

    @admin.display(description="sending")
    def sending_link(self, edition: Edition) -> str:
        url, text = edition_sending.sending_url(edition), "Recipients and sending"
        return format_html('<a href="{}">{}</a>', url, text)

    @admin.display(description="sent")
    def sent(self, edition: Edition) -> str:
        return describe_sending(edition)

    def freeze_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET shows the ways to freeze or reopen; POST takes one: now, later or reopen."""
        edition = get_object_or_404(Edition, pk=pk)
        if not ModelAdmin.has_change_permission(self, request, edition):
            raise PermissionDenied
        now = timezone.now()
        error = ""
        if request.method == "POST":
            try:
                return self.apply_choice(request, edition, now)
            except ValueError as refusal:
                error = str(refusal)
        return render_page(
            self,
            request,
            "admin/freeze.html",
            title=f"Edition of {date_format(edition.day, 'l, j F')}",
            edition=edition,
            list_url=list_url(edition),
            counts=count_candidates(edition),
            recipients=count_recipients(now),
            freezes_at=freeze.due_at(edition),
            may_unfreeze=freeze.may_unfreeze(edition),
            error=error,
            time=request.POST.get("time", ""),
        )

    def apply_choice(
        self, request: HttpRequest, edition: Edition, now: datetime
    ) -> HttpResponse:
        choice = request.POST.get("choice", "now")
        if choice == "later":
            return self.freeze_later(request, edition, now)
        if choice == "reopen":
            return self.reopen(request, edition, now)
        return self.freeze_edition(request, edition, now)

    def freeze_edition(
        self, request: HttpRequest, edition: Edition, now: datetime
    ) -> HttpResponse:
        if freeze.freeze(edition, now):
            self.record(request, edition, "Froze the edition", now)
            number = count_recipients(now)
            readers = f"{number:,} reader{'' if number == 1 else 's'}"
            messages.success(request, f"Edition frozen. Sending to {readers}.")
        else:
            messages.error(request, "This edition is already frozen or has no papers.")
        return HttpResponseRedirect(list_url(edition))

    def freeze_later(
        self, request: HttpRequest, edition: Edition, now: datetime
    ) -> HttpResponse:
        at = curation.parse_freeze_time(request.POST.get("time", ""), now)
        if Edition.objects.open().filter(pk=edition.pk).update(freeze_at=at):
            time = date_format(timezone.localtime(at), "H:i")
            self.record(request, edition, f"Set the freeze to {time}", now)
            messages.success(request, f"This edition freezes at {time} today.")
        else:
            messages.error(request, "This edition is already frozen.")
        return HttpResponseRedirect(list_url(edition))

    def reopen(
        self, request: HttpRequest, edition: Edition, now: datetime
    ) -> HttpResponse:
        at = curation.parse_freeze_time(request.POST.get("time", ""), now)
        if freeze.unfreeze(edition, at):
            time = date_format(timezone.localtime(at), "H:i")
            self.record(request, edition, f"Reopened the edition until {time}", now)
            messages.success(request, f"Edition reopened. It freezes again at {time}.")
        else:
            messages.error(
                request,
                "This edition cannot be reopened: its first mails are planned already.",
            )
        return HttpResponseRedirect(list_url(edition))

    def record(
        self, request: HttpRequest, edition: Edition, message: str, now: datetime
    ) -> None:
        assert isinstance(request.user, User)  # admin_view requires staff
        curation.record_edition_event(edition, message, request.user, now)
        self.log_change(request, edition, message)

    def sending_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        edition = get_object_or_404(Edition, pk=pk)
        if not self.has_view_permission(request, edition):
            raise PermissionDenied
        return edition_sending.show_page(self, request, edition)

    def preview_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET shows the digest of a made-up profile; POST also mails it to the staff user."""
        edition = get_object_or_404(Edition, pk=pk)
        if not self.has_view_permission(request, edition):
            raise PermissionDenied
        profile = previews.MadeUpProfile.parse(request.GET)
        compared = request.GET.get("compare", "")
        context = previews.preview_profile(edition, profile, timezone.now(), compared)
        if request.method == "POST" and context["mail"]:
            previews.send_test(request, context["mail"])
            return HttpResponseRedirect(request.get_full_path())
        return render_page(
            self,
            request,
            "admin/preview_profile.html",
            title=f"Preview of {date_format(edition.day, 'l, j F')}",
            profile=profile,
            topics=previews.topic_choices(),
            fill_modes=Subscriber.FillMode.choices,
            list_url=list_url(edition),
            **context,
        )


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
