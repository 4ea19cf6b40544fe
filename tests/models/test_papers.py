"""The definition of papers that count as announced."""

from datetime import date, timedelta

import pytest
from django.core.management import call_command

from digest import tasks
from digest.models import Edition, Paper
from tests import make
from tests.make import DAY, NOW

pytestmark = pytest.mark.django_db
Announced = Paper.Announced


def test_announced_papers_are_new_cross_listed_or_listed_by_hugging_face():
    papers = {kind: make.paper(announce_type=kind) for kind in Announced.values}

    announced = set(Paper.objects.announced_on_day(DAY))

    expected = {papers[kind] for kind in ("new", "cross", "listed")}
    assert announced == expected
    assert expected == {paper for paper in papers.values() if paper.is_announced}


def test_announced_by_arxiv_excludes_papers_that_only_hugging_face_listed():
    new = make.paper(announce_type=Announced.NEW)
    make.paper(announce_type=Announced.LISTED)

    assert list(Paper.objects.announced_by_arxiv()) == [new]


@pytest.mark.parametrize("kind", [Announced.REPLACE, Announced.ADDED_BY_READER])
def test_newest_day_ignores_papers_that_are_not_announced(kind):
    make.paper()
    make.paper(announced_on=DAY + timedelta(days=1), announce_type=kind)

    assert Paper.objects.newest_day(NOW + timedelta(days=2)) == DAY


def test_newest_day_is_the_day_of_the_earliest_time_zone():
    make.paper(announced_on=DAY + timedelta(days=1))

    assert Paper.objects.newest_day(NOW) is None
    assert Paper.objects.newest_day(NOW + timedelta(hours=1)) == DAY + timedelta(1)


def test_misdated_future_paper_does_not_make_task_and_command_rank_different_days(
    time_machine,
):
    time_machine.move_to(NOW)
    make.paper()
    make.paper(announced_on=date(2199, 1, 1))

    edition = tasks.rank_newest_edition(NOW)
    call_command("rank")

    assert edition.day == DAY
    assert list(Edition.objects.values_list("day", flat=True)) == [DAY]
