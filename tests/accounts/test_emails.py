"""The three mails: both bodies, their headers, and a mail server that is away for a moment."""

import re
from smtplib import SMTPServerDisconnected

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend

from accounts import emails
from accounts.models import Link
from tests import make

pytestmark = pytest.mark.django_db

MAILS = {
    "confirm": "Confirm: papers each morning from Paper Round",
    "preferences": "Your preferences at Paper Round",
    "address": "Confirm your new address at Paper Round",
}


def send(reader, purpose):
    link = Link.issue(reader, purpose, make.NOW, email="ada@new.example")
    emails.send_link(link)
    return link, mail.outbox[-1]


@pytest.mark.parametrize(("purpose", "subject"), MAILS.items())
def test_a_mail_says_where_from_and_opens_one_door_in_both_bodies(
    ada, purpose, subject
):
    link, letter = send(ada, purpose)

    (html, kind) = letter.alternatives[0]
    address = f"http://testserver/{purpose}/{link.key}"
    assert letter.subject == subject
    assert kind == "text/html"
    assert letter.body.count(address) == 1
    assert html.count(f'href="{address}"') == 2
    assert html.count(f">{address}</a>") == 1
    for body in (letter.body, html):
        assert "1 Press Lane, Example Town" in body
        assert "Paper Round" in body
    assert letter.extra_headers["Auto-Submitted"] == "auto-generated"
    assert letter.from_email == "Paper Round <round@paper-round.example>"


@pytest.mark.parametrize("purpose", MAILS)
def test_the_plain_body_is_plain_and_the_other_one_small(ada, purpose):
    _, letter = send(ada, purpose)

    (html, _) = letter.alternatives[0]
    assert not re.search(r"[<>&]|\n\n\n|\{|\}", letter.body)
    lines = [line for line in letter.body.splitlines() if "://" not in line]
    assert max(map(len, lines)) <= 76
    assert len(html) < 5000
    assert "<img" not in html
    assert 'name="color-scheme"' in html


def test_a_site_name_is_escaped_where_it_must_be_and_never_a_header(ada, settings):
    settings.SITE_NAME = "R&D <Round>\nBcc: x@example.org"

    _, letter = send(ada, "confirm")

    assert "\n" not in letter.message()["Subject"]
    assert letter.message()["Bcc"] is None
    assert "R&D <Round>" in letter.body
    assert "R&amp;D &lt;Round&gt;" in letter.alternatives[0][0]
    assert "<Round>" not in letter.alternatives[0][0]


def test_a_new_address_is_asked_at_the_new_address(ada):
    _, letter = send(ada, "address")

    assert letter.to == ["ada@new.example"]


def test_a_mail_server_that_is_away_for_a_moment_is_asked_again(ada, monkeypatch):
    calls = []
    send_messages = EmailBackend.send_messages

    def away_once(self, messages):
        calls.append(messages)
        if len(calls) == 1:
            raise SMTPServerDisconnected("restarting")
        return send_messages(self, messages)

    monkeypatch.setattr(EmailBackend, "send_messages", away_once)

    send(ada, "confirm")

    assert len(calls) == 2
    assert len(mail.outbox) == 1
