"""Readers: all about one of them on a page, invitations, export, previews, and why a paper has its place in a digest."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    JsonResponse,
    QueryDict,
    StreamingHttpResponse,
)
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.views.decorators.http import require_POST

from accounts import links, rate_limits, tasks
from accounts.addresses import parse_address
from accounts.admin import SubscriberAdmin
from accounts.admin_base import render_page
from accounts.csv_export import stream_csv
from accounts.models import AccountMail, Link, Subscriber, Suppression, User
from digest.admin import previews, score_lines
from digest.mailer import retention
from digest.models import Edition, Event, Follow, Interest, Paper
from digest.reader_data import export_data
from digest.reasons import display_name, explain_picks, load_names
from digest.text.arxiv_ids import parse_arxiv_id

if TYPE_CHECKING:  # unfold has no types; its classes extend these
    EmailWidget = forms.EmailInput
else:
    from unfold.widgets import UnfoldAdminEmailInputWidget as EmailWidget

READER_ACTIONS = {"unsubscribe": "Unsubscribe", "suppress": "Suppress this address"}
LISTED_DIGESTS, LISTED_EDITIONS, LISTED_EVENTS, LISTED_ENTRIES = 10, 10, 20, 10
LISTED_INTERESTS = 70  # all but most example papers
PAUSE_WEEKS = (1, 2, 4)
EXPORTED_COLUMNS = (
    *("email", "state", "frequency", "weekday", "hour", "zone", "length", "fill_mode"),
    *("paused_until", "created_at", "confirmed_at", "left_at"),
    *("consent_text", "consent_how"),
)
EXPORTED_CHUNK_ROWS = 2_000

admin.site.unregister(Subscriber)


@admin.register(Subscriber)
class ReaderAdmin(SubscriberAdmin):
    """Readers, with everything about one of them above the form of preferences."""

    change_form_outer_before_template = "admin/reader.html"
    list_before_template = "admin/reader_list.html"
    actions = (*SubscriberAdmin.actions, "export_csv")

    def get_urls(self) -> list[URLPattern]:
        preview = self.admin_site.admin_view(self.preview_view)
        explain_ = self.admin_site.admin_view(self.explain_view)
        export = require_POST(self.admin_site.admin_view(self.export_view))
        invite = self.admin_site.admin_view(self.invite_view)
        act = require_POST(self.admin_site.admin_view(self.act_view))
        return [
            path("export/", export, name="accounts_subscriber_export"),
            path("invite/", invite, name="accounts_subscriber_invite"),
            path("<int:pk>/act/", act, name="accounts_subscriber_act"),
            path("<int:pk>/preview/", preview, name="accounts_subscriber_preview"),
            path("<int:pk>/explain/", explain_, name="accounts_subscriber_explain"),
            *super().get_urls(),
        ]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context = reader_context(object_id) if object_id.isdecimal() else {}
        return super().change_view(
            request, object_id, form_url, {**(extra_context or {}), **context}
        )

    def invite_view(self, request: HttpRequest) -> HttpResponse:
        """Mail an invitation. The answer is the same for every address."""
        user = request.user
        if not user.has_perm("accounts.invite_subscriber"):
            raise PermissionDenied
        assert isinstance(user, User)  # admin_view requires staff
        form = InvitationForm(request.POST or None)
        if form.is_valid():
            links.invite_reader(form.cleaned_data["email"], user)
            record_list_event(request, "Invited a reader.")
            messages.success(
                request,
                "Unless this person reads already, unsubscribed or was invited a moment ago, an invitation in your name is on its way.",
            )
            return HttpResponseRedirect(request.path)
        context = {
            **self.admin_site.each_context(request),
            "title": "Invite a reader",
            "form": form,
            "inviter": user,
        }
        return TemplateResponse(request, "admin/invite.html", context)

    def act_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Mail the confirmation again, pause, end a pause, or export all data of a reader."""
        reader, now = get_object_or_404(Subscriber, pk=pk), timezone.now()
        if not self.has_change_permission(request, reader):
            raise PermissionDenied
        match request.POST.get("act", ""):
            case "export":
                self.log_change(request, reader, "Exported all data of the reader.")
                return download_data(reader)
            case "resend" if reader.state == Subscriber.State.PENDING:
                self.resend_confirmation(request, reader)
            case "pause" if request.POST.get("weeks", "") in map(str, PAUSE_WEEKS):
                until = now + timedelta(weeks=int(request.POST["weeks"]))
                self.set_pause(request, reader, until)
            case "unpause":
                self.set_pause(request, reader, None)
            case _:
                messages.warning(request, "That is not possible any more.")
        url = reverse("admin:accounts_subscriber_change", args=[pk])
        return HttpResponseRedirect(url)

    def resend_confirmation(self, request: HttpRequest, reader: Subscriber) -> None:
        if wait_s := rate_limits.hit_mailbox(reader.email):
            minutes = -(-wait_s // 60)
            messages.error(
                request,
                f"This mailbox or its domain got too many mails. Try again in {minutes} minutes.",
            )
            return
        tasks.queue_mail(AccountMail.Kind.PREFERENCES, reader.email)
        self.log_change(request, reader, "Mailed the confirmation again.")
        messages.success(request, "The confirmation is on its way.")

    def set_pause(
        self, request: HttpRequest, reader: Subscriber, until: datetime | None
    ) -> None:
        Subscriber.objects.filter(pk=reader.pk).update(paused_until=until)
        text = "Ended the pause."
        if until:
            day = date_format(timezone.localtime(until), "j F Y, H:i")
            text = f"Paused digests until {day}."
        self.log_change(request, reader, text)
        messages.success(request, text)

    def export_view(self, request: HttpRequest) -> StreamingHttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return export_readers(request, self.get_queryset(request))

    @admin.action(description="Export selected as CSV", permissions=["view"])
    def export_csv(
        self, request: HttpRequest, queryset: QuerySet[Any]
    ) -> StreamingHttpResponse:
        return export_readers(request, queryset)

    def preview_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET shows the digest of the newest edition; POST mails it to the staff user."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        reader = get_object_or_404(Subscriber, pk=pk)
        edition, now = Edition.objects.first(), timezone.now()
        compared = request.GET.get("compare", "")
        context = previews.preview_digest(edition, reader, now, compared)
        if request.method == "POST" and context["mail"]:
            previews.send_test(request, context["mail"])
            return HttpResponseRedirect(request.get_full_path())
        title = f"Next digest of {reader}"
        template = "admin/preview.html"
        return render_page(self, request, template, title=title, **context)

    def explain_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        reader = get_object_or_404(Subscriber, pk=pk)
        context = explain_paper(reader, request.GET)
        title = f"Explain a paper for {reader}"
        template = "admin/explain.html"
        return render_page(self, request, template, title=title, **context)


def export_readers(
    request: HttpRequest, readers: QuerySet[Any]
) -> StreamingHttpResponse:
    """Stream readers as CSV, and record in the history who exported how many."""
    record_list_event(request, f"Exported {readers.count():,} readers as CSV.")
    header = (*EXPORTED_COLUMNS, "suppressed")
    rows = readers.order_by("pk").values_list(*EXPORTED_COLUMNS, "is_suppressed")
    lines = (
        ["" if value is None else value for value in row]
        for row in rows.iterator(EXPORTED_CHUNK_ROWS)
    )
    return stream_csv("readers.csv", header, lines)


def record_list_event(request: HttpRequest, message: str) -> None:
    """Record in the history what concerns readers in general, or must not name one."""
    assert request.user.pk  # the admin requires staff
    LogEntry.objects.create(
        user_id=request.user.pk,
        content_type=ContentType.objects.get_for_model(Subscriber),
        object_repr="Readers",
        action_flag=CHANGE,
        change_message=message,
    )


def download_data(reader: Subscriber) -> JsonResponse:
    response = JsonResponse(export_data(reader), json_dumps_params={"indent": 2})
    file_name = f"reader-{reader.pk}.json"
    response["Content-Disposition"] = f'attachment; filename="{file_name}"'
    return response


class InvitationForm(forms.Form):
    email = forms.CharField(
        label="Email address",
        max_length=254,
        widget=EmailWidget(attrs={"autofocus": True, "autocomplete": "off"}),
    )

    def clean_email(self) -> str:
        return parse_address(self.cleaned_data["email"])


def reader_context(pk: str) -> dict[str, Any]:
    """Everything about a reader on one page."""
    reader = Subscriber.objects.filter(pk=pk).first()
    if reader is None:
        return {}
    digests = reader.digests.select_related("edition", "batch").order_by("-pk")
    suppressions = Suppression.objects.filter(address_hash=reader.address_hash)
    return {
        "reader": reader,
        "suppression": suppressions.first(),
        "invited_by": invited_by(reader),
        "digests": digests.defer("batch__readers")[:LISTED_DIGESTS],
        "digest_count": reader.digests.count(),
        "events": list_events(reader),
        "entries": list_entries(reader),
        "reader_actions": READER_ACTIONS,
        "pause_weeks": PAUSE_WEEKS,
        "is_paused": bool(reader.paused_until and reader.paused_until > timezone.now()),
        **interests_context(reader),
    }


def invited_by(reader: Subscriber) -> str:
    """The staff member in whose name the reader was invited, while that link is stored."""
    payloads = reader.links.filter(purpose=Link.Purpose.CONFIRM).order_by("-pk")
    names = (
        row.get("invited_by", "") for row in payloads.values_list("payload", flat=True)
    )
    return next(filter(None, names), "")


def interests_context(reader: Subscriber) -> dict[str, Any]:
    follows = reader.follows.select_related("interest").defer("interest__vector")
    papers = follows.filter(interest__kind=Interest.Kind.PAPER)
    chosen = follows.exclude(interest__kind=Interest.Kind.PAPER)
    listed: list[Follow] = list(chosen.order_by("-weight", "pk"))
    listed += papers.order_by("-weight", "-pk")[: LISTED_INTERESTS - len(listed)]
    names = load_names([follow.interest for follow in listed])
    return {
        "follows": [
            (follow, display_name(follow.interest, names)) for follow in listed
        ],
        "other_follow_count": follows.count() - len(listed),
    }


def list_events(reader: Subscriber) -> QuerySet[Event]:
    """What the provider and our links reported about the reader's digests, newest first."""
    events = Event.objects.filter(digest__in=reader.digests.values("pk"))
    return events.select_related("digest__edition").order_by("-at")[:LISTED_EVENTS]


def list_entries(reader: Subscriber) -> QuerySet[LogEntry]:
    """What staff did about the reader, newest first."""
    content_type = ContentType.objects.get_for_model(Subscriber)
    entries = LogEntry.objects.filter(
        content_type=content_type, object_id=str(reader.pk)
    )
    return entries.select_related("user").order_by("-pk")[:LISTED_ENTRIES]


def explain_paper(reader: Subscriber, query: QueryDict) -> dict[str, Any]:
    from digest.ranking import experiments
    from digest.ranking.placement import explain_placement

    editions = list(Edition.objects.all()[:LISTED_EDITIONS])
    by_pk = {str(edition.pk): edition for edition in editions}
    edition = by_pk.get(query.get("edition", ""), next(iter(editions), None))
    typed = query.get("paper", "").strip()
    page = {
        "reader": reader,
        "editions": editions,
        "edition": edition,
        "typed": typed,
    }
    if edition is None or not typed:
        return page
    paper = find_paper(typed)
    if paper is None:
        return {**page, "absent": f"No paper found for “{typed[:60]}”."}
    candidate = edition.candidates.select_related("paper").filter(paper=paper).first()
    if candidate is None:
        return {**page, "paper": paper, "absent": explain_absence(edition, paper)}
    now = timezone.now()
    placement = explain_placement(edition, reader, candidate, now)
    running = experiments.load_running(now)
    is_compared = running is not None and experiments.participates(running, reader)
    names = load_names(score_lines.all_interests(placement))
    pick = placement.pick
    why = next(iter(explain_picks([pick])), None) if pick else None
    breakdown = score_lines.placement_context(placement, reader, names)
    experiment = running if is_compared else None
    return {**page, "paper": paper, "why": why, "experiment": experiment, **breakdown}


def explain_absence(edition: Edition, paper: Paper) -> str:
    from digest.ranking.placement import absence

    if retention.is_past_retention(edition, timezone.now()):
        return (
            f"This edition is older than {retention.retention_days()} days: only candidates that"
            " editors pinned, boosted, hid or annotated are still stored."
        )
    return absence(edition, paper)


def find_paper(text: str) -> Paper | None:
    try:
        identifier, _ = parse_arxiv_id(text)
    except ValueError:
        identifier = text
    return Paper.objects.filter(identifier=identifier).first()
