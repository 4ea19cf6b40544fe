"""Documents from files and from the network, each taken in whole or refused."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

import httpx
from django.conf import settings

from digest.ingest import arxiv, huggingface, web
from digest.ingest.listing import Listing, Refused
from digest.ingest.store import store
from digest.models import IngestRun

logger = logging.getLogger(__name__)

# Votes go on growing for about a week, and a paper may be listed late.
LOOK_BACK = 7  # days of Hugging Face's lists, today's included

Parse = Callable[[bytes], list[Listing]]
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
    with web.connect() as client:
        return list(_from_arxiv(client, now))


def collect_attention(now: datetime) -> list[IngestRun]:
    """Take in Hugging Face's lists of the last days: votes, comments, stars."""
    with web.connect() as client:
        return list(_from_huggingface(client, now))


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
            raise Refused(
                f"cannot be read ({error.strerror}): check the path"
            ) from error

    return read


def _from_arxiv(client: httpx.Client, now: datetime) -> Iterator[IngestRun]:
    categories: Sequence[str] = settings.ARXIV_CATEGORIES
    url: str = settings.ARXIV_FEED_URL
    run = _run("arxiv", f"{url}/{'+'.join(categories)}", now)
    yield _take(run, lambda: arxiv.fetch(client, categories, url), arxiv.parse, now)


def _from_huggingface(client: httpx.Client, now: datetime) -> Iterator[IngestRun]:
    """Newest day first; a source that does not answer is not asked again."""
    url: str = settings.HUGGINGFACE_URL
    for back in range(LOOK_BACK):
        day = now.date() - timedelta(days=back)
        run = _run("huggingface", f"{url}/api/daily_papers?date={day}", now)
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
        except web.Unreachable:
            self.met = True
            raise


def _daily(client: httpx.Client, day: date, url: str) -> Fetch:
    return lambda: huggingface.fetch(client, day, url)


def _counted(now: datetime) -> Parse:
    """What comes from the network was counted at the time of asking."""
    return lambda document: huggingface.parse(document, read_at=now)


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
    except Refused as why:
        _fail(run, str(why), now)
    except Exception as error:  # the next document may be sound
        logger.exception("ingest stopped: %s", run.origin)
        _fail(run, f"stopped by {type(error).__name__}: see the log", now)
    return run


def told_apart(document: bytes) -> tuple[str, Parse]:
    """Source and parser for a document, from its first sign; Refused for others."""
    start = document.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if start == b"<":
        return "arxiv", arxiv.parse
    if start == b"[":
        return "huggingface", huggingface.parse
    if not start:
        raise Refused("the document is empty: fetch it again")
    raise Refused(
        "neither an arXiv feed (XML) nor a daily answer of Hugging Face (a JSON list): "
        "give one of these"
    )


def _fail(run: IngestRun, why: str, now: datetime) -> None:
    run.state, run.error, run.finished_at = IngestRun.State.FAILED, why, now
    run.new = run.updated = run.unchanged = run.signals = 0
    run.save()
