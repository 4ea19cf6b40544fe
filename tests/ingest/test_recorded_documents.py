"""Recorded documents through source detection: their papers, or the reason of refusal."""

import gzip
import json
import re
import tarfile
from collections import Counter
from fnmatch import fnmatch

import pytest
import yaml

from digest.ingest.run_source import ingest_documents
from digest.models import AttentionSample, Paper
from tests.conftest import DATA, needs_data
from tests.make import NOW

pytestmark = [needs_data, pytest.mark.slow, pytest.mark.django_db]

FEEDS = DATA / "feeds"
NEITHER = "^neither a document of arXiv"
CUT = "cut or broken"
PAGE = "^a web page, not XML"
FOREIGN = "is not arXiv's: give a page of arXiv's OAI-PMH"
# The number of papers, or the error; the first pattern that matches a name counts.
EXPECTED = {
    "arxiv_api/id_0000.0000*": 0,
    "arxiv_api/id_0808.05394_s0*": 0,
    "arxiv_api/id_abc*": r"answered an error \(incorrect id format for abc\)",
    "arxiv_api/id_*": 1,
    "arxiv_api/q_testing_s0_m100_*": 100,
    "arxiv_api/q_testing_*_m10_*": 10,
    "arxiv_api/q_testing_*_m15_*": 15,
    "errors/*": PAGE,
    "oai/ads/arxiv_multi_20230125.xml": 3,
    "oai/ads/*": "^XML <record> is not a feed",
    "oai/arXivRaw_listrecords_2014-01-16.xml": 1000,
    "oai/harvest_cs_2016/00?.xml": 1000,
    "oai/harvest_cs_2016/103.xml": 538,
    "oai/hepcrawl/arxiv-physics-*": 3,
    "oai/hepcrawl/sample_arxiv_record.xml": 12,
    "oai/hepcrawl/*": 1,
    "oai/http2018/*.json": "^a list, but not a daily answer",
    "oai/http2018/*.html": PAGE,
    "oai/http2018/getrecord*": 1,
    "oai/http2018/listrecords*": 2,
    "oai/http2018/*": "answer without records",
    "oai/inspire_1305.0014.xml": 1,
    "oai/inspire_1305.0014v1.xml": "idDoesNotExist .+notion of an arXiv article",
    "oai/inspire_1305.9999.xml": "idDoesNotExist .+correct form",
    "oai/inspire_is-malformed.xml": "idDoesNotExist .+Malformed",
    "oai/mit_cassettes/*.empty": "^the document is empty",
    "oai/mit_cassettes/get-records-include-deleted.0.xml": "answer without records",
    "oai/mit_cassettes/harvest-list-method-no-records.0.xml": 0,
    "oai/mit_cassettes/*": FOREIGN,
    "oai/oaipmh.arxiv.org_listrecords_2026-09-20_*": 2,
    "oai/sample_arxiv_response_listrecords_cs.xml": 46,
    "oai/sample_arxiv_response_listrecords_physics.xml": 150,
    "oai/sample_empty_response.xml": 0,
    "oai/sample_*": 1,
    "oai/arxivraw_1810.09584_getrecord.xml": 1,
    "oai/sickle_generic/*RecordsBroken.xml": NEITHER,
    "oai/sickle_generic/noRecordsMatch.xml": 0,
    "oai/sickle_generic/*Record*": FOREIGN,
    "oai/sickle_generic/badArgument.xml": "badArgument .+check the dates and the set",
    "oai/sickle_generic/badResumptionToken.xml": "begin the window again",
    "oai/sickle_generic/cannotDisseminateFormat.xml": "check ARXIV_OAI_URL",
    "oai/sickle_generic/idDoesNotExist.xml": "check the identifier",
    "oai/sickle_generic/noSetHierarchy.xml": "check ARXIV_OAI_URL",
    "oai/sickle_generic/undefinedError.xml": "undefinedError .+try again later",
    "oai/sickle_generic/*": "answer without records",
    "rss_atom/DERIVED_rss.arxiv.org_atom_*": 86,
    "rss_atom/*_TRUNCATED.xml.txt": "cut or broken at line 1233",
    "rss_atom/*_truncated_head.xml.txt": "cut or broken at line 21",
    "rss_atom/*_trimmed4.xml": 4,
    "rss_atom/third_party_*": "has no arXiv announce type",
    "specs/arXiv_oaipmh_base.xml.txt": CUT,
    "specs/*": NEITHER,
}


def unpacked(folder):
    """The recorded documents in a folder of their own, each as its server sent it."""
    for path in FEEDS.rglob("*"):
        place = folder / path.relative_to(FEEDS)
        if path.is_dir():
            place.mkdir()
        elif path.suffix == ".gz":
            place.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        elif path.suffix == ".yaml":
            answers = yaml.safe_load(path.read_bytes())["interactions"]
            for number, answer in enumerate(answers):
                body = answer["response"]["body"]["string"]
                suffix = f".{number}.{'xml' if body else 'empty'}"
                place.with_suffix(suffix).write_text(body)
        else:
            place.write_bytes(path.read_bytes())
    return folder


def pattern_of(name):
    return next((pattern for pattern in EXPECTED if fnmatch(name, pattern)), None)


def test_recorded_documents_give_their_papers_or_the_right_reason(tmp_path):
    folder = unpacked(tmp_path)

    runs = ingest_documents([folder], NOW)

    used, wrong = Counter(), []
    for run in runs:
        name = run.origin.removeprefix(f"{folder}/")
        used[pattern := pattern_of(name)] += 1
        result = run.error or run.new + run.updated + run.unchanged
        expected = EXPECTED.get(pattern)
        fits = re.search(expected, result) if run.error else result == expected
        if not fits:
            wrong.append((name, pattern, result))
    assert wrong == []
    assert set(EXPECTED) - set(used) == set()


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    """The raw days of Hugging Face, in order."""
    archive = next((DATA / "hf_daily").glob("raw_*.tar.gz"))
    folder = tmp_path_factory.mktemp("days")
    with tarfile.open(archive) as members:
        members.extractall(folder, filter="data")
    return sorted(folder.rglob("*.json"))


def test_recorded_lists_become_papers_with_all_samples(days):
    rows = [row for day in days for row in json.loads(day.read_bytes())]
    votes = {row["paper"]["id"]: row["paper"]["upvotes"] for row in rows}

    runs = ingest_documents(days, NOW)

    assert len(runs) == 186
    assert {run.state for run in runs} == {"done"}
    assert sum(run.new for run in runs) == Paper.objects.count() == len(votes) == 2720
    assert sum(run.updated + run.unchanged for run in runs) == len(rows) - len(votes)
    assert dict(Paper.objects.values_list("identifier", "votes")) == votes
    kinds = Counter(AttentionSample.objects.values_list("kind", flat=True))
    assert kinds == {"upvotes": 2721, "comments": 2721, "stars": 511}
    filled = {
        "organization": 266,
        "code_url": 1170,
        "project_url": 805,
        "ai_summary": 1500,
    }
    assert {
        name: Paper.objects.exclude(**{name: ""}).count() for name in filled
    } == filled
    assert Paper.objects.exclude(ai_keywords=[]).count() == 2112


def test_recorded_list_ingested_again_changes_nothing(days):
    some = days[::20]
    ingest_documents(some, NOW)
    before = list(Paper.objects.order_by("pk").values())

    again = ingest_documents(some, NOW)

    assert {(run.new, run.updated, run.samples) for run in again} == {(0, 0, 0)}
    assert sum(run.unchanged for run in again) == len(before)
    assert list(Paper.objects.order_by("pk").values()) == before
