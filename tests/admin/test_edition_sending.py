"""The page Sending of an edition: recipients before and after the freeze, and an operator's actions."""

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from accounts.models import Suppression
from digest import tasks
from digest.mailer import plan
from digest.models import Digest, Edition, SendingPause
from tests import make

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("mail_dir")]


@pytest.fixture(autouse=True)
def mail_dir(eager, settings, tmp_path, time_machine):
    """Run tasks eagerly, write mails to files, at the time of the tests' editions."""
    time_machine.move_to(make.NOW, tick=False)
    settings.MAIL_DIR = tmp_path
    return tmp_path


@pytest.fixture
def operator(client):
    return make.log_in_staff(client, "Operators", "operators@example.org")


def url_of(edition):
    return reverse("admin:digest_edition_sending", args=[edition.pk])


def open_page(client, edition):
    return client.get(url_of(edition)).content.decode()


def act(client, edition, action, **fields):
    """Take an action and confirm it; return the page that follows."""
    form = {"action": action, "sure": "1", **fields}
    return client.post(url_of(edition), form, follow=True).content.decode()


@pytest.fixture
def waiting():
    """A frozen edition whose two readers are due tomorrow morning."""
    edition = make.frozen(make.edition(papers=1))
    return edition, [make.subscriber(), make.subscriber()]


@pytest.fixture
def troubled():
    """A frozen edition with one accepted, one failed and two unknown digests."""
    edition = make.frozen(make.edition(papers=1))
    readers = [make.subscriber(f"ada{n}@example.org") for n in range(4)]
    batch, pick = make.batch(edition, readers, state="done"), edition.candidates.get()
    outcomes = ("accepted", "failed", "unknown", "unknown")
    for reader, outcome in zip(readers, outcomes, strict=True):
        words = "" if outcome == "accepted" else f"451 {reader.email}: try <later>"
        make.digest(
            batch, reader, [(pick.pk, 0)], outcome=outcome, provider_detail=words
        )
    return edition


def outcomes_of(edition):
    return edition.digests.count_outcomes()


def test_open_edition_shows_its_recipients_by_hour_and_zone(operator):
    edition = make.edition(papers=1)
    make.subscriber(zone="Asia/Tokyo", hour=7)
    make.subscriber(zone="Europe/Oslo", hour=11)
    make.subscriber(frequency="weekly", weekday=2)
    make.subscriber("gone@example.org")
    Suppression.add("gone@example.org", "manual")

    page = open_page(operator, edition)

    assert "2 readers will get this edition" in page
    assert "Asia/Tokyo 1" in page
    assert "Europe/Oslo 1" in page
    assert '<td>Suppressed</td><td class="number">1</td>' in page
    assert '<td>Get mail on other days</td><td class="number">1</td>' in page


def test_frozen_edition_shows_outcomes_and_the_providers_words(operator, troubled):
    page = open_page(operator, troubled)

    assert "4 of 4 planned readers done" in page
    assert "451 …: try &lt;later&gt;" in page
    assert '<td class="number">2</td>' in page
    assert "ada1@example.org" in page


def test_editors_see_numbers_and_no_address_or_action(client, troubled):
    page = open_page(
        make.log_in_staff(client, "Editors", "editors@example.org"), troubled
    )

    assert "4 of 4 planned readers done" in page
    assert "@example.org:" not in page
    assert "ada1@" not in page
    assert 'name="action"' not in page


def test_editors_cannot_stop_an_edition(client, waiting):
    edition, _ = waiting

    act(
        make.log_in_staff(client, "Editors", "editors@example.org"),
        edition,
        "stop",
        reason="no",
    )

    assert Edition.objects.sendable().exists()


def test_an_action_asks_before_it_does_anything(operator, waiting):
    edition, _ = waiting

    page = operator.post(url_of(edition), {"action": "send_now"}).content.decode()

    assert "2 readers" in page
    assert 'name="sure"' in page
    assert not Digest.objects.exists()
    assert not LogEntry.objects.exists()


def test_send_now_mails_readers_whose_hour_is_later(operator, waiting, mail_dir):
    edition, _ = waiting

    page = act(operator, edition, "send_now")

    assert outcomes_of(edition) == {"accepted": 2}
    assert len(list(mail_dir.rglob("*.eml"))) == 2
    assert "Sending now to 2 readers." in page
    assert LogEntry.objects.get().change_message == "Sending now to 2 readers."


def test_readers_who_got_the_edition_early_are_not_expected_again(operator, waiting):
    edition, _ = waiting
    assert "About 2 more readers" in open_page(operator, edition)

    act(operator, edition, "send_now")

    assert "more reader" not in open_page(operator, edition)


def test_paused_edition_sends_nothing_until_it_is_resumed(operator, waiting):
    edition, _ = waiting
    act(operator, edition, "pause", reason="a wrong <note>")
    plan.plan_all(edition, make.NOW)
    tasks.send_batches()
    paused_page = open_page(operator, edition)
    outcomes_while_paused = outcomes_of(edition)

    act(operator, edition, "resume")

    assert "a wrong &lt;note&gt;" in paused_page
    assert outcomes_while_paused == {}
    assert outcomes_of(edition) == {"accepted": 2}
    messages = LogEntry.objects.order_by("pk").values_list("change_message", flat=True)
    assert list(messages) == ["Paused sending: a wrong <note>.", "Resumed sending."]


def test_pause_needs_a_reason(operator, waiting):
    edition, _ = waiting

    page = act(operator, edition, "pause", reason=" ")

    assert "Enter a reason." in page
    assert not SendingPause.objects.exists()


def test_stopped_edition_skips_everyone_who_has_not_got_it(operator, waiting):
    edition, readers = waiting
    plan.plan_reader(edition, readers[0], make.NOW, "manual")
    tasks.send_planned_batches()

    act(operator, edition, "stop", reason="A wrong paper leads it")
    plan.plan_due(make.NOW + make.hours(24))
    tasks.send_planned_batches()

    assert outcomes_of(edition) == {"accepted": 1, "skipped": 1}
    assert edition.digests.get(outcome="skipped").reason == "stopped"
    page = open_page(operator, edition)
    assert "Stopped 20 November" in page or "Stopped November 20" in page
    assert "Stopped sending: A wrong paper leads it." in page
    assert "Send now" not in page


def test_stopped_edition_sends_no_digest_again(operator, troubled):
    act(operator, troubled, "stop", reason="wrong")

    page = act(operator, troubled, "send_unknown")

    assert outcomes_of(troubled) == {"accepted": 1, "failed": 1, "unknown": 2}
    assert "That is not possible any more." in page


def test_new_readers_are_not_welcomed_with_a_stopped_edition(operator, waiting):
    edition, _ = waiting
    earlier = make.frozen(make.edition(make.DAY.replace(day=19), papers=1))
    act(operator, edition, "stop", reason="wrong")
    reader = make.subscriber()

    tasks.send_welcome_digest(reader.pk)

    assert reader.digests.get().edition == earlier


def test_failed_digests_are_sent_again(operator, troubled):
    act(operator, troubled, "send_failed")

    assert outcomes_of(troubled) == {"accepted": 2, "unknown": 2}


def test_unknown_digests_are_sent_again(operator, troubled):
    page = act(operator, troubled, "send_unknown")

    assert outcomes_of(troubled) == {"accepted": 3, "failed": 1}
    assert "Sending 2 digests again, unknown before." in page


def test_unknown_digests_are_marked_as_accepted(operator, troubled, mail_dir):
    act(operator, troubled, "mark_accepted")

    assert outcomes_of(troubled) == {"accepted": 3, "failed": 1}
    assert not list(mail_dir.rglob("*.eml"))
    (entry,) = LogEntry.objects.all()
    assert entry.change_message == "Marked 2 digests as accepted."
    assert str(entry.user) == "operators@example.org"


def test_broker_outage_is_reported_and_sends_nothing(operator, waiting, monkeypatch):
    edition, _ = waiting
    task = tasks.send_edition_now

    def refuse(*arguments):
        raise task.OperationalError("connection refused")

    monkeypatch.setattr(task, "delay", refuse)

    page = act(operator, edition, "send_now")

    assert "nothing was sent" in page
    assert not LogEntry.objects.exists()
