"""Windows of arXiv's OAI-PMH, page by page, stopped and taken up at any page."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta

import httpx
from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from digest.ingest import calendar, oai, watch, web
from digest.ingest.listing import Listing, Refused
from digest.ingest.oai import Expired, Page, Window
from digest.ingest.store import store
from digest.models import IngestRun

logger = logging.getLogger(__name__)

# A week of one archive is a dozen pages at most: little is done twice when a token
# is lost, which arXiv's live for a day.
WEEK = timedelta(days=7)
# A run whose worker stored nothing for so long is free for another; a page takes
# seconds, with all retries and other workers' turns a few minutes.
IDLE = timedelta(minutes=5)
# A window that was done lately is not done again by the same backfill.
FRESH = timedelta(hours=20)

UNREACHABLE = "the source did not answer; the rest waits"
DIED = "its worker died"

Report = Callable[[IngestRun], None]


def backfill(
    since: date,
    now: datetime,
    again: bool = False,
    report: Report | None = None,
) -> list[IngestRun]:
    """All windows from `since` to today, newest papers last; each one run.

    Called again it goes on where it stopped: what was done in the last hours is left
    out (unless `again`), what was begun goes on at its token. `report` sees the run
    after each page. A window that fails does not stop the others, but a source that
    does not answer at all does.
    """
    runs = []
    with web.connect() as client:
        for window in windows(since, calendar.today(now)):
            run = _run_for(window, now, again)
            if run is None:
                continue
            runs.append(harvest(run, now, client, report))
            if run.outcome == UNREACHABLE:
                break
    return runs


def windows(since: date, last: date) -> Iterator[Window]:
    """Weeks of each archive that our categories are in."""
    first = since
    while first <= last:
        end = min(first + WEEK - timedelta(days=1), last)
        for part in oai.sets(settings.ARXIV_CATEGORIES):
            yield Window(first, end, part)
        first = end + timedelta(days=1)


def fill_gaps(now: datetime) -> list[IngestRun]:
    """Harvest from the first day that is missing or incomplete; nothing where none is.

    No end is asked for: a record that changed since is filed under its newest day.
    """
    today = calendar.today(now)
    gaps = watch.missing(now)
    if watch.stale(today):
        gaps.append(today)
    if not gaps:
        return []
    asked = [
        Window(min(gaps), None, part) for part in oai.sets(settings.ARXIV_CATEGORIES)
    ]
    with web.connect() as client:
        found = [_run_for(window, now, again=True) for window in asked]
        return [harvest(run, now, client) for run in found if run]


def harvest_again(run: IngestRun, now: datetime) -> IngestRun:
    """The same window once more, as a run of its own; one that was begun goes on."""
    window = replace(_window(run), last=run.window_until)
    fresh = _run_for(window, now, again=True)
    with web.connect() as client:
        return harvest(fresh, now, client) if fresh else run


def _run_for(window: Window, now: datetime, again: bool) -> IngestRun | None:
    """The run that was begun for this window, or a fresh one; None where it is done."""
    same = IngestRun.objects.filter(
        source="arxiv",
        origin=settings.ARXIV_OAI_URL,
        part=window.part,
        window_from=window.first,
        window_until=window.last,
    )
    lately = same.filter(started_at__gt=now - FRESH).order_by("-started_at")
    if begun := lately.exclude(state=IngestRun.State.DONE).first():
        return begun
    if not again and lately.exists():
        return None
    same.filter(state=IngestRun.State.RUNNING).update(
        state=IngestRun.State.FAILED, error=f"{DIED}: its window was begun again"
    )
    return IngestRun.objects.create(
        source="arxiv",
        origin=settings.ARXIV_OAI_URL,
        part=window.part,
        window_from=window.first,
        window_until=window.last,
        started_at=now,
    )


def _claim(run: IngestRun) -> bool:
    """Make it ours: a fresh one, one that failed, or one whose worker is gone."""
    at = timezone.now()
    idle = Q(touched_at=None) | Q(touched_at__lt=at - IDLE)
    free = IngestRun.objects.filter(pk=run.pk).filter(
        idle | Q(state=IngestRun.State.FAILED)
    )
    if not free.update(state=IngestRun.State.RUNNING, touched_at=at, error=""):
        return False
    run.refresh_from_db()
    return True


def harvest(
    run: IngestRun, now: datetime, client: httpx.Client, report: Report | None = None
) -> IngestRun:
    """Page after page until the window is done or a page is refused.

    A page and the token of the next one are one transaction: after a kill the run
    goes on with the first page that is not stored. A token that expired begins the
    window again, once; what is stored already is recognised.
    """
    if not _claim(run):
        return run  # still running: another worker is at it, or died a moment ago
    try:
        _harvest(run, now, client, report)
    except Refused as why:
        _fail(run, now, str(why), why)
    except KeyboardInterrupt as stop:
        _fail(run, now, "interrupted: begin again and it goes on here", stop)
        raise
    except Exception as error:  # the next window may be sound
        logger.exception("harvest stopped: %s", run)
        _fail(run, now, f"stopped by {type(error).__name__}: see the log", error)
    return run


def _harvest(
    run: IngestRun, now: datetime, client: httpx.Client, report: Report | None
) -> None:
    may_begin_again = True
    while run.state == IngestRun.State.RUNNING:
        try:
            page = _page(run, client)
        except Expired:
            if not (run.token and may_begin_again):
                raise
            may_begin_again = False
            run.token, run.pages, run.records = "", 0, 0
            continue
        _keep(run, page, now)
        if report:
            report(run)


def _page(run: IngestRun, client: httpx.Client) -> Page:
    url: str = settings.ARXIV_OAI_URL
    return oai.parse(oai.fetch(client, _window(run), run.token, url))


def _keep(run: IngestRun, page: Page, now: datetime) -> None:
    if page.token and page.token == run.token:
        raise Refused("the source gives the same page for ever: try again later")
    run.token, run.touched_at = page.token, timezone.now()
    run.pages += 1
    run.records += len(page.listings) + len(page.deleted)
    run.expected_records = page.size or run.expected_records
    store(list(_wanted(page)), run, now, page.deleted)


def _window(run: IngestRun) -> Window:
    if run.window_from is None:
        raise Refused("a harvest without its first day: begin another")
    return Window(run.window_from, run.window_until, run.part)


def _wanted(page: Page) -> Iterator[Listing]:
    """Papers of our categories; those at home in another one are cross-listed."""
    ours = set(settings.ARXIV_CATEGORIES)
    for one in page.listings:
        if one.primary in ours or not one.categories:
            yield one
        elif ours & set(one.categories):
            yield replace(one, announce_type="cross")


def _fail(run: IngestRun, now: datetime, why: str, error: BaseException) -> None:
    """Leave it as its last whole page did, with the reason."""
    took = run.moment(now)
    run.refresh_from_db()
    run.state, run.error, run.finished_at = IngestRun.State.FAILED, why, took
    run.outcome = UNREACHABLE if isinstance(error, web.Unreachable) else ""
    run.save()
