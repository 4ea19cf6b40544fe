"""Atom feeds of lists, topics, categories, authors and searches."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, time
from typing import Any
from urllib.parse import urlencode
from xml.sax.xmlreader import AttributesImpl

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from django.utils import timezone
from django.utils.feedgenerator import Atom1Feed
from django.utils.html import format_html
from django.utils.xmlutils import SimplerXMLGenerator
from django.views.decorators.http import require_safe

from digest import follows
from digest.cards import card
from digest.models import Candidate, Paper, Recall, Topic
from digest.models.papers import PaperQuerySet
from digest.site import authors, paper_rows
from digest.site.decorators import refuse_if
from digest.site.home import search_query
from digest.site.page_cache import cached_page
from digest.site.periods import DAY, MONTH, WEEK, parse_period, period_around
from digest.site.request_limits import refuse_frequent_searches

# Feed readers ask every half hour or so; a day rarely has more papers of one field.
MAX_ENTRIES = 50
FEED_SECONDS = 600
MAX_AUTHORS = 20
# Characters that no XML document may contain.
NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class PaperFeed(Atom1Feed):
    """An Atom feed whose entries have several authors."""

    def add_item_elements(
        self, handler: SimplerXMLGenerator, item: dict[str, Any]
    ) -> None:
        super().add_item_elements(handler, item)
        for name in item["authors"]:
            handler.startElement("author", AttributesImpl({}))
            handler.addQuickElement("name", name)
            handler.endElement("author")


def paper_feed(
    title: str, page: str, feed: str, papers: Iterable[Paper]
) -> HttpResponse:
    """Answer with a feed of papers; `page` and `feed` are the paths of its page and of itself.

    An entry is dated by the announcement, so that votes do not make it new again.
    """
    rows = list(papers)
    withdrawn = Recall.objects.withdrawn_among(paper.identifier for paper in rows)
    document = PaperFeed(
        title=clean(f"{title} · {settings.SITE_NAME}"),
        link=f"{settings.SITE_URL}{page}",
        description="",
        feed_url=f"{settings.SITE_URL}{feed}",
        language="en",
    )
    for paper in rows:
        if paper.identifier not in withdrawn:
            document.add_item(**entry(paper))
    return HttpResponse(
        document.writeString("utf-8"),
        content_type="application/atom+xml; charset=utf-8",
    )


def entry(paper: Paper) -> dict[str, Any]:
    shown = card(paper)
    address = f"{settings.SITE_URL}{paper.get_absolute_url()}"
    announced_at = datetime.combine(paper.announced_on, time(tzinfo=UTC))
    names = [name for name in map(clean, paper.authors[:MAX_AUTHORS]) if name]
    return {
        "title": clean(shown["title"]),
        "link": address,
        "unique_id": address,
        "description": clean(summary_html(shown)),
        "pubdate": announced_at,
        "updateddate": announced_at,
        "categories": [clean(name) for name in paper.categories],
        "authors": names or [settings.SITE_NAME],
    }


def summary_html(shown: dict[str, Any]) -> str:
    label = " (AI summary)" if shown["one_line_is_generated"] else ""
    return format_html(
        "<p><strong>{}</strong>{}</p><p>{}</p>"
        '<p><a href="{}">arXiv</a> · <a href="{}">PDF</a></p>',
        *(shown["one_line"], label, shown["abstract"]),
        *(shown["arxiv_url"], shown["pdf_url"]),
    )


def clean(text: str) -> str:
    return NOT_XML.sub("", text)


def newest(papers: PaperQuerySet) -> Sequence[Paper]:
    announced = papers.announced_until(timezone.now())
    rows = announced.order_by("-announced_on", "-votes", "identifier")
    return list(rows.defer("vector", "dense_vector")[:MAX_ENTRIES])


@require_safe
@cached_page(FEED_SECONDS)
def newest_feed(request: HttpRequest) -> HttpResponse:
    papers = newest(Paper.objects.all())
    return paper_feed("New papers", reverse("papers"), request.path, papers)


@require_safe
@cached_page(FEED_SECONDS)
def trending_feed(request: HttpRequest) -> HttpResponse:
    shown = Candidate.objects.filter(
        edition=paper_rows.newest_edition(), is_hidden=False
    )
    ids = shown.order_by("-trend", "pk").values_list("paper", flat=True)[:MAX_ENTRIES]
    rows = Paper.objects.defer("vector", "dense_vector").in_bulk(list(ids))
    papers = [rows[pk] for pk in ids]
    return paper_feed("Trending papers", reverse("trending"), request.path, papers)


@require_safe
@cached_page(FEED_SECONDS)
def period_feed(request: HttpRequest, kind: str) -> HttpResponse:
    """Answer with the papers of the current week or month that have the most votes."""
    day = Paper.objects.newest_day(timezone.now()) or timezone.localdate()
    period = period_around(kind, day)
    papers = Paper.objects.announced_between(period.first, period.last)
    rows = papers.order_by("-votes", "identifier").defer("vector", "dense_vector")
    title = f"Most voted papers of the {kind}"
    page = reverse(kind, args=[period.text])
    return paper_feed(title, page, request.path, rows[:MAX_ENTRIES])


@require_safe
@cached_page(FEED_SECONDS)
def dated_feed(request: HttpRequest, kind: str, text: str) -> HttpResponse:
    """Answer with the papers of one day, week or month that have the most votes."""
    period = parse_period(kind, text)
    if period is None:
        raise Http404
    papers = Paper.objects.announced_between(period.first, period.last)
    rows = papers.filter(duplicate_of=None).order_by("-votes", "identifier")
    page = reverse(kind, args=[period.text])
    most_voted = rows.defer("vector", "dense_vector")[:MAX_ENTRIES]
    return paper_feed(period.title, page, request.path, most_voted)


@require_safe
@cached_page(FEED_SECONDS)
def topic_feed(request: HttpRequest, slug: str) -> HttpResponse:
    topic = get_object_or_404(Topic.objects.select_related("merged_into"), slug=slug)
    topic = topic.merged_into or topic
    papers = newest(Paper.objects.filter(topics=topic))
    return paper_feed(topic.name, topic.get_absolute_url(), request.path, papers)


@require_safe
@cached_page(FEED_SECONDS)
def category_feed(request: HttpRequest, name: str) -> HttpResponse:
    """Answer with the papers of a category, or of an archive such as "math"."""
    if follows.normalize_category(name) != name:
        raise Http404
    papers = newest(Paper.objects.in_categories([name]))
    page = f"{reverse('papers')}?category={name}"
    return paper_feed(name, page, request.path, papers)


@require_safe
@cached_page(FEED_SECONDS)
def author_feed(request: HttpRequest, name: str) -> HttpResponse:
    papers = newest(authors.author_papers(name)) if authors.has_page(name) else []
    if not papers:
        raise Http404
    return paper_feed(name, reverse("author", args=[name]), request.path, papers)


@require_safe
@refuse_if(refuse_frequent_searches)
@cached_page(FEED_SECONDS)
def search_feed(request: HttpRequest) -> HttpResponse:
    """Answer with the newest of the papers that match a search."""
    from digest.ranking import search

    q = search_query(request)
    results = search.find_papers(q).load_papers() if q else []
    listed = [paper for paper in results if paper.is_from_listing]
    papers = sorted(listed, key=lambda paper: paper.announced_on, reverse=True)
    page = f"{reverse('papers')}?{urlencode({'q': q})}"
    title = f"“{q}”" if q else "Search"
    return paper_feed(title, page, request.get_full_path(), papers[:MAX_ENTRIES])


urlpatterns = [
    path("papers.atom", newest_feed, name="newest_feed"),
    path("trending.atom", trending_feed, name="trending_feed"),
    *(
        path(f"{kind}.atom", period_feed, {"kind": kind}, f"{kind}_feed")
        for kind in (WEEK, MONTH)
    ),
    *(
        path(
            f"{folder}/<str:text>.atom",
            dated_feed,
            {"kind": kind},
            f"dated_{kind}_feed",
        )
        for folder, kind in (("date", DAY), ("week", WEEK), ("month", MONTH))
    ),
    path("topics/<slug:slug>.atom", topic_feed, name="topic_feed"),
    path("categories/<str:name>.atom", category_feed, name="category_feed"),
    path("authors/<path:name>.atom", author_feed, name="author_feed"),
    path("search.atom", search_feed, name="search_feed"),
]
