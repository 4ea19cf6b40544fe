"""Documents from files and from the network, each taken in whole or refused."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

import httpx
from django.conf import settings

from digest.ingest import monitoring
from digest.ingest.sources import (
    arxiv_api,
    arxiv_calendar,
    arxiv_feed,
    arxiv_oai,
    http,
    huggingface,
)
from digest.ingest.sources.listing import Listing, SourceError
from digest.ingest.store import store
from digest.models import IngestRun, Paper
from digest.text.arxiv_ids import parse_arxiv_id

logger = logging.getLogger(__name__)

# Votes go on growing for about a week, stars for longer, and a paper may be listed late.
LOOK_BACK = 14  # days of Hugging Face's lists, today's included

# No source announces what is to come; its clock and ours may differ by a little.
AHEAD = timedelta(days=1)

UNCHANGED = "not modified since it was last read"
SIGNS = 4_000  # bytes at the start of a document that tell what it is

Parse = Callable[[bytes], Sequence[Listing]]
Fetch = Callable[[], bytes]


def collect(paths: Iterable[Path], now: datetime) -> list[IngestRun]:
    """Take in documents and folders of them, told apart by their content.

    Every document is one run; one that is refused is recorded as failed, with the
    reason, and the others go on.
    """
    return [
        _take(_run("", str(path), now), _reader(path), None, now)
        for path in _all(paths)
    ]


def collect_network(now: datetime) -> list[IngestRun]:
    """Take in today's announcements and the last days' lists from their sources."""
    return [*collect_announcements(now), *collect_attention(now)]


def collect_announcements(now: datetime) -> list[IngestRun]:
    """Take in what arXiv announced today."""
    with http.open_client() as client:
        return [_from_arxiv(client, now)]


def poll(now: datetime) -> list[IngestRun]:
    """Take in today's announcements unless they are here, or none are to come."""
    return [] if monitoring.is_settled(now) else collect_announcements(now)


def collect_attention(now: datetime) -> list[IngestRun]:
    """Take in Hugging Face's lists of the last days: votes, comments, stars."""
    with http.open_client() as client:
        return list(_from_huggingface(client, now))


def submitted(text: str, now: datetime) -> IngestRun:
    """A run for one paper that somebody asks for by its arXiv id or address.

    It waits for `submit`. Raises Refused where the text names no paper.
    """
    try:
        identifier, _ = parse_arxiv_id(text)
    except ValueError as error:
        raise SourceError(
            f"{error}: give one such as 2401.01234, or an address of arxiv.org"
        ) from error
    run = _run("arxiv", f"{settings.ARXIV_API_URL}?id_list={identifier}", now)
    run.part = identifier
    run.save()
    return run


def submit(run: IngestRun, now: datetime) -> IngestRun:
    """Take in the paper of a submitted run, from arXiv's API."""
    url: str = settings.ARXIV_API_URL

    def fetch() -> bytes:
        with http.open_client() as client:
            return arxiv_api.fetch(client, [run.part], 0, url)

    return _take(run, fetch, _one, now)


def collect_day(day: date, now: datetime) -> IngestRun:
    """Take in Hugging Face's list of one day."""
    url: str = settings.HUGGINGFACE_URL
    with http.open_client() as client:
        run = _daily_run(day, url, now)
        return _take(run, _daily(client, day, url), _counted(now), now)


def _one(document: bytes) -> list[Listing]:
    page = arxiv_api.parse(document)
    if not page.listings:
        raise SourceError("arXiv knows no such paper: check the identifier")
    return list(page.listings)


def _all(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            inside = sorted(path.rglob("*"))
            yield from (one for one in inside if one.is_file() and one.name[0] != ".")
        else:
            yield path


def _reader(path: Path) -> Fetch:
    def read() -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise SourceError(
                f"cannot be read ({error.strerror}): check the path"
            ) from error

    return read


def _from_arxiv(client: httpx.Client, now: datetime) -> IngestRun:
    """Today's feed, asked for only if it changed; the run says what it was like."""
    categories: Sequence[str] = settings.ARXIV_CATEGORIES
    url: str = settings.ARXIV_FEED_URL
    run = _run("arxiv", arxiv_feed.feed_url(categories, url), now)
    seen: list[Listing] = []

    def fetch() -> bytes:
        document = arxiv_feed.fetch(client, categories, url, _validators(run.origin))
        run.etag = document.validators.etag
        run.last_modified = document.validators.last_modified
        return document.body

    def parse(document: bytes) -> list[Listing]:
        seen.extend(_come(arxiv_feed.parse(document).listings, now))
        return seen

    _take(run, fetch, parse, now)
    if run.state == IngestRun.State.DONE and not run.outcome:
        _describe(run, seen, now)
    return run


def _validators(origin: str) -> http.Validators:
    """What the source said of the document that we read last, whole."""
    done = IngestRun.objects.filter(origin=origin, state=IngestRun.State.DONE)
    last = done.exclude(outcome=UNCHANGED).order_by("-started_at", "-pk").first()
    return http.Validators(last.etag, last.last_modified) if last else http.Validators()


def _describe(run: IngestRun, listings: Sequence[Listing], now: datetime) -> None:
    """Name a feed that was empty, late or stale; what it brought is stored already."""
    names = [one.identifier for one in listings]
    earlier = Paper.objects.filter(
        identifier__in=names, announced_on__lt=arxiv_calendar.today(now)
    )
    known = set(earlier.values_list("identifier", flat=True))
    run.outcome = monitoring.outcome(listings, known, now)
    run.save(update_fields=["outcome"])


def _from_huggingface(client: httpx.Client, now: datetime) -> Iterator[IngestRun]:
    """Newest day first; a source that does not answer is not asked again."""
    url: str = settings.HUGGINGFACE_URL
    for back in range(LOOK_BACK):
        day = now.date() - timedelta(days=back)
        run = _daily_run(day, url, now)
        fetch = _Silence(_daily(client, day, url))
        yield _take(run, fetch, _counted(now), now)
        if fetch.met:
            return


class _Silence:
    """Fetches, and remembers whether nothing came."""

    def __init__(self, fetch: Fetch) -> None:
        self.fetch, self.met = fetch, False

    def __call__(self) -> bytes:
        try:
            return self.fetch()
        except http.Unreachable:
            self.met = True
            raise


def _daily_run(day: date, url: str, now: datetime) -> IngestRun:
    run = _run("huggingface", f"{url}/api/daily_papers?date={day}", now)
    run.window_from = run.window_until = day
    return run


def _daily(client: httpx.Client, day: date, url: str) -> Fetch:
    return lambda: huggingface.fetch(client, day, url)


def _counted(now: datetime) -> Parse:
    """What comes from the network was counted at the time of asking."""
    return lambda document: _come(
        huggingface.parse(document, read_at=now).listings, now
    )


def _come(listings: Sequence[Listing], now: datetime) -> Sequence[Listing]:
    """These listings, or Refused: a day once announced stays, so no wrong one may."""
    latest = now.date() + AHEAD
    for one in listings:
        if one.announced_on and one.announced_on > latest:
            raise SourceError(
                f"the paper {one.identifier} is of {one.announced_on}, which has not "
                "come: fetch it again, or set the clock of this machine"
            )
    return listings


def _run(source: str, origin: str, now: datetime) -> IngestRun:
    return IngestRun(source=source or "unknown", origin=origin[-500:], started_at=now)


def _take(
    run: IngestRun, fetch: Fetch, parse: Parse | None, now: datetime
) -> IngestRun:
    """One document through, or its run recorded as failed with the reason."""
    try:
        document = fetch()
        if parse is None:
            run.source, parse = told_apart(document)
        store(parse(document), run, now)
    except http.NotModified:
        run.outcome = UNCHANGED
        store([], run, now)
    except SourceError as why:
        _fail(run, str(why), now)
    except Exception as error:  # the next document may be sound
        logger.exception("ingest stopped: %s", run.origin)
        _fail(run, f"stopped by {type(error).__name__}: see the log", now)
    return run


def told_apart(document: bytes) -> tuple[str, Parse]:
    """Source and parser for a document, from its first signs; Refused for others."""
    start = document.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start[:1] == b"<":
        return "arxiv", _arxiv_parser(start[:SIGNS])
    if start[:1] == b"[":
        return "huggingface", lambda document: huggingface.parse(document).listings
    if not start:
        raise SourceError("the document is empty: fetch it again")
    raise SourceError(
        "neither a document of arXiv (XML) nor a daily answer of Hugging Face "
        "(a JSON list): give one of these"
    )


def _arxiv_parser(start: bytes) -> Parse:
    """arXiv's three roads, each known by the names in its first lines."""
    if b"<OAI-PMH" in start:
        return lambda document: list(arxiv_oai.parse(document).listings)
    if b":totalResults" in start:
        return lambda document: list(arxiv_api.parse(document).listings)
    return lambda document: arxiv_feed.parse(document).listings


def _fail(run: IngestRun, why: str, now: datetime) -> None:
    run.state, run.error = IngestRun.State.FAILED, why
    run.finished_at = run.moment(now)
    run.new = run.updated = run.unchanged = run.signals = run.withdrawn = 0
    run.save()
