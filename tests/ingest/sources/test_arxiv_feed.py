"""arXiv's announcement feeds, Atom and RSS."""

import re
from datetime import date

import pytest

from digest.ingest.sources import arxiv_feed
from digest.ingest.sources.listing import SourceError
from tests.conftest import DATA, needs_data
from tests.ingest.recorded import ATOM, QUERY, RSS, WEEKEND

FEEDS = DATA / "feeds"


def test_parse_reads_the_four_announce_types():
    listings = arxiv_feed.parse(ATOM.read_bytes()).listings

    assert [
        (listing.identifier, listing.version, listing.announce_type)
        for listing in listings
    ] == [
        ("2611.95001", 1, "new"),
        ("2611.95002", 1, "cross"),
        ("2610.95003", 3, "replace"),
        ("hep-ex/0601950", 2, "replace-cross"),
    ]


def test_parse_keeps_the_raw_words_of_the_feed():
    first = arxiv_feed.parse(ATOM.read_bytes()).listings[0]

    assert first.title_raw.startswith(r"Bridges for Na\"ive Travellers")
    assert first.abstract_raw.startswith("Transport between measures")
    assert first.categories == ("cs.LG", "stat.ML")
    assert first.primary == "cs.LG"
    assert first.license == "http://creativecommons.org/licenses/by/4.0/"
    assert first.code_url == "https://github.com/invented-lab-95001/bridges"


def test_rss_and_atom_give_the_same_listings():
    atom, rss = (arxiv_feed.parse(path.read_bytes()).listings for path in (ATOM, RSS))

    assert rss == (atom[0], atom[2])


def test_announced_on_is_the_day_in_us_eastern_time():
    midnight = b"2026-11-20T00:00:00-05:00"
    documents = {
        date(2026, 11, 20): ATOM.read_bytes(),
        date(2026, 11, 19): ATOM.read_bytes().replace(
            midnight, b"2026-11-20T04:59:00+00:00"
        ),
    }

    for day, document in documents.items():
        assert {
            listing.announced_on for listing in arxiv_feed.parse(document).listings
        } == {day}


def test_moment_without_a_zone_is_us_eastern_time():
    bare = ATOM.read_bytes().replace(
        b"2026-11-20T00:00:00-05:00", b"2026-11-20T00:00:00"
    )

    assert {listing.announced_on for listing in arxiv_feed.parse(bare).listings} == {
        date(2026, 11, 20)
    }


def test_listing_without_categories_has_no_primary_category():
    bare = re.sub(rb"<category [^>]*>", b"", ATOM.read_bytes())

    assert {
        (listing.categories, listing.primary)
        for listing in arxiv_feed.parse(bare).listings
    } == {((), "")}


def test_parse_removes_the_announcement_head_once():
    head = b"arXiv:2611.95001v1 Announce Type: new \nAbstract: "
    twice = ATOM.read_bytes().replace(head, head + b"Once. " + head, 1)

    first = arxiv_feed.parse(twice).listings[0]

    assert first.abstract_raw.startswith(
        "Once. arXiv:2611.95001v1 Announce Type: new \nAbstract: Transport"
    )


def test_parse_reads_the_doi():
    assert (
        arxiv_feed.parse(ATOM.read_bytes()).listings[1].doi == "10.99999/invented.95002"
    )


def test_empty_feed_of_a_weekend_has_no_listings():
    assert arxiv_feed.parse(WEEKEND.read_bytes()).listings == ()


@pytest.mark.parametrize("path", [ATOM, RSS])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
def test_parse_refuses_a_cut_feed(path, share):
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
            re.sub(
                rb"(?s)<summary[^>]*>.*?</summary>", b"<summary/>", ATOM.read_bytes()
            ),
            "no title or text",
        ),
        (
            ATOM.read_bytes().replace(b"<published>2026-11-20T00:00", b"<published>x"),
            "4 of 4 records refused, the first: .+ is not a date",
        ),
    ],
)
def test_parse_refuses_a_foreign_document_with_a_reason_and_a_remedy(document, why):
    with pytest.raises(SourceError, match=why) as refusal:
        arxiv_feed.parse(document)

    assert ": " in str(refusal.value)


@pytest.mark.parametrize(
    ("change", "identifier", "reason"),
    [
        (
            (b">replace-cross<", b">withdrawn<"),
            "oai:arXiv.org:hep-ex/0601950v2",
            "no arXiv announce type",
        ),
        ((b"hep-ex/0601950v2</id>", b"x</id>"), "oai:arXiv.org:x", "identifier"),
        (
            (b"<title>An Old Measurement Revisited", b"<title>"),
            "oai:arXiv.org:hep-ex/0601950v2",
            "no title or text",
        ),
    ],
)
def test_parse_refuses_an_odd_entry_by_itself(change, identifier, reason):
    feed = arxiv_feed.parse(ATOM.read_bytes().replace(*change))

    assert len(feed.listings) == 3
    assert [record.identifier for record in feed.refused] == [identifier]
    assert reason in feed.refused[0].reason


def test_parse_reads_a_withdrawal_in_the_abstract():
    document = ATOM.read_bytes().replace(
        b"Transport between measures", b"This paper has been withdrawn. Transport"
    )

    listings = arxiv_feed.parse(document).listings

    assert [listing.is_withdrawn for listing in listings] == [True, False, False, False]


@pytest.mark.parametrize(("size", "is_complete"), [(1999, True), (2000, False)])
def test_a_feed_at_the_cap_is_not_complete(size, is_complete):
    entry = re.search(rb"(?s)<entry>.*?</entry>", ATOM.read_bytes())[0]
    document = re.sub(
        rb"(?s)<entry>.*</entry>", lambda _: entry * size, ATOM.read_bytes()
    )

    assert arxiv_feed.parse(document).is_complete is is_complete


@needs_data
def test_parse_reads_the_recorded_atom_feed():
    path = FEEDS / "rss_atom/DERIVED_rss.arxiv.org_atom_cs.AI_2025-08-20_closed.xml"

    listings = arxiv_feed.parse(path.read_bytes()).listings

    kinds = [listing.announce_type for listing in listings]
    assert (len(kinds), kinds.count("new"), kinds.count("cross")) == (86, 41, 45)
    assert {listing.announced_on for listing in listings} == {date(2025, 8, 20)}
    assert all(listing.authors and listing.abstract_raw for listing in listings)
    assert not any("Announce Type" in listing.abstract_raw for listing in listings)


@needs_data
def test_parse_reads_the_recorded_rss_of_four_categories():
    path = next((FEEDS / "rss_atom").glob("*trimmed4.xml"))

    listings = arxiv_feed.parse(path.read_bytes()).listings

    assert [listing.announce_type for listing in listings].count("replace") == 1
    assert {listing.version for listing in listings} == {1, 2, 3}
    assert {listing.announced_on for listing in listings} == {date(2026, 9, 24)}


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
def test_parse_refuses_recorded_documents_of_other_kinds(pattern):
    paths = list(FEEDS.glob(pattern))

    assert paths
    for path in paths:
        with pytest.raises(SourceError):
            arxiv_feed.parse(path.read_bytes())
