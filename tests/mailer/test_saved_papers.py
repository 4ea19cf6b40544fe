"""The Friday mail: who gets it, when, once, and what it says."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail

from accounts import outbox
from accounts.models import AccountMail, Suppression
from digest.mailer.saved_papers import queue_friday_mails
from tests import make

pytestmark = [pytest.mark.both, pytest.mark.django_db]

FRIDAY = datetime(2026, 11, 20, 9, tzinfo=UTC)


@pytest.fixture
def reader():
    reader = make.subscriber("ada@example.org", saved_on_friday=True, hour=8)
    saved_at = FRIDAY - timedelta(days=2)
    reader.saved_papers.create(
        paper=make.paper("Storks <b> & co"), saved_at=saved_at, note="read p. 3"
    )
    return reader


def queued():
    return AccountMail.objects.filter(kind="saved_papers").count()


def test_the_mail_lists_the_papers_with_notes_and_leads_to_the_list(reader):
    assert queue_friday_mails(FRIDAY) == 1

    row = AccountMail.objects.get()
    outbox.deliver(row.pk, row.next_attempt_at)

    (message,) = mail.outbox
    html = message.alternatives[0][0]
    assert message.to == ["ada@example.org"]
    assert message.subject == "1 paper you saved this week"
    for body in (message.body, html):
        assert "read p. 3" in body
        assert f"/saved/{reader.access_keys.get().key}" in body
    assert "Storks &lt;b&gt; &amp; co" in html
    unsubscribe = f"<http://testserver/unsubscribe/{reader.unsubscribe_key}>"
    assert message.extra_headers["List-Unsubscribe"] == unsubscribe
    assert not AccountMail.objects.exists()


def test_it_is_sent_once_a_friday_from_the_reader_s_hour_on(reader):
    hours = [-2, -1, 0, 1, 24, 7 * 24]
    later = FRIDAY + timedelta(days=6)
    sent = [queue_friday_mails(FRIDAY + make.hours(hour)) for hour in hours[:-1]]
    reader.saved_papers.create(paper=make.paper("Terns"), saved_at=later)

    sent.append(queue_friday_mails(FRIDAY + make.hours(hours[-1])))

    assert sent == [0, 1, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("zone", "count"), [("Pacific/Auckland", 1), ("America/Los_Angeles", 0)]
)
def test_friday_and_hour_are_local(reader, zone, count):
    reader.zone = zone
    reader.save()

    assert queue_friday_mails(FRIDAY) == count


@pytest.mark.parametrize(
    "change",
    [
        {"saved_on_friday": False},
        {"state": "left"},
        {"paused_until": FRIDAY + timedelta(days=3)},
    ],
)
def test_readers_who_do_not_want_it_get_none(reader, change):
    type(reader).objects.update(**change)

    assert queue_friday_mails(FRIDAY) == 0


def test_papers_that_are_done_or_old_are_left_out(reader):
    reader.saved_papers.update(is_done=True)
    old = FRIDAY - timedelta(days=8)
    reader.saved_papers.create(paper=make.paper(), saved_at=old)

    assert queue_friday_mails(FRIDAY) == 0


def test_consent_is_read_again_before_sending(reader):
    queue_friday_mails(FRIDAY)
    Suppression.add(reader.email, "complaint")
    row = AccountMail.objects.get()

    outbox.deliver(row.pk, row.next_attempt_at)

    assert mail.outbox == []
    assert not AccountMail.objects.exists()


def test_mail_counts_one_paper_beyond_its_list(reader, monkeypatch):
    monkeypatch.setattr("digest.mailer.saved_papers.MAX_PAPERS", 1)
    saved_at = FRIDAY - timedelta(days=1)
    reader.saved_papers.create(paper=make.paper("Herons"), saved_at=saved_at)
    queue_friday_mails(FRIDAY)

    row = AccountMail.objects.get()
    outbox.deliver(row.pk, row.next_attempt_at)

    (message,) = mail.outbox
    assert "1 more is on your reading list." in message.body
    assert "1 more is on your reading list." in message.alternatives[0][0]
