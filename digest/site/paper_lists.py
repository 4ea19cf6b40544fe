"""Lists of papers: by day, week and month of announcement, by trend, and by topic."""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.db.models import Count, FloatField, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from digest import follows
from digest.ingest.sources import arxiv_calendar
from digest.models import Candidate, Paper, Recall, Topic
from digest.models.papers import PaperQuerySet
from digest.site import paper_rows
from digest.site.errors import not_found
from digest.site.page_cache import cached_page
from digest.site.periods import DAY, MONTH, WEEK, Period, parse_period, period_around
from digest.site.periods import calendar_weeks as weeks_of_month

PAPERS_PER_PAGE = 25
TOPIC_PAPERS = 20
TOPIC_SLUG = re.compile(r"[a-z0-9_-]{1,80}")
# Categories offered as filters, those with the most papers.
LISTED_CATEGORIES = 40
EMPTY_DAY_REASONS = {
    arxiv_calendar.Expected.WEEKEND: "arXiv does not announce papers on Saturdays and Sundays.",
    arxiv_calendar.Expected.HOLIDAY: "arXiv announced no papers because of a staff holiday the evening before.",
    arxiv_calendar.Expected.UNSURE: "arXiv does not seem to have announced papers, which happens around holidays.",
    arxiv_calendar.Expected.PAPERS: "Papers were expected but have not arrived. We keep checking for them.",
}
ANNOUNCE_TYPES = {
    "new": ("New", [Paper.Announced.NEW]),
    "cross": ("Cross-listed", [Paper.Announced.CROSS]),
    "listed": ("From Hugging Face", [Paper.Announced.LISTED]),
    "replaced": (
        "Replaced",
        [Paper.Announced.REPLACE, Paper.Announced.REPLACE_CROSS],
    ),
}
SORTS = {
    "trend": ("Trending", ["-trend", "-votes", "identifier"]),
    "votes": ("Most votes", ["-votes", "-comments", "identifier"]),
    "comments": ("Most discussed", ["-comments", "-votes", "identifier"]),
    "new": ("Newest", ["-announced_on", "-published_at", "identifier"]),
}


@dataclass(frozen=True)
class Filters:
    """What a visitor chose of a list, from the query string; "" where nothing valid."""

    topic: str
    category: str
    announce_type: str
    sort: str

    @classmethod
    def from_request(cls, request: HttpRequest) -> "Filters":
        category = request.GET.get("category", "").removesuffix(".*")
        announce_type, sort = request.GET.get("type", ""), request.GET.get("sort", "")
        topic = request.GET.get("topic", "")
        return cls(
            topic if TOPIC_SLUG.fullmatch(topic) else "",
            category if category.isprintable() and len(category) <= 32 else "?",
            announce_type if announce_type in ANNOUNCE_TYPES else "",
            sort if sort in SORTS else "",
        )

    def select(self, papers: PaperQuerySet) -> PaperQuerySet:
        if self.topic:
            papers = papers.filter(topics__slug=self.topic)
        return papers.in_categories([self.category]) if self.category else papers

    @property
    def is_narrowed(self) -> bool:
        return bool(self.topic or self.category or self.announce_type)

    @property
    def feed_category(self) -> str:
        """The category if it is written as its feed's address."""
        return follows.normalize_category(self.category) if self.category else ""

    def query(self, page: int) -> str:
        values = {
            "topic": self.topic,
            "category": self.category,
            "type": self.announce_type,
            "sort": self.sort,
            "page": page if page > 1 else "",
        }
        return "?" + urlencode({name: value for name, value in values.items() if value})


def page_query(number: int) -> str:
    """Return the query string of a page of a list without filters."""
    return f"?page={number}"


def papers_of_period(period: Period, announce_type: str) -> PaperQuerySet:
    """Return the papers announced in a period, without duplicates that editors merged; replacements only where requested."""
    papers = Paper.objects.filter(duplicate_of=None)
    if not announce_type:
        return papers.announced_between(period.first, period.last)
    return papers.filter(
        announced_on__range=(period.first, period.last),
        announce_type__in=ANNOUNCE_TYPES[announce_type][1],
    )


def neighbouring_periods(period: Period) -> tuple[Period | None, Period | None]:
    days = Paper.objects.announced().values_list("announced_on", flat=True)
    earlier = days.filter(announced_on__lt=period.first).order_by("-announced_on")
    later = days.filter(announced_on__gt=period.last).order_by("announced_on")
    before, after = earlier.first(), later.first()
    return (
        period_around(period.kind, before) if before else None,
        period_around(period.kind, after) if after else None,
    )


def empty_day_reason(day: date, now: datetime, previous: date | None) -> str:
    if day > arxiv_calendar.today(now):
        return "This day is in the future."
    if previous is None:
        return "Our archive starts after this day."
    expected = arxiv_calendar.expected(day)
    if expected == arxiv_calendar.Expected.PAPERS and not arxiv_calendar.is_overdue(
        day, now
    ):
        hour = f"{arxiv_calendar.feed_rebuilt_at(day):%H:%M}"
        return f"Today's papers have not arrived yet. They usually appear soon after {hour} UTC."
    return EMPTY_DAY_REASONS[expected]


@require_safe
@cached_page()
def period_page(request: HttpRequest, kind: str, text: str) -> HttpResponse:
    period = parse_period(kind, text)
    return render_period(request, period) if period else not_found(request)


def render_period(request: HttpRequest, period: Period) -> HttpResponse:
    filters = Filters.from_request(request)
    papers = papers_of_period(period, filters.announce_type)
    # Trend fades with age, so it only compares papers within one edition.
    candidates = Candidate.objects.filter(edition__day=period.first)
    previous, following = neighbouring_periods(period)
    context = list_context(
        request, papers, filters, candidates if period.kind == DAY else None
    )
    context |= {
        "period": period,
        "title": period.title,
        "same_time": [period_around(kind, period.first) for kind in (DAY, WEEK, MONTH)],
        "previous": previous,
        "next": following,
        "counts": announce_type_counts(period),
        "calendar": calendar_rows(period.first),
        "calendar_months": months_around(period.first),
        "empty_reason": empty_reason(period, previous.last if previous else None),
    }
    return render(request, "pages/paper_list.html", context)


@require_safe
@cached_page()
def trending_page(request: HttpRequest) -> HttpResponse:
    """List the newest edition: the papers of two weeks, by trend."""
    edition = paper_rows.newest_edition()
    filters = Filters.from_request(request)
    candidates = Candidate.objects.filter(edition=edition, is_hidden=False)
    papers = Paper.objects.filter(pk__in=candidates.values("paper"))
    if filters.announce_type:
        types = ANNOUNCE_TYPES[filters.announce_type][1]
        papers = papers.filter(announce_type__in=types)
    day = edition.day if edition else timezone.localdate()
    context = list_context(request, papers, filters, candidates) | {
        "period": None,
        "title": "Trending papers",
        "same_time": [period_around(kind, day) for kind in (DAY, WEEK, MONTH)],
        "empty_reason": "" if edition else "No papers yet.",
    }
    return render(request, "pages/paper_list.html", context)


def list_context(
    request: HttpRequest,
    papers: PaperQuerySet,
    filters: Filters,
    candidates: QuerySet[Candidate] | None,
) -> dict[str, Any]:
    """Return the context that all lists share; `candidates` hold the trend of the papers."""
    sorts = {k: v for k, v in SORTS.items() if candidates is not None or k != "trend"}
    sort = filters.sort if filters.sort in sorts else next(iter(sorts))
    rows = filters.select(papers).defer("vector", "dense_vector")
    if candidates is not None:
        trend = candidates.filter(paper=OuterRef("pk")).values("trend")[:1]
        no_trend = Value(0.0, output_field=FloatField())
        rows = rows.annotate(trend=Coalesce(Subquery(trend), no_trend))
    pages = Paginator(rows.order_by(*sorts[sort][1]), PAPERS_PER_PAGE)
    page = pages.get_page(request.GET.get("page"))
    return {
        "path": request.path,
        "page": page,
        "cards": paper_rows.paper_cards(page),
        "withdrawn": Recall.objects.withdrawn_among(p.identifier for p in page),
        "filters": filters,
        "sort": sort,
        "sorts": {name: label for name, (label, _) in sorts.items()},
        "types": {name: label for name, (label, _) in ANNOUNCE_TYPES.items()},
        "categories": category_choices(papers),
        "topics": topic_choices(papers),
    }


def topic_choices(papers: PaperQuerySet) -> list[tuple[str, str]]:
    topics = Topic.objects.filter(is_listed=True, papers__in=papers.order_by())
    counted = topics.annotate(number=Count("papers"))
    rows = counted.values_list("slug", "name", "number")
    return [(slug, f"{name} ({count:,})") for slug, name, count in rows]


def category_choices(papers: PaperQuerySet) -> list[tuple[str, str]]:
    counts = papers.exclude(primary="").order_by().values("primary")
    most = counts.annotate(papers=Count("pk")).order_by("-papers", "primary")
    rows = sorted(most.values_list("primary", "papers")[:LISTED_CATEGORIES])
    return [(primary, f"{primary} ({count:,})") for primary, count in rows]


def announce_type_counts(period: Period) -> str:
    """Count the papers by how they were announced: "3 new, 1 cross-listed"."""
    papers = Paper.objects.announced_between(period.first, period.last).order_by()
    rows = papers.values("announce_type").annotate(papers=Count("pk"))
    counts = dict(rows.values_list("announce_type", "papers"))
    labels = {
        Paper.Announced.NEW: "new",
        Paper.Announced.CROSS: "cross-listed",
        Paper.Announced.LISTED: "from Hugging Face",
    }
    return ", ".join(
        f"{counts[kind]:,} {label}" for kind, label in labels.items() if kind in counts
    )


def calendar_rows(day: date) -> list[list[tuple[date, int] | None]]:
    month = period_around(MONTH, day)
    papers = Paper.objects.announced_between(month.first, month.last).order_by()
    rows = papers.values("announced_on").annotate(papers=Count("pk"))
    counts = dict(rows.values_list("announced_on", "papers"))
    return [
        [(day, counts.get(day, 0)) if day else None for day in week]
        for week in weeks_of_month(day)
    ]


def months_around(day: date) -> list[Period]:
    month = period_around(MONTH, day)
    days = (
        month.first - timedelta(days=1),
        month.first,
        month.last + timedelta(days=1),
    )
    return [period_around(MONTH, day) for day in days]


def empty_reason(period: Period, previous: date | None) -> str:
    now = timezone.now()
    if period.kind == DAY:
        return empty_day_reason(period.first, now, previous)
    return (
        "" if period.first <= now.date() + timedelta(days=1) else "It is in the future."
    )


@require_safe
@cached_page()
def topic_list(request: HttpRequest) -> HttpResponse:
    topics = Topic.objects.filter(is_listed=True)
    return render(request, "pages/topics.html", {"topics": topics})


@require_safe
@cached_page()
def topic_page(request: HttpRequest, slug: str) -> HttpResponse:
    topic = Topic.objects.select_related("merged_into").filter(slug=slug).first()
    if topic is None:
        return not_found(request)
    if topic.merged_into:
        return redirect(topic.merged_into, permanent=True)
    requested = f"topic:{topic.slug}"
    rows = paper_rows.preview_rows(
        paper_rows.newest_edition(),
        follows.unsaved_interests([requested]),
        TOPIC_PAPERS,
    )
    context = {
        "topic": topic,
        "requested_interests": [requested],
        "rows": [row for row in rows if row.interest and row.kind != "near"],
        "near": [row for row in rows if row.kind == "near"],
    }
    return render(request, "pages/topic.html", context)
