"""Lists of papers: by announcement day, and by topic."""

import re
from datetime import date, datetime

from django.core.paginator import Paginator
from django.db.models import F, FloatField, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from digest import follows
from digest.cards import card
from digest.ingest.sources import arxiv_calendar
from digest.models import Candidate, Paper, Recall, Topic
from digest.site import paper_rows
from digest.site.errors import not_found

# A busy day has 900 papers; fifty with their abstracts are about 120 KB.
PAPERS_PER_PAGE = 50
TOPIC_PAPERS = 20
EMPTY_DAY_REASONS = {
    arxiv_calendar.Expected.WEEKEND: "arXiv does not announce papers on Saturdays and Sundays.",
    arxiv_calendar.Expected.HOLIDAY: "arXiv announced no papers because of a staff holiday the evening before.",
    arxiv_calendar.Expected.UNSURE: "arXiv does not seem to have announced papers, which happens around holidays.",
    arxiv_calendar.Expected.PAPERS: "Papers were expected but have not arrived. We keep checking for them.",
}


def parse_day(text: str) -> date | None:
    """Parse YYYY-MM-DD; other ISO 8601 forms are not accepted."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def papers_of_day(day: date) -> QuerySet[Paper]:
    """The papers announced on a day, by descending trend."""
    candidates = Candidate.objects.filter(paper=OuterRef("pk"), edition__day=day)
    trend = Coalesce(
        Subquery(candidates.values("trend")[:1]), Value(0.0), output_field=FloatField()
    )
    papers = Paper.objects.announced_on_day(day).defer("vector").annotate(trend=trend)
    return papers.order_by(F("trend").desc(), "-votes", "identifier")


def neighbouring_days(day: date) -> tuple[date | None, date | None]:
    """Return the closest earlier and later days with papers."""
    days = Paper.objects.announced().values_list("announced_on", flat=True)
    previous = days.filter(announced_on__lt=day).order_by("-announced_on").first()
    following = days.filter(announced_on__gt=day).order_by("announced_on").first()
    return previous, following


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
def day_page(request: HttpRequest, text: str) -> HttpResponse:
    day = parse_day(text)
    return render_day(request, day) if day else not_found(request)


def render_day(request: HttpRequest, day: date) -> HttpResponse:
    page = Paginator(papers_of_day(day), PAPERS_PER_PAGE).get_page(
        request.GET.get("page")
    )
    previous, following = neighbouring_days(day)
    context = {
        "day": day,
        "page": page,
        "cards": [card(paper) for paper in page],
        "withdrawn": Recall.objects.withdrawn_among(p.identifier for p in page),
        "previous_day": previous,
        "next_day": following,
        "counts": announce_type_counts(day),
        "empty_reason": empty_day_reason(day, timezone.now(), previous),
    }
    return render(request, "pages/day.html", context)


def announce_type_counts(day: date) -> dict[str, int]:
    """Count a day's papers by announce type."""
    papers = Paper.objects.announced_on_day(day)
    types = list(papers.values_list("announce_type", flat=True))
    return {kind: types.count(kind) for kind in Paper.FIRST_ANNOUNCEMENTS}


@require_safe
def topic_list(request: HttpRequest) -> HttpResponse:
    topics = Topic.objects.filter(is_listed=True)
    return render(request, "pages/topics.html", {"topics": topics})


@require_safe
def topic_page(request: HttpRequest, slug: str) -> HttpResponse:
    topic = Topic.objects.filter(slug=slug).first()
    if topic is None:
        return not_found(request)
    requested = f"topic:{topic.slug}"
    rows = paper_rows.preview_rows(
        paper_rows.newest_edition(),
        follows.unsaved_interests([requested]),
        TOPIC_PAPERS,
    )
    context = {
        "topic": topic,
        "requested_interests": [requested],
        "rows": [row for row in rows if row.interest],
    }
    return render(request, "pages/topic.html", context)
