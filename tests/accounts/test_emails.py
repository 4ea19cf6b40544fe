"""Account mails: both bodies and headers."""

import re

import pytest
from django.core import mail

from accounts import emails
from accounts.models import Link
from tests import make

pytestmark = pytest.mark.django_db

MAILS = {
    "confirm": "Confirm your subscription to Paper Round",
    "preferences": "Your Paper Round preferences",
    "address": "Confirm your new address for Paper Round",
}


def send(reader, purpose):
    link = Link.issue(reader, purpose, make.NOW, email="ada@new.example")
    emails.send_link(link)
    return link, mail.outbox[-1]


@pytest.mark.parametrize(("purpose", "subject"), MAILS.items())
def test_both_bodies_name_the_sender_and_have_one_link(ada, purpose, subject):
    link, message = send(ada, purpose)

    (html, mimetype) = message.alternatives[0]
    url = f"http://testserver/{purpose}/{link.key}"
    assert message.subject == subject
    assert mimetype == "text/html"
    assert message.body.count(url) == 1
    assert html.count(f'href="{url}"') == 2
    assert html.count(f">{url}</a>") == 1
    for body in (message.body, html):
        assert "1 Press Lane, Example Town" in body
        assert "Paper Round" in body
    assert message.extra_headers["Auto-Submitted"] == "auto-generated"
    assert message.from_email == "Paper Round <round@paper-round.example>"


@pytest.mark.parametrize("purpose", MAILS)
def test_text_body_is_plain_and_html_body_small(ada, purpose):
    _, message = send(ada, purpose)

    (html, _) = message.alternatives[0]
    assert not re.search(r"[<>&]|\n\n\n|\{|\}", message.body)
    lines = [line for line in message.body.splitlines() if "://" not in line]
    assert max(map(len, lines)) <= 76
    assert len(html) < 5000
    assert "<img" not in html
    assert 'name="color-scheme"' in html


def test_site_name_is_escaped_and_cannot_add_a_header(ada, settings):
    settings.SITE_NAME = "R&D <Round>\nBcc: x@example.org"

    _, message = send(ada, "confirm")

    assert "\n" not in message.message()["Subject"]
    assert message.message()["Bcc"] is None
    assert "R&D <Round>" in message.body
    assert "R&amp;D &lt;Round&gt;" in message.alternatives[0][0]
    assert "<Round>" not in message.alternatives[0][0]


def test_address_confirmation_goes_to_the_new_address(ada):
    _, message = send(ada, "address")

    assert message.to == ["ada@new.example"]


def test_account_mails_have_a_message_id_of_the_senders_domain(settings):
    settings.MAIL_FROM = "Papers <papers@mail.example.org>"

    messages = [
        emails.render_message("moved", "ada@example.org", "/subscribe").message()
        for _ in range(2)
    ]

    identifiers = {message["Message-ID"] for message in messages}
    assert len(identifiers) == 2
    assert all(text.endswith("@mail.example.org>") for text in identifiers)
