"""Papers that only a reader's list added are stored, and announced only by a source."""

from datetime import timedelta

import pytest

from digest.ingest.sources.listing import Listing
from digest.ingest.store import store
from digest.models import IngestRun, Paper
from digest.ranking import rank_edition
from tests import make
from tests.make import DAY, NOW

pytestmark = [pytest.mark.django_db, pytest.mark.both]
OLD = DAY - timedelta(days=900)


def listing(kind, day, source="arxiv"):
    return Listing(
        identifier="2611.95010",
        version=1,
        source=source,
        title_raw="A Title",
        abstract_raw="An abstract.",
        authors=("Ana Roe",),
        categories=("math.GT",) if source == "arxiv" else (),
        primary="math.GT" if source == "arxiv" else "",
        announce_type=kind,
        announced_on=day,
    )


def take(one):
    store([one], IngestRun(source=one.source, origin="x", started_at=NOW), NOW)
    return Paper.objects.get(identifier=one.identifier)


@pytest.mark.parametrize("brought_on", [DAY, OLD])
@pytest.mark.parametrize(
    ("kind", "source", "announce_type"),
    [
        ("new", "arxiv", "new"),
        ("cross", "arxiv", "cross"),
        ("replace", "arxiv", "replace"),
        ("", "huggingface", "listed"),
    ],
)
def test_listing_announces_a_paper_that_a_reader_added(
    brought_on, kind, source, announce_type
):
    take(listing("added", brought_on))

    paper = take(listing(kind, DAY + timedelta(days=1), source))

    assert paper.announce_type == announce_type
    assert paper.announced_on == DAY + timedelta(days=1)


@pytest.mark.parametrize("kind", ["new", "cross", "replace"])
def test_adding_an_announced_paper_changes_nothing(kind):
    take(listing(kind, DAY))

    paper = take(listing("added", OLD))

    assert (paper.announce_type, paper.announced_on) == (kind, DAY)


@pytest.mark.parametrize("day", [DAY, OLD])
def test_paper_added_by_a_reader_is_never_a_candidate(day):
    make.paper()
    paper = take(listing("added", day))

    edition = rank_edition.rank_edition(DAY, NOW)

    assert edition.candidates.count() == 1
    assert not edition.candidates.filter(paper=paper).exists()


def test_day_with_only_added_papers_has_no_edition():
    take(listing("added", DAY))

    assert rank_edition.rank_edition(DAY, NOW) is None
