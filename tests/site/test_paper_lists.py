"""Lists of papers by day, week, month, trend and topic."""

from datetime import date, timedelta

import pytest

from digest.models import Paper
from digest.site.paper_lists import PAPERS_PER_PAGE, empty_day_reason
from tests import make
from tests.make import DAY, NOW
from tests.site.conftest import body

TODAY = date(2026, 11, 20)  # a Friday


def titles(response):
    """The titles of a list's papers, in order."""
    parts = body(response).split("<article")[1:]
    return [part.partition("</a>")[0].rpartition(">")[2] for part in parts]


@pytest.mark.parametrize(
    "path",
    [
        *("date/20261120", "date/2026-W47-5", "date/2026-13-01", "date/2026-02-30"),
        *("date/2026-11-20x", "date/\u0662026-11-20", "date/0000-01-01"),
        *("date/0001-01-01", "date/9999-12-31", "month/0001-01", "week/9999-W52"),
        *("week/2026-47", "week/2026-W54", "week/2026-W00", "week/0000-W01"),
        *("month/2026-13", "month/2026-11-20", "month/november"),
    ],
)
def test_other_forms_of_dates_are_not_found(client, db, path):
    assert client.get(f"/papers/{path}").status_code == 404


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


@pytest.fixture
def november(db):
    """Papers of several days; 2026-11-20 is a Friday in ISO week 47."""
    days = {"Oct": (10, 30), "Mon": (11, 16), "Fri": (11, 20), "Next": (11, 23)}
    for votes, (title, (month, day)) in enumerate(days.items(), start=1):
        make.paper(title, announced_on=date(2026, month, day), votes=votes)
    return days


@pytest.mark.parametrize(
    ("path", "heading", "expected", "previous", "following"),
    [
        (
            "date/2026-11-20",
            "Friday, 20 November 2026",
            ["Fri"],
            "date/2026-11-16",
            "date/2026-11-23",
        ),
        (
            "week/2026-W47",
            "Week of 16 November 2026",
            ["Fri", "Mon"],
            "week/2026-W44",
            "week/2026-W48",
        ),
        (
            "month/2026-11",
            "November 2026",
            ["Next", "Fri", "Mon"],
            "month/2026-10",
            None,
        ),
        ("month/2026-10", "October 2026", ["Oct"], None, "month/2026-11"),
        (
            "date/2026-11-14",
            "Saturday, 14 November 2026",
            [],
            "date/2026-10-30",
            "date/2026-11-16",
        ),
    ],
)
def test_period_lists_its_papers_and_links_to_its_neighbours(
    client, november, path, heading, expected, previous, following
):
    response = client.get(f"/papers/{path}")

    assert titles(response) == expected
    page = body(response)
    assert f"<h1>{heading}</h1>" in page
    assert ("No papers." in page) is not expected
    for rel, neighbour in (("prev", previous), ("next", following)):
        assert (f'rel="{rel}"' in page) is bool(neighbour)
        if neighbour:
            assert f'href="/papers/{neighbour}" rel="{rel}"' in page


def test_papers_is_the_newest_day(client, november, time_machine):
    time_machine.move_to(NOW + timedelta(days=4))

    for path in ("/papers", "/papers/"):
        assert titles(client.get(path)) == ["Next"]


def test_calendar_counts_the_papers_of_each_day(client, november):
    make.paper(announced_on=date(2026, 11, 16))

    for path in ("date/2026-11-20", "week/2026-W47", "month/2026-11"):
        page = body(client.get(f"/papers/{path}"))
        month = page.partition('class="calendar"')[2].partition("</table>")[0]
        assert month.count("<a ") == 3
        assert 'href="/papers/date/2026-11-16"' in month
        assert 'aria-label="16 November 2026: 2 papers"' in month


def test_trending_lists_the_newest_edition_by_trend(client, db):
    first, second, hidden = make.paper("First"), make.paper("Second"), make.paper("No")
    edition = make.edition(papers=[])
    make.candidate(edition, second, trend=0.2)
    make.candidate(edition, first, trend=0.9)
    make.candidate(edition, hidden, trend=1.0, is_hidden=True)

    response = client.get("/papers/trending")

    assert titles(response) == ["First", "Second"]
    assert "<h1>Trending papers</h1>" in body(response)


def test_lists_without_a_calendar_have_no_column_for_it(client, november):
    assert 'class="with-aside"' in body(client.get("/papers"))
    assert 'class="with-aside"' not in body(client.get("/papers/trending"))


def test_trending_of_an_empty_site_is_empty(client, db):
    assert "No papers yet" in body(client.get("/papers/trending"))


@pytest.fixture
def mixed_day(db):
    """Papers of one day that differ in trend, votes, comments and kind."""
    edition = make.edition(papers=[])
    rows = {
        "Trending": {"trend": 0.9, "votes": 1, "comments": 2, "primary": "cs.LG"},
        "Voted": {"trend": 0.2, "votes": 9, "comments": 1, "primary": "cs.LG"},
        "Discussed": {"trend": 0.5, "votes": 2, "comments": 7, "primary": "math.GT"},
    }
    for title, fields in rows.items():
        trend = fields.pop("trend")
        make.candidate(edition, make.paper(title, **fields), trend=trend)
    make.paper("Crossed", announce_type="cross", primary="cs.CV")
    make.paper("Replaced", announce_type="replace", primary="cs.CV")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["Trending", "Discussed", "Voted", "Crossed"]),
        ("sort=trend", ["Trending", "Discussed", "Voted", "Crossed"]),
        ("sort=votes", ["Voted", "Discussed", "Trending", "Crossed"]),
        ("sort=comments", ["Discussed", "Trending", "Voted", "Crossed"]),
        ("sort=nonsense", ["Trending", "Discussed", "Voted", "Crossed"]),
        ("type=new", ["Trending", "Discussed", "Voted"]),
        ("type=cross", ["Crossed"]),
        ("type=replaced", ["Replaced"]),
        ("type=nonsense", ["Trending", "Discussed", "Voted", "Crossed"]),
        ("category=cs.LG", ["Trending", "Voted"]),
        ("category=cs.LG&sort=votes", ["Voted", "Trending"]),
        ("category=math", ["Discussed"]),
        ("category=cs", ["Trending", "Voted", "Crossed"]),
        ("category=c", []),
        ("category=%3Cb%3E%00", []),
    ],
)
def test_list_is_filtered_and_sorted(client, mixed_day, query, expected):
    response = client.get(f"/papers/date/{DAY}?{query}")

    assert titles(response) == expected
    assert "<b>\x00" not in body(response)


def test_list_is_filtered_by_topic_and_shows_topics(client, mixed_day):
    robots, hidden = make.topic("Robots"), make.topic("Hidden", is_listed=False)
    Paper.objects.get(title="Voted").topics.add(robots, hidden)

    everything = body(client.get(f"/papers/date/{DAY}"))
    filtered = client.get(f"/papers/date/{DAY}?topic=robots&sort=votes")

    assert '<option value="robots">Robots (1)</option>' in everything
    assert titles(filtered) == ["Voted"]
    card = body(filtered).partition("<article")[2].partition("</article>")[0]
    assert '<a class="tag" href="/topics/robots">Robots</a>' in card
    assert "Hidden" not in card


@pytest.mark.parametrize("topic", ["unknown", "%3Cb%3E", "a" * 200])
def test_unknown_topic_never_breaks_a_list(client, mixed_day, topic):
    response = client.get(f"/papers/date/{DAY}?topic={topic}")

    assert response.status_code == 200
    assert "<b>" not in body(response)


def test_categories_are_offered_with_their_numbers_of_papers(client, mixed_day):
    page = body(client.get(f"/papers/date/{DAY}?category=cs.LG"))

    assert '<option value="cs.LG" selected>cs.LG (2)</option>' in page
    assert '<option value="math.GT">math.GT (1)</option>' in page


def test_merged_duplicates_are_listed_once(client, mixed_day):
    kept = Paper.objects.get(title="Voted")
    Paper.objects.filter(title="Trending").update(duplicate_of=kept)

    assert titles(client.get(f"/papers/date/{DAY}")) == [
        "Discussed",
        "Voted",
        "Crossed",
    ]


def test_week_and_month_are_sorted_by_votes_and_not_by_trend(client, mixed_day):
    for path in ("week/2026-W47", "month/2026-11"):
        response = client.get(f"/papers/{path}?sort=trend")

        assert titles(response) == ["Voted", "Discussed", "Trending", "Crossed"]
        assert '<option value="trend"' not in body(response)


def test_day_counts_new_and_cross_listed_papers(client, mixed_day):
    page = body(client.get(f"/papers/date/{DAY}"))

    assert "4 papers: 3 new, 1 cross-listed." in page
    assert '<details class="filters-fold">' in page
    assert "<li>cross-listed</li>" in page


@pytest.mark.parametrize("path", ["date/2026-11-20", "week/2026-W47", "month/2026-11"])
def test_long_list_has_pages_that_keep_the_filters(client, db, path):
    papers = [make.paper(primary="cs.LG") for _ in range(PAPERS_PER_PAGE + 2)]
    Paper.objects.filter(pk__in=[p.pk for p in papers]).update(abstract="&" * 1920)

    first = client.get(f"/papers/{path}?category=cs.LG")
    second = body(client.get(f"/papers/{path}?category=cs.LG&page=2"))

    assert body(first).count("<article") == PAPERS_PER_PAGE
    assert 'href="?category=cs.LG&amp;page=2" rel="next"' in body(first)
    assert second.count("<article") == 2
    assert f'start="{PAPERS_PER_PAGE + 1}"' in second
    assert len(first.content) < 500_000


@pytest.mark.parametrize(
    "path", ["date/2026-11-20", "week/2026-W47", "month/2026-11", "trending"]
)
def test_list_needs_ten_queries(client, db, django_assert_max_num_queries, path):
    topic = make.topic("Robots")
    for candidate in make.edition(papers=20).candidates.all():
        candidate.paper.topics.add(topic)

    with django_assert_max_num_queries(10):
        client.get(f"/papers/{path}")


def test_card_shows_authors_organization_and_a_folded_abstract(client, db):
    make.paper(
        "Floods",
        authors=["Ada Okafor"],
        organization="Lab",
        abstract="Seen. We see <x>. " * 40,
    )

    page = body(client.get(f"/papers/date/{DAY}"))

    assert "Ada Okafor · Lab" in page
    folded = page.partition("<summary>Abstract</summary>")[2]
    assert "We see &lt;x&gt;." in folded.partition("</details>")[0]


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
