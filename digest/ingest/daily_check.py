"""Once a day: what the feeds told, against OAI-PMH."""

from datetime import date, datetime, timedelta

from django.conf import settings
from django.db.models import QuerySet

from digest.ingest import monitoring, oai_harvest
from digest.ingest.sources import arxiv_calendar, arxiv_oai, http
from digest.ingest.sources.arxiv_calendar import Expected
from digest.ingest.sources.arxiv_oai import Window
from digest.models import IngestRun, Paper

# OAI-PMH is ready an hour and a half before the feeds. A feed that is not here by now
# is late, and the papers can still be in the morning's edition.
HEAD_START = timedelta(hours=2)
# Where more of the day's new papers than this are not in OAI-PMH, it lags as a whole;
# fewer are single records, which the next day's check meets.
LAG = 0.1


def check(now: datetime) -> list[IngestRun]:
    """Harvest what changed since the last check, for each archive where that is due.

    It brings what the feeds missed, corrects what differs, and adds versions, licences,
    DOIs and withdrawals. Nothing without ARXIV_OAI_URL, and nothing twice: a check that
    failed goes on, one that came before OAI-PMH was ready is done again.
    """
    if not settings.ARXIV_OAI_URL or not _is_time(now):
        return []
    parts = [
        one
        for one in arxiv_oai.set_specs(settings.ARXIV_CATEGORIES)
        if _is_due(one, now)
    ]
    runs: list[IngestRun] = []
    with http.open_client() as client:
        for part in parts:
            runs.append(oai_harvest.harvest(_run(part, now), now, client))
            if runs[-1].outcome == oai_harvest.UNREACHABLE:
                break
    return runs


def _run(part: str, now: datetime) -> IngestRun:
    since = arxiv_calendar.feed_rebuilt_at(arxiv_calendar.today(now))
    window = Window(_first_day(part, now), None, part)
    run = oai_harvest.run_for(window, now, again=True, is_check=True, since=since)
    assert run is not None  # again: there is always one
    return run


def _first_day(part: str, now: datetime) -> date:
    """The day of the last check: what changed later on it is not known yet."""
    today = arxiv_calendar.today(now)
    last = done(part, now).first()
    oldest = today - timedelta(days=monitoring.LOOK_BACK)
    return max(oldest, arxiv_calendar.today(last.started_at)) if last else today


def done(part: str, now: datetime) -> QuerySet[IngestRun]:
    """Whole checks of a set, newest first."""
    rows = IngestRun.objects.filter(is_check=True, state=IngestRun.State.DONE)
    return rows.filter(part=part, started_at__lte=now).order_by("-started_at", "-pk")


def _is_time(now: datetime) -> bool:
    """On a day that may bring papers, once its feed was read or is late."""
    day = arxiv_calendar.today(now)
    if arxiv_calendar.expected(day) == Expected.WEEKEND:
        return False
    return (
        monitoring.was_brought(day)
        or now > arxiv_calendar.feed_rebuilt_at(day) + HEAD_START
    )


def _is_due(part: str, now: datetime) -> bool:
    """Whether today has no check yet that found OAI-PMH ready, or came late enough."""
    day = arxiv_calendar.today(now)
    ready = arxiv_calendar.feed_rebuilt_at(day)
    last = done(part, now).filter(started_at__gte=ready).first()
    if last is None:
        return True
    if last.started_at > ready + arxiv_calendar.FEED_GRACE:
        return False
    empty = not Paper.objects.announced_by_arxiv().announced_on_day(day).exists()
    return _lags(last) or (empty and arxiv_calendar.expected(day) == Expected.PAPERS)


def _lags(run: IngestRun) -> bool:
    return run.unconfirmed > LAG * (run.confirmed + run.unconfirmed)
