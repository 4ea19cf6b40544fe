"""The weekly report: mailed once to each of the staff who want it, with the week's figures."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail
from django.core.management import call_command
from django.urls import reverse

from accounts import outbox
from accounts.models import AccountMail, User
from digest import figures
from digest.feedback import clicks
from digest.models import AttentionSample, DailyFigures
from tests import make

pytestmark = [pytest.mark.both, pytest.mark.django_db]

MONDAY = datetime(2026, 11, 30, 8, tzinfo=UTC)
SUNDAY = (MONDAY - timedelta(days=1)).date()


@pytest.fixture
def editor(db):
    return User.objects.create_user("edith@example.org", is_staff=True)


@pytest.fixture
def opened(db):
    """Six papers opened last week by 6, 5, … 1 readers, one of them on two days."""
    papers = [make.paper(f"Storks <b>{n}</b>") for n in range(6)]
    for n, paper in enumerate(papers):
        sample(paper, MONDAY.replace(hour=0) - timedelta(days=1), 5 - n or 1)
    sample(papers[0], MONDAY.replace(hour=0), 1_200)
    sample(papers[5], MONDAY.replace(hour=0) - timedelta(days=8), 5_000)
    return papers


def sample(paper, at, value):
    AttentionSample.objects.create(
        paper=paper, source=clicks.READERS, kind="clicks", at=at, value=value
    )


def add_figures(day, **numbers):
    DailyFigures.objects.create(day=day, computed_at=MONDAY, **numbers)


def deliver_all():
    for row in AccountMail.objects.all():
        outbox.deliver(row.pk, row.next_attempt_at)


def test_report_has_the_figures_and_the_papers_opened_most(editor, opened):
    add_figures(SUNDAY, accepted=2_000, gained=3)
    add_figures(SUNDAY - timedelta(days=6), accepted=1)
    add_figures(SUNDAY - timedelta(days=7), accepted=50)
    add_figures(SUNDAY + timedelta(days=1), accepted=9)

    figures.queue_weekly_reports(MONDAY)
    deliver_all()

    (message,) = mail.outbox
    html = message.alternatives[0][0]
    assert message.to == ["edith@example.org"]
    assert message.subject == "Paper Round: 23 November to 29 November 2026"
    assert "Mails accepted: 2,001 (50)" in message.body
    assert "Readers gained: 3 (0)" in message.body
    assert "Storks <b>0</b> (1,205 readers)" in message.body
    assert message.body.count("http://testserver/papers/") == 5
    assert opened[5].identifier not in message.body
    assert "Storks &lt;b&gt;0&lt;/b&gt;" in html
    assert "2,001" in html
    assert "List-Unsubscribe" not in message.extra_headers
    assert reverse("admin:accounts_user_weekly_report") in html


def test_report_is_sent_once_a_week_from_monday_morning_until_tuesday(editor):
    hours = [-48, -2, 0, 1, 24, 7 * 24]

    sent = [figures.queue_weekly_reports(MONDAY + make.hours(hour)) for hour in hours]

    assert sent == [0, 0, 1, 0, 0, 1]


def test_report_missed_on_monday_is_sent_on_tuesday_but_not_later(editor):
    other = User.objects.create_user("other@example.org", is_staff=True)
    User.objects.filter(pk=other.pk).update(report_sent_on=MONDAY.date())

    assert figures.queue_weekly_reports(MONDAY + make.hours(26)) == 1
    User.objects.update(report_sent_on=None)
    assert figures.queue_weekly_reports(MONDAY + make.hours(48)) == 0


@pytest.mark.parametrize("field", ["weekly_report", "is_active", "is_staff"])
def test_report_goes_only_to_staff_who_want_it(editor, field):
    User.objects.filter(pk=editor.pk).update(**{field: False})

    assert figures.queue_weekly_reports(MONDAY) == 0


def test_stopping_the_report_stops_a_queued_one(editor):
    figures.queue_weekly_reports(MONDAY)
    User.objects.update(weekly_report=False)

    deliver_all()

    assert not mail.outbox
    assert not AccountMail.objects.exists()


def test_staff_stop_and_start_their_own_report(client, editor):
    client.force_login(editor)
    url = reverse("admin:accounts_user_weekly_report")

    assert "Stop the report" in client.get(url).content.decode()
    editor.refresh_from_db()
    assert editor.weekly_report
    client.post(url)
    editor.refresh_from_db()
    assert not editor.weekly_report
    assert "Email it to me" in client.get(url).content.decode()
    client.post(url)
    editor.refresh_from_db()
    assert editor.weekly_report


def test_a_week_without_clicks_says_so(editor):
    figures.queue_weekly_reports(MONDAY)
    deliver_all()

    assert "No paper was opened this week." in mail.outbox[0].body


def test_json_report_has_the_papers_opened_most(opened, capsys, time_machine):
    time_machine.move_to(MONDAY, tick=False)

    call_command("report", "--json")

    report = json.loads(capsys.readouterr().out)
    assert [row["readers"] for row in report["most_opened"]] == [1_205, 4, 3, 2, 1]
    assert report["most_opened"][0]["id"] == opened[0].identifier
    assert report["until"] == SUNDAY.isoformat()
