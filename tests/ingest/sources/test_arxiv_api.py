"""arXiv's query API: single papers, in pages that may come back empty."""

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


def test_a_paper_is_read_with_its_primary_category_first():
    page = arxiv_api.parse(PAPERS.read_bytes())

    first, second = page.listings
    assert (page.total, first.identifier, first.version) == (2, "2611.95201", 3)
    assert (first.primary, first.categories) == ("math.GT", ("math.GT", "cs.LG"))
    assert first.authors == ("Orla Quist", "Wu Zhen")
    assert first.published_at == datetime(2026, 11, 17, 8, 18, 33, tzinfo=UTC)
    assert first.announced_on == date(2026, 11, 18)
    assert first.code_url == "https://github.com/invented-lab-95201/umbrellas"
    assert (second.identifier, second.version) == ("hep-ex/0601952", 1)


def test_an_error_that_looks_like_a_paper_is_refused():
    with pytest.raises(SourceError, match=r"incorrect id format for invented\): check"):
        arxiv_api.parse(QUERY.read_bytes())


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (ATOM.read_bytes(), "not an answer of arXiv's query API"),
        (PAPERS.read_bytes()[:-200], "cut or broken"),
        (PAPERS.read_bytes().replace(b"abs/2611.95201v3", b"abs/x"), "identifier"),
        (PAPERS.read_bytes().replace(b"It leaks.", b""), "no title or text"),
        (TITLELESS, "no title or text"),
        (re.sub(rb"(</?)feed", rb"\1food", PAPERS.read_bytes()), "not an answer of"),
        (PAPERS.read_bytes().replace(b"totalResults>2", b"totalResults>two"), "not an"),
        (PAPERS.read_bytes().replace(b"2026-11-17T08", b"someday"), "not a date"),
    ],
)
def test_an_answer_that_is_not_whole_is_refused(document, why):
    with pytest.raises(SourceError, match=why):
        arxiv_api.parse(document)


def test_a_number_of_results_beyond_all_papers_is_cut_short():
    document = PAPERS.read_bytes().replace(
        b"totalResults>2<", b"totalResults>" + b"9" * 5000 + b"<"
    )

    assert arxiv_api.parse(document).total == 999_999_999


def test_names_and_categories_that_are_empty_are_left_out():
    document = (
        PAPERS.read_bytes()
        .replace(b"<name>Orla Quist</name>", b"<name> </name>")
        .replace(b'term="cs.LG"', b'term=" "')
    )

    first = arxiv_api.parse(document).listings[0]

    assert (first.authors, first.categories) == (("Wu Zhen",), ("math.GT",))


def asked(httpserver):
    return [
        parse_qs(urlsplit(request.url).query)["start"][0]
        for request, _ in httpserver.log
    ]


def serve(httpserver, answers):
    left = iter(answers)
    httpserver.expect_request("/api").respond_with_handler(
        lambda request: Response(next(left))
    )


def ask(httpserver, identifiers):
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


def test_a_page_that_comes_back_empty_is_asked_for_again(httpserver: HTTPServer):
    serve(httpserver, [EMPTY, EMPTY, PAPERS.read_bytes()])

    told = ask(httpserver, BOTH)

    assert [one.identifier for one in told.listings] == BOTH
    assert asked(httpserver) == ["0", "0", "0"]


def test_an_empty_page_in_mid_result_does_not_end_it(httpserver: HTTPServer):
    serve(httpserver, [FIRST, EMPTY, EMPTY, SECOND])

    told = ask(httpserver, [*BOTH, "2611.99999"])

    assert [one.identifier for one in told.listings] == BOTH
    assert told.unknown == {"2611.99999"}
    assert asked(httpserver) == ["0", "1", "1", "1"]


def test_a_page_that_stays_empty_ends_it_and_makes_nothing_unknown(
    httpserver: HTTPServer,
):
    serve(httpserver, [FIRST, *[EMPTY] * arxiv_api.MAX_EMPTY_ATTEMPTS])

    told = ask(httpserver, BOTH)

    assert [one.identifier for one in told.listings] == BOTH[:1]
    assert told.unknown == set()


def test_pages_of_papers_that_nobody_asked_for_come_to_an_end(httpserver: HTTPServer):
    many = PAPERS.read_bytes().replace(b"totalResults>2<", b"totalResults>9999<")
    serve(httpserver, [many, many])

    told = ask(httpserver, [*BOTH, "2611.99999"])

    assert len(told.listings) == 4
    assert told.unknown == set()


def test_an_unknown_paper_is_asked_for_once(httpserver: HTTPServer):
    serve(httpserver, [EMPTY.replace(b"totalResults>2<", b"totalResults>0<")])

    assert ask(httpserver, ["2611.99999"]).unknown == {"2611.99999"}
    assert len(httpserver.log) == 1


@needs_data
def test_every_recorded_answer_gives_its_papers_or_says_why_not():
    seen = 0
    for path in sorted((DATA / "feeds" / "arxiv_api").iterdir()):
        document = path.read_bytes()
        if "http400" in path.name:
            with pytest.raises(SourceError, match="incorrect id format for abc"):
                arxiv_api.parse(document)
            continue
        page = arxiv_api.parse(document)
        assert len(page.listings) == document.count(b"<entry>")
        assert all(one.primary and one.authors for one in page.listings)
        seen += len(page.listings)
    assert seen == 6 + 100 + 10 * 7 + 15 * 3


def test_papers_asked_for_by_name_are_told_and_the_others_named(httpserver: HTTPServer):
    serve(httpserver, [EMPTY, PAPERS.read_bytes()])

    told = ask(httpserver, ["2611.95201", "hep-ex/0601952", "2611.99999"])

    assert [one.identifier for one in told.listings] == ["2611.95201", "hep-ex/0601952"]
    assert told.unknown == {"2611.99999"}


def test_a_record_that_cannot_be_read_does_not_keep_back_the_others(
    httpserver: HTTPServer,
):
    serve(httpserver, [PAPERS.read_bytes().replace(b"It leaks.", b"")])

    told = ask(httpserver, ["2611.95201", "hep-ex/0601952"])

    assert len(told.listings) == 1
    assert len(told.unknown) == 1


def test_nothing_is_unknown_where_less_came_than_arxiv_knows(httpserver: HTTPServer):
    short = PAPERS.read_bytes().replace(b"totalResults>2<", b"totalResults>3<")
    serve(httpserver, [short, EMPTY, EMPTY, EMPTY])

    asked_for = ["2611.95201", "2611.00003"]
    assert ask(httpserver, asked_for).unknown == set()
    assert ask(httpserver, asked_for).unknown == set()


@pytest.mark.parametrize("document", [QUERY.read_bytes(), b"<html></html>", b"x"])
def test_an_answer_that_is_none_makes_nothing_unknown(httpserver: HTTPServer, document):
    serve(httpserver, [document])

    with pytest.raises(SourceError):
        ask(httpserver, ["2611.95201"])
