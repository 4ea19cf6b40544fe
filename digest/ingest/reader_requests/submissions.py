"""Submissions: a reader asks for a paper, arXiv is asked what it is, an editor decides."""

import logging
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.conf import settings
from django.db import transaction

from accounts.models import Subscriber
from digest.ingest import run_source
from digest.ingest.sources import arxiv_api, http
from digest.ingest.sources.arxiv_calendar import MAX_MODERATION
from digest.ingest.sources.listing import Listing, SourceError
from digest.models import IngestRun, Paper, Submission, SubmissionRequest
from digest.models.reader_requests import is_young
from digest.text.arxiv_ids import parse_arxiv_id
from digest.text.plain import to_plain_names, to_plain_text

logger = logging.getLogger(__name__)

# A reader who finds more than five overlooked papers a day is an editor.
A_DAY = 5
# Between two tries to fetch an approved paper; the ledger keeps every one.
TRY_AGAIN = timedelta(hours=1)
TOO_OLD = "It is older than 14 days: editions hold the papers of two weeks."
UNKNOWN = "arXiv knows no such paper."
HERE = "It is here without that: the listings brought it."

State = Submission.State
_TOLD = (
    *("title", "abstract", "authors", "primary", "announced_on"),
    *("state", "why", "decided_at"),
)


@dataclass(frozen=True)
class Answer:
    """What becomes of a reader's wish.

    `kind`: none (no arXiv id in it), known (see `paper`), old, many (enough for today),
    or asked (see `submission`).
    """

    kind: str
    identifier: str = ""
    paper: Paper | None = None
    submission: Submission | None = None


def ask(reader: Subscriber, text: str, now: datetime) -> Answer:
    """Put a paper before the editors; asking twice is asking once, and no vote."""
    try:
        identifier, _ = parse_arxiv_id(text)
    except ValueError:
        return Answer("none")
    papers = Paper.objects.from_listings()
    if paper := papers.filter(identifier=identifier).first():
        return Answer("known", identifier, paper=paper)
    known = Submission.objects.filter(identifier=identifier).first()
    if known is None and _is_surely_old(identifier, now.astimezone(UTC).date()):
        return Answer("old", identifier)
    own = SubmissionRequest.objects.filter(subscriber=reader)
    if known is None or not own.filter(submission=known).exists():
        if own.filter(at__gt=now - timedelta(days=1)).count() >= A_DAY:
            return Answer("many", identifier)
        known = _asked(reader, identifier, now)
    return Answer("asked", identifier, submission=known)


@transaction.atomic
def _asked(reader: Subscriber, identifier: str, now: datetime) -> Submission:
    submission, _ = Submission.objects.get_or_create(
        identifier=identifier, defaults={"created_at": now}
    )
    SubmissionRequest.objects.get_or_create(
        submission=submission, subscriber=reader, defaults={"at": now}
    )
    return submission


def _is_surely_old(identifier: str, today: date) -> bool:
    """Whether the month in a number says so; the paper's own date decides for the others.

    arXiv gives a number in the month of its announcement, which moderators may hold up.
    """
    if not identifier[:4].isdecimal():
        return True  # such numbers ended in 2007
    year, month = 2000 + int(identifier[:2]), int(identifier[2:4])
    next_month = date(year + month // 12, month % 12 + 1, 1)
    return not is_young(next_month + MAX_MODERATION, today)


def look_up(now: datetime) -> int:
    """Ask arXiv what was submitted; how many papers it told of.

    What is unknown or too old is declined with the reason, the rest waits for an editor.
    Where arXiv does not answer, all of it is asked for in the next round.
    """
    rows = list(Submission.objects.unchecked().order_by("pk")[: arxiv_api.PAGE_SIZE])
    if not rows:
        return 0
    try:
        told = _told([row.identifier for row in rows])
    except SourceError as why:
        logger.warning("submissions were not looked up: %s", why)
        return 0
    listings = {one.identifier: one for one in told.listings}
    for row in rows:
        if row.identifier in told.unknown:
            decline(row, UNKNOWN, now)
        elif row.identifier in listings:
            _describe(row, listings[row.identifier], now)
    return len(listings)


def _told(identifiers: list[str]) -> arxiv_api.LookupResult:
    url: str = settings.ARXIV_API_URL
    with http.open_client() as client:
        return arxiv_api.look_up(client, identifiers, url)


def _describe(row: Submission, listing: Listing, now: datetime) -> None:
    row.title, row.abstract = (
        to_plain_text(listing.title_raw),
        to_plain_text(listing.abstract_raw),
    )
    row.authors = to_plain_names(listing.authors)
    row.primary, row.announced_on = listing.primary[:32], listing.announced_on
    if not row.is_young(now.astimezone(UTC).date()):
        row.state, row.why, row.decided_at = State.DECLINED, TOO_OLD, now
    else:
        row.state = State.WAITING
    Submission.objects.filter(pk=row.pk, state=State.CHECKING).update(
        **{name: getattr(row, name) for name in _TOLD}
    )


def approve(row: Submission, now: datetime) -> bool:
    """An editor wants it; `fetch_approved` brings it. False where it is decided, or too old by now."""
    if not row.is_young(now.astimezone(UTC).date()):
        decline(row, TOO_OLD, now)
        return False
    waits = Submission.objects.filter(pk=row.pk, state=State.WAITING)
    return waits.update(state=State.APPROVED, decided_at=now) == 1


def decline(row: Submission, why: str, now: datetime) -> bool:
    """It is not brought; those who asked read why. False where it was decided before."""
    undecided = (State.CHECKING, State.WAITING)
    waits = Submission.objects.filter(pk=row.pk, state__in=undecided)
    return waits.update(state=State.DECLINED, why=why[:200], decided_at=now) == 1


def fetch_approved(now: datetime) -> list[IngestRun]:
    """Take in what editors approved, by the road of their own submissions, until it is here."""
    runs = []
    for row in Submission.objects.unfetched(now):
        tried = IngestRun.objects.filter(part=row.identifier)
        if not tried.filter(started_at__range=(now - TRY_AGAIN, now)).exists():
            runs.append(
                run_source.submit(run_source.submitted(row.identifier, now), now)
            )
    return runs


def tidy(now: datetime) -> None:
    """What came by itself needs no editor; what was decided long ago is nobody's business."""
    for row in Submission.objects.needless():
        decline(row, HERE, now)
    Submission.objects.forgettable(now).delete()
