"""Faults of sources: temporary, permanent, mutated documents."""

import os
import re
import time
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from digest.ingest import run_source
from digest.ingest.sources import arxiv_api, arxiv_feed, arxiv_oai, http, huggingface
from digest.ingest.sources.listing import Listing, SourceError
from digest.models import IngestRun, Paper
from digest.text.arxiv_ids import parse_arxiv_id
from tests.conftest import DATA, needs_data
from tests.ingest import recorded
from tests.ingest.fake_sources import (
    BOMB,
    CAPTCHA,
    EXTERNAL_ENTITY,
    Response,
    batch,
    busy,
    cut,
    in_latin,
    paper,
    with_controls,
)
from tests.make import DAY, NOW

ENOUGH = 5  # of a fault: more than we ask


@pytest.fixture
def served(sources, db):
    """Sources with a day's papers."""
    sources.announced = batch(DAY)
    return sources


@pytest.mark.parametrize(
    ("fault", "requests"),
    [
        (busy(503), 2),
        (busy(503, after=0), 2),
        (busy(429), 2),
        (busy(429, after="Thu, 01 Jan 2026 00:00:00 GMT"), 2),
        (busy(500), 2),
        (busy(502), 2),
    ],
)
def test_temporary_fault_costs_an_attempt_and_no_paper(served, fault, requests):
    served.faults["feed"] = [fault]

    (run,) = run_source.ingest_feed(NOW)

    assert (run.state, run.new) == ("done", 8)
    assert len(served.requests["feed"]) == requests


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (busy(503), "answered 503: try again later"),
        (busy(429), "answered 429: try again later"),
        (busy(503, after=3600), "asks for a pause of 3600 s"),
        (busy(404), "answered 404"),
        (CAPTCHA, "a web page, not XML (a captcha or an error?): fetch it again"),
        (cut, "cut or broken at line"),
        (in_latin, "cut or broken at line"),
        (BOMB, "not safe to read"),
        (EXTERNAL_ENTITY, "not safe to read"),
        (Response(b""), "cut or broken"),
    ],
)
def test_permanent_fault_fails_the_run_with_the_reason(served, fault, why):
    served.faults["feed"] = [fault] * ENOUGH

    (run,) = run_source.ingest_feed(NOW)

    run.refresh_from_db()
    assert run.state == "failed"
    assert why in run.error
    assert not Paper.objects.exists()


@pytest.mark.parametrize("fault", [busy(503, after=3600), busy(404), CAPTCHA, cut])
def test_unrecoverable_fault_is_not_retried(served, fault):
    served.faults["feed"] = [fault] * ENOUGH

    run_source.ingest_feed(NOW)

    assert len(served.requests["feed"]) == 1


def test_web_page_instead_of_json_is_named(served):
    served.faults["daily"] = [CAPTCHA]

    run = run_source.ingest_huggingface_day(DAY, NOW)

    assert run.error.startswith("a web page, not JSON (a captcha or an error?)")


def test_feed_with_a_future_date_is_refused(served):
    tomorrow, later = DAY + timedelta(days=1), DAY + timedelta(days=2)
    served.feed_day = later

    (refused,) = run_source.ingest_feed(NOW)
    served.feed_day = tomorrow  # its clock may be ahead a little
    (stored,) = run_source.ingest_feed(NOW)

    assert (refused.state, stored.new) == ("failed", 8)
    assert "is dated 2026-11-22, in the future: fetch it again" in refused.error


def test_list_with_a_future_paper_is_refused(served):
    document = recorded.DAY_2026.read_bytes()
    served.daily_lists[f"{DAY}"] = document.replace(
        b'DailyAt": "2026', b'DailyAt": "2199', 1
    )

    run = run_source.ingest_huggingface_day(DAY, NOW)

    assert "is dated 2199-11-20, in the future" in run.error
    assert not Paper.objects.exists()


def test_run_after_a_fault_is_complete(served):
    served.faults["feed"] = [cut]

    first, second = (run_source.ingest_feed(NOW)[0] for _ in range(2))

    assert (first.state, second.state, second.new) == ("failed", "done", 8)
    assert IngestRun.objects.count() == 2


def test_control_characters_are_dropped(served):
    served.faults["feed"] = [with_controls]

    (run,) = run_source.ingest_feed(NOW)

    assert run.new == 8
    assert Paper.objects.filter(title__startswith="Invented Paper").count() == 8


def test_retry_after_is_obeyed(served):
    served.faults["feed"] = [busy(503, after=1)]
    started_at = time.monotonic()

    run_source.ingest_feed(NOW)

    assert time.monotonic() - started_at >= 1


def test_retry_after_date_is_converted_to_seconds():
    soon = datetime.now(UTC) + timedelta(seconds=30)

    assert 28 <= http._parse_retry_after(format_datetime(soon, usegmt=True)) <= 30
    zoned = soon.astimezone(timezone(timedelta(hours=2)))
    assert 28 <= http._parse_retry_after(format_datetime(zoned)) <= 30
    assert http._parse_retry_after("7") == 7
    assert http._parse_retry_after("soon") is None
    assert http._parse_retry_after("") is None


def test_slow_body_is_given_up(served, monkeypatch):
    monkeypatch.setattr(http, "BODY_TIMEOUT_S", 0.2)

    def drip(_):  # five seconds of it, each time that we ask
        def slowly():
            for _ in range(100):
                time.sleep(0.05)
                yield b"<"

        return Response(slowly(), headers={"Connection": "close"})

    served.faults["feed"] = [drip] * ENOUGH
    started_at = time.monotonic()

    (run,) = run_source.ingest_feed(NOW)

    assert "was not complete after" in run.error
    assert time.monotonic() - started_at < 5 * http.MAX_ATTEMPTS


def test_endless_body_is_given_up(served, monkeypatch):
    monkeypatch.setattr(http, "MAX_BODY_BYTES", 1_000_000)
    served.faults["feed"] = [Response(b" " * 2_000_000)]

    (run,) = run_source.ingest_feed(NOW)

    assert "sent more than 1 MB" in run.error


def test_duplicates_and_versions_in_a_feed_are_one_paper(served):
    served.announced = [
        *(paper(1, DAY, kind="cross"), paper(1, DAY)),
        *(paper(2, DAY, version=3), paper(2, DAY)),
    ]

    (run,) = run_source.ingest_feed(NOW)

    assert run.new == 2
    assert set(Paper.objects.values_list("announce_type", "version")) == {
        ("new", 1),
        ("new", 3),
    }


def test_failing_source_does_not_stop_the_other(served):
    served.faults["feed"] = [CAPTCHA]
    served.daily_lists[f"{DAY}"] = recorded.DAY_2026.read_bytes()

    runs = run_source.ingest_all_sources(NOW)

    states = [(run.source, run.state) for run in runs]
    assert states[0] == ("arxiv", "failed")
    assert states.count(("huggingface", "done")) == run_source.HUGGINGFACE_DAYS


def test_user_agent_has_a_contact_address(served, settings):
    settings.MAIL_FROM = "Paper Round <round@papers.example>"

    run_source.ingest_feed(NOW)

    name = served.requests["feed"][0].headers["User-Agent"]
    assert "mailto:round@papers.example" in name
    assert settings.SITE_URL in name


def test_votes_are_sampled_for_two_weeks(sources, db):
    document = recorded.DAY_2026.read_bytes()
    sources.daily_lists[f"{DAY}"] = document
    run_source.ingest_attention(NOW)
    votes = re.compile(rb'"upvotes": ?(\d+)')
    sources.daily_lists[f"{DAY}"] = votes.sub(
        lambda listings: b'"upvotes": %d' % (int(listings[1]) + 20), document
    )

    run_source.ingest_attention(NOW + timedelta(days=13))

    counted = (
        Paper.objects.filter(votes__gt=0)
        .first()
        .attention_samples.filter(kind="upvotes")
    )
    first, second = counted.order_by("at").values_list("value", flat=True)
    assert second == first + 20


def test_ai_summary_and_keywords_are_stored(sources, db):
    sources.daily_lists[f"{DAY}"] = recorded.DAY_2026.read_bytes()

    run_source.ingest_huggingface_day(DAY, NOW)

    listings = Paper.objects.exclude(ai_summary="").get()
    assert (listings.ai_summary, listings.ai_keywords) == ("Invented.", ["transport"])


# Whatever becomes of a document: papers as they are, or the documented refusal.


READERS = {
    recorded.ATOM: lambda document: arxiv_feed.parse(document).listings,
    recorded.RSS: lambda document: arxiv_feed.parse(document).listings,
    recorded.DAY_2026: lambda document: huggingface.parse(document).listings,
    recorded.DAY_2025: lambda document: huggingface.parse(document).listings,
    recorded.OAI_RAW: lambda document: arxiv_oai.parse(document).listings,
    recorded.OAI_ARXIV: lambda document: arxiv_oai.parse(document).listings,
    recorded.OAI_DC: lambda document: arxiv_oai.parse(document).listings,
    recorded.PAPERS: lambda document: arxiv_api.parse(document).listings,
}
BITS = st.one_of(
    st.binary(max_size=6),
    st.sampled_from(
        [
            *(b"<", b">", b"&", b"\x00", b'"', b"</entry>", b"<!DOCTYPE a>", b"]]>"),
            *(b"&#x0;", b"\xff\xfe", b"null", b"[]", b"{}", b"-1", b"1e999", b"v9999"),
            *(b"NaN", b"\xc3", b"9" * 30, b"2026-02-30", b"0001-01-01T00:00:00+14:00"),
            *(b"Mon, 01 Jan 0001 00:00:00 +1400", b"9999-12-31", b"0001-01-01"),
        ]
    ),
)


def mutated(document, changes):
    """Bytes put in anywhere, or instead of a word, a number, a date."""
    for place, length, put in changes:
        words = [
            listings.span() for listings in re.finditer(rb"[\w.:+-]{4,}", document)
        ]
        if length is None and words:
            at, end = words[place % len(words)]
        else:
            at = place % (len(document) + 1)
            end = at + (length or 0)
        document = document[:at] + put + document[end:]
    return document


CHANGES = st.lists(
    st.tuples(st.integers(0, 50_000), st.sampled_from([None, None, 0, 1, 7, 40]), BITS),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize("path", READERS, ids=lambda path: path.name)
@settings(
    max_examples=int(os.environ.get("MUTATIONS", 150)),
    suppress_health_check=[HealthCheck.too_slow],
)
@given(changes=CHANGES)
@example(changes=[(0, 50_000, b"")])
def test_mutated_document_gives_papers_or_a_source_error(path, changes):
    assert_papers_or_refused(READERS[path], mutated(path.read_bytes(), changes))


def assert_papers_or_refused(read, document):
    try:
        listings = read(document)
    except SourceError as why:
        listings, reason = [], str(why)
    else:
        reason = "complete: no reason"
    assert ": " in reason
    for listing in listings:
        assert isinstance(listing, Listing)
        assert parse_arxiv_id(listing.identifier) == (listing.identifier, 1)
        assert listing.title_raw


@needs_data
@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("oai/sample_arxiv_response_listrecords_cs.xml", READERS[recorded.OAI_RAW]),
        ("oai/hepcrawl/arxiv-physics-hep-th.xml", READERS[recorded.OAI_RAW]),
        ("oai/arxivraw_1810.09584_getrecord.xml", READERS[recorded.OAI_RAW]),
        ("rss_atom/DERIVED_rss.arxiv.org_atom_cs.AI_2025-08-20_closed.xml", READERS[recorded.ATOM]),
        (
            "arxiv_api/id_1707.08567_s0_m100_6a1afebfc6a3.http200.xml",
            READERS[recorded.PAPERS],
        ),
    ],
)  # fmt: skip
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(changes=CHANGES)
def test_mutated_recorded_document_gives_papers_or_a_source_error(name, read, changes):
    document = (DATA / "feeds" / name).read_bytes()

    assert_papers_or_refused(read, mutated(document, changes))
