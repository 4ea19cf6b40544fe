"""arXiv's announcement feeds: read whole, or refused whole."""

import re
from datetime import date

import pytest

from digest.ingest.sources import arxiv_feed
from digest.ingest.sources.listing import SourceError
from digest.text.authors import split_authors
from tests.conftest import DATA, needs_data
from tests.ingest.recorded import ATOM, QUERY, RSS, WEEKEND

FEEDS = DATA / "feeds"


def test_an_atom_feed_tells_the_four_kinds_of_announcement_apart():
    listings = arxiv_feed.parse(ATOM.read_bytes()).listings

    assert [(one.identifier, one.version, one.announce_type) for one in listings] == [
        ("2611.95001", 1, "new"),
        ("2611.95002", 1, "cross"),
        ("2610.95003", 3, "replace"),
        ("hep-ex/0601950", 2, "replace-cross"),
    ]


def test_a_listing_keeps_what_the_feed_says_in_raw_words():
    first = arxiv_feed.parse(ATOM.read_bytes()).listings[0]

    assert first.title_raw.startswith(r"Bridges for Na\"ive Travellers")
    assert first.abstract_raw.startswith("Transport between measures")
    assert first.categories == ("cs.LG", "stat.ML")
    assert first.primary == "cs.LG"
    assert first.license == "http://creativecommons.org/licenses/by/4.0/"
    assert first.code_url == "https://github.com/invented-lab-95001/bridges"


def test_rss_and_atom_say_the_same_of_the_same_paper():
    atom, rss = (arxiv_feed.parse(path.read_bytes()).listings for path in (ATOM, RSS))

    assert rss == (atom[0], atom[2])


def test_the_day_is_the_day_in_us_eastern_time():
    midnight = b"2026-11-20T00:00:00-05:00"
    documents = {
        date(2026, 11, 20): ATOM.read_bytes(),
        date(2026, 11, 19): ATOM.read_bytes().replace(
            midnight, b"2026-11-20T04:59:00+00:00"
        ),
    }

    for day, document in documents.items():
        assert {one.announced_on for one in arxiv_feed.parse(document).listings} == {
            day
        }


def test_a_moment_without_a_zone_is_arxivs_own():
    bare = ATOM.read_bytes().replace(
        b"2026-11-20T00:00:00-05:00", b"2026-11-20T00:00:00"
    )

    assert {one.announced_on for one in arxiv_feed.parse(bare).listings} == {
        date(2026, 11, 20)
    }


def test_a_listing_without_categories_has_no_primary_one():
    bare = re.sub(rb"<category [^>]*>", b"", ATOM.read_bytes())

    assert {
        (one.categories, one.primary) for one in arxiv_feed.parse(bare).listings
    } == {((), "")}


def test_only_the_head_of_a_text_is_not_the_abstracts():
    head = b"arXiv:2611.95001v1 Announce Type: new \nAbstract: "
    twice = ATOM.read_bytes().replace(head, head + b"Once. " + head, 1)

    first = arxiv_feed.parse(twice).listings[0]

    assert first.abstract_raw.startswith(
        "Once. arXiv:2611.95001v1 Announce Type: new \nAbstract: Transport"
    )


def test_a_doi_is_kept():
    assert (
        arxiv_feed.parse(ATOM.read_bytes()).listings[1].doi == "10.99999/invented.95002"
    )


@pytest.mark.parametrize(
    ("joined", "names"),
    [
        ("Ana Roe, Bo Li", ["Ana Roe", "Bo Li"]),
        ("Sammy Roe, Jr., Bo Li", ["Sammy Roe, Jr.", "Bo Li"]),
        ("Ed Roe, III", ["Ed Roe, III"]),
        ("Ana Roe (Lab A, Town), Bo Li (1)", ["Ana Roe", "Bo Li"]),
        (
            "Ana Roe (1), Bo Li (2) ((1) Lab, Town, (2) Other Lab)",
            ["Ana Roe", "Bo Li"],
        ),
        ("ARGO Collaboration, A. Roe", ["ARGO Collaboration", "A. Roe"]),
        (
            "A. Roe, (for the ARGO Collaboration)",
            ["A. Roe", "(for the ARGO Collaboration)"],
        ),
        ("  Ana\n  Roe ,, ", ["Ana Roe"]),
        ("Jr., Ana Roe", ["Jr.", "Ana Roe"]),
        ("Ana Roe), Bo Li (1), Cy Doe", ["Ana Roe)", "Bo Li", "Cy Doe"]),
        ("Ana Roe (unclosed, Bo Li", ["Ana Roe"]),
        ("", []),
    ],
)
def test_joined_authors_are_told_apart(joined, names):
    assert split_authors(joined) == names


def test_thousands_of_authors_are_told_apart():
    names = [f"Author Number{n}" for n in range(3303)]

    assert split_authors(", ".join(names)) == names


def test_an_empty_feed_of_a_weekend_has_no_listings():
    assert arxiv_feed.parse(WEEKEND.read_bytes()).listings == ()


@pytest.mark.parametrize("path", [ATOM, RSS])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
def test_a_cut_feed_is_refused_whole(path, share):
    document = path.read_bytes()

    with pytest.raises(SourceError, match=r"cut or broken at line \d+: fetch it again"):
        arxiv_feed.parse(document[: int(len(document) * share) - 2])


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (QUERY.read_bytes(), "query API"),
        (
            b"<OAI-PMH xmlns='http://www.openarchives.org/OAI/2.0/'/>",
            "OAI-PMH answer",
        ),
        (b"<!DOCTYPE html><html><body>Are you human?</body></html>", "web page"),
        (b"<svg/>", "<svg> is not a feed"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "not safe to read"),
        (
            b"<!DOCTYPE rss SYSTEM 'http://example.org/rss.dtd'><rss/>",
            "not safe to read",
        ),
        (b"<?xml version='1.0' encoding='klingon'?><rss/>", "not safe|cut or broken"),
        (b"<rss><channel><link>https://example.org/</link></channel></rss>", "empty"),
        (
            RSS.read_bytes().replace(b"arxiv:announce_type", b"arxiv:kind"),
            "no arXiv announce type",
        ),
        (
            RSS.read_bytes().replace(b">oai:arXiv.org:", b">https://arxiv.org/abs/"),
            "no arXiv announce type",
        ),
        (
            ATOM.read_bytes().replace(b">replace-cross<", b">withdrawn<"),
            "no arXiv announce type",
        ),
        (ATOM.read_bytes().replace(b"hep-ex/0601950v2</id>", b"x</id>"), "identifier"),
        (
            ATOM.read_bytes().replace(
                b"<title>An Old Measurement Revisited", b"<title>"
            ),
            "no title or text",
        ),
        (
            re.sub(
                rb"(?s)<summary[^>]*>.*?</summary>", b"<summary/>", ATOM.read_bytes()
            ),
            "no title or text",
        ),
        (
            ATOM.read_bytes().replace(b"<published>2026-11-20T00:00", b"<published>x"),
            "not a date",
        ),
    ],
)
def test_a_foreign_document_is_refused_with_a_reason_and_a_remedy(document, why):
    with pytest.raises(SourceError, match=why) as refusal:
        arxiv_feed.parse(document)

    assert ": " in str(refusal.value)


@needs_data
def test_the_recorded_atom_feed_has_41_new_and_45_cross_listed():
    path = FEEDS / "rss_atom/DERIVED_rss.arxiv.org_atom_cs.AI_2025-08-20_closed.xml"

    listings = arxiv_feed.parse(path.read_bytes()).listings

    kinds = [one.announce_type for one in listings]
    assert (len(kinds), kinds.count("new"), kinds.count("cross")) == (86, 41, 45)
    assert {one.announced_on for one in listings} == {date(2025, 8, 20)}
    assert all(one.authors and one.abstract_raw for one in listings)
    assert not any("Announce Type" in one.abstract_raw for one in listings)


@needs_data
def test_the_recorded_rss_of_four_categories_is_read():
    path = next((FEEDS / "rss_atom").glob("*trimmed4.xml"))

    listings = arxiv_feed.parse(path.read_bytes()).listings

    assert [one.announce_type for one in listings].count("replace") == 1
    assert {one.version for one in listings} == {1, 2, 3}
    assert {one.announced_on for one in listings} == {date(2026, 9, 24)}


@needs_data
@pytest.mark.parametrize(
    "pattern",
    [
        "rss_atom/*.txt",
        "rss_atom/third_party*",
        "arxiv_api/*.xml",
        "errors/*",
        "oai/*.xml",
        "oai/sickle_generic/*.xml",
    ],
)
def test_recorded_documents_of_other_kinds_are_refused(pattern):
    paths = list(FEEDS.glob(pattern))

    assert paths
    for path in paths:
        with pytest.raises(SourceError):
            arxiv_feed.parse(path.read_bytes())
