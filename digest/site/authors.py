"""The page of an author: their papers here, with whom, and the form to follow them."""

from collections import Counter
from collections.abc import Iterable

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from digest.models import Paper, Recall
from digest.models.papers import PaperQuerySet
from digest.site.errors import not_found
from digest.site.page_cache import cached_page
from digest.site.paper_lists import PAPERS_PER_PAGE
from digest.site.paper_rows import paper_cards

# Longer names are lists of names.
MAX_NAME_CHARS = 80
# The newest papers, whose other authors are counted.
PAPERS_WITH_COAUTHORS = 100
COAUTHORS = 8


def author_papers(name: str) -> PaperQuerySet:
    papers = Paper.objects.by_author(name).from_listings()
    return papers.order_by("-announced_on", "identifier")


def has_page(name: str) -> bool:
    """Whether the name is one that URLs can hold and pages link to."""
    return 0 < len(name) <= MAX_NAME_CHARS and name.isprintable()


@require_safe
@cached_page()
def author_page(request: HttpRequest, author: str) -> HttpResponse:
    if not has_page(author):
        return not_found(request)
    papers = author_papers(author).defer("vector", "dense_vector")
    pages = Paginator(papers, PAPERS_PER_PAGE)
    if not pages.count:
        return not_found(request)
    page = pages.get_page(request.GET.get("page"))
    newest = papers.values_list("authors", flat=True)[:PAPERS_WITH_COAUTHORS]
    context = {
        "name": author,
        "page": page,
        "cards": paper_cards(page),
        "withdrawn": Recall.objects.withdrawn_among(p.identifier for p in page),
        "coauthors": count_coauthors(author, newest),
    }
    return render(request, "pages/author.html", context)


def count_coauthors(name: str, author_lists: Iterable[list[str]]) -> list[str]:
    """Return the most frequent other authors."""
    counts = Counter(
        other
        for authors in author_lists
        for other in authors
        if other != name and has_page(other)
    )
    return [other for other, _ in counts.most_common(COAUTHORS)]
