"""The daily check of the feeds against OAI-PMH."""

from datetime import date, datetime, timedelta

from django.conf import settings

from digest.ingest import monitoring, oai_harvest
from digest.ingest.sources import arxiv_calendar, arxiv_oai, http
from digest.ingest.sources.arxiv_calendar import Expected
from digest.ingest.sources.arxiv_oai import Window
from digest.models import IngestRun
from digest.models.ingest_runs import IngestRunQuerySet

# OAI-PMH is ready an hour and a half before the feeds. A feed that is not ready by then
# is late, and its papers can still reach the morning's edition.
FEED_HEAD_START = timedelta(hours=2)
# With a larger share of the day's papers absent, OAI-PMH as a whole lags; a smaller
# share are single records that the next day's check finds.
LAGGING_SHARE = 0.1


def run_daily_check(now: datetime) -> list[IngestRun]:
    """Harvest what changed since the last check, for each archive where it is due.

    Adds papers that the feeds missed, corrects differences, fills in versions, licences
    and DOIs, and recalls withdrawn papers. A failed check is resumed; one that ran before
    OAI-PMH was ready is repeated. Does nothing without ARXIV_OAI_URL.
    """
    if not settings.ARXIV_OAI_URL or not _is_time(now):
        return []
    if monitoring.is_backing_off(now):
        return []
    sets = [
        set_spec
        for set_spec in arxiv_oai.set_specs(settings.ARXIV_CATEGORIES)
        if _is_due(set_spec, now)
    ]
    runs: list[IngestRun] = []
    with http.open_client() as client:
        for set_spec in sets:
            runs.append(oai_harvest.harvest(_open_run(set_spec, now), now, client))
            if runs[-1].lost_source:
                break
    return runs


def _open_run(set_spec: str, now: datetime) -> IngestRun:
    since = arxiv_calendar.feed_rebuilt_at(arxiv_calendar.today(now))
    window = Window(_first_day(set_spec, now), None, set_spec)
    kind = IngestRun.Kind.DAILY_CHECK
    run = oai_harvest.open_run(window, now, again=True, kind=kind, since=since)
    assert run is not None  # guaranteed by again=True
    return run


def _first_day(set_spec: str, now: datetime) -> date:
    """The day of the last check, included because later changes of that day are unknown."""
    today = arxiv_calendar.today(now)
    last = _done_checks(set_spec, now).first()
    oldest = today - timedelta(days=monitoring.LOOK_BACK_DAYS)
    return max(oldest, arxiv_calendar.today(last.started_at)) if last else today


def _done_checks(set_spec: str, now: datetime) -> IngestRunQuerySet:
    checks = IngestRun.objects.done().of_kind(IngestRun.Kind.DAILY_CHECK)
    return checks.filter(set_spec=set_spec, started_at__lte=now).newest_first()


def _is_time(now: datetime) -> bool:
    """Whether today can have papers, and its feed was read or is late."""
    day = arxiv_calendar.today(now)
    if arxiv_calendar.expected(day) == Expected.WEEKEND:
        return False
    is_late = now > arxiv_calendar.feed_rebuilt_at(day) + FEED_HEAD_START
    return is_late or monitoring.feed_had_todays_papers(day)


def _is_due(set_spec: str, now: datetime) -> bool:
    """Whether no check of today found OAI-PMH ready or ran late enough."""
    day = arxiv_calendar.today(now)
    ready = arxiv_calendar.feed_rebuilt_at(day)
    last = _done_checks(set_spec, now).filter(started_at__gte=ready).first()
    if last is None:
        return True
    if last.started_at > ready + arxiv_calendar.FEED_GRACE:
        return False
    is_empty = not monitoring.arxiv_announced(day, day).exists()
    is_expected = arxiv_calendar.expected(day) == Expected.PAPERS
    return _is_lagging(last) or (is_empty and is_expected)


def _is_lagging(run: IngestRun) -> bool:
    return run.unconfirmed > LAGGING_SHARE * (run.confirmed + run.unconfirmed)
