"""Fetch the unknown papers of readers' lists, then follow them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
from django.conf import settings

from accounts.models import Subscriber
from digest import follows
from digest.ingest import monitoring
from digest.ingest.oai_harvest import classify_failure
from digest.ingest.sources import arxiv_api, http
from digest.ingest.sources.listing import SourceError
from digest.ingest.store import store
from digest.models import IngestRun, Paper, PendingPaper

# Requests of a hundred papers in one turn: half a minute at three seconds each, so that
# announcements do not wait for a list.
MAX_REQUESTS_PER_TURN = 10
# Time after a failed request before the next.
RETRY_AFTER = timedelta(hours=1)


def request_papers(
    reader: Subscriber, identifiers: Iterable[str], now: datetime
) -> int:
    """Queue papers to be fetched for a reader; return how many of them can exist.

    Identifiers of future months are marked as not found without a request.
    """
    rows = [
        PendingPaper(
            subscriber=reader,
            identifier=identifier,
            at=now,
            not_found=is_future_identifier(identifier, now),
        )
        for identifier in identifiers
    ]
    PendingPaper.objects.bulk_create(rows, ignore_conflicts=True)
    return sum(not row.not_found for row in rows)


def is_future_identifier(identifier: str, now: datetime) -> bool:
    """Whether arXiv cannot have assigned this identifier yet; a day ahead for time zones."""
    if not identifier[:4].isdecimal():
        return False
    month = (now.astimezone(UTC) + timedelta(days=1)).strftime("%y%m")
    return identifier[:4] > month


def fetch_pending(now: datetime, again: bool = False) -> list[IngestRun]:
    """Fetch pending papers, then follow them for their readers.

    The papers are stored as added by a reader: no edition includes them. After a failed
    request nothing is requested for an hour, unless `again`.
    """
    runs: list[IngestRun] = []
    with http.open_client() as client:
        for identifiers in _next_requests(now, again):
            runs.append(_fetch_papers(client, identifiers, now))
            if runs[-1].state == IngestRun.State.FAILED:
                break
    _follow_fetched()
    _give_up(now)
    return runs


def _next_requests(now: datetime, again: bool) -> Iterator[list[str]]:
    """Split the pending identifiers of this turn into requests of the API's page size."""
    failed = IngestRun.objects.failed().of_kind(IngestRun.Kind.PENDING_PAPERS)
    is_waiting = failed.started_between(now - RETRY_AFTER, now).exists()
    if not again and (is_waiting or monitoring.is_backing_off(now)):
        return
    pending = PendingPaper.objects.to_fetch().order_by("identifier")
    names = pending.values_list("identifier", flat=True).distinct()
    turn = list(names[: MAX_REQUESTS_PER_TURN * arxiv_api.PAGE_SIZE])
    for first in range(0, len(turn), arxiv_api.PAGE_SIZE):
        yield turn[first : first + arxiv_api.PAGE_SIZE]


def _fetch_papers(
    client: httpx.Client, identifiers: Sequence[str], now: datetime
) -> IngestRun:
    url: str = settings.ARXIV_API_URL
    run = IngestRun(
        kind=IngestRun.Kind.PENDING_PAPERS,
        source="arxiv",
        origin=f"{url}?id_list={','.join(identifiers)}"[:500],
        started_at=now,
    )
    try:
        answer = arxiv_api.look_up(client, identifiers, url)
        listings = [
            replace(listing, announce_type=Paper.Announced.ADDED_BY_READER)
            for listing in answer.listings
            if listing.identifier in identifiers
        ]
        store(listings, run, now)
    except SourceError as refusal:
        run.finish(IngestRun.State.FAILED)
        run.error, run.failure = str(refusal), classify_failure(refusal)
        run.save()
    else:
        unknown = PendingPaper.objects.filter(identifier__in=answer.unknown)
        unknown.update(not_found=True)
    return run


def _follow_fetched() -> None:
    """Follow the papers that exist by now, as many as each reader may follow."""
    rows_by_reader: dict[Subscriber, list[PendingPaper]] = defaultdict(list)
    fetched = PendingPaper.objects.fetched().order_by("pk")
    for row in fetched.select_related("subscriber"):
        rows_by_reader[row.subscriber].append(row)
    for reader, rows in rows_by_reader.items():
        follows.follow_papers(reader, [row.identifier for row in rows])
        PendingPaper.objects.filter(pk__in=[row.pk for row in rows]).delete()


def _give_up(now: datetime) -> None:
    given_up = PendingPaper.objects.filter(at__lt=now - PendingPaper.MAX_FETCH_TIME)
    given_up.update(not_found=True)
    PendingPaper.objects.filter(at__lt=now - PendingPaper.NOT_FOUND_KEPT).delete()
