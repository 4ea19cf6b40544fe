"""The papers of one announcement day, and why a day has none."""

import re
from datetime import date, datetime

from django.core.paginator import Paginator
from django.db.models import F, FloatField, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from digest.cards import card
from digest.ingest.sources import arxiv_calendar
from digest.models import Candidate, Paper
from digest.site.errors import not_found

# A busy day has 900 papers; fifty with their abstracts are about 120 KB.
PER_PAGE = 50
# A replacement was announced before we looked: it is not news of the day.
EMPTY = {
    arxiv_calendar.Expected.WEEKEND: "arXiv announces nothing on Saturdays and Sundays.",
    arxiv_calendar.Expected.HOLIDAY: "arXiv announced nothing: the evening before was a holiday of its staff.",
    arxiv_calendar.Expected.UNSURE: "arXiv seems to have announced nothing, as happens around holidays.",
    arxiv_calendar.Expected.PAPERS: "Papers were expected on this day and did not reach us. They are being looked for.",
}


def read_day(text: str) -> date | None:
    """YYYY-MM-DD and nothing else as a date."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def of_day(day: date) -> QuerySet[Paper]:
    """The day's papers, most trending first."""
    scored = Candidate.objects.filter(paper=OuterRef("pk"), edition__day=day)
    trend = Coalesce(
        Subquery(scored.values("trend")[:1]), Value(0.0), output_field=FloatField()
    )
    ordered = Paper.objects.announced_on_day(day).defer("vector").annotate(trend=trend)
    return ordered.order_by(F("trend").desc(), "-votes", "identifier")


def neighbours(day: date) -> tuple[date | None, date | None]:
    """The day before and the day after that have papers."""
    days = Paper.objects.announced().values_list("announced_on", flat=True)
    before = days.filter(announced_on__lt=day).order_by("-announced_on").first()
    after = days.filter(announced_on__gt=day).order_by("announced_on").first()
    return before, after


def why_empty(day: date, now: datetime, before: date | None) -> str:
    """Why a day has no papers, in words."""
    if day > arxiv_calendar.today(now):
        return "This day has not come yet."
    if before is None:
        return "Our record begins later than this day."
    brings = arxiv_calendar.expected(day)
    if brings == arxiv_calendar.Expected.PAPERS and not arxiv_calendar.is_overdue(
        day, now
    ):
        hour = f"{arxiv_calendar.feed_rebuilt_at(day):%H:%M}"
        return f"Today's listing has not arrived yet. It usually does soon after {hour} UTC."
    return EMPTY[brings]


@require_safe
def day(request: HttpRequest, text: str) -> HttpResponse:
    when = read_day(text)
    if when is None:
        return not_found(request)
    return show_day(request, when)


def show_day(request: HttpRequest, when: date) -> HttpResponse:
    """The page of a day, with papers or with the reason why not."""
    pages = Paginator(of_day(when), PER_PAGE)
    page = pages.get_page(request.GET.get("page"))
    before, after = neighbours(when)
    context = {
        "day": when,
        "page": page,
        "cards": [card(paper) for paper in page],
        "before": before,
        "after": after,
        "kinds": kinds(when),
        "why_empty": why_empty(when, timezone.now(), before),
    }
    return render(request, "pages/day.html", context)


def kinds(when: date) -> dict[str, int]:
    """How many are new and how many cross-listed; one query."""
    papers = Paper.objects.announced_on_day(when)
    types = list(papers.values_list("announce_type", flat=True))
    return {kind: types.count(kind) for kind in Paper.FIRST_ANNOUNCEMENTS}
