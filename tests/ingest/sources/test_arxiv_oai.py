"""arXiv's OAI-PMH: pages in three formats and two dialects, or the reason why not."""

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


def error(code, said=""):
    return (
        b'<?xml version="1.0"?><OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/">'
        b"<responseDate>2026-11-20T05:00:00Z</responseDate>"
        b"<request>https://oaipmh.arxiv.org/oai</request>"
        b'<error code="%s">%s</error></OAI-PMH>' % (code.encode(), said.encode())
    )


def test_raw_records_tell_every_version():
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


def test_what_was_deleted_or_withdrawn_is_told():
    page = arxiv_oai.parse(OAI_RAW.read_bytes())

    assert page.deleted == ("2611.95199",)
    assert [one.is_withdrawn for one in page.listings] == [False, True]


def test_the_newer_dialect_tells_authors_apart_and_has_no_token_at_the_end():
    page = arxiv_oai.parse(OAI_ARXIV.read_bytes())

    (one,) = page.listings
    assert (page.token, page.total) == ("", None)
    assert one.authors == ("Chiara van Oever Jr.", "ARGONAUT Collaboration")
    assert one.abstract_raw.startswith("Quist's lemma")
    assert one.categories == ("stat.ML", "cs.LG")
    assert (one.version, one.announced_on) == (1, date(2026, 11, 20))


def test_without_namespaces_it_says_the_same():
    document = OAI_ARXIV.read_bytes()
    bare = document.replace(b' xmlns="http://arxiv.org/OAI/arXiv/"', b"").replace(
        b'xmlns="http://www.openarchives.org/OAI/2.0/"', b""
    )

    assert arxiv_oai.parse(bare) == arxiv_oai.parse(document)


def test_dublin_core_turns_names_and_takes_the_abstract_not_the_comment():
    (one,) = arxiv_oai.parse(OAI_DC.read_bytes()).listings

    assert one.authors == ("Orla Quist", "ARGONAUT Collaboration")
    assert one.abstract_raw.startswith("We count floods")
    assert (one.version, one.categories) == (2, ())
    assert one.published_at.date() == date(2026, 11, 17)


def test_no_records_is_an_empty_page():
    assert arxiv_oai.parse(error("noRecordsMatch")) == arxiv_oai.Page(total=0)


@pytest.mark.parametrize(
    ("code", "remedy"), [*arxiv_oai._REMEDIES.items(), ("invented", "try again later")]
)
def test_every_error_is_a_refusal_with_a_remedy(code, remedy):
    with pytest.raises(SourceError, match=rf"{code} \(said so\): {remedy}"):
        arxiv_oai.parse(error(code, " said\n so "))


def test_an_old_token_is_told_from_other_errors():
    with pytest.raises(arxiv_oai.TokenExpired):
        arxiv_oai.parse(error("badResumptionToken"))
    with pytest.raises(SourceError) as refusal:
        arxiv_oai.parse(error("badArgument"))
    assert not isinstance(refusal.value, arxiv_oai.TokenExpired)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ((b"oai:arXiv.org:2611.95101", b"oai:other.org:1"), "is not arXiv's"),
        ((b"oai:arXiv.org:2611.95101", b"oai:arXiv.org:x"), "identifier"),
        ((b"<datestamp>2026-11-20", b"<datestamp>soon"), "not a datestamp"),
        ((b"Wed, 18 Nov 2026", b"Someday"), "not a date"),
        ((b"<title>Counting", b"<title></title><was>"), "cut or broken"),
        ((b"arXivRaw", b"marc21"), "no known format"),
        ((b"ListRecords", b"ListIdentifiers"), "without records"),
        ((b"OAI-PMH", b"OAI"), "not an OAI-PMH answer"),
    ],
)
def test_a_page_that_is_not_whole_is_refused_whole(change, why):
    with pytest.raises(SourceError, match=why):
        arxiv_oai.parse(OAI_RAW.read_bytes().replace(*change))


def test_a_record_without_a_title_is_refused():
    document = re.sub(
        rb"<title>Counting.+?</title>", b"<title/>", OAI_RAW.read_bytes(), flags=re.S
    )

    with pytest.raises(SourceError, match=r"2611.95101 has no title or text"):
        arxiv_oai.parse(document)


def test_a_record_without_a_text_is_refused():
    document = re.sub(
        rb"<abstract>  We.+?</abstract>",
        b"<abstract/>",
        OAI_RAW.read_bytes(),
        flags=re.S,
    )

    with pytest.raises(SourceError, match=r"2611.95101 has no title or text"):
        arxiv_oai.parse(document)


@pytest.mark.parametrize("size", ["", "many", "-1", "1.5", "9" * 10, "\u0663"])
def test_a_size_that_no_row_can_hold_is_none(size):
    document = OAI_RAW.read_bytes().replace(b"'1003'", f"'{size}'".encode())

    page = arxiv_oai.parse(document)

    assert (page.token, page.total) == ("600001|1001", None)


def test_a_token_without_a_size_or_a_page_without_a_token_is_read():
    document = OAI_RAW.read_bytes()
    sizeless = document.replace(b" completeListSize='1003'", b"")
    last = re.sub(rb"<resumptionToken.+?</resumptionToken>", b"", document)

    assert arxiv_oai.parse(sizeless) == replace(arxiv_oai.parse(document), total=None)
    assert arxiv_oai.parse(last) == replace(
        arxiv_oai.parse(document), total=None, token=""
    )


def test_a_raw_record_without_versions_is_a_first_one_of_its_last_change():
    document = re.sub(rb"<version .+?</version>", b"", OAI_RAW.read_bytes())

    first = arxiv_oai.parse(document).listings[0]

    assert (first.version, first.published_at) == (1, None)
    assert first.announced_on == date(2026, 11, 20)


def test_a_record_without_its_first_day_is_of_its_last_change():
    document = OAI_ARXIV.read_bytes().replace(b"<created>2026-11-18</created>", b"")

    (one,) = arxiv_oai.parse(document).listings

    assert (one.published_at, one.announced_on) == (None, date(2026, 11, 20))


def test_a_dublin_record_without_dates_is_a_first_one_of_its_last_change():
    document = re.sub(rb"<dc:date>.+?</dc:date>", b"", OAI_DC.read_bytes())

    (one,) = arxiv_oai.parse(document).listings

    assert (one.version, one.published_at) == (1, None)
    assert one.announced_on == date(2026, 11, 20)


def test_a_bare_day_is_its_morning_in_us_eastern_time():
    (one,) = arxiv_oai.parse(OAI_ARXIV.read_bytes()).listings

    assert one.published_at == datetime(2026, 11, 18, 14, tzinfo=UTC)


def test_only_a_first_version_may_have_waited_for_moderators():
    late = OAI_RAW.read_bytes().replace(
        b"<datestamp>2026-11-20", b"<datestamp>2026-11-25"
    )
    once = re.sub(rb"<version version='v2'>.+?</version>", b"", late)

    assert arxiv_oai.parse(late).listings[0].announced_on == date(2026, 11, 20)
    assert arxiv_oai.parse(once).listings[0].announced_on == date(2026, 11, 25)


@pytest.mark.parametrize("place", [b"<comments>", b"<abstract>"])
@pytest.mark.parametrize(
    ("words", "is_gone"),
    [
        (b"Withdrawn. ", True),
        (b"  withdrawn by the author", True),
        (b"This paper has been withdrawn due to an error", True),
        (b"This submission is now withdrawn.", True),
        (b"We say when money is withdrawn. ", False),
        (b"The withdrawn light ", False),
        (b"Withdrawnness ", False),
    ],
)
def test_what_was_taken_back_says_so_first(place, words, is_gone):
    document = OAI_RAW.read_bytes().replace(place, place + words, 1)

    assert arxiv_oai.parse(document).listings[0].is_withdrawn is is_gone


@pytest.mark.parametrize("end", [0.3, 0.6, 0.99])
def test_a_cut_page_is_refused_whole(end):
    document = OAI_RAW.read_bytes()

    with pytest.raises(SourceError, match="cut or broken"):
        arxiv_oai.parse(document[: int(len(document) * end)])


def test_sets_are_archives_as_both_dialects_know_them():
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
def test_every_recorded_document_of_the_protocol_is_named_here():
    found = {
        str(path.relative_to(OAI))
        for path in OAI.rglob("*")
        if path.suffix in {".xml", ".gz"}
    }

    assert found == set(RECORDED)


@needs_data
@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_document_gives_its_records_or_the_right_reason(name):
    body = (OAI / name).read_bytes()
    document = gzip.decompress(body) if name.endswith(".gz") else body

    if isinstance(RECORDED[name], int):
        page = arxiv_oai.parse(document)
        assert len(page.listings) == RECORDED[name]
        assert all(one.title_raw and one.authors for one in page.listings)
    else:
        with pytest.raises(SourceError, match=RECORDED[name]):
            arxiv_oai.parse(document)


@needs_data
def test_tokens_of_a_recorded_harvest_lead_from_page_to_page_and_end():
    pages = [
        arxiv_oai.parse(gzip.decompress((OAI / "harvest_cs_2016" / name).read_bytes()))
        for name in ("001.xml.gz", "002.xml.gz", "103.xml.gz")
    ]

    assert [page.token for page in pages] == ["1122234|1001", "1122234|2001", ""]
    assert {page.total for page in pages} == {102538}
