"""A reader as the corridor sees them: what they follow, what they got, and their next digest."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.mail import EmailMultiAlternatives
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone

from accounts.admin import SubscriberAdmin
from accounts.models import Subscriber
from digest.admin import score_lines
from digest.mailer import compose, retention
from digest.mailer.mail import Mail
from digest.models import Edition, Paper
from digest.ranking import choose
from digest.ranking.explain import absence, explain
from digest.reasons import explain_picks, load_names
from digest.text.arxiv_ids import parse_arxiv_id

ACTIONS = {"unsubscribe": "Unsubscribe", "suppress": "Suppress this address"}
LATEST = 10  # digests on a reader's page; the ledger has the others

admin.site.unregister(Subscriber)


@admin.register(Subscriber)
class ReaderAdmin(SubscriberAdmin):
    """Readers, with a preview of what they would get now."""

    change_form_outer_before_template = "admin/reader.html"

    def get_urls(self) -> list[URLPattern]:
        preview = self.admin_site.admin_view(self.preview_view)
        why = self.admin_site.admin_view(self.explain_view)
        return [
            path("<int:pk>/preview/", preview, name="accounts_subscriber_preview"),
            path("<int:pk>/explain/", why, name="accounts_subscriber_explain"),
            *super().get_urls(),
        ]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        about = self.about(object_id) if object_id.isdecimal() else {}
        return super().change_view(
            request, object_id, form_url, {**(extra_context or {}), **about}
        )

    def about(self, pk: str) -> dict[str, Any]:
        """What a reader follows and mutes, and their latest digests."""
        reader = Subscriber.objects.filter(pk=pk).first()
        if reader is None:
            return {}
        follows = reader.follows.select_related("interest").order_by("-weight", "pk")
        names = load_names([follow.interest for follow in follows])
        digests = reader.digests.select_related("edition", "batch").order_by("-pk")
        return {
            "follows": [
                (follow, names.get(follow.interest.value, follow.interest.value))
                for follow in follows
            ],
            "digests": digests.defer("batch__readers")[:LATEST],
            "reader_actions": ACTIONS,
        }

    def preview_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET shows what this reader would get of the newest edition; POST mails it to the editor."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        reader = get_object_or_404(Subscriber, pk=pk)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"The next digest of {reader}",
            "reader": reader,
            **previewed(reader),
        }
        if request.method == "POST" and context["mail"]:
            return self.send_test(request, context["mail"])
        return TemplateResponse(request, "admin/preview.html", context)

    def explain_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Why this reader does or does not get the paper that the form names."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        reader = get_object_or_404(Subscriber, pk=pk)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Why {reader} gets a paper, or not",
            "reader": reader,
            **explained_for(reader, request.GET),
        }
        return TemplateResponse(request, "admin/explain.html", context)

    def send_test(self, request: HttpRequest, mail: Mail) -> HttpResponse:
        editor = request.user.email  # type: ignore[union-attr]
        test_of(mail, editor).send()
        messages.success(request, f"A test was sent to {editor}.")
        return HttpResponseRedirect(request.path)


def previewed(reader: Subscriber) -> dict[str, Any]:
    """The newest edition, this reader's picks of it, and the mail of them; stores nothing."""
    edition, now = Edition.objects.first(), timezone.now()
    picks = choose.preview_for(edition, reader, now) if edition else []
    mail = None
    if edition and (picks or reader.wants_note):
        mail = compose.compose_preview(edition, reader, picks, now)
    return {"edition": edition, "picks": explain_picks(picks), "mail": mail}


def explained_for(reader: Subscriber, asked: QueryDict) -> dict[str, Any]:
    """One paper of one edition for this reader: the whole breakdown, or why there is none."""
    editions = list(Edition.objects.all()[:LATEST])
    wanted = {str(edition.pk): edition for edition in editions}
    edition = wanted.get(asked.get("edition", ""), next(iter(editions), None))
    named = asked.get("paper", "").strip()
    page = {"editions": editions, "edition": edition, "named": named}
    if edition is None or not named:
        return page
    paper = paper_named(named)
    if paper is None:
        return {**page, "absent": f"We have no paper {named[:60]!r}."}
    candidate = edition.candidates.select_related("paper").filter(paper=paper).first()
    if candidate is None:
        return {**page, "paper": paper, "absent": why_absent(edition, paper)}
    found = explain(edition, reader, candidate, timezone.now())
    names = load_names(score_lines.interests_of(found))
    why = next(iter(explain_picks([found.pick])), None) if found.pick else None
    told = score_lines.told(found, reader, names)
    return {**page, "paper": paper, "why": why, **told}


def why_absent(edition: Edition, paper: Paper) -> str:
    """Why the edition does not hold this paper, as far as anybody can tell."""
    if retention.is_forgotten(edition, timezone.now()):
        kept = f"After {retention.days()} days only what editors touched is kept of an edition"
        return f"{kept}: whether this one held it, and why, is forgotten."
    return absence(edition, paper)


def paper_named(text: str) -> Paper | None:
    """The paper of an id, as its source or an arXiv address gives it."""
    try:
        identifier, _ = parse_arxiv_id(text)
    except ValueError:
        identifier = text
    return Paper.objects.filter(identifier=identifier).first()


def test_of(mail: Mail, editor: str) -> EmailMultiAlternatives:
    """The mail to an editor: without the reader's headers, whose links would unsubscribe the reader."""
    message = EmailMultiAlternatives(f"[Test] {mail.subject}", mail.text, to=[editor])
    message.attach_alternative(mail.html, "text/html")
    return message
