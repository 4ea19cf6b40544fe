"""Search, and the page of one paper."""

import re

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from digest.cards import card
from digest.models import Paper, Recall
from digest.site.bibtex import format_bibtex
from digest.site.decorators import refuse_if
from digest.site.errors import not_found
from digest.site.home import search_query
from digest.site.paper_lists import render_period
from digest.site.paper_rows import paper_cards
from digest.site.periods import DAY, period_around
from digest.site.request_limits import refuse_frequent_searches

# Hugging Face's limit.
MAX_RESULTS = 120
RELATED_PAPERS = 10
CO_READERSHIP_REASON = "Also followed by readers of this paper"
# arXiv identifiers, old and new, and those of other sources.
IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+-]{0,63}")
VERSION_SUFFIX = re.compile(r"v[0-9]{1,3}$")


@require_safe
@refuse_if(refuse_frequent_searches)
def search_page(request: HttpRequest) -> HttpResponse:
    """Search by meaning; without a query, show the newest day."""
    from digest.ranking import search

    q, day = search_query(request), Paper.objects.newest_day(timezone.now())
    if not q and day:
        return render_period(request, period_around(DAY, day))
    papers = [paper for paper, _ in search.search(q, limit=MAX_RESULTS)]
    context = {
        "q": q,
        "cards": paper_cards(papers),
        "withdrawn": Recall.objects.withdrawn_among(p.identifier for p in papers),
        "requested_interests": [f"search:{q}"] if q else [],
    }
    return render(request, "pages/search.html", context)


@require_safe
def paper_page(request: HttpRequest, identifier: str) -> HttpResponse:
    from digest.ranking import search

    if not IDENTIFIER.fullmatch(identifier):
        return not_found(request)
    paper = Paper.objects.filter(identifier=identifier).first()
    if paper is None:
        return redirect_version(request, identifier)
    related = search.related([paper], timezone.now(), RELATED_PAPERS)
    similar = [other for other, _ in related]
    reasons = [CO_READERSHIP_REASON if is_shared else "" for _, is_shared in related]
    context = {
        "paper": paper,
        "card": card(paper),
        "bibtex": format_bibtex(paper),
        "withdrawn": Recall.objects.withdrawn_among(
            p.identifier for p in [paper, *similar]
        ),
        "related": list(zip(paper_cards(similar), reasons, strict=True)),
    }
    return render(request, "pages/paper.html", context)


def redirect_version(request: HttpRequest, identifier: str) -> HttpResponse:
    without_version = VERSION_SUFFIX.sub("", identifier)
    stored = Paper.objects.filter(identifier=without_version)
    if without_version != identifier and stored.exists():
        return redirect("paper", without_version)
    return not_found(request)
