"""Submissions: a reader submits a paper, arXiv describes it, an editor decides."""

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
from digest.models.reader_requests import is_recent
from digest.text.arxiv_ids import parse_arxiv_id
from digest.text.plain import to_plain_names, to_plain_text

logger = logging.getLogger(__name__)

# A reader with more than five overlooked papers a day should be an editor.
MAX_SUBMISSIONS_PER_DAY = 5
# Time between two attempts to fetch an approved paper.
RETRY_AFTER = timedelta(hours=1)
TOO_OLD = "It is more than 14 days old. Digests include papers of the last two weeks."
UNKNOWN = "arXiv has no paper with this id."
ALREADY_LISTED = "It has been listed in the meantime, so it needs no submission."

State = Submission.State
_DESCRIBED_COLUMNS = (
    *("title", "abstract", "authors", "primary", "announced_on"),
    *("state", "why", "decided_at"),
)


@dataclass(frozen=True)
class Answer:
    """Result of a submission.

    `kind`: no_identifier, listed (see `paper`), too_old, over_limit (of the day), or
    submitted (see `submission`).
    """

    kind: str
    identifier: str = ""
    paper: Paper | None = None
    submission: Submission | None = None


def submit_paper(reader: Subscriber, text: str, now: datetime) -> Answer:
    """Submit a paper to the editors; a second request of the same reader changes nothing."""
    try:
        identifier, _ = parse_arxiv_id(text)
    except ValueError:
        return Answer("no_identifier")
    papers = Paper.objects.from_listings()
    if paper := papers.filter(identifier=identifier).first():
        return Answer("listed", identifier, paper=paper)
    submission = Submission.objects.filter(identifier=identifier).first()
    if submission is None and _is_surely_old(identifier, now.astimezone(UTC).date()):
        return Answer("too_old", identifier)
    own = SubmissionRequest.objects.filter(subscriber=reader)
    if submission is None or not own.filter(submission=submission).exists():
        today = own.filter(at__gt=now - timedelta(days=1))
        if today.count() >= MAX_SUBMISSIONS_PER_DAY:
            return Answer("over_limit", identifier)
        submission = _add_request(reader, identifier, now)
    return Answer("submitted", identifier, submission=submission)


@transaction.atomic
def _add_request(reader: Subscriber, identifier: str, now: datetime) -> Submission:
    submission, _ = Submission.objects.get_or_create(
        identifier=identifier, defaults={"created_at": now}
    )
    SubmissionRequest.objects.get_or_create(
        submission=submission, subscriber=reader, defaults={"at": now}
    )
    return submission


def _is_surely_old(identifier: str, today: date) -> bool:
    """Whether the month in the identifier alone makes the paper too old.

    Moderation may delay the announcement beyond the month of the number.
    """
    if not identifier[:4].isdecimal():
        return True  # identifiers of this style ended in 2007
    year, month = 2000 + int(identifier[:2]), int(identifier[2:4])
    next_month = date(year + month // 12, month % 12 + 1, 1)
    return not is_recent(next_month + MAX_MODERATION, today)


def look_up_submissions(now: datetime) -> int:
    """Look up new submissions at arXiv; return how many papers arXiv described.

    Unknown and old papers are declined with the reason, the others wait for an editor.
    Where arXiv does not answer, the next round looks up all of them.
    """
    rows = list(Submission.objects.unchecked().order_by("pk")[: arxiv_api.PAGE_SIZE])
    if not rows:
        return 0
    url: str = settings.ARXIV_API_URL
    try:
        with http.open_client() as client:
            answer = arxiv_api.look_up(client, [row.identifier for row in rows], url)
    except SourceError as refusal:
        logger.warning("submissions were not looked up: %s", refusal)
        return 0
    listings = {listing.identifier: listing for listing in answer.listings}
    for row in rows:
        if row.identifier in answer.unknown:
            decline_submission(row, UNKNOWN, now)
        elif row.identifier in listings:
            _describe_submission(row, listings[row.identifier], now)
    return len(listings)


def _describe_submission(row: Submission, listing: Listing, now: datetime) -> None:
    row.title, row.abstract = (
        to_plain_text(listing.title_raw),
        to_plain_text(listing.abstract_raw),
    )
    row.authors = to_plain_names(listing.authors)
    row.primary, row.announced_on = listing.primary[:32], listing.announced_on
    if not row.is_recent(now.astimezone(UTC).date()):
        row.state, row.why, row.decided_at = State.DECLINED, TOO_OLD, now
    else:
        row.state = State.WAITING
    Submission.objects.unchecked().filter(pk=row.pk).update(
        **{name: getattr(row, name) for name in _DESCRIBED_COLUMNS}
    )


def approve_submission(row: Submission, now: datetime) -> bool:
    """Approve; `fetch_approved` fetches the paper. False if it was decided or is too old."""
    if not row.is_recent(now.astimezone(UTC).date()):
        decline_submission(row, TOO_OLD, now)
        return False
    waiting = Submission.objects.waiting().filter(pk=row.pk)
    return waiting.update(state=State.APPROVED, decided_at=now) == 1


def decline_submission(row: Submission, why: str, now: datetime) -> bool:
    """Decline; the readers who submitted it see why. False if it was decided before."""
    undecided = Submission.objects.undecided().filter(pk=row.pk)
    return undecided.update(state=State.DECLINED, why=why[:200], decided_at=now) == 1


def fetch_approved(now: datetime) -> list[IngestRun]:
    """Fetch approved papers, like an editor's own, until they are listed."""
    papers = IngestRun.objects.of_kind(IngestRun.Kind.PAPER)
    recent = papers.started_between(now - RETRY_AFTER, now)
    runs = []
    for row in Submission.objects.unfetched(now):
        if not recent.filter(paper_identifier=row.identifier).exists():
            run = run_source.create_paper_run(row.identifier, now)
            runs.append(run_source.fetch_paper(run, now))
    return runs


def close_needless(now: datetime) -> None:
    """Decline submissions whose paper was listed meanwhile; delete old decisions."""
    for row in Submission.objects.needless():
        decline_submission(row, ALREADY_LISTED, now)
    Submission.objects.purgeable(now).delete()
