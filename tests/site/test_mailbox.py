"""The mailbox page of a demo."""

from email.message import EmailMessage

import pytest

from accounts.models import User
from tests.site.conftest import HOSTILE, body


@pytest.fixture
def mail_folder(settings, tmp_path, db):
    settings.DEMO = True
    settings.MAIL_DIR = tmp_path / "mail"
    settings.MAIL_DIR.mkdir()
    mail = EmailMessage()
    mail["Subject"], mail["To"] = "Papers of today", "ada@example.org"
    mail.set_content(f"{HOSTILE} http://testserver/confirm/abc")
    mail.add_alternative(
        "<html><head><title>x</title></head><body><a href='/confirm/abc'>Confirm</a></body></html>",
        subtype="html",
    )
    (settings.MAIL_DIR / "one.eml").write_bytes(bytes(mail))
    (tmp_path / "secret.eml").write_text("Subject: secret\n\nsecret")
    return settings.MAIL_DIR


def test_mailbox_lists_and_shows_mails(client, mail_folder):
    assert "Papers of today" in body(client.get("/mailbox"))

    page = body(client.get("/mailbox/one.eml"))

    assert 'src="/mailbox/one.eml/body"' in page
    assert 'sandbox="' in page
    assert "allow-scripts" not in page
    assert '<a href="http://testserver/confirm/abc"' in page
    assert "<img" not in page


def test_framed_body_has_its_own_policy_and_opens_links_outside(client, mail_folder):
    response = client.get("/mailbox/one.eml/body")

    assert '<head><base target="_top">' in body(response)
    assert response["X-Frame-Options"] == "SAMEORIGIN"
    policy = response["Content-Security-Policy"]
    assert "frame-ancestors 'self'" in policy
    assert "script-src 'none'" in policy


@pytest.mark.parametrize(
    "name", ["..%2Fsecret.eml", "%2Fetc%2Fpasswd", "two.eml", "..", "one"]
)
def test_only_files_of_the_folder_are_shown(client, mail_folder, name):
    assert client.get(f"/mailbox/{name}").status_code == 404


@pytest.mark.parametrize(
    ("setting", "request_options"),
    [
        ({}, {"REMOTE_ADDR": "192.0.2.1"}),
        ({}, {"headers": {"X-Forwarded-For": "192.0.2.1"}}),
        ({"HTTPS": True}, {}),
        ({"BEHIND_PROXY": True}, {}),
        ({"DEMO": False}, {}),
    ],
)
def test_mailbox_is_hidden_outside_the_demo_and_from_other_machines(
    client, mail_folder, settings, setting, request_options
):
    for name, value in setting.items():
        setattr(settings, name, value)

    assert client.get("/mailbox", **request_options).status_code == 404


def test_mailbox_on_another_machine_needs_permission_to_change_readers(
    client, mail_folder, edith
):
    client.force_login(edith)
    assert client.get("/mailbox", REMOTE_ADDR="192.0.2.1").status_code == 200

    client.force_login(User.objects.create_user("desk@example.org", is_staff=True))
    assert client.get("/mailbox", REMOTE_ADDR="192.0.2.1").status_code == 404


def test_mailbox_without_a_folder_is_empty(client, settings, tmp_path, db):
    settings.DEMO, settings.MAIL_DIR = True, tmp_path / "none"

    assert "No emails yet" in body(client.get("/mailbox"))
