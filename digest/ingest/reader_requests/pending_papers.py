"""PendingPaper: papers of readers' lists that we do not know yet are fetched, and then followed."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
from django.conf import settings
from django.db.models import Exists, OuterRef, QuerySet

from accounts.models import Subscriber
from digest import follows
from digest.ingest.sources import arxiv_api, http
from digest.ingest.sources.listing import SourceError
from digest.ingest.store import store
from digest.models import IngestRun, Paper, PendingPaper

PART = "readers' lists"  # how the ledger calls such a run
# At three seconds each a turn is half a minute; the announcements wait for no list.
MOST_QUESTIONS = 10  # of a hundred papers, in one turn
# After a question that failed; the ledger keeps every one.
TRY_AGAIN = timedelta(hours=1)
# What arXiv would not tell for so long it will not tell tomorrow.
PATIENCE = timedelta(days=7)
# As long as a reader may come back to see what became of a list.
UNKNOWN_KEPT = timedelta(days=30)


def want(reader: Subscriber, identifiers: Iterable[str], now: datetime) -> int:
    """Have these papers fetched for this reader; how many of them arXiv can know.

    Numbers of months to come are unknown without asking.
    """
    rows = [
        PendingPaper(
            subscriber=reader, identifier=one, at=now, not_found=is_to_come(one, now)
        )
        for one in identifiers
    ]
    PendingPaper.objects.bulk_create(rows, ignore_conflicts=True)
    return sum(not row.not_found for row in rows)


def is_to_come(identifier: str, now: datetime) -> bool:
    """Whether arXiv cannot have given this number yet; a day ahead, because zones differ."""
    if not identifier[:4].isdecimal():
        return False
    month = (now.astimezone(UTC) + timedelta(days=1)).strftime("%y%m")
    return identifier[:4] > month


def waiting() -> QuerySet[PendingPaper]:
    """What has to be fetched."""
    known = Paper.objects.filter(identifier=OuterRef("identifier"))
    return PendingPaper.objects.filter(not_found=False).exclude(Exists(known))


def fetch(now: datetime, again: bool = False) -> list[IngestRun]:
    """Fetch what readers want, then let them follow it.

    The papers become known and are no news: nobody is mailed them for it. A source that
    did not answer is asked again an hour later, or at once where somebody says `again`.
    """
    runs: list[IngestRun] = []
    with http.open_client() as client:
        for names in _questions(now, again):
            runs.append(_ask(client, names, now))
            if runs[-1].state == IngestRun.State.FAILED:
                break
    _follow_found()
    _give_up(now)
    return runs


def _questions(now: datetime, again: bool) -> Iterator[list[str]]:
    """What is asked for in this turn, as many papers at once as arXiv answers."""
    failed = IngestRun.objects.filter(part=PART, state=IngestRun.State.FAILED)
    if not again and failed.filter(started_at__range=(now - TRY_AGAIN, now)).exists():
        return
    names = waiting().order_by("identifier").values_list("identifier", flat=True)
    every = list(names.distinct()[: MOST_QUESTIONS * arxiv_api.PAGE_SIZE])
    for first in range(0, len(every), arxiv_api.PAGE_SIZE):
        yield every[first : first + arxiv_api.PAGE_SIZE]


def _ask(client: httpx.Client, identifiers: Sequence[str], now: datetime) -> IngestRun:
    """One question, one run of the ledger."""
    url: str = settings.ARXIV_API_URL
    origin = f"{url}?id_list={','.join(identifiers)}"[:500]
    run = IngestRun(source="arxiv", origin=origin, part=PART, started_at=now)
    try:
        told = arxiv_api.look_up(client, identifiers, url)
        brought = [
            replace(one, announce_type=Paper.Announced.ADDED_BY_READER)
            for one in told.listings
            if one.identifier in identifiers
        ]
        store(brought, run, now)
    except SourceError as why:
        run.state, run.error = IngestRun.State.FAILED, str(why)
        run.finished_at = run.moment(now)
        run.save()
    else:
        PendingPaper.objects.filter(identifier__in=told.unknown).update(not_found=True)
    return run


def _follow_found() -> None:
    """Whoever waited for a paper that is here now follows it, as far as they have room."""
    known = Paper.objects.filter(identifier=OuterRef("identifier"))
    here = PendingPaper.objects.filter(Exists(known)).order_by("pk")
    lists: dict[Subscriber, list[PendingPaper]] = defaultdict(list)
    for row in here.select_related("subscriber"):
        lists[row.subscriber].append(row)
    for reader, rows in lists.items():
        follows.follow_papers(reader, [row.identifier for row in rows])
        PendingPaper.objects.filter(pk__in=[row.pk for row in rows]).delete()


def _give_up(now: datetime) -> None:
    PendingPaper.objects.filter(at__lt=now - PATIENCE).update(not_found=True)
    PendingPaper.objects.filter(at__lt=now - UNKNOWN_KEPT).delete()
