"""The search page: filters, pages of twenty, corrections, and highlighted words."""

import re
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe
from markupsafe import Markup

from digest import follows
from digest.models import Paper, Recall
from digest.site.decorators import refuse_if
from digest.site.home import requested_names, search_query
from digest.site.page_cache import cached_page
from digest.site.paper_lists import render_period
from digest.site.paper_rows import paper_cards
from digest.site.periods import DAY, period_around
from digest.site.request_limits import refuse_frequent_searches
from digest.text.search_query import SearchQuery
from digest.text.tokens import content_words, fold_text, tokenize

RESULTS_PER_PAGE = 20
PERIODS = {
    "week": ("Past week", timedelta(days=7)),
    "month": ("Past month", timedelta(days=31)),
    "year": ("Past year", timedelta(days=366)),
}
MAX_CATEGORY_CHARS = 20
# Markup in which nothing is highlighted: formulas, lists of links, buttons, tags, entities.
_UNMARKED = re.compile(
    r"(<(math|ul|form|button|summary)\b.*?</\2>|<[^>]*>|&[#\w]+;)", re.DOTALL
)
_WORD = re.compile(r"[^\W_]+(?:\+\+|#)?")


@require_safe
@gzip_page
@refuse_if(refuse_frequent_searches)
def search_page(request: HttpRequest) -> HttpResponse:
    """Search all papers; without a query, show the newest day."""
    q = search_query(request)
    if not q:
        return newest_page(request)
    return render(request, "pages/search.html", search_context(request, q))


@cached_page()
def newest_page(request: HttpRequest) -> HttpResponse:
    day = Paper.objects.newest_day(timezone.now())
    if day:
        return render_period(request, period_around(DAY, day))
    return render(request, "pages/search.html", search_context(request, ""))


@require_safe
def redirect_search(request: HttpRequest) -> HttpResponse:
    """Redirect the address that many sites have for their search."""
    query = request.GET.urlencode()
    return redirect(f"{reverse('papers')}{'?' if query else ''}{query}")


def search_context(request: HttpRequest, q: str) -> dict[str, Any]:
    from digest.ranking import search

    filters = read_filters(request)
    period = PERIODS.get(filters["period"])
    result = search.find_papers(
        q,
        category=filters["category"],
        first_day=timezone.localdate() - period[1] if period else None,
        keep_spelling=bool(filters["exact"]),
    )
    pages = Paginator(result.paper_ids, RESULTS_PER_PAGE)
    page = pages.get_page(request.GET.get("page"))
    papers = result.load_papers(page.start_index() - 1, page.end_index()) if q else []
    wanted = requested_interests(result.query)
    return {
        "q": q,
        "result": result,
        "is_limited": len(result.paper_ids) >= search.MAX_RESULTS,
        "page": page,
        "cards": paper_cards(papers),
        "highlighted": highlighted_words(result.query),
        "highlight": highlight,
        "withdrawn": Recall.objects.withdrawn_among(p.identifier for p in papers),
        "filters": filters,
        "page_query": lambda number: query_string(
            q, filters, {"page": number if number > 1 else ""}
        ),
        "query_string": lambda **changes: query_string(q, filters, changes),
        "categories": sorted({*settings.ARXIV_CATEGORIES, filters["category"]} - {""}),
        "periods": {name: label for name, (label, _) in PERIODS.items()},
        "requested_interests": wanted,
        "requested_names": requested_names(follows.unsaved_interests(wanted)),
    }


def read_filters(request: HttpRequest) -> dict[str, str]:
    category = request.GET.get("category", "")[:MAX_CATEGORY_CHARS]
    period = request.GET.get("period", "")
    return {
        "category": category
        if category.replace("-", "").replace(".", "").isalpha()
        else "",
        "period": period if period in PERIODS else "",
        "exact": "1" if request.GET.get("exact") else "",
    }


def query_string(q: str, filters: dict[str, str], changes: dict[str, object]) -> str:
    values = {"q": q, **filters, **changes}
    return "?" + urlencode({name: value for name, value in values.items() if value})


def requested_interests(query: SearchQuery) -> list[str]:
    """Return what a sign-up from this page follows: the words, and the authors of operators."""
    wanted = [f"author:{name}" for name in query.authors]
    return ([f"search:{query.text}"] if query.text else []) + wanted


def highlighted_words(query: SearchQuery) -> frozenset[str]:
    texts = [query.text, *query.authors]
    return frozenset(
        word
        for text in texts
        for word in [*content_words(text), *fold_text(text).split()]
    )


def highlight(html: Markup, words: frozenset[str]) -> Markup:
    """Mark words of escaped HTML, in any inflection that the search treats as equal."""
    pieces, end = list[str](), 0
    for match in _UNMARKED.finditer(html):
        pieces += [mark_text(html[end : match.start()], words), match[0]]
        end = match.end()
    return Markup("".join([*pieces, mark_text(html[end:], words)]))


def mark_text(text: str, words: frozenset[str]) -> str:
    """Mark words of text that has no markup and no entities."""
    return _WORD.sub(
        lambda match: (
            f"<mark>{match[0]}</mark>"
            if words.intersection(tokenize(match[0]))
            else match[0]
        ),
        text,
    )
