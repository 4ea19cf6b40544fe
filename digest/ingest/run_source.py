"""Read documents from files and sources; each is one ingest run, stored whole or refused."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from itertools import chain
from pathlib import Path

import httpx
from django.conf import settings
from django.db.models import Max

from digest.ingest import monitoring
from digest.ingest.oai_harvest import classify_failure
from digest.ingest.sources import (
    arxiv_api,
    arxiv_calendar,
    arxiv_feed,
    arxiv_oai,
    http,
    huggingface,
)
from digest.ingest.sources.listing import (
    ParsedDocument,
    SourceError,
)
from digest.ingest.store import add_refused, store
from digest.models import IngestRun, Paper
from digest.text.arxiv_categories import normalize_categories
from digest.text.arxiv_ids import parse_arxiv_id

logger = logging.getLogger(__name__)

Kind, State, FeedState = IngestRun.Kind, IngestRun.State, IngestRun.FeedState

# Days of Hugging Face's lists, today included: votes grow for about a week, stars for
# longer, and a paper may be listed late.
HUGGINGFACE_DAYS = 14
# No source announces in advance; its clock and ours may differ a little.
MAX_CLOCK_DIFFERENCE = timedelta(days=1)
# Of the feed's maximum; a combined feed above this is split.
SPLIT_SHARE = 0.75
DETECTION_BYTES = 4_000  # at the start of a document, enough to detect its source

Parse = Callable[[bytes], ParsedDocument]
Fetch = Callable[[], bytes]


def ingest_documents(paths: Iterable[Path], now: datetime) -> list[IngestRun]:
    """Ingest documents and folders of them; the content shows their source.

    A refused document is recorded as a failed run with the reason; the others go on.
    """
    return [
        _run_document(
            _new_run(Kind.DOCUMENT, "", str(path), now), _file_reader(path), None, now
        )
        for path in _list_files(paths)
    ]


def ingest_all_sources(now: datetime) -> list[IngestRun]:
    """Ingest today's announcements and the recent lists of Hugging Face."""
    return [*ingest_feed(now), *ingest_attention(now)]


def ingest_feed(now: datetime) -> list[IngestRun]:
    groups = feed_groups(normalize_categories(settings.ARXIV_CATEGORIES))
    with http.open_client() as client:
        return list(chain.from_iterable(_run_feeds(client, g, now) for g in groups))


def poll_feed(now: datetime) -> list[IngestRun]:
    """Ingest today's announcements unless they are complete or none are expected.

    Does nothing while arXiv limits our requests.
    """
    is_done = monitoring.todays_feed_done(now) or monitoring.is_backing_off(now)
    return [] if is_done else ingest_feed(now)


def feed_groups(categories: list[str]) -> list[list[str]]:
    """Split categories into feeds that stay well below the feed's maximum of entries.

    A combined feed that came near the maximum once is split in two from then on.
    """
    url = arxiv_feed.feed_url(categories, settings.ARXIV_FEED_URL)
    runs = IngestRun.objects.of_kind(Kind.FEED).filter(origin=url[-500:])
    largest = runs.aggregate(largest=Max("records"))["largest"] or 0
    if len(categories) < 2 or largest < SPLIT_SHARE * arxiv_feed.MAX_ENTRIES:
        return [categories]
    middle = len(categories) // 2
    return [*feed_groups(categories[:middle]), *feed_groups(categories[middle:])]


def ingest_attention(now: datetime) -> list[IngestRun]:
    """Ingest votes, comments and stars from Hugging Face's recent lists."""
    with http.open_client() as client:
        return list(_run_huggingface(client, now))


def ingest_huggingface_day(day: date, now: datetime) -> IngestRun:
    with http.open_client() as client:
        return _run_huggingface_day(client, day, now)


def create_paper_run(text: str, now: datetime) -> IngestRun:
    """Create the run for one paper, given by arXiv id or address; `fetch_paper` runs it.

    Raises SourceError where the text names no paper.
    """
    try:
        identifier, _ = parse_arxiv_id(text)
    except ValueError as error:
        raise SourceError(
            f"{error}: enter one such as 2401.01234, or an address of arxiv.org"
        ) from error
    address = f"{settings.ARXIV_API_URL}?id_list={identifier}"
    run = _new_run(Kind.PAPER, "arxiv", address, now)
    run.paper_identifier = identifier
    run.save()
    return run


def fetch_paper(run: IngestRun, now: datetime) -> IngestRun:
    """Ingest the paper of a run of `create_paper_run` from arXiv's API."""
    url: str = settings.ARXIV_API_URL

    def fetch() -> bytes:
        with http.open_client() as client:
            return arxiv_api.fetch(client, [run.paper_identifier], 0, url)

    return _run_document(run, fetch, _parse_one_paper, now)


def _parse_one_paper(document: bytes) -> ParsedDocument:
    page = arxiv_api.parse(document)
    if not page.listings:
        raise SourceError("arXiv knows no such paper: check the identifier")
    return page


def _list_files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            files = (file for file in sorted(path.rglob("*")) if file.is_file())
            yield from (file for file in files if not file.name.startswith("."))
        else:
            yield path


def _file_reader(path: Path) -> Fetch:
    def read() -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise SourceError(
                f"cannot be read ({error.strerror}): check the path"
            ) from error

    return read


def _run_feeds(
    client: httpx.Client, categories: list[str], now: datetime
) -> Iterator[IngestRun]:
    """Read one feed; where it ends at the maximum, also the feeds of its halves."""
    run = _run_feed(client, categories, now)
    yield run
    if run.feed_state == FeedState.INCOMPLETE:
        groups = feed_groups(categories)
        for group in groups if len(groups) > 1 else []:
            yield from _run_feeds(client, group, now)


def _run_feed(
    client: httpx.Client, categories: Sequence[str], now: datetime
) -> IngestRun:
    """Request the feed if it has changed, store it and judge its state."""
    url: str = settings.ARXIV_FEED_URL
    run = _new_run(Kind.FEED, "arxiv", arxiv_feed.feed_url(categories, url), now)
    run.categories = list(categories)
    parsed = ParsedDocument()

    def fetch() -> bytes:
        validators = _last_validators(run.origin)
        document = arxiv_feed.fetch(client, categories, url, validators)
        run.etag = document.validators.etag
        run.last_modified = document.validators.last_modified
        return document.body

    def parse(document: bytes) -> ParsedDocument:
        nonlocal parsed
        parsed = _reject_future(arxiv_feed.parse(document), now)
        run.records = len(parsed.listings) + len(parsed.refused)
        return parsed

    _run_document(run, fetch, parse, now)
    if run.state == State.DONE and not run.feed_state:
        _judge_feed(run, parsed, now)
    return run


def _last_validators(origin: str) -> http.Validators:
    """The validators of the last document that was read in full from this address."""
    runs = IngestRun.objects.done().of_kind(Kind.FEED).filter(origin=origin)
    last = runs.exclude(feed_state=FeedState.UNCHANGED).newest_first().first()
    return http.Validators(last.etag, last.last_modified) if last else http.Validators()


def _judge_feed(run: IngestRun, parsed: ParsedDocument, now: datetime) -> None:
    """Record whether the stored feed was complete, empty, late or stale."""
    names = [listing.identifier for listing in parsed.listings]
    earlier = Paper.objects.filter(
        identifier__in=names, announced_on__lt=arxiv_calendar.today(now)
    )
    announced_before = set(earlier.values_list("identifier", flat=True))
    run.feed_state, run.note = monitoring.classify_feed(parsed, announced_before, now)
    run.save(update_fields=["feed_state", "note"])


def _run_huggingface(client: httpx.Client, now: datetime) -> Iterator[IngestRun]:
    """Newest day first, until the source does not answer."""
    for back in range(HUGGINGFACE_DAYS):
        run = _run_huggingface_day(client, now.date() - timedelta(days=back), now)
        yield run
        if run.lost_source:
            return


def _run_huggingface_day(client: httpx.Client, day: date, now: datetime) -> IngestRun:
    url: str = settings.HUGGINGFACE_URL
    address = f"{url}/api/daily_papers?date={day}"
    run = _new_run(Kind.HUGGINGFACE, "huggingface", address, now)
    run.window_from = run.window_until = day

    def fetch() -> bytes:
        return huggingface.fetch(client, day, url)

    def parse(document: bytes) -> ParsedDocument:
        # Counts from the network are as of now.
        return _reject_future(huggingface.parse(document, read_at=now), now)

    return _run_document(run, fetch, parse, now)


def _reject_future(parsed: ParsedDocument, now: datetime) -> ParsedDocument:
    """Return the document; raises SourceError for a future day: stored days are permanent."""
    latest = now.date() + MAX_CLOCK_DIFFERENCE
    for listing in parsed.listings:
        if listing.announced_on and listing.announced_on > latest:
            raise SourceError(
                f"the paper {listing.identifier} is dated {listing.announced_on}, in the future: "
                "fetch it again, or correct the clock of this machine"
            )
    return parsed


def _deleted_papers(parsed: ParsedDocument) -> tuple[str, ...]:
    return parsed.deleted if isinstance(parsed, arxiv_oai.Page) else ()


def _new_run(
    kind: IngestRun.Kind, source: str, origin: str, now: datetime
) -> IngestRun:
    return IngestRun(
        kind=kind, source=source or "unknown", origin=origin[-500:], started_at=now
    )


def _run_document(
    run: IngestRun, fetch: Fetch, parse: Parse | None, now: datetime
) -> IngestRun:
    """Fetch, parse and store one document; record a failure with its reason."""
    try:
        document = fetch()
        if parse is None:
            run.source, parse = detect_source(document)
        parsed = parse(document)
        add_refused(run, parsed.refused)
        store(parsed.listings, run, now, _deleted_papers(parsed))
    except http.NotModified:
        run.feed_state, run.note = (
            FeedState.UNCHANGED,
            "not modified since the last time",
        )
        store([], run, now)
    except SourceError as refusal:
        _fail_run(run, str(refusal), refusal)
    except Exception as error:  # the next document may succeed
        logger.exception("ingest stopped: %s", run.origin)
        _fail_run(run, f"stopped by {type(error).__name__}: see the log", error)
    return run


def detect_source(document: bytes) -> tuple[str, Parse]:
    """Detect source and parser from the start of a document; raises SourceError."""
    start = document.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start[:1] == b"<":
        return "arxiv", _arxiv_parser(start[:DETECTION_BYTES])
    if start[:1] == b"[":
        return "huggingface", huggingface.parse
    if not start:
        raise SourceError("the document is empty: fetch it again")
    raise SourceError(
        "neither a document of arXiv (XML) nor a daily list of Hugging Face (JSON): "
        "give one of these"
    )


def _arxiv_parser(start: bytes) -> Parse:
    """Choose among OAI-PMH, API and feed by the names in the first lines."""
    if b"<OAI-PMH" in start:
        return arxiv_oai.parse
    if b":totalResults" in start:
        return arxiv_api.parse
    return arxiv_feed.parse


def _fail_run(run: IngestRun, reason: str, error: Exception) -> None:
    run.finish(State.FAILED)
    run.error, run.failure = reason, classify_failure(error)
    run.new = run.updated = run.unchanged = run.samples = run.withdrawn = 0
    run.save()
