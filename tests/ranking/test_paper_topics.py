"""Topics of papers, stored when an edition is ranked."""

import pytest

from digest.models import Paper
from digest.ranking import rank_edition
from digest.ranking.paper_topics import store_paper_topics
from tests import make
from tests.site.conftest import SUBJECTS


@pytest.fixture
def edition(db):
    make.topic("Robots", keywords=["robot control"])
    for subject in SUBJECTS:
        make.paper(f"Study of {subject}", abstract=f"We look into {subject}.")
    return rank_edition.rank_edition(make.DAY, make.NOW)


def titles_of(slug):
    return [paper.title for paper in Paper.objects.filter(topics__slug=slug)]


def test_papers_get_the_topics_that_they_may_be_claimed_for(edition):
    assert store_paper_topics(edition) == 1
    assert titles_of("robots") == ["Study of policy gradients in robot control"]


def test_storing_topics_again_changes_nothing(edition):
    store_paper_topics(edition)

    assert store_paper_topics(edition) == 0


def test_topic_that_no_longer_matches_or_is_not_listed_is_removed(edition):
    store_paper_topics(edition)
    make.Topic.objects.update(is_listed=False)

    assert store_paper_topics(edition) == 1
    assert titles_of("robots") == []
