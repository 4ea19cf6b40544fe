"""arXiv's OAI-PMH: pages in three formats and two dialects, and its errors."""

import gzip
import re
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from digest.ingest.sources import arxiv_oai
from digest.ingest.sources.listing import SourceError
from tests.conftest import DATA, needs_data
from tests.ingest.recorded import OAI_ARXIV, OAI_DC, OAI_RAW

OAI = DATA / "feeds" / "oai"


def error(code, message=""):
    return (
        b'<?xml version="1.0"?><OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/">'
        b"<responseDate>2026-11-20T05:00:00Z</responseDate>"
        b"<request>https://oaipmh.arxiv.org/oai</request>"
        b'<error code="%s">%s</error></OAI-PMH>' % (code.encode(), message.encode())
    )


def test_raw_record_has_every_version():
    page = arxiv_oai.parse(OAI_RAW.read_bytes())

    first, second = page.listings
    assert (page.token, page.total) == ("600001|1001", 1003)
    assert (first.identifier, first.version, first.primary) == (
        "2611.95101",
        2,
        "cs.LG",
    )
    assert first.published_at == datetime(2026, 11, 18, 20, 15, 7, tzinfo=UTC)
    assert first.announced_on == date(2026, 11, 20)  # after 14:00 Eastern on Wednesday
    assert first.authors == ("Orla Quist", "Wu Zhen", "ARGONAUT Collaboration")
    assert first.code_url == "https://github.com/invented-lab-95101/floods"
    assert (second.identifier, second.version) == ("hep-ex/0601951", 1)


def test_parse_reads_deletions_and_withdrawals():
    page = arxiv_oai.parse(OAI_RAW.read_bytes())

    assert page.deleted == ("2611.95199",)
    assert [listing.is_withdrawn for listing in page.listings] == [False, True]


def test_newer_dialect_separates_authors_and_ends_without_a_token():
    page = arxiv_oai.parse(OAI_ARXIV.read_bytes())

    (listing,) = page.listings
    assert (page.token, page.total) == ("", None)
    assert listing.authors == ("Chiara van Oever Jr.", "ARGONAUT Collaboration")
    assert listing.abstract_raw.startswith("Quist's lemma")
    assert listing.categories == ("stat.ML", "cs.LG")
    assert (listing.version, listing.announced_on) == (1, date(2026, 11, 20))


def test_page_without_namespaces_gives_the_same_listings():
    document = OAI_ARXIV.read_bytes()
    bare = document.replace(b' xmlns="http://arxiv.org/OAI/arXiv/"', b"").replace(
        b'xmlns="http://www.openarchives.org/OAI/2.0/"', b""
    )

    assert arxiv_oai.parse(bare) == arxiv_oai.parse(document)


def test_dublin_core_turns_names_and_prefers_the_abstract_to_the_comment():
    (listing,) = arxiv_oai.parse(OAI_DC.read_bytes()).listings

    assert listing.authors == ("Orla Quist", "ARGONAUT Collaboration")
    assert listing.abstract_raw.startswith("We count floods")
    assert (listing.version, listing.categories) == (2, ())
    assert listing.published_at.date() == date(2026, 11, 17)


def test_no_records_match_is_an_empty_page():
    assert arxiv_oai.parse(error("noRecordsMatch")) == arxiv_oai.Page(total=0)


@pytest.mark.parametrize(
    ("code", "remedy"), [*arxiv_oai._REMEDIES.items(), ("invented", "try again later")]
)
def test_every_protocol_error_has_a_remedy(code, remedy):
    with pytest.raises(SourceError, match=rf"{code} \(the message\): {remedy}"):
        arxiv_oai.parse(error(code, "the\n message"))


def test_expired_token_is_distinguished_from_other_errors():
    with pytest.raises(arxiv_oai.TokenExpired):
        arxiv_oai.parse(error("badResumptionToken"))
    with pytest.raises(SourceError) as refusal:
        arxiv_oai.parse(error("badArgument"))
    assert not isinstance(refusal.value, arxiv_oai.TokenExpired)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ((b"<datestamp>2026-11-20", b"<datestamp>soon"), "not a datestamp"),
        ((b"<title>Counting", b"<title></title><was>"), "cut or broken"),
        ((b"arXivRaw", b"marc21"), "no known format"),
        ((b"ListRecords", b"ListIdentifiers"), "without records"),
        ((b"OAI-PMH", b"OAI"), "not an OAI-PMH answer"),
    ],
)
def test_parse_refuses_a_broken_or_foreign_page(change, why):
    with pytest.raises(SourceError, match=why):
        arxiv_oai.parse(OAI_RAW.read_bytes().replace(*change))


def change_element(document, name, value):
    """The document with the text of the first element of this name changed."""
    pattern = rb"(?s)(<%s>).*?(</%s>)" % (name, name)
    return re.sub(pattern, lambda m: m[1] + value + m[2], document, count=1)


@pytest.mark.parametrize(
    ("document", "identifier", "reason"),
    [
        (
            OAI_RAW.read_bytes().replace(
                b"oai:arXiv.org:2611.95101", b"oai:other.org:1"
            ),
            "oai:other.org:1",
            "is not arXiv's",
        ),
        (
            OAI_RAW.read_bytes().replace(
                b"oai:arXiv.org:2611.95101", b"oai:arXiv.org:x"
            ),
            "oai:arXiv.org:x",
            "identifier",
        ),
        (
            OAI_RAW.read_bytes().replace(b"Wed, 18 Nov 2026", b"Someday"),
            "oai:arXiv.org:2611.95101",
            "not a date",
        ),
        (
            change_element(OAI_RAW.read_bytes(), b"title", b" "),
            "oai:arXiv.org:2611.95101",
            "2611.95101 has no title or text",
        ),
        (
            change_element(OAI_RAW.read_bytes(), b"abstract", b""),
            "oai:arXiv.org:2611.95101",
            "2611.95101 has no title or text",
        ),
    ],
)
def test_parse_refuses_an_odd_record_by_itself(document, identifier, reason):
    page = arxiv_oai.parse(document)

    assert [listing.identifier for listing in page.listings] == ["hep-ex/0601951"]
    assert page.deleted == ("2611.95199",)
    assert [record.identifier for record in page.refused] == [identifier]
    assert reason in page.refused[0].reason


@pytest.mark.parametrize("size", ["", "many", "-1", "1.5", "9" * 10, "\u0663"])
def test_total_that_no_column_can_hold_is_none(size):
    document = OAI_RAW.read_bytes().replace(b"'1003'", f"'{size}'".encode())

    page = arxiv_oai.parse(document)

    assert (page.token, page.total) == ("600001|1001", None)


def test_total_and_token_are_optional():
    document = OAI_RAW.read_bytes()
    sizeless = document.replace(b" completeListSize='1003'", b"")
    last = re.sub(rb"<resumptionToken.+?</resumptionToken>", b"", document)

    assert arxiv_oai.parse(sizeless) == replace(arxiv_oai.parse(document), total=None)
    assert arxiv_oai.parse(last) == replace(
        arxiv_oai.parse(document), total=None, token=""
    )


def test_raw_record_without_versions_is_announced_on_its_datestamp():
    document = re.sub(rb"<version .+?</version>", b"", OAI_RAW.read_bytes())

    first = arxiv_oai.parse(document).listings[0]

    assert (first.version, first.published_at) == (1, None)
    assert first.announced_on == date(2026, 11, 20)


def test_record_without_a_created_date_is_announced_on_its_datestamp():
    document = OAI_ARXIV.read_bytes().replace(b"<created>2026-11-18</created>", b"")

    (listing,) = arxiv_oai.parse(document).listings

    assert (listing.published_at, listing.announced_on) == (None, date(2026, 11, 20))


def test_dublin_record_without_dates_is_announced_on_its_datestamp():
    document = re.sub(rb"<dc:date>.+?</dc:date>", b"", OAI_DC.read_bytes())

    (listing,) = arxiv_oai.parse(document).listings

    assert (listing.version, listing.published_at) == (1, None)
    assert listing.announced_on == date(2026, 11, 20)


def test_created_date_without_a_time_is_its_morning_in_us_eastern_time():
    (listing,) = arxiv_oai.parse(OAI_ARXIV.read_bytes()).listings

    assert listing.published_at == datetime(2026, 11, 18, 14, tzinfo=UTC)


def test_only_a_first_version_may_have_been_in_moderation():
    late = OAI_RAW.read_bytes().replace(
        b"<datestamp>2026-11-20", b"<datestamp>2026-11-25"
    )
    once = re.sub(rb"<version version='v2'>.+?</version>", b"", late)

    assert arxiv_oai.parse(late).listings[0].announced_on == date(2026, 11, 20)
    assert arxiv_oai.parse(once).listings[0].announced_on == date(2026, 11, 25)


VERSION = "<version version='v%d'><date>Wed, 18 Nov 2026 20:15:07 GMT</date><size>%s</size>%s</version>"
PLAIN, WITHDRAWN, EMPTY = (
    ("12kb", ""),
    ("0kb", "<source_type>I</source_type>"),
    ("0kb", ""),
)
SOURCE = ("12kb", "<source_type>D</source_type>")


def with_history(versions, comments=b"9 pages"):
    """The raw page whose first record has these versions and comments."""
    history = "".join(VERSION % (n, *part) for n, part in enumerate(versions, 1))
    first, rest = OAI_RAW.read_bytes().split(b"</record>", 1)
    first = re.sub(rb"(?s)<version .*</version>", history.encode(), first)
    return change_element(first, b"comments", comments) + b"</record>" + rest


@pytest.mark.parametrize(
    ("versions", "comments", "is_withdrawn"),
    [
        ([SOURCE, WITHDRAWN], b"The authors withdraw this manuscript", True),
        ([SOURCE, WITHDRAWN], b"", True),
        ([WITHDRAWN], b"9 pages", True),
        ([PLAIN, EMPTY], b"9 pages", True),
        ([SOURCE, WITHDRAWN, SOURCE], b"9 pages", False),
        ([SOURCE, WITHDRAWN, PLAIN], b"This paper has been withdrawn", False),
        ([SOURCE, SOURCE], b"This paper has been withdrawn", True),
        ([SOURCE], b"We withdraw from the usual assumption. 9 pages", False),
    ],
)
def test_the_mark_of_the_last_version_decides_whether_it_is_withdrawn(
    versions, comments, is_withdrawn
):
    listing = arxiv_oai.parse(with_history(versions, comments)).listings[0]

    assert (listing.is_withdrawn, listing.is_available) == (
        is_withdrawn,
        not is_withdrawn,
    )


def test_a_record_without_a_version_history_is_not_known_to_be_available():
    assert not arxiv_oai.parse(OAI_ARXIV.read_bytes()).listings[0].is_available


@needs_data
def test_parse_reads_the_cases_of_odd_records():
    cases = {
        path.name: arxiv_oai.parse(path.read_bytes())
        for path in (DATA / "cases").glob("oai_*.xml")
    }

    withdrawn = cases["oai_withdrawn.xml"].listings
    assert {
        listing.identifier[-4:] for listing in withdrawn if listing.is_withdrawn
    } == {*("1001", "1003", "1004")}
    odd = cases["oai_one_without_abstract.xml"]
    assert [record.identifier for record in odd.refused] == ["oai:arXiv.org:2611.01001"]
    assert len(odd.listings) == 2
    assert cases["oai_noncharacter_reference.xml"].refused == ()


@pytest.mark.parametrize("end", [0.3, 0.6, 0.99])
def test_parse_refuses_a_cut_page(end):
    document = OAI_RAW.read_bytes()

    with pytest.raises(SourceError, match="cut or broken"):
        arxiv_oai.parse(document[: int(len(document) * end)])


def test_set_specs_are_archives_as_both_dialects_know_them():
    categories = ["cs.AI", "cs.LG", "stat.ML", "hep-ex", "physics.plasm-ph", "math-ph"]

    assert arxiv_oai.set_specs(categories) == [
        *("cs", "stat", "physics:hep-ex", "physics:physics", "physics:math-ph")
    ]


# Every document of the recorded protocol, and how many records it gives.
RECORDED = {
    "arXivRaw_listrecords_2014-01-16.xml.gz": 1000,
    "harvest_cs_2016/001.xml.gz": 1000,
    "harvest_cs_2016/002.xml.gz": 1000,
    "harvest_cs_2016/103.xml.gz": 538,
    "sample_arxiv_response_listrecords_cs.xml": 46,
    "sample_arxiv_response_listrecords_physics.xml": 150,
    "sample_arxiv_response_no_namespace.xml": 1,
    "sample_arxiv_response_utf8.xml": 1,
    "sample_arxiv_response.xml": 1,
    "sample_oai_dc_response.xml": 1,
    "sample_empty_response.xml": 0,
    "oaipmh.arxiv.org_listrecords_2026-09-20_plasm-ph_trimmed2.xml": 2,
    "arxivraw_1810.09584_getrecord.xml": 1,
    "inspire_1305.0014.xml": 1,
    "inspire_1305.0014v1.xml": "idDoesNotExist .+notion of an arXiv article",
    "inspire_1305.9999.xml": "idDoesNotExist .+correct form",
    "inspire_is-malformed.xml": "idDoesNotExist .+Malformed",
    "ads/arxiv_0901_2443.xml": "<record> is not an OAI-PMH answer",
    "ads/arxiv_1711_04702.xml": "<record> is not an OAI-PMH answer",
    "ads/arxiv_1711_05739.xml": "<record> is not an OAI-PMH answer",
    "ads/arxiv_math_0306266.xml": "<record> is not an OAI-PMH answer",
    "ads/arxiv_multi_20230125.xml": 3,
    "hepcrawl/arxiv-physics-hep-ex.xml": 3,
    "hepcrawl/arxiv-physics-hep-th.xml": 3,
    "hepcrawl/arxiv-single.xml": 1,
    "hepcrawl/sample_arxiv_record.xml": 12,
    **{f"hepcrawl/sample_arxiv_record{n}.xml": 1 for n in range(11)},
    "http2018/getrecord---get-a-record.0.http200.xml": 1,
    "http2018/listrecords---list-identifiers-from-arxiv.1.http200.xml": 2,
    **{
        f"http2018/{name}.0.http200.xml": "answer without records"
        for name in (
            "identify---identify-arxiv",
            "listidentifiers---list-identifiers-from-arxiv",
            "listmetadataformats---list-metadata-formats-for-arxiv",
            "listmetadataformats---list-metadata-formats-for-arxiv-id-1208-0264",
            "listsets---list-arxiv-sets",
        )
    },
    **{
        f"sickle_generic/{name}.xml": "is not arXiv's"
        for name in (
            *("GetRecord", "GetRecord_utf8test", "ListRecords", "ListRecords2"),
            *("ListRecords3", "ListRecords4"),
        )
    },
    **{
        f"sickle_generic/{name}.xml": "answer without records"
        for name in (
            *("Identify", "ListIdentifiers", "ListIdentifiers2", "ListSets"),
            "ListMetadataFormats",
        )
    },
    **{
        f"sickle_generic/{name}.xml": name
        for name in (
            *("badArgument", "badResumptionToken", "cannotDisseminateFormat"),
            *("idDoesNotExist", "noSetHierarchy", "undefinedError"),
        )
    },
    "sickle_generic/noRecordsMatch.xml": 0,
    "sickle_generic/ListRecordsBroken.xml": "cut or broken",
}


@needs_data
def test_every_recorded_document_of_the_protocol_is_listed_here():
    paths = {
        str(path.relative_to(OAI))
        for path in OAI.rglob("*")
        if path.suffix in {".xml", ".gz"}
    }

    assert paths == set(RECORDED)


@needs_data
@pytest.mark.parametrize("name", RECORDED)
def test_recorded_document_gives_its_records_or_the_right_reason(name):
    body = (OAI / name).read_bytes()
    document = gzip.decompress(body) if name.endswith(".gz") else body

    if isinstance(RECORDED[name], int):
        page = arxiv_oai.parse(document)
        assert len(page.listings) == RECORDED[name]
        assert all(listing.title_raw and listing.authors for listing in page.listings)
    else:
        with pytest.raises(SourceError, match=RECORDED[name]):
            arxiv_oai.parse(document)


@needs_data
def test_tokens_of_a_recorded_harvest_lead_to_the_last_page():
    pages = [
        arxiv_oai.parse(gzip.decompress((OAI / "harvest_cs_2016" / name).read_bytes()))
        for name in ("001.xml.gz", "002.xml.gz", "103.xml.gz")
    ]

    assert [page.token for page in pages] == ["1122234|1001", "1122234|2001", ""]
    assert {page.total for page in pages} == {102538}
