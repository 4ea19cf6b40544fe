"""The sample papers of the demo."""

from datetime import date, timedelta

import pytest

from digest.ingest import sample
from digest.ingest.run_source import ingest_documents
from digest.ingest.sources import arxiv_feed, huggingface
from digest.models import AttentionSample, Paper
from tests.ingest import documents
from tests.make import NOW

SATURDAY = date(2026, 11, 21)
DAYS = sample.sample_days(SATURDAY)


@pytest.fixture
def papers():
    return [
        paper
        for turn, day in enumerate(DAYS)
        for paper in sample.invent_papers(day, turn)
    ]


def test_sample_has_three_days_of_plausible_size(papers):
    by_day = [list(sample.invent_papers(day, n)) for n, day in enumerate(DAYS)]

    assert len(papers) >= 66
    assert min(map(len, by_day)) >= 20


def test_sample_papers_are_distinct(papers):
    for field in ("title_raw", "abstract_raw", "identifier"):
        values = [getattr(paper, field) for paper in papers]
        assert len(set(values)) == len(values)
    openings = {tuple(paper.abstract_raw.split()[:4]) for paper in papers}
    assert len(openings) == len(papers)


def test_sample_papers_are_long_enough_and_invented(papers):
    for paper in papers:
        assert 423 <= len(paper.abstract_raw) <= 1920
        assert paper.authors
        number = int(paper.identifier.split(".")[1])
        assert number > 90000
        for url in (paper.code_url, paper.project_url):
            assert not url or ".example.org/" in f"{url}/"


def test_documents_of_the_sample_parse_to_its_papers(papers, tmp_path):
    paths = documents.write_sample_documents(tmp_path, SATURDAY)

    announced = [
        listing
        for path in paths
        if path.suffix == ".xml"
        for listing in arxiv_feed.parse(path.read_bytes()).listings
    ]
    counted = [
        listing
        for path in paths
        if path.suffix == ".json"
        for listing in huggingface.parse(path.read_bytes()).listings
    ]
    assert len(paths) == 6
    parsed = [
        (listing.title_raw, listing.authors, listing.announce_type)
        for listing in announced
    ]
    assert parsed == [
        (paper.title_raw, paper.authors, paper.announce_type) for paper in papers
    ]
    voted = [paper for paper in papers if paper.measurements]
    assert [listing.measurements for listing in counted] == [
        listing.measurements for listing in voted
    ]


def test_sample_covers_three_days_also_on_weekends():
    days = sample.sample_days(SATURDAY)

    assert days == [SATURDAY - timedelta(days=back) for back in (2, 1, 0)]


@pytest.mark.django_db
def test_sample_of_the_next_day_adds_one_day(tmp_path):
    ingest_documents(
        documents.write_sample_documents(tmp_path / "thursday", date(2026, 11, 19)), NOW
    )
    before = Paper.objects.count()

    runs = ingest_documents(
        documents.write_sample_documents(tmp_path / "friday", date(2026, 11, 20)), NOW
    )

    assert all(run.state == "done" for run in runs)
    newest = Paper.objects.filter(announced_on=date(2026, 11, 20))
    assert Paper.objects.count() == before + newest.count()
    assert newest.count() >= 20
    assert AttentionSample.objects.filter(paper__in=newest).exists()
