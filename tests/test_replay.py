"""Replay of recorded days: no reader gets a paper twice."""

from datetime import UTC, datetime, time, timedelta
from itertools import combinations

import pytest

from digest import follows, tasks
from digest.ingest import run_source
from digest.models import Candidate, Digest, Paper
from digest.ranking import rank_edition
from tests import make, replay
from tests.conftest import DATA, needs_data

REPLAYED_DAYS = 4  # a weekend among them


@pytest.fixture
def readers(settings, tmp_path):
    """Three readers: no follows, a topic, keywords and a mute."""
    settings.MAIL_DIR = tmp_path / "mail"
    three = [make.subscriber() for _ in range(3)]
    topic = make.topic("Segmentation", keywords=["segmentation", "detection"])
    follows.follow(three[1], "topic", topic.slug)
    follows.follow(three[2], "keyword", "diffusion")
    follows.follow(three[2], "keyword", "video", weight=-1)
    return three


def papers_of(digest):
    chosen = Candidate.objects.in_bulk([pick.candidate for pick in digest.picks])
    return {candidate.paper for candidate in chosen.values()}


@needs_data
@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_no_reader_gets_a_paper_twice(readers, tmp_path):
    archive = DATA / "replay" / "raw_daily_wanzhouliu_18days.tar.gz"
    for day, document in list(replay.recorded_feeds(archive))[3 : 3 + REPLAYED_DAYS]:
        (tmp_path / f"{day}.xml").write_bytes(document)
        morning = datetime.combine(day, time(9), UTC)
        run_source.ingest_documents([tmp_path / f"{day}.xml"], morning)
        if edition := rank_edition.rank_edition(day, morning):
            tasks.send_edition(edition, None, morning + timedelta(hours=1))

    for reader in readers:
        digests = [
            papers_of(digest) for digest in Digest.objects.filter(subscriber=reader)
        ]
        assert len(digests) == REPLAYED_DAYS
        assert all(len(papers) == 10 for papers in digests)
        assert all(not a & b for a, b in combinations(digests, 2))
    assert not [
        p for p in papers_to(readers[2]) if "video" in p.abstract.lower().split()
    ]
    assert all(
        not p.announce_type.startswith("replace") for r in readers for p in papers_to(r)
    )
    assert Paper.objects.filter(announce_type="replace").exists()


def papers_to(reader):
    digests = Digest.objects.filter(subscriber=reader)
    return set().union(*(papers_of(digest) for digest in digests))
