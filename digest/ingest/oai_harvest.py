"""Harvest windows of arXiv's OAI-PMH page by page; resumable at any page."""

import logging
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import httpx
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from digest.ingest import monitoring, reconcile
from digest.ingest.sources import arxiv_calendar, arxiv_oai, http
from digest.ingest.sources.arxiv_oai import Page, TokenExpired, Window
from digest.ingest.sources.listing import Listing, SourceError
from digest.ingest.store import add_refused, store
from digest.models import IngestRun
from digest.models.papers import CANDIDATE_DAYS
from digest.text.arxiv_categories import archive_of, category_matcher

logger = logging.getLogger(__name__)

Kind, State, Failure = IngestRun.Kind, IngestRun.State, IngestRun.Failure

# A week of one archive has a dozen pages at most, so little is repeated when a token is
# lost; arXiv's tokens live for a day.
WINDOW_LENGTH = timedelta(days=7)
# After this time without a stored page another worker may take over the run. A page
# takes seconds; with retries and the turns of other workers a few minutes.
LEASE_TIME = timedelta(minutes=5)
# A window that was harvested within this time is not harvested again by a backfill, and
# a run that is older cannot be resumed: its token has expired.
TOKEN_LIFETIME = timedelta(hours=20)
# Sources may count badly, and papers change during a harvest. A harvest that exceeds
# twice the announced number by a page never ends.
MAX_EXCESS_RECORDS = 1_000
# Limit for sources that do not count: a week of the largest archive has a tenth of this.
MAX_UNCOUNTED_PAGES = 200

WORKER_DIED = "its worker ended"

Report = Callable[[IngestRun], None]

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PID_NAMESPACE = Path("/proc/self/ns/pid")


class EndlessHarvest(SourceError):
    """The source repeats its pages, or sends more records than it can have."""


def backfill(
    since: date,
    now: datetime,
    again: bool = False,
    report: Report | None = None,
) -> list[IngestRun]:
    """Harvest all windows from `since` to today, oldest first; return one run for each.

    A second call continues: windows that were harvested in the last hours are skipped
    (unless `again`), unfinished ones are resumed at their token. `report` is called with
    the run after each page. A failed window does not stop the others; a source that does
    not answer does.
    """
    runs = []
    with http.open_client() as client:
        for window in week_windows(since, arxiv_calendar.today(now)):
            run = open_run(window, now, again)
            if run is None:
                continue
            runs.append(harvest(run, now, client, report))
            if run.lost_source:
                break
    return runs


def week_windows(first: date, last: date) -> Iterator[Window]:
    """Weeks of each archive that has one of our categories."""
    while first <= last:
        end = min(first + WINDOW_LENGTH - timedelta(days=1), last)
        for set_spec in arxiv_oai.set_specs(settings.ARXIV_CATEGORIES):
            yield Window(first, end, set_spec)
        first = end + timedelta(days=1)


def fill_gaps(now: datetime) -> list[IngestRun]:
    """Harvest what the feeds did not give: added categories, and missing or lagging days."""
    if monitoring.is_backing_off(now):
        return []
    return [*backfill_added_categories(now), *_fill_missing_days(now)]


def _fill_missing_days(now: datetime) -> list[IngestRun]:
    """Harvest from the first missing or lagging day.

    The window has no end: OAI-PMH files a record under the day of its last change.
    """
    today = arxiv_calendar.today(now)
    days = monitoring.missing_days(now)
    if monitoring.lagging_categories(today):
        days.append(today)
    if not days or not settings.ARXIV_OAI_URL:
        return []
    windows = [
        Window(min(days), None, set_spec)
        for set_spec in arxiv_oai.set_specs(settings.ARXIV_CATEGORIES)
    ]
    with http.open_client() as client:
        runs = [open_run(window, now, again=True) for window in windows]
        return [harvest(run, now, client) for run in runs if run]


def backfill_added_categories(now: datetime) -> list[IngestRun]:
    """Harvest the candidates' days of categories that were added to the settings later."""
    names = monitoring.added_categories(now)
    if not names or not settings.ARXIV_OAI_URL:
        return []
    first = arxiv_calendar.today(now) - timedelta(days=CANDIDATE_DAYS - 1)
    runs = []
    with http.open_client() as client:
        for set_spec in arxiv_oai.set_specs(names):
            run = open_run(Window(first, None, set_spec), now, again=True)
            assert run is not None  # guaranteed by again=True
            archive = set_spec.rpartition(":")[2]
            run.categories = [name for name in names if archive_of(name) == archive]
            run.note = f"backfill of added categories: {', '.join(run.categories)}"[
                :200
            ]
            run.save(update_fields=["categories", "note"])
            runs.append(harvest(run, now, client))
            if run.lost_source:
                break
    return runs


def repeat_harvest(run: IngestRun, now: datetime) -> IngestRun:
    """Harvest the same window in a new run; an unfinished run is resumed instead."""
    window = replace(_window(run), last=run.window_until)
    next_run = open_run(window, now, again=True, kind=run.kind)
    with http.open_client() as client:
        return harvest(next_run, now, client) if next_run else run


def resume_harvest(run: IngestRun, now: datetime) -> IngestRun:
    """Continue an interrupted run at its first page that is not stored."""
    with http.open_client() as client:
        return harvest(run, now, client)


def open_run(
    window: Window,
    now: datetime,
    again: bool,
    kind: str = Kind.HARVEST,
    since: datetime | None = None,
) -> IngestRun | None:
    """Return the unfinished run of this window or create one; None where it is done.

    Runs from before `since` (by default the lifetime of a token) do not count, nor do
    runs that a wrong clock dated in the future.
    """
    columns = {
        "kind": kind,
        "source": "arxiv",
        "origin": settings.ARXIV_OAI_URL,
        "set_spec": window.set_spec,
        "window_from": window.first,
        "window_until": window.last,
    }
    runs = IngestRun.objects.filter(**columns)
    recent = runs.started_between(since or now - TOKEN_LIFETIME, now).newest_first()
    if unfinished := recent.exclude(state=State.DONE).first():
        return unfinished
    if not again and recent.exists():
        return None
    runs.running().update(
        state=State.FAILED,
        failure=Failure.STOPPED,
        error=f"{WORKER_DIED}: a new run harvests its window",
    )
    return IngestRun.objects.create(**columns, started_at=now)


def _claim_run(run: IngestRun) -> bool:
    """Claim a new or failed run, or one whose worker has ended."""
    now = timezone.now()
    free = Q(state=State.FAILED) | expired_lease(now)
    if run.worker_id and is_worker_dead(run.worker_id):
        free |= Q(worker_id=run.worker_id)
    rows = IngestRun.objects.filter(pk=run.pk).filter(free)
    claim = {"state": State.RUNNING, "worker_id": worker_id(), "heartbeat_at": now}
    attempts = F("attempts") + 1
    if not rows.update(**claim, attempts=attempts, error="", failure=""):
        return False
    run.refresh_from_db()
    return True


def expired_lease(now: datetime) -> Q:
    """Runs without a recent heartbeat; one in the future comes from a wrong clock."""
    recent = (now - LEASE_TIME, now + LEASE_TIME)
    return Q(heartbeat_at=None) | ~Q(heartbeat_at__range=recent)


def harvest(
    run: IngestRun, now: datetime, client: httpx.Client, report: Report | None = None
) -> IngestRun:
    """Store page after page until the window is done or a page is refused.

    A page and the token of the next one are stored in one transaction, so that an
    interrupted run is resumed at the first page that is not stored. An expired token
    restarts the window, once. A run that another worker holds is returned unchanged.
    """
    if not _claim_run(run):
        return run
    try:
        _harvest_pages(run, now, client, report)
    except SourceError as refusal:
        _fail_run(run, str(refusal), refusal)
    except KeyboardInterrupt as interrupt:
        _fail_run(run, "interrupted: run it again to continue here", interrupt)
        raise
    except Exception as error:  # the next window may succeed
        logger.exception("harvest stopped: %s", run)
        _fail_run(run, f"stopped by {type(error).__name__}: see the log", error)
    return run


def _harvest_pages(
    run: IngestRun, now: datetime, client: httpx.Client, report: Report | None
) -> None:
    may_restart = True
    if not run.token:
        _restart_window(run)
    while run.state == State.RUNNING:
        try:
            page = _fetch_page(run, client)
        except TokenExpired:
            if not (run.token and may_restart):
                raise
            may_restart = False
            _restart_window(run)
            continue
        _store_page(run, page, now)
        if report:
            report(run)


def _restart_window(run: IngestRun) -> None:
    """Return to the first page; the counts of stored papers stay."""
    run.token, run.token_hashes = "", []
    run.pages = run.records = run.confirmed = 0


def _fetch_page(run: IngestRun, client: httpx.Client) -> Page:
    url: str = settings.ARXIV_OAI_URL
    if not url:
        raise SourceError("ARXIV_OAI_URL is empty: set it to use OAI-PMH")
    return arxiv_oai.parse(arxiv_oai.fetch(client, _window(run), run.token, url))


def _store_page(run: IngestRun, page: Page, now: datetime) -> None:
    """Store a page, its counts and the next token in one transaction."""
    run.pages += 1
    run.records += len(page.listings) + len(page.deleted) + len(page.refused)
    add_refused(run, page.refused)
    run.expected_records = page.total or run.expected_records
    _set_next_token(run, page.token)
    run.heartbeat_at = timezone.now()
    listings = list(_select_listings(page))
    is_check = run.kind == Kind.DAILY_CHECK
    with transaction.atomic():
        reconcile.announce_first_versions(run, listings, now)
        if is_check:
            listings = reconcile.reconcile_page(run, listings, now)
        store(listings, run, now, page.deleted)
        if is_check:
            names = {listing.identifier for listing in listings}
            reconcile.count_confirmed(run, names | set(page.deleted))


def _set_next_token(run: IngestRun, token: str) -> None:
    """Set the next page's token; raises EndlessHarvest where the source cannot end."""
    run.token = token
    if not token:
        run.token_hashes = []
        return
    token_hash = sha256(token.encode()).hexdigest()[:12]
    if token_hash in run.token_hashes:
        earlier = run.token_hashes.index(token_hash) + 2
        raise EndlessHarvest(
            f"page {run.pages} leads back to page {earlier}, so the source repeats its "
            "pages without end: the next run restarts the window"
        )
    size = run.expected_records
    max_records = 2 * size + MAX_EXCESS_RECORDS if size else None
    if run.records > max_records if max_records else run.pages >= MAX_UNCOUNTED_PAGES:
        expected = f"{size:,}" if size else "far fewer"
        raise EndlessHarvest(
            f"{run.records:,} records on {run.pages} pages without an end, where "
            f"{expected} were expected: the next run restarts the window"
        )
    run.token_hashes = [*run.token_hashes, token_hash]


def _window(run: IngestRun) -> Window:
    if run.window_from is None:
        raise SourceError("the run has no first day: start a new harvest")
    return Window(run.window_from, run.window_until, run.set_spec)


def _select_listings(page: Page) -> Iterator[Listing]:
    """Papers of our categories; with a primary category outside they are cross-listed."""
    is_selected = category_matcher(settings.ARXIV_CATEGORIES)
    for listing in page.listings:
        if not listing.categories or is_selected([listing.primary]):
            yield listing
        elif is_selected(listing.categories):
            yield replace(listing, announce_type="cross")


def _fail_run(run: IngestRun, reason: str, error: BaseException) -> None:
    """Mark the run as failed and keep the state of its last stored page."""
    run.refresh_from_db()
    run.finish(State.FAILED)
    run.error, run.failure = reason, classify_failure(error)
    if isinstance(error, EndlessHarvest):
        run.token = ""
    run.save()


def classify_failure(error: BaseException) -> IngestRun.Failure:
    if isinstance(error, http.RateLimited):
        return Failure.RATE_LIMITED
    if isinstance(error, http.Unreachable):
        return Failure.UNREACHABLE
    return Failure.REFUSED if isinstance(error, SourceError) else Failure.STOPPED


def worker_id() -> str:
    """Identify this process: its boot, its container and its process id."""
    return f"{_pid_space()}:{os.getpid()}"


def is_worker_dead(identity: str) -> bool:
    """Whether this process has surely ended; unknown for other machines and containers."""
    space, _, pid = identity.rpartition(":")
    if space != _pid_space() or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)  # signal 0 tests for existence
    except ProcessLookupError:
        return True
    except PermissionError:  # alive, owned by another user
        return False
    return False


def _pid_space() -> str:
    """Name this boot of this machine and this container, in which process ids are unique."""
    try:
        return f"{_BOOT_ID.read_text()[:18]}/{_PID_NAMESPACE.readlink()}"
    except OSError:  # not Linux
        return socket.gethostname()[:60]
