"""arXiv's query API: single papers, in pages that may be empty."""

import re
from datetime import UTC, date, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

from digest.ingest.sources import arxiv_api, http
from digest.ingest.sources.listing import SourceError
from tests.conftest import DATA, needs_data
from tests.ingest.recorded import ATOM, PAPERS, QUERY

EMPTY = re.sub(rb"<entry>.+</entry>", b"", PAPERS.read_bytes(), flags=re.DOTALL)

TITLELESS = re.sub(rb"<title>[^<]*</title>", b"<title> </title>", PAPERS.read_bytes())


def test_parse_puts_the_primary_category_first():
    page = arxiv_api.parse(PAPERS.read_bytes())

    first, second = page.listings
    assert (page.total, first.identifier, first.version) == (2, "2611.95201", 3)
    assert (first.primary, first.categories) == ("math.GT", ("math.GT", "cs.LG"))
    assert first.authors == ("Orla Quist", "Wu Zhen")
    assert first.published_at == datetime(2026, 11, 17, 8, 18, 33, tzinfo=UTC)
    assert first.announced_on == date(2026, 11, 18)
    assert first.code_url == "https://github.com/invented-lab-95201/umbrellas"
    assert (second.identifier, second.version) == ("hep-ex/0601952", 1)


def test_parse_refuses_an_error_entry():
    with pytest.raises(SourceError, match=r"incorrect id format for invented\): check"):
        arxiv_api.parse(QUERY.read_bytes())


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (ATOM.read_bytes(), "not an answer of arXiv's query API"),
        (PAPERS.read_bytes()[:-200], "cut or broken"),
        (TITLELESS, "no title or text"),
        (re.sub(rb"(</?)feed", rb"\1food", PAPERS.read_bytes()), "not an answer of"),
        (PAPERS.read_bytes().replace(b"totalResults>2", b"totalResults>two"), "not an"),
    ],
)
def test_parse_refuses_a_broken_or_foreign_answer(document, why):
    with pytest.raises(SourceError, match=why):
        arxiv_api.parse(document)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ((b"abs/2611.95201v3", b"abs/x"), "identifier"),
        ((b"It leaks.", b""), "no title or text"),
        ((b"2026-11-17T08", b"someday"), "not a date"),
    ],
)
def test_parse_refuses_an_odd_record_by_itself(change, reason):
    page = arxiv_api.parse(PAPERS.read_bytes().replace(*change))

    assert len(page.listings) == 1
    assert reason in page.refused[0].reason


def test_parse_reads_a_withdrawal_in_the_comment():
    comment = b"<arxiv:comment xmlns:arxiv='http://arxiv.org/schemas/atom'>9 pages. Withdrawn by the authors</arxiv:comment>"
    document = PAPERS.read_bytes().replace(b"</title>", b"</title>" + comment, 2)

    assert arxiv_api.parse(document).listings[0].is_withdrawn


def test_parse_bounds_the_total():
    document = PAPERS.read_bytes().replace(
        b"totalResults>2<", b"totalResults>" + b"9" * 5000 + b"<"
    )

    assert arxiv_api.parse(document).total == 999_999_999


def test_parse_skips_empty_names_and_categories():
    document = (
        PAPERS.read_bytes()
        .replace(b"<name>Orla Quist</name>", b"<name> </name>")
        .replace(b'term="cs.LG"', b'term=" "')
    )

    first = arxiv_api.parse(document).listings[0]

    assert (first.authors, first.categories) == (("Wu Zhen",), ("math.GT",))


def requested_starts(httpserver):
    return [
        parse_qs(urlsplit(request.url).query)["start"][0]
        for request, _ in httpserver.log
    ]


def serve(httpserver, answers):
    remaining = iter(answers)
    httpserver.expect_request("/api").respond_with_handler(
        lambda request: Response(next(remaining))
    )


def look_up(httpserver, identifiers):
    with http.open_client() as client:
        return arxiv_api.look_up(client, identifiers, httpserver.url_for("/api"))


BOTH = ["2611.95201", "hep-ex/0601952"]
FIRST, SECOND = (
    re.sub(
        rb"<entry>((?!</entry>).)+%s.+?</entry>" % other,
        b"",
        PAPERS.read_bytes(),
        flags=re.DOTALL,
    )
    for other in (b"hep-ex/0601952", b"2611.95201")
)


def test_look_up_requests_an_empty_page_again(httpserver: HTTPServer):
    serve(httpserver, [EMPTY, EMPTY, PAPERS.read_bytes()])

    result = look_up(httpserver, BOTH)

    assert [listing.identifier for listing in result.listings] == BOTH
    assert requested_starts(httpserver) == ["0", "0", "0"]


def test_look_up_continues_after_an_empty_page_in_mid_result(httpserver: HTTPServer):
    serve(httpserver, [FIRST, EMPTY, EMPTY, SECOND])

    result = look_up(httpserver, [*BOTH, "2611.99999"])

    assert [listing.identifier for listing in result.listings] == BOTH
    assert result.unknown == {"2611.99999"}
    assert requested_starts(httpserver) == ["0", "1", "1", "1"]


def test_look_up_ends_at_a_page_that_stays_empty_and_marks_nothing_unknown(
    httpserver: HTTPServer,
):
    serve(httpserver, [FIRST, *[EMPTY] * arxiv_api.MAX_EMPTY_ATTEMPTS])

    result = look_up(httpserver, BOTH)

    assert [listing.identifier for listing in result.listings] == BOTH[:1]
    assert result.unknown == set()


def test_look_up_ends_when_unrequested_papers_fill_the_pages(httpserver: HTTPServer):
    many = PAPERS.read_bytes().replace(b"totalResults>2<", b"totalResults>9999<")
    serve(httpserver, [many, many])

    result = look_up(httpserver, [*BOTH, "2611.99999"])

    assert len(result.listings) == 4
    assert result.unknown == set()


def test_look_up_requests_an_unknown_paper_once(httpserver: HTTPServer):
    serve(httpserver, [EMPTY.replace(b"totalResults>2<", b"totalResults>0<")])

    assert look_up(httpserver, ["2611.99999"]).unknown == {"2611.99999"}
    assert len(httpserver.log) == 1


@needs_data
def test_parse_reads_every_recorded_answer():
    seen = 0
    for path in sorted((DATA / "feeds" / "arxiv_api").iterdir()):
        document = path.read_bytes()
        if "http400" in path.name:
            with pytest.raises(SourceError, match="incorrect id format for abc"):
                arxiv_api.parse(document)
            continue
        page = arxiv_api.parse(document)
        assert len(page.listings) == document.count(b"<entry>")
        assert all(listing.primary and listing.authors for listing in page.listings)
        seen += len(page.listings)
    assert seen == 6 + 100 + 10 * 7 + 15 * 3


def test_look_up_names_unknown_papers(httpserver: HTTPServer):
    serve(httpserver, [EMPTY, PAPERS.read_bytes()])

    result = look_up(httpserver, ["2611.95201", "hep-ex/0601952", "2611.99999"])

    assert [listing.identifier for listing in result.listings] == [
        "2611.95201",
        "hep-ex/0601952",
    ]
    assert result.unknown == {"2611.99999"}


def test_look_up_marks_an_odd_record_unknown_and_returns_the_others(
    httpserver: HTTPServer,
):
    serve(httpserver, [PAPERS.read_bytes().replace(b"It leaks.", b"")])

    result = look_up(httpserver, ["2611.95201", "hep-ex/0601952"])

    assert len(result.listings) == 1
    assert len(result.unknown) == 1


def test_look_up_marks_nothing_unknown_in_an_incomplete_answer(httpserver: HTTPServer):
    short = PAPERS.read_bytes().replace(b"totalResults>2<", b"totalResults>3<")
    serve(httpserver, [short, EMPTY, EMPTY, EMPTY])

    identifiers = ["2611.95201", "2611.00003"]
    assert look_up(httpserver, identifiers).unknown == set()
    assert look_up(httpserver, identifiers).unknown == set()


@pytest.mark.parametrize("document", [QUERY.read_bytes(), b"<html></html>", b"x"])
def test_look_up_raises_on_an_answer_without_papers(httpserver: HTTPServer, document):
    serve(httpserver, [document])

    with pytest.raises(SourceError):
        look_up(httpserver, ["2611.95201"])
