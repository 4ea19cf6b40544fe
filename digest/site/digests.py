"""A digest in the browser, the links in its mail, and a reader's archive."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from accounts.models import Link, Subscriber
from digest import follows
from digest.feedback import clicks, paper_feedback
from digest.mailer import compose, retention
from digest.models import Candidate, Digest, Follow, Recall
from digest.site import saved_papers
from digest.site.decorators import private_page, replace_mail_policy
from digest.site.errors import not_found
from digest.site.link_access import (
    is_key_expired,
    link_expired,
    preferences_link_required,
    sent_digest,
    valid_digest,
)
from digest.site.periods import DAY, parse_period

TARGET_FIELDS = {
    "arxiv": "arxiv_url",
    "pdf": "pdf_url",
    "code": "code_url",
    "project": "project_url",
}
FEEDBACK_VERBS: dict[str, paper_feedback.Verb] = {"more": "more", "less": "less"}
# A year of daily digests.
ARCHIVE_LENGTH = 366


@require_safe
@private_page
def digest(request: HttpRequest, key: str) -> HttpResponse:
    """Show the mail as it was sent."""
    row = valid_digest(key)
    return render_mail(row) if row else link_expired(request)


def render_mail(digest: Digest) -> HttpResponse:
    response = HttpResponse(compose.render_browser_page(digest))
    response["Referrer-Policy"] = "no-referrer"  # it has no forms: see private_page
    return replace_mail_policy(response)


@require_http_methods(["GET", "HEAD", "POST"])
@private_page
def digest_link(request: HttpRequest, key: str, pick: int, verb: str) -> HttpResponse:
    """Follow a link of a mail: to a page of the paper, which never expires, or to feedback on it."""
    digest = sent_digest(key)
    candidate = digest.candidate_at(pick) if digest else None
    if digest is None or candidate is None:
        return link_expired(request)
    if verb in FEEDBACK_VERBS:
        if is_key_expired(digest):
            return link_expired(request)
        return feedback_page(request, digest, pick, candidate, FEEDBACK_VERBS[verb])
    if verb == "save":
        if is_key_expired(digest):
            return link_expired(request)
        return saved_papers.save_from_digest(request, digest, candidate.paper)
    target = target_url(candidate.card, verb)
    if not target or request.method == "POST":
        return not_found(request)
    if request.method == "GET":
        clicks.record_click(digest, pick, verb, timezone.now())
    return redirect(target)


def target_url(card: dict[str, Any], verb: str) -> str:
    if verb == "paper":
        return reverse("paper", args=[card["identifier"]])
    url: str = card.get(TARGET_FIELDS.get(verb, ""), "")
    return url if url.startswith(("https://", "http://")) else ""


def feedback_page(
    request: HttpRequest,
    digest: Digest,
    number: int,
    candidate: Candidate,
    verb: paper_feedback.Verb,
) -> HttpResponse:
    """Ask on GET, because link scanners open every link of a mail; store or undo on POST."""
    if request.method == "POST":
        if request.POST.get("undo"):
            paper_feedback.withdraw_opinion(digest, number)
            is_stored = True
        else:
            is_stored = paper_feedback.store_opinion(digest, number, verb) is not None
        url = reverse("link", args=[digest.key, number, verb])
        return redirect(url if is_stored else f"{url}?full=1")
    context = {
        "path": request.path,
        "digest": digest,
        "card": candidate.card,
        "withdrawn": Recall.objects.withdrawn_among([candidate.paper.identifier]),
        "verb": verb,
        "opinion": stored_opinion(digest.subscriber, candidate.paper.identifier),
        "is_full": bool(request.GET.get("full")),
        "max_papers": follows.MAX_EXAMPLE_PAPERS,
    }
    return render(request, "pages/paper_feedback.html", context)


def stored_opinion(subscriber: Subscriber, identifier: str) -> str:
    """Return "more", "less", "chosen" for a paper of the reading list, or ""; opening a paper is no opinion."""
    follow = (
        Follow.objects.filter(
            subscriber=subscriber, interest__kind="paper", interest__value=identifier
        )
        .exclude(source=Follow.Source.OPENED)
        .first()
    )
    if follow is None:
        return ""
    if follow.weight <= 0:
        return "less"
    return "chosen" if follow.source == Follow.Source.CHOSEN else "more"


@require_safe
@preferences_link_required
def archive(request: HttpRequest, link: Link) -> HttpResponse:
    context = {
        "key": link.key,
        "rows": archive_rows(link.subscriber),
        "days_kept": retention.retention_days(),
    }
    return render(request, "pages/archive.html", context)


@require_safe
@preferences_link_required
def archived_digest(request: HttpRequest, link: Link, text: str) -> HttpResponse:
    """Show a digest of the archive, also after its own key has expired."""
    period = parse_period(DAY, text)
    rows = sent_digests(link.subscriber)
    row = rows.filter(edition__day=period.first).first() if period else None
    return render_mail(row) if row else not_found(request)


def sent_digests(subscriber: Subscriber) -> QuerySet[Digest]:
    rows = Digest.objects.sent().filter(subscriber=subscriber)
    return rows.select_related("edition", "subscriber")


def archive_rows(subscriber: Subscriber) -> list[dict[str, Any]]:
    """List digests, newest first, with the title of their first paper, "" for an empty digest."""
    digests = sent_digests(subscriber).order_by("-edition__day")[:ARCHIVE_LENGTH]
    rows = [(digest.edition.day, digest.picks) for digest in digests]
    first_papers = Candidate.objects.in_bulk(
        [picks[0].candidate for _, picks in rows if picks]
    )
    return [
        {
            "day": day,
            "count": len(picks),
            "title": first_papers[picks[0].candidate].card["title"] if picks else "",
        }
        for day, picks in rows
        if not picks or picks[0].candidate in first_papers
    ]
