"""Days: papers in order, neighbours, and why a day has none."""

from datetime import date, timedelta

import pytest

from digest.models import Paper
from digest.site.days import PER_PAGE, read_day, why_empty
from tests import make
from tests.make import DAY, NOW
from tests.site.conftest import text

TODAY = date(2026, 11, 20)  # a Friday


@pytest.mark.parametrize(
    "written",
    [
        "20261120",
        "2026-W47-5",
        "2026-13-01",
        "2026-02-30",
        "2026-11-20x",
        "\u0662026-11-20",
    ],
)
def test_only_a_real_day_in_the_one_form_is_a_day(written, client, db):
    assert read_day(written) is None
    assert client.get(f"/papers/date/{written}").status_code == 404


@pytest.mark.parametrize(
    ("day", "before", "says"),
    [
        (date(2026, 11, 23), TODAY, "has not come"),
        (date(2026, 11, 14), TODAY, "Saturdays and Sundays"),
        (TODAY, date(2026, 11, 19), "soon after 05:00 UTC"),
        (date(2020, 1, 1), None, "begins later"),
        (date(2026, 9, 8), date(2026, 9, 7), "holiday"),
        (date(2026, 9, 7), date(2026, 9, 4), "around holidays"),
        (date(2026, 11, 12), date(2026, 11, 11), "being looked for"),
    ],
)
def test_an_empty_day_says_why(day, before, says):
    assert says in why_empty(day, NOW, before)


def test_an_expected_day_that_is_overdue_says_so():
    late = NOW + timedelta(hours=9)

    assert "being looked for" in why_empty(TODAY, late, date(2026, 11, 19))


def test_a_day_lists_its_papers_most_trending_first(client, db):
    quiet, loud = make.paper("Quiet one", votes=90), make.paper("Loud one")
    made = make.edition(papers=[])
    make.candidate(made, quiet, trend=0.2)
    make.candidate(made, loud, trend=0.9)

    page = text(client.get(f"/papers/date/{DAY}"))

    assert 0 < page.index("Loud one") < page.index("Quiet one")


def test_new_and_cross_listed_are_told_apart_and_replacements_left_out(client, db):
    make.paper("New one")
    make.paper("Crossed one", announce_type="cross")
    make.paper("Old one", announce_type="replace")

    page = text(client.get(f"/papers/date/{DAY}"))

    assert "1 new, 1 cross-listed" in page
    assert "<li>cross-listed</li>" in page
    assert "Old one" not in page


def test_a_day_leads_to_the_days_around_it_that_have_papers(client, db):
    for days in (-5, 0, 3):
        make.paper(announced_on=DAY + timedelta(days=days))

    page = text(client.get(f"/papers/date/{DAY}"))

    assert 'href="/papers/date/2026-11-15" rel="prev"' in page
    assert 'href="/papers/date/2026-11-23" rel="next"' in page


def test_an_empty_day_leads_on_as_well(client, db):
    make.paper(announced_on=date(2026, 11, 13))

    page = text(client.get("/papers/date/2026-11-14"))

    assert "Saturdays and Sundays" in page
    assert 'href="/papers/date/2026-11-13" rel="prev"' in page


def test_a_busy_day_comes_in_pages_of_bounded_size(client, db):
    papers = [make.paper() for _ in range(PER_PAGE + 2)]
    Paper.objects.filter(pk__in=[p.pk for p in papers]).update(abstract="&" * 1920)

    first = client.get(f"/papers/date/{DAY}")
    second = text(client.get(f"/papers/date/{DAY}?page=2"))

    assert text(first).count("<article") == PER_PAGE
    assert second.count("<article") == 2
    assert f'start="{PER_PAGE + 1}"' in second
    assert len(first.content) < 1_000_000


def test_a_day_needs_few_queries_however_many_papers(
    client, db, django_assert_max_num_queries
):
    make.edition(papers=20)

    with django_assert_max_num_queries(6):
        client.get(f"/papers/date/{DAY}")
