"""Invitations of readers by staff: one mail in their name, and the same answer for every address."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.core import mail
from django.urls import reverse

from accounts.models import AccountMail, Link, Subscriber, Suppression
from tests import make

pytestmark = pytest.mark.django_db
INVITE = "admin:accounts_subscriber_invite"


@pytest.fixture
def editor(client):
    return make.log_in_staff(
        client, "Editors", "lena@example.org", name="Lena <i>Okafor</i>"
    )


@pytest.fixture
def invite(editor, eager, django_capture_on_commit_callbacks):
    def send(email):
        with django_capture_on_commit_callbacks(execute=True):
            return editor.post(reverse(INVITE), {"email": email}, follow=True).text

    return send


def body_of(message):
    return " ".join(message.body.split())


def test_invitation_names_who_invites_and_leads_to_confirmation(invite, client):
    invite("New@Example.org")

    (message,) = mail.outbox
    html = message.alternatives[0][0]
    link = Link.objects.get()
    assert message.to == ["new@example.org"]
    assert message.subject == "Lena <i>Okafor</i> invites you to Paper Round"
    assert "Lena <i>Okafor</i> invites you to Paper Round" in body_of(message)
    assert "Lena &lt;i&gt;Okafor&lt;/i&gt; invites you" in html
    assert reverse("confirm", args=[link.key]) in message.body
    assert Subscriber.objects.get().state == "pending"


def test_invited_reader_confirms_and_the_record_says_so(invite, client):
    invite("new@example.org")

    client.post(reverse("confirm", args=[Link.objects.get().key]))

    reader = Subscriber.objects.get()
    assert reader.is_active
    assert reader.consent_how == "invited by staff; pressed the button"
    assert reader.consent_text


def test_an_answer_does_not_reveal_who_reads(invite):
    make.subscriber("ada@example.org")
    make.subscriber("cleo@example.org", state="left", left_at=make.NOW)
    Suppression.add("block@example.org", "requested")

    emails = ("ada@example.org", "cleo@example.org", "block@example.org")
    pages = [invite(email) for email in emails]
    new_page = invite("new@example.org")

    assert [page.count("on its way") for page in [*pages, new_page]] == [1, 1, 1, 1]
    assert [message.to for message in mail.outbox] == [["new@example.org"]]
    assert "ada@example.org" not in new_page


def test_wrong_address_is_named(invite):
    page = invite("ada@@example")

    assert "Enter a valid email address." in page
    assert not AccountMail.objects.exists()


def test_invitations_of_one_mailbox_are_limited(invite):
    for _ in range(5):
        invite("new@example.org")

    assert len(mail.outbox) == 3


def test_invitations_of_one_member_of_staff_are_limited(invite, monkeypatch):
    monkeypatch.setattr("accounts.links.INVITATIONS_PER_STAFF", "2/d")

    for number in range(4):
        invite(f"new{number}@example.org")

    assert len(mail.outbox) == 2


def test_history_says_that_someone_was_invited_and_not_who(invite):
    invite("new@example.org")

    (entry,) = LogEntry.objects.all()
    assert entry.change_message == "Invited a reader."
    assert "new@" not in entry.object_repr + str(entry.object_id)


def test_inviting_needs_its_permission(editor):
    Group.objects.get(name="Editors").permissions.clear()

    assert editor.get(reverse(INVITE)).status_code == 403
    assert editor.post(reverse(INVITE), {"email": "a@b.example"}).status_code == 403
    assert not AccountMail.objects.exists()
