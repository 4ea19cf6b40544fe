"""The outbox: account mails are rows until they are sent, and retried while their link is valid."""

from datetime import timedelta
from smtplib import SMTPDataError, SMTPRecipientsRefused, SMTPServerDisconnected

import pytest
from django.contrib.auth.models import Permission
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.urls import reverse
from django.utils import timezone

from accounts import outbox, tasks
from accounts.emails import MailRefusedError, RecipientRefusedError
from accounts.models import AccountMail, Link, Subscriber, Suppression
from tests import make
from tests.accounts.conftest import last_link_path

pytestmark = [pytest.mark.both, pytest.mark.django_db]


@pytest.fixture
def mail_server(monkeypatch):
    """Raises `mail_server.error` instead of accepting mail, until that is set to None."""
    send_messages = EmailBackend.send_messages

    class MailServer:
        error = None
        attempts = 0

    def send_or_fail(self, messages):
        MailServer.attempts += 1
        if MailServer.error:
            raise MailServer.error
        return send_messages(self, messages)

    monkeypatch.setattr(EmailBackend, "send_messages", send_or_fail)
    return MailServer


def sign_up(visitor, email="new@example.org"):
    return visitor.post("/subscribe", {"email": email})


def test_sent_mail_leaves_the_outbox(visitor):
    sign_up(visitor)

    assert len(mail.outbox) == 1
    assert not AccountMail.objects.exists()


def test_mail_is_retried_with_back_off_until_the_server_is_back(
    visitor, mail_server, time_machine
):
    time_machine.move_to(make.NOW, tick=False)
    mail_server.error = SMTPServerDisconnected("restarting")
    sign_up(visitor)
    waits = []
    for _ in range(9):
        row = AccountMail.objects.get()
        waits.append(row.next_attempt_at - timezone.now())
        time_machine.move_to(row.next_attempt_at - timedelta(seconds=1), tick=False)
        tasks.send_due_mails()
        time_machine.move_to(row.next_attempt_at, tick=False)
        tasks.send_due_mails()
    assert [wait / timedelta(minutes=1) for wait in waits] == [
        *(1, 2, 4, 8, 16, 32, 60, 60, 60)
    ]
    assert mail_server.attempts == 10

    mail_server.error = None
    time_machine.shift(3600)
    tasks.send_due_mails()

    assert [message.to for message in mail.outbox] == [["new@example.org"]]
    assert Link.objects.count() == 1
    visitor.post(last_link_path())
    assert Subscriber.objects.get().is_active


def test_mail_is_dropped_when_its_link_expires(visitor, mail_server, time_machine):
    mail_server.error = SMTPServerDisconnected("gone")
    sign_up(visitor)

    time_machine.move_to(Link.objects.get().expires_at)
    mail_server.error = None
    tasks.send_due_mails()

    assert mail.outbox == []
    assert not AccountMail.objects.exists()


def test_complaint_stops_a_waiting_mail(visitor, mail_server, time_machine):
    mail_server.error = SMTPServerDisconnected("restarting")
    sign_up(visitor)
    Suppression.add("new@example.org", Suppression.Reason.COMPLAINT)

    mail_server.error = None
    time_machine.move_to(timezone.now() + timedelta(hours=1))
    tasks.send_due_mails()

    assert mail.outbox == []
    assert not AccountMail.objects.exists()


def test_permanently_refused_recipient_is_not_retried(visitor, mail_server):
    mail_server.error = SMTPRecipientsRefused({"new@example.org": (550, b"unknown")})

    sign_up(visitor)

    assert not AccountMail.objects.exists()


@pytest.mark.parametrize(
    "error", [RecipientRefusedError("SendGrid: 400 The to email is not valid")]
)
def test_recipient_that_sendgrid_refuses_is_not_retried(visitor, mail_server, error):
    mail_server.error = error

    sign_up(visitor)

    assert not AccountMail.objects.exists()


@pytest.mark.parametrize(
    "error",
    [MailRefusedError("SendGrid: 400 Bad content"), SMTPDataError(554, b"refused")],
)
def test_mail_that_is_refused_for_good_is_shown_and_not_retried(
    visitor, mail_server, time_machine, caplog, error
):
    time_machine.move_to(make.NOW, tick=False)
    mail_server.error = error
    sign_up(visitor)

    for day in range(1, 5):
        row = AccountMail.objects.first()
        if day <= 2:
            assert row.last_error.startswith(type(error).__name__)
            assert row.attempts == mail_server.attempts == 1
        time_machine.move_to(make.NOW + timedelta(days=day), tick=False)
        tasks.send_due_mails()

    assert not AccountMail.objects.exists()  # its link has expired
    assert mail_server.attempts == 1
    assert "account mail refused" in caplog.text
    assert "new@example.org" not in caplog.text


def test_temporarily_refused_recipient_is_retried(visitor, mail_server):
    mail_server.error = SMTPRecipientsRefused({"new@example.org": (451, b"greylisted")})

    sign_up(visitor)

    assert AccountMail.objects.get().attempts == 1


def test_error_is_stored_and_logged_without_the_address(visitor, mail_server, caplog):
    mail_server.error = OSError("SendGrid: new@example.org does not match")

    sign_up(visitor)

    assert AccountMail.objects.get().last_error == "OSError: SendGrid: … does not match"
    assert "does not match" in caplog.text
    assert "new@example.org" not in caplog.text


def test_claimed_mail_is_not_sent_by_a_second_worker(db):
    row = AccountMail.objects.create(
        kind=AccountMail.Kind.MOVE_NOTICE, email="old@example.org"
    )
    now = timezone.now()
    assert AccountMail.objects.claim(row.pk, now + outbox.LEASE, now)

    outbox.deliver(row.pk, now)

    assert mail.outbox == []
    outbox.deliver(row.pk, now + outbox.LEASE)
    assert len(mail.outbox) == 1


def test_one_failing_mail_does_not_delay_the_others(monkeypatch):
    send_messages = EmailBackend.send_messages

    def refuse_first(self, messages):
        if messages[0].to == ["first@example.org"]:
            raise OSError("try later")
        return send_messages(self, messages)

    for name in ("first", "second"):
        AccountMail.objects.create(
            kind=AccountMail.Kind.MOVE_NOTICE, email=f"{name}@example.org"
        )
    monkeypatch.setattr(EmailBackend, "send_messages", refuse_first)

    tasks.send_due_mails()

    assert [message.to for message in mail.outbox] == [["second@example.org"]]
    assert AccountMail.objects.get().email == "first@example.org"


def test_erasing_a_reader_removes_their_waiting_mails(visitor, ada, mail_server):
    mail_server.error = SMTPServerDisconnected("restarting")
    sign_up(visitor, ada.email)
    AccountMail.objects.create(kind=AccountMail.Kind.MOVE_NOTICE, email=ada.email)

    ada.delete()

    assert not AccountMail.objects.exists()


def test_operator_sees_the_queue_and_can_retry(
    client, edith, mail_server, django_capture_on_commit_callbacks
):
    row = AccountMail.objects.create(
        kind=AccountMail.Kind.MOVE_NOTICE,
        email="old@example.org",
        attempts=3,
        last_error="OSError: refused",
        next_attempt_at=timezone.now() + timedelta(hours=1),
    )
    client.force_login(edith)
    url = reverse("admin:accounts_accountmail_changelist")

    page = client.get(url)
    with django_capture_on_commit_callbacks(execute=True):
        client.post(url, {"action": "retry", "_selected_action": row.pk})

    assert "old@example.org" in page.text
    assert "OSError: refused" in page.text
    assert [message.to for message in mail.outbox] == [["old@example.org"]]


def test_dashboard_counts_failing_mails(client, edith):
    client.force_login(edith)
    AccountMail.objects.create(
        kind=AccountMail.Kind.MOVE_NOTICE, email="old@example.org", attempts=2
    )

    page = client.get(reverse("admin:index"))

    assert "1 account mail failing" in page.text


def test_retry_needs_a_permission(client, edith, django_user_model):
    editor = django_user_model.objects.create_user("ed@example.org", "x", is_staff=True)
    permission = Permission.objects.get(codename="view_accountmail")
    editor.user_permissions.add(permission)
    row = AccountMail.objects.create(
        kind=AccountMail.Kind.MOVE_NOTICE, email="old@example.org"
    )
    client.force_login(editor)

    url = reverse("admin:accounts_accountmail_changelist")
    client.post(url, {"action": "retry", "_selected_action": row.pk})

    assert mail.outbox == []
