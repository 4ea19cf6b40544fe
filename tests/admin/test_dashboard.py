"""The dashboard: alarms in one line per kind, sources, processes and figures."""

from datetime import date, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.formats import date_format

from accounts.models import User
from digest import figures
from digest.admin import charts, dashboard
from digest.models import DailyFigures, Heartbeat, IngestRun
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client):
    user = User.objects.create_superuser("editor@example.org", "a long passphrase")
    client.force_login(user)
    return client


def test_alarms_of_one_kind_are_one_line_with_what_to_do():
    alarms = [("Missing", f"No papers of day {n}.") for n in range(10)]

    groups = dashboard.group_alarms([*alarms, ("beat", "Beat has enqueued nothing.")])

    assert [group.text for group in groups] == [
        "No papers of day 0. And 9 more like this.",
        "Beat has enqueued nothing.",
    ]
    assert len(groups[0].details) == 9
    assert all(group.action for group in groups)


def test_demo_without_network_raises_no_alarm_about_sources(settings, staff):
    settings.DEMO = True
    make.edition(make.DAY)

    page = staff.get(reverse("admin:index"))

    (source,) = page.context["sources"]
    assert (source.state, source.level) == ("not read yet", "good")
    kinds = {group.action for group in page.context["alarm_groups"]}
    assert not kinds & {
        dashboard.ALARM_ACTIONS["Missing"],
        dashboard.ALARM_ACTIONS["Gap"],
    }


def test_demo_that_reads_arxiv_shows_its_sources(settings):
    settings.DEMO = True
    IngestRun.objects.create(
        kind="feed",
        origin="https://rss.arxiv.org/rss/cs",
        state="done",
        started_at=make.NOW,
    )

    names = [source.name for source in dashboard.describe_sources(make.NOW)]

    assert names == ["arXiv feeds", "arXiv OAI-PMH", "Hugging Face"]


def test_source_states_name_the_next_reading(time_machine):
    time_machine.move_to(make.NOW, tick=False)  # a Friday, 09:00 UTC
    before = dashboard.describe_feed(make.NOW)
    make.paper()
    IngestRun.objects.create(
        kind="feed",
        source="arxiv",
        origin="feed",
        state="done",
        feed_state="complete",
        categories=["cs", "stat"],
        started_at=make.NOW,
    )

    after = dashboard.describe_feed(make.NOW)

    assert before.level != "good"
    assert after.text.startswith("1 paper of 20 November; last read 09:00")
    assert after.next_at == make.NOW + timedelta(minutes=20)


def test_late_heartbeats_are_marked():
    Heartbeat.objects.record("beat", make.NOW)
    Heartbeat.objects.record("worker celery", make.NOW - timedelta(hours=1))

    rows = dashboard.describe_heartbeats(make.NOW)

    assert [row["is_late"] for row in rows] == [False, True, True]


def test_figures_are_shown_as_charts_with_their_table(staff, time_machine):
    time_machine.move_to(make.NOW, tick=False)
    DailyFigures.objects.create(
        day=make.DAY - timedelta(days=1),
        planned=100,
        accepted=80,
        clicked=20,
        gained=7,
        lost=3,
        computed_at=make.NOW,
    )

    page = staff.get(reverse("admin:index"), {"days": "7"}).content.decode()

    assert 'aria-label="Mails accepted and opened a day, last 7 days"' in page
    assert "<title>19 Nov 2026: 80 accepted</title>" in page
    assert "<title>19 Nov 2026: 3 lost</title>" in page
    assert "25.0 %" in page  # of the accepted ones a link was opened
    assert page.count("Nov 2026</th>") == 7


@pytest.mark.parametrize("days", ["", "8", "-1", "9" * 40, "x"])
def test_unknown_period_shows_thirty_days(days):
    trend = dashboard.describe_trend(days, make.NOW)

    assert len(trend["trend_rows"]) == 30


def test_finished_edition_is_read_from_its_figures(staff, time_machine):
    edition = make.frozen(make.edition())
    reader = make.subscriber()
    batch = make.batch(edition, [reader], state="done")
    make.digest(batch, reader, outcome="accepted")
    later = make.NOW + timedelta(days=3)
    figures.count_days([make.DAY], later)

    with CaptureQueriesContext(connection) as queries:
        row = dashboard.describe_frozen_edition(edition, later)

    assert row["tally"].accepted == 1
    assert not any("digest_digest" in query["sql"] for query in queries)


@pytest.mark.parametrize(
    ("value", "ceiling"), [(0.5, 1), (1, 1), (3, 5), (11, 20), (501, 1000)]
)
def test_axis_ends_at_a_round_number(value, ceiling):
    assert charts.nice_ceiling(value) == ceiling


def test_bars_are_as_high_as_their_values():
    days = [date(2026, 11, 1), date(2026, 11, 2)]
    chart = charts.bar_chart("Title", days, [charts.Series("up", [5, 10], "a")])

    heights = [part.split('"')[0] for part in chart.split('height="')[1:]]
    assert float(heights[1]) == pytest.approx(2 * float(heights[0]), abs=0.2)


def test_dates_have_the_format_of_the_site():
    assert date_format(date(2026, 11, 9)) == "9 Nov 2026"
    assert date_format(make.NOW, "DATETIME_FORMAT") == "20 Nov 2026, 09:00"
