"""Windows of arXiv's OAI-PMH, page by page, stopped and taken up at any page."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from hashlib import sha256

import httpx
from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from digest.ingest import monitoring, reconcile, worker_identity
from digest.ingest.sources import arxiv_calendar, arxiv_oai, http
from digest.ingest.sources.arxiv_oai import Page, TokenExpired, Window
from digest.ingest.sources.listing import Listing, SourceError
from digest.ingest.store import store
from digest.models import IngestRun

logger = logging.getLogger(__name__)

# A week of one archive is a dozen pages at most: little is done twice when a token
# is lost, which arXiv's live for a day.
WEEK = timedelta(days=7)
# A run whose worker stored nothing for so long is free for another, unless that worker
# is known to be dead: then at once. A page takes seconds, with all retries and other
# workers' turns a few minutes.
IDLE = timedelta(minutes=5)
# A window that was done lately is not done again by the same backfill.
FRESH = timedelta(hours=20)
# A source may count badly, and papers change while a harvest runs; one that gives
# twice what it announced and another page will never end.
PAGE = 1_000  # records
# Where it does not count: a week of the largest archive is a tenth of this.
MOST_PAGES = 200

UNREACHABLE = "the source did not answer; the rest waits"
DIED = "its worker died"

Report = Callable[[IngestRun], None]


class Endless(SourceError):
    """A source that leads round in a circle, or gives more than it can have."""


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
    with http.open_client() as client:
        for window in windows(since, arxiv_calendar.today(now)):
            run = run_for(window, now, again)
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
        for part in arxiv_oai.set_specs(settings.ARXIV_CATEGORIES):
            yield Window(first, end, part)
        first = end + timedelta(days=1)


def fill_gaps(now: datetime) -> list[IngestRun]:
    """Harvest from the first day that is missing or incomplete; nothing where none is.

    No end is asked for: a record that changed since is filed under its newest day.
    """
    today = arxiv_calendar.today(now)
    gaps = monitoring.missing(now)
    if monitoring.stale(today):
        gaps.append(today)
    if not gaps or not settings.ARXIV_OAI_URL:
        return []
    asked = [
        Window(min(gaps), None, part)
        for part in arxiv_oai.set_specs(settings.ARXIV_CATEGORIES)
    ]
    with http.open_client() as client:
        found = [run_for(window, now, again=True) for window in asked]
        return [harvest(run, now, client) for run in found if run]


def harvest_again(run: IngestRun, now: datetime) -> IngestRun:
    """The same window once more, as a run of its own; one that was begun goes on."""
    window = replace(_window(run), last=run.window_until)
    fresh = run_for(window, now, again=True, is_check=run.is_check)
    with http.open_client() as client:
        return harvest(fresh, now, client) if fresh else run


def go_on(run: IngestRun, now: datetime) -> IngestRun:
    """A run that stopped in the middle, from its first page that is not stored."""
    with http.open_client() as client:
        return harvest(run, now, client)


def run_for(
    window: Window,
    now: datetime,
    again: bool,
    is_check: bool = False,
    since: datetime | None = None,
) -> IngestRun | None:
    """The run that was begun for this window, or a fresh one; None where it is done.

    What was begun or done before `since` (hours ago) does not count, nor what a clock
    that was ahead has dated in a time to come.
    """
    known = {
        "source": "arxiv",
        "origin": settings.ARXIV_OAI_URL,
        "part": window.set_spec,
        "window_from": window.first,
        "window_until": window.last,
        "is_check": is_check,
    }
    same = IngestRun.objects.filter(**known)
    begin = since or now - FRESH
    lately = same.filter(started_at__range=(begin, now)).order_by("-started_at")
    if begun := lately.exclude(state=IngestRun.State.DONE).first():
        return begun
    if not again and lately.exists():
        return None
    same.filter(state=IngestRun.State.RUNNING).update(
        state=IngestRun.State.FAILED, error=f"{DIED}: its window was begun again"
    )
    return IngestRun.objects.create(**known, started_at=now)


def _claim(run: IngestRun) -> bool:
    """Make it ours: a fresh one, one that failed, or one whose worker is gone."""
    at = timezone.now()
    free = Q(state=IngestRun.State.FAILED) | abandoned(at)
    if run.worker_id and worker_identity.is_gone(run.worker_id):
        free |= Q(worker_id=run.worker_id)
    ours = {"state": IngestRun.State.RUNNING, "worker_id": worker_identity.me()}
    rows = IngestRun.objects.filter(pk=run.pk).filter(free)
    if not rows.update(**ours, heartbeat_at=at, error=""):
        return False
    run.refresh_from_db()
    return True


def abandoned(at: datetime) -> Q:
    """Runs that nobody has stored a page of for long, or ever; a clock may have jumped."""
    return Q(heartbeat_at=None) | ~Q(heartbeat_at__range=(at - IDLE, at + IDLE))


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
    except SourceError as why:
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
    if not run.token:
        _begin(run)
    while run.state == IngestRun.State.RUNNING:
        try:
            page = _page(run, client)
        except TokenExpired:
            if not (run.token and may_begin_again):
                raise
            may_begin_again = False
            _begin(run)
            continue
        _keep(run, page, now)
        if report:
            report(run)


def _begin(run: IngestRun) -> None:
    """From the first page; what it brought before stays counted."""
    run.token, run.tokens = "", []
    run.pages = run.records = run.confirmed = 0


def _page(run: IngestRun, client: httpx.Client) -> Page:
    url: str = settings.ARXIV_OAI_URL
    if not url:
        raise SourceError("ARXIV_OAI_URL is empty: set it to ask OAI-PMH")
    return arxiv_oai.parse(arxiv_oai.fetch(client, _window(run), run.token, url))


def _keep(run: IngestRun, page: Page, now: datetime) -> None:
    """One page, its account and the way on: all of it or nothing."""
    run.pages += 1
    run.records += len(page.listings) + len(page.deleted)
    run.expected_records = page.total or run.expected_records
    _go_on(run, page.token)
    run.heartbeat_at = timezone.now()
    listings = list(_wanted(page))
    with transaction.atomic():
        if run.is_check:
            listings = reconcile.compare(run, listings, now)
        store(listings, run, now, page.deleted)
        if run.is_check:
            names = {one.identifier for one in listings}
            reconcile.conclude(run, names | set(page.deleted))


def _go_on(run: IngestRun, token: str) -> None:
    """Note the next page's token; Endless where the source will never come to an end."""
    run.token = token
    if not token:
        run.tokens = []
        return
    mark = sha256(token.encode()).hexdigest()[:12]
    if mark in run.tokens:
        raise Endless(
            f"page {run.pages} leads back to page {run.tokens.index(mark) + 2}, so the "
            "source gives the same pages for ever: the window begins again next time"
        )
    size = run.expected_records
    if run.records > 2 * size + PAGE if size else run.pages >= MOST_PAGES:
        raise Endless(
            f"{run.records:,} records on {run.pages} pages and no end, where "
            f"{f'{size:,}' if size else 'far fewer'} were expected: "
            "the window begins again next time"
        )
    run.tokens = [*run.tokens, mark]


def _window(run: IngestRun) -> Window:
    if run.window_from is None:
        raise SourceError("a harvest without its first day: begin another")
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
    run.outcome = UNREACHABLE if isinstance(error, http.Unreachable) else ""
    if isinstance(error, Endless):
        run.token = ""
    run.save()
