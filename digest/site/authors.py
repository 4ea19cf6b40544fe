"""The page of an author: their papers here, with whom, and the form to follow them."""

from collections import Counter
from collections.abc import Iterable

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from digest.models import Paper, Recall
from digest.models.papers import PaperQuerySet
from digest.site.errors import not_found
from digest.site.page_cache import cached_page
from digest.site.paper_lists import PAPERS_PER_PAGE, page_query
from digest.site.paper_rows import paper_cards
from digest.site.request_limits import SEARCHES_PER_NETWORK, refuse_over_limit
from digest.text.authors import NameMatch, match_names, name_parts

# Longer names are lists of names.
MAX_NAME_CHARS = 80
# The newest papers, whose other authors are counted.
PAPERS_WITH_COAUTHORS = 100
COAUTHORS = 8
SIMILAR_NAMES = 10


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
        return suggest_authors(request, author)
    page = pages.get_page(request.GET.get("page"))
    newest = papers.values_list("authors", flat=True)[:PAPERS_WITH_COAUTHORS]
    context = {
        "name": author,
        "page": page,
        "page_query": page_query,
        "cards": paper_cards(page),
        "withdrawn": Recall.objects.withdrawn_among(p.identifier for p in page),
        "coauthors": count_coauthors(author, newest),
    }
    return render(request, "pages/author.html", context)


def suggest_authors(request: HttpRequest, name: str) -> HttpResponse:
    """Redirect to the only author whose name differs by accents or order; else list similar names."""
    if refusal := refuse_over_limit(request, "searches", SEARCHES_PER_NETWORK):
        return refusal
    names, parts = find_similar_names(name), name_parts(name)
    same = [n for n in names if match_names(parts, name_parts(n)) >= NameMatch.SAME]
    if len(same) == 1:
        return redirect("author", same[0])
    context = {"similar_names": names[:SIMILAR_NAMES], "name": name}
    return render(request, "pages/not_found.html", context, status=404)


def find_similar_names(name: str) -> list[str]:
    """Return names of authors that may be meant by an unknown one, the surest first."""
    from digest.ranking import search, spelling

    parts = name_parts(name)
    vocabulary = spelling.load_vocabulary("a:")
    corrected = [vocabulary.correct(part, 1) or part for part in parts]
    spellings = list(dict.fromkeys([" ".join(parts), " ".join(corrected)]))
    matches: dict[str, NameMatch] = {}
    for spelling_of_name in spellings:
        wanted = name_parts(spelling_of_name)
        ids = search.papers_by_author(spelling_of_name, PAPERS_WITH_COAUTHORS)
        papers = Paper.objects.from_listings().filter(pk__in=ids)
        for names in papers.order_by("-announced_on").values_list("authors", flat=True):
            for other in filter(has_page, names):
                match = match_names(wanted, name_parts(other))
                if match and other != name:
                    matches.setdefault(other, match)
        if matches:
            break
    return sorted(matches, key=lambda other: -matches[other])


def count_coauthors(name: str, author_lists: Iterable[list[str]]) -> list[str]:
    """Return the most frequent other authors."""
    counts = Counter(
        other
        for authors in author_lists
        for other in authors
        if other != name and has_page(other)
    )
    return [other for other, _ in counts.most_common(COAUTHORS)]
