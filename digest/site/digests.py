"""A digest in the browser, its links, and a reader's earlier digests."""

from datetime import timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from accounts.models import Subscriber
from digest import follows
from digest.feedback import clicks, paper_feedback
from digest.feedback.picked import picked
from digest.mailer import compose
from digest.models import Candidate, Digest, Follow
from digest.site.errors import not_found
from digest.site.link_access import expired, moved_away, private, reader
from digest.site.policy import policy

# A mail carries its style inside and needs nothing else.
MAIL_POLICY = {"style-src": ["'unsafe-inline'"], "script-src": ["'none'"]}
TARGETS = {
    "arxiv": "arxiv_url",
    "pdf": "pdf_url",
    "code": "code_url",
    "project": "project_url",
}
OPINIONS: dict[str, paper_feedback.Verb] = {"more": "more", "less": "less"}
# A mail of last season may lie anywhere by now. Its links to papers lead on.
OPINIONS_TAKEN = timedelta(days=90)
# A year of daily digests.
ARCHIVE = 366


def sent(key: str) -> Digest | None:
    """The digest of this key, unless there was nothing to send."""
    rows = Digest.objects.select_related("edition", "subscriber")
    return rows.exclude(outcome=Digest.Outcome.SKIPPED).filter(key=key).first()


@require_safe
@private
@policy(MAIL_POLICY)
def digest(request: HttpRequest, key: str) -> HttpResponse:
    """The mail as it was sent."""
    one = sent(key)
    if one is None:
        return expired(request)
    response = HttpResponse(compose.compose(one).html)
    response["Referrer-Policy"] = "no-referrer"  # it has links only, no forms
    return response


@require_http_methods(["GET", "HEAD", "POST"])
@private
def link(request: HttpRequest, key: str, pick: int, verb: str) -> HttpResponse:
    """A link of a mail: to the paper's pages, or an opinion about it."""
    one = sent(key)
    candidate = picked(one, pick) if one else None
    if one is None or candidate is None:
        return expired(request)
    if verb in OPINIONS and (is_old(one) or moved_away(one)):
        return expired(request)
    if verb in OPINIONS:
        return opinion(request, one, pick, candidate, OPINIONS[verb])
    target = target_of(candidate.card, verb)
    if not target or request.method == "POST":
        return not_found(request)
    if request.method == "GET":
        clicks.click(one, pick, verb, timezone.now())
    return redirect(target)


def is_old(digest: Digest) -> bool:
    """Whether a digest is too old for an opinion to be a wish for tomorrow."""
    return timezone.now() - digest.created_at > OPINIONS_TAKEN


def target_of(card: dict[str, Any], verb: str) -> str:
    """Where a verb leads, from the row; "" where the paper has no such page."""
    if verb == "paper":
        return reverse("paper", args=[card["identifier"]])
    address: str = card.get(TARGETS.get(verb, ""), "")
    return address if address.startswith(("https://", "http://")) else ""


def opinion(
    request: HttpRequest,
    digest: Digest,
    number: int,
    candidate: Candidate,
    verb: paper_feedback.Verb,
) -> HttpResponse:
    """GET shows a button, because programs open every link of a mail; POST acts or takes back."""
    if request.method == "POST":
        if request.POST.get("undo"):
            paper_feedback.unsay(digest, number)
            kept = True
        else:
            kept = paper_feedback.say(digest, number, verb) is not None
        here = reverse("link", args=[digest.key, number, verb])
        return redirect(here if kept else f"{here}?full=1")
    context = {
        "digest": digest,
        "card": candidate.card,
        "verb": verb,
        "held": held(digest.subscriber, candidate.paper.identifier),
        "full": bool(request.GET.get("full")),
        "limit": follows.MAX_EXAMPLE_PAPERS,
    }
    return render(request, "pages/opinion.html", context)


def held(subscriber: Subscriber, identifier: str) -> str:
    """What this reader said of a paper before: more, less, or nothing; "chosen" where they follow it anyway.

    To have opened a paper is to have said nothing.
    """
    about = Follow.objects.filter(
        subscriber=subscriber, interest__kind="paper", interest__value=identifier
    ).exclude(source=Follow.Source.OPENED)
    stance = about.first()
    if stance is None or stance.weight <= 0:
        return "less" if stance else ""
    return "chosen" if stance.source == Follow.Source.CHOSEN else "more"


@require_safe
@private
def digests(request: HttpRequest, key: str) -> HttpResponse:
    """What a reader got before."""
    subscriber = reader(key, timezone.now())
    if subscriber is None:
        return expired(request)
    context = {"key": key, "rows": archive(subscriber)}
    return render(request, "pages/digests.html", context)


def archive(subscriber: Subscriber) -> list[dict[str, Any]]:
    """A reader's digests, newest first, each with its lead paper's title, "" where it held none; two queries."""
    mine = subscriber.digests.exclude(outcome=Digest.Outcome.SKIPPED)
    rows = [
        (one, one.picks)
        for one in mine.select_related("edition").order_by("-edition__day")[:ARCHIVE]
    ]
    leads = Candidate.objects.in_bulk(
        [picks[0].candidate for _, picks in rows if picks]
    )
    return [
        {
            "key": one.key,
            "day": one.edition.day,
            "count": len(picks),
            "title": leads[picks[0].candidate].card["title"] if picks else "",
        }
        for one, picks in rows
        if not picks or picks[0].candidate in leads
    ]
