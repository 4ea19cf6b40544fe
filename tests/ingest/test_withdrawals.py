"""Withdrawn papers: recalled, restored, left out of mails and marked on pages."""

import shutil
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from digest import tasks
from digest.ingest.run_source import ingest_documents
from digest.ingest.sources.listing import Listing
from digest.ingest.store import store
from digest.models import Digest, IngestRun, Paper, Recall
from digest.ranking import freeze
from tests import make
from tests.conftest import DATA, needs_data
from tests.make import DAY, NOW

pytestmark = [pytest.mark.django_db, pytest.mark.both]


def listing(version=1, **fields):
    return Listing(
        identifier="2611.95001",
        version=version,
        source="arxiv",
        title_raw="Invented Paper",
        abstract_raw="We invent & measure.",
        categories=("cs.LG",),
        primary="cs.LG",
        announce_type="new",
        announced_on=DAY,
        **fields,
    )


def store_one(one, **run):
    account = IngestRun(kind="harvest", source="arxiv", origin="x", started_at=NOW)
    store([one], account, NOW)
    return account


def test_available_later_version_lifts_recall_of_withdrawn_paper():
    store_one(listing(2, is_withdrawn=True))
    assert Recall.objects.get().is_withdrawal

    run = store_one(listing(3, is_available=True))

    assert run.restored == 1
    assert not Recall.objects.exists()


@pytest.mark.parametrize(
    "later",
    [
        listing(3),  # a feed does not know whether a version is withdrawn
        listing(1, is_available=True),  # an older record than the stored version
        listing(3, is_withdrawn=True),
    ],
)
def test_recall_stays_without_an_available_version(later):
    store_one(listing(2, is_withdrawn=True))

    run = store_one(later)

    assert run.restored == 0
    assert Recall.objects.exists()


def test_restored_version_does_not_lift_recall_by_an_editor():
    store_one(listing(1))
    Recall.objects.create(paper=Paper.objects.get(), reason="plagiarism")

    store_one(listing(2, is_withdrawn=True))
    run = store_one(listing(3, is_available=True))

    assert run.restored == 0
    assert Recall.objects.get().reason == "plagiarism"


def test_paper_withdrawn_between_freezing_and_sending_is_left_out(settings, tmp_path):
    settings.MAIL_DIR = tmp_path
    reader = make.subscriber()
    for number in range(3):
        store_one(replace(listing(), identifier=f"2611.9500{number}"))
    edition = tasks.rank_newest_edition(NOW)
    freeze.freeze(edition, NOW)
    store_one(replace(listing(2, is_withdrawn=True), identifier="2611.95001"))

    tasks.send_edition(edition, reader, NOW + timedelta(hours=1))

    (file,) = tmp_path.glob("*.eml")
    assert len(Digest.objects.get().picks) == 2
    assert "2611.95001" not in file.read_text()


def test_pages_mark_withdrawn_papers(client):
    store_one(listing(1))
    store_one(listing(2, is_withdrawn=True))

    paper = client.get("/papers/2611.95001").content.decode()
    day = client.get(f"/papers/date/{DAY}").content.decode()

    assert "This paper was withdrawn on arXiv (noticed on" in paper
    assert "<strong>Withdrawn</strong>" in day


@needs_data
def test_withdrawal_marks_of_a_recorded_page_recall_their_papers(tmp_path):
    document = DATA / "cases" / "oai_withdrawn.xml"
    shutil.copy(document, tmp_path)

    (run,) = ingest_documents([tmp_path], timezone.now())

    recalled = Recall.objects.values_list("paper__identifier", flat=True)
    numbers = {name.rpartition(".")[2][-4:] for name in recalled}
    assert run.state == "done"
    assert {"1001", "1003", "1004"} <= numbers
    assert not numbers & {"1007", "1008"}


@needs_data
def test_odd_record_is_kept_as_refused_and_its_page_is_stored(tmp_path):
    shutil.copy(DATA / "cases" / "oai_one_without_abstract.xml", tmp_path)

    (run,) = ingest_documents([tmp_path], timezone.now())

    run.refresh_from_db()
    assert (run.state, run.new > 0) == ("done", True)
    (refused,) = run.refused_records
    assert refused["identifier"]
    assert "no title or" in refused["reason"] or "abstract" in refused["reason"]
