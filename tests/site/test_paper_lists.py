"""Lists of papers by day and by topic."""

from datetime import date, timedelta

import pytest

from digest.models import Paper
from digest.site.paper_lists import PAPERS_PER_PAGE, empty_day_reason, parse_day
from tests import make
from tests.make import DAY, NOW
from tests.site.conftest import body

TODAY = date(2026, 11, 20)  # a Friday


@pytest.mark.parametrize(
    "text",
    [
        *("20261120", "2026-W47-5", "2026-13-01", "2026-02-30", "2026-11-20x"),
        "\u0662026-11-20",
    ],
)
def test_only_iso_calendar_dates_are_days(text, client, db):
    assert parse_day(text) is None
    assert client.get(f"/papers/date/{text}").status_code == 404


@pytest.mark.parametrize(
    ("day", "previous", "reason"),
    [
        (date(2026, 11, 23), TODAY, "in the future"),
        (date(2026, 11, 14), TODAY, "Saturdays and Sundays"),
        (TODAY, date(2026, 11, 19), "soon after 05:00 UTC"),
        (date(2020, 1, 1), None, "archive starts after"),
        (date(2026, 9, 8), date(2026, 9, 7), "staff holiday"),
        (date(2026, 9, 7), date(2026, 9, 4), "around holidays"),
        (date(2026, 11, 12), date(2026, 11, 11), "keep checking"),
    ],
)
def test_empty_day_has_a_reason(day, previous, reason):
    assert reason in empty_day_reason(day, NOW, previous)


def test_overdue_day_is_reported_as_missing():
    late = NOW + timedelta(hours=9)

    assert "keep checking" in empty_day_reason(TODAY, late, date(2026, 11, 19))


def test_day_lists_papers_by_trend(client, db):
    voted, trending = make.paper("Voted paper", votes=90), make.paper("Trending paper")
    edition = make.edition(papers=[])
    make.candidate(edition, voted, trend=0.2)
    make.candidate(edition, trending, trend=0.9)

    page = body(client.get(f"/papers/date/{DAY}"))

    assert 0 < page.index("Trending paper") < page.index("Voted paper")


def test_day_counts_new_and_cross_listed_papers_and_omits_replacements(client, db):
    make.paper("New paper")
    make.paper("Cross-listed paper", announce_type="cross")
    make.paper("Replaced paper", announce_type="replace")

    page = body(client.get(f"/papers/date/{DAY}"))

    assert "1 new, 1 cross-listed" in page
    assert "<li>cross-listed</li>" in page
    assert "Replaced paper" not in page


@pytest.mark.parametrize("has_papers", [True, False])
def test_day_links_to_the_closest_days_with_papers(client, db, has_papers):
    for days in (-5, 0, 3) if has_papers else (-5, 3):
        make.paper(announced_on=DAY + timedelta(days=days))

    page = body(client.get(f"/papers/date/{DAY}"))

    assert 'href="/papers/date/2026-11-15" rel="prev"' in page
    assert 'href="/papers/date/2026-11-23" rel="next"' in page
    assert ("No papers." in page) is not has_papers


def test_busy_day_has_pages_of_bounded_size(client, db):
    papers = [make.paper() for _ in range(PAPERS_PER_PAGE + 2)]
    Paper.objects.filter(pk__in=[p.pk for p in papers]).update(abstract="&" * 1920)

    first = client.get(f"/papers/date/{DAY}")
    second = body(client.get(f"/papers/date/{DAY}?page=2"))

    assert body(first).count("<article") == PAPERS_PER_PAGE
    assert second.count("<article") == 2
    assert f'start="{PAPERS_PER_PAGE + 1}"' in second
    assert len(first.content) < 1_000_000


def test_day_needs_six_queries(client, db, django_assert_max_num_queries):
    make.edition(papers=20)

    with django_assert_max_num_queries(6):
        client.get(f"/papers/date/{DAY}")


def test_topic_page_lists_its_papers_and_carries_the_topic(client, edition):
    page = body(client.get("/topics/robots"))

    assert "policy gradients in robot control" in page
    assert "protein design" not in page
    assert 'name="requested_interests" value="topic:robots"' in page


def test_topic_list_omits_unlisted_topics(client, edition):
    make.topic("Hidden one", is_listed=False)

    page = body(client.get("/topics"))

    assert 'href="/topics/robots"' in page
    assert "Hidden one" not in page
