"""Search, and the page of one paper."""

import re

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from digest.cards import card
from digest.models import Paper
from digest.ranking import search
from digest.site.bibtex import bibtex
from digest.site.days import show_day
from digest.site.errors import not_found
from digest.site.home import question
from digest.site.limits import limit_searches
from digest.site.linkify import linked

# As Hugging Face's search.
MOST_RESULTS = 120
RELATED = 5
SHARED = "Readers of this paper follow it too"
# arXiv's ids, old and new, and what other sources may call a paper.
IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+-]{0,63}")
VERSION = re.compile(r"v[0-9]{1,3}$")


@require_safe
@limit_searches
def papers(request: HttpRequest) -> HttpResponse:
    """Search by meaning; without a question, the newest day."""
    q, latest = question(request), Paper.objects.newest_day(timezone.now())
    if not q and latest:
        return show_day(request, latest)
    found = search.search(q, limit=MOST_RESULTS)
    context = {
        "q": q,
        "cards": [card(paper) for paper, _ in found],
        "requested_interests": [f"search:{q}"] if q else [],
    }
    return render(request, "pages/search.html", context)


@require_safe
def paper(request: HttpRequest, identifier: str) -> HttpResponse:
    """One paper; the address of a version leads to the paper."""
    if not IDENTIFIER.fullmatch(identifier):
        return not_found(request)
    one = Paper.objects.filter(identifier=identifier).first()
    if one is None:
        return elsewhere(request, identifier)
    context = {
        "paper": one,
        "card": card(one),
        "abstract": linked(one.abstract),
        "bibtex": bibtex(one),
        "related": [
            (card(other), SHARED if is_shared else "")
            for other, is_shared in search.related([one], timezone.now(), RELATED)
        ],
    }
    return render(request, "pages/paper.html", context)


def elsewhere(request: HttpRequest, identifier: str) -> HttpResponse:
    bare = VERSION.sub("", identifier)
    if bare != identifier and Paper.objects.filter(identifier=bare).exists():
        return redirect("paper", bare)
    return not_found(request)
