"""The page of one paper."""

import re
from urllib.parse import quote, urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.models import Subscriber
from digest.models import Follow, Interest, Paper, Recall
from digest.site import authors
from digest.site.citations import citation_tags, format_bibtex, format_ris, json_ld
from digest.site.errors import not_found
from digest.site.page_cache import cached_page
from digest.site.paper_charts import HEIGHT, WIDTH, load_charts
from digest.site.paper_rows import paper_cards

RELATED_PAPERS = 10
CO_READERSHIP_REASON = "Also followed by readers of this paper"
# arXiv identifiers, old and new, and those of other sources.
IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+-]{0,63}")
CITATION_STYLES = {
    "bib": ("application/x-bibtex", format_bibtex),
    "ris": ("application/x-research-info-systems", format_ris),
}
VERSION_SUFFIX = re.compile(r"v[0-9]{1,3}$")


@require_safe
@cached_page()
def paper_page(request: HttpRequest, identifier: str) -> HttpResponse:
    from digest.ranking import search

    paper = find_paper(identifier)
    if paper is None:
        return redirect_version(request, identifier)
    related = search.related([paper], timezone.now(), RELATED_PAPERS)
    similar = [other for other, _ in related]
    reasons = [CO_READERSHIP_REASON if is_shared else "" for _, is_shared in related]
    recalls = Recall.objects.withdrawals()
    context = {
        "paper": paper,
        "card": paper_cards([paper])[0],
        "kept_paper": find_kept_paper(paper),
        "has_author_page": authors.has_page,
        "bibtex": format_bibtex(paper),
        "citation_tags": citation_tags(paper),
        "json_ld": json_ld(paper, settings.SITE_URL),
        "charts": load_charts(paper),
        "chart_size": (WIDTH, HEIGHT),
        "followers": count_followers(paper),
        "withdrawal": recalls.filter(paper=paper).first(),
        "withdrawn": recalls.withdrawn_among(p.identifier for p in [paper, *similar]),
        "related": list(zip(paper_cards(similar), reasons, strict=True)),
        "share_links": share_links(paper),
    }
    return render(request, "pages/paper.html", context)


def find_paper(identifier: str) -> Paper | None:
    if not IDENTIFIER.fullmatch(identifier):
        return None
    papers = Paper.objects.defer("vector", "dense_vector")
    return papers.filter(identifier=identifier).first()


def find_kept_paper(paper: Paper) -> Paper | None:
    """Return the paper that editors merged this one into; None if it stands for itself."""
    if paper.duplicate_of_id is None:
        return None
    papers = Paper.objects.only("identifier", "title", "corrected_title")
    return papers.get(pk=paper.duplicate_of_id)


def count_followers(paper: Paper) -> int:
    """Count the active readers who follow this paper; 0 where a number could reveal who they are."""
    from digest.ranking.co_readership import MIN_SHARED_READERS

    follows = Follow.objects.filter(
        interest__kind=Interest.Kind.PAPER,
        interest__value=paper.identifier,
        weight__gt=0,
        subscriber__state=Subscriber.State.ACTIVE,
    ).exclude(source=Follow.Source.OPENED)
    count = follows.count()
    return count if count >= MIN_SHARED_READERS else 0


def share_links(paper: Paper) -> list[tuple[str, str]]:
    """Return links that share a paper; the other site learns of it only when they are followed."""
    address = f"{settings.SITE_URL}{paper.get_absolute_url()}"
    return [
        (
            "Email",
            f"mailto:?{urlencode({'subject': paper.display_title, 'body': address}, quote_via=quote)}",
        ),
        (
            "Bluesky",
            f"https://bsky.app/intent/compose?{urlencode({'text': f'{paper.display_title} {address}'})}",
        ),
        (
            "LinkedIn",
            f"https://www.linkedin.com/sharing/share-offsite/?{urlencode({'url': address})}",
        ),
        (
            "X",
            f"https://x.com/intent/post?{urlencode({'text': paper.display_title, 'url': address})}",
        ),
    ]


@require_safe
@cached_page()
def citation_file(request: HttpRequest, identifier: str, style: str) -> HttpResponse:
    """Answer with a paper's record as BibTeX or RIS, as a file to save."""
    paper = find_paper(identifier)
    if paper is None:
        return not_found(request)
    content_type, format_record = CITATION_STYLES[style]
    response = HttpResponse(
        format_record(paper), content_type=f"{content_type}; charset=utf-8"
    )
    name = f"{paper.identifier.replace('/', '-')}.{style}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def redirect_version(request: HttpRequest, identifier: str) -> HttpResponse:
    without_version = VERSION_SUFFIX.sub("", identifier)
    stored = Paper.objects.filter(identifier=without_version)
    if without_version != identifier and stored.exists():
        return redirect("paper", without_version)
    return not_found(request)
