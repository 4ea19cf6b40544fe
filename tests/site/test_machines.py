"""What programs ask: the webhook, health, robots, the mailbox of an embedded site."""

import json
from base64 import b64encode
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerAway

from accounts.models import User
from digest.celery import app
from digest.ingest.sources import arxiv_calendar
from digest.models import Event, IngestRun, SendingPause
from tests import make
from tests.site.conftest import HOSTILE, text

HOOK = "/webhooks/sendgrid"


def post(client, events):
    return client.post(HOOK, json.dumps(events), content_type="application/json")


def test_without_a_key_nothing_can_be_told_genuine(client, db):
    assert post(client, []).status_code == 503


@pytest.fixture
def sign(settings):
    """A provider whose public key is set; signs a body as headers."""
    private = ec.generate_private_key(ec.SECP256R1())
    public = private.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    settings.SENDGRID_WEBHOOK_KEY = b64encode(public).decode()

    def headers(body, at="1795166400"):
        signature = private.sign(at.encode() + body, ec.ECDSA(hashes.SHA256()))
        return {
            "X-Twilio-Email-Event-Webhook-Signature": b64encode(signature).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": at,
        }

    return headers


EVENTS = json.dumps(
    [{"event": "open", "sg_event_id": "invented-1", "timestamp": 1795166400}]
).encode()


def posted(client, body, headers):
    return client.post(HOOK, body, content_type="application/json", headers=headers)


def test_what_is_not_signed_is_refused_and_not_kept(client, db, sign):
    for headers in ({}, sign(b"something else")):
        assert posted(client, EVENTS, headers).status_code == 403
    assert not Event.objects.exists()


@pytest.fixture
def at_once():
    app.conf.update(task_always_eager=True)
    yield
    app.conf.update(task_always_eager=False)


def test_what_is_signed_is_kept_once_without_a_cookie(db, sign, at_once):
    strict = Client(enforce_csrf_checks=True)

    answers = [posted(strict, EVENTS, sign(EVENTS)).status_code for _ in range(2)]

    assert answers == [204, 204]
    assert Event.objects.get().key == "invented-1"


def test_what_is_signed_and_unreadable_is_refused(client, db, sign):
    assert posted(client, b"{", sign(b"{")).status_code == 400


def test_a_broker_that_is_away_loses_no_event(client, db, sign, monkeypatch):
    def away(*_, **__):
        raise BrokerAway("no route")

    monkeypatch.setattr(app, "send_task", away)
    monkeypatch.setattr("celery.app.task.Task.apply_async", away)

    assert posted(client, EVENTS, sign(EVENTS)).status_code == 204
    assert Event.objects.count() == 1


def test_a_webhook_takes_only_posts_of_bounded_size(client, db, settings):
    settings.SENDGRID_WEBHOOK_KEY = "any"

    assert client.get(HOOK).status_code == 405
    assert (
        client.post(HOOK, b"x" * 2_100_000, content_type="application/json").status_code
        == 413
    )


def ingest(hours, state="done"):
    at = timezone.now() - timedelta(hours=hours)
    IngestRun.objects.create(source="arxiv", origin="x", state=state, started_at=at)


def test_health_is_good_while_listings_are_read(client, db):
    assert client.get("/health").status_code == 200

    ingest(2)
    assert client.get("/health").json()["ingest"] == "ok"


def test_health_is_bad_when_only_failures_are_young(client, db):
    ingest(40)
    ingest(1, "failed")

    response = client.get("/health")

    assert (response.status_code, response.json()["ingest"]) == (503, "stale")


def test_health_is_bad_while_a_young_day_lacks_its_papers(client, db, time_machine):
    time_machine.move_to(datetime(2026, 11, 20, 16, 0, tzinfo=UTC))
    ingest(1)
    make.paper(announced_on=date(2026, 11, 19))

    told = client.get("/health")

    assert (told.status_code, told.json()["ingest"]) == (503, "a day is missing")
    assert told.json()["missing"] == ["2026-11-20"]


@pytest.mark.parametrize(
    ("by_itself", "told", "status"),
    [(True, "stands still", 503), (False, "stopped by hand", 200)],
)
def test_health_is_bad_when_sending_has_stopped_by_itself(
    client, db, by_itself, told, status
):
    assert client.get("/health").json()["sending"] == "ok"
    SendingPause.objects.pull(
        "401 secret detail", timezone.now(), is_automatic=by_itself
    )

    response = client.get("/health")

    assert (response.status_code, response.json()["sending"]) == (status, told)
    assert "401" not in text(response)
    SendingPause.objects.all().lift(timezone.now())
    assert client.get("/health").json()["sending"] == "ok"


def test_health_tells_what_the_checks_found_and_when_the_calendar_ends(client, db):
    ingest(2)
    IngestRun.objects.update(is_check=True, missed=3)

    told = client.get("/health").json()

    assert (told["checked"]["missed"], told["checked"]["corrected"]) == (3, 0)
    assert told["checked"]["last"] == told["newest"]
    assert (
        told["holidays_known_until"]
        == arxiv_calendar.holidays_known_until().isoformat()
    )


def test_a_program_is_alive_though_listings_are_stale(client, db):
    ingest(40)

    assert client.get("/health").status_code == 503
    assert client.get("/alive").status_code == 200


def test_an_old_gap_is_told_and_is_no_alarm(client, db, time_machine):
    time_machine.move_to(datetime(2026, 11, 20, 16, 0, tzinfo=UTC))
    ingest(1)
    for day in (12, 16, 17, 18, 19, 20):
        make.paper(announced_on=date(2026, 11, day))

    told = client.get("/health")

    assert (told.status_code, told.json()["missing"]) == (200, ["2026-11-13"])


def test_health_is_bad_without_a_database(client, db):
    def away(*_):
        raise OperationalError("no route")

    with connection.execute_wrapper(away):
        response = client.get("/health")

    assert response.status_code == 503
    assert "no route" not in text(response)


def test_robots_stay_away_from_keys(client):
    told = text(client.get("/robots.txt"))

    for path in ("/d/", "/preferences/", "/digests/", "/unsubscribe/", "/confirm/"):
        assert f"Disallow: {path}" in told


@pytest.fixture
def mails(settings, tmp_path, db):
    settings.MAIL_TRANSPORT = "files"
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


def test_the_mailbox_lists_and_shows_mails(client, mails):
    assert "Papers of today" in text(client.get("/mailbox"))

    page = text(client.get("/mailbox/one.eml"))

    assert 'src="/mailbox/one.eml/body"' in page
    assert 'sandbox="' in page
    assert "allow-scripts" not in page
    assert '<a href="http://testserver/confirm/abc"' in page
    assert "<img" not in page


def test_a_framed_body_has_a_policy_of_its_own_and_leaves_the_frame(client, mails):
    response = client.get("/mailbox/one.eml/body")

    assert '<head><base target="_top">' in text(response)
    assert response["X-Frame-Options"] == "SAMEORIGIN"
    policy = response["Content-Security-Policy"]
    assert "frame-ancestors 'self'" in policy
    assert "script-src 'none'" in policy


@pytest.mark.parametrize(
    "name", ["..%2Fsecret.eml", "%2Fetc%2Fpasswd", "two.eml", "..", "one"]
)
def test_only_what_the_folder_lists_is_shown(client, mails, name):
    assert client.get(f"/mailbox/{name}").status_code == 404


def test_strangers_and_proxies_see_no_mailbox_but_editors_do(client, mails, edith):
    assert client.get("/mailbox", REMOTE_ADDR="192.0.2.1").status_code == 404
    assert (
        client.get("/mailbox", headers={"X-Forwarded-For": "192.0.2.1"}).status_code
        == 404
    )

    client.force_login(edith)

    assert client.get("/mailbox", REMOTE_ADDR="192.0.2.1").status_code == 200


def test_a_site_on_https_has_a_proxy_even_if_that_does_not_say_so(
    client, mails, settings
):
    settings.HTTPS = True

    assert client.get("/mailbox").status_code == 404


def test_an_editor_who_may_not_change_readers_reads_no_mail_of_theirs(client, mails):
    desk = User.objects.create_user("desk@example.org", is_staff=True)
    client.force_login(desk)

    assert client.get("/mailbox", REMOTE_ADDR="192.0.2.1").status_code == 404


def test_there_is_no_mailbox_where_mails_are_sent(client, mails, settings):
    settings.MAIL_TRANSPORT = "smtp"

    assert client.get("/mailbox").status_code == 404


def test_a_mailbox_without_a_folder_is_empty(client, settings, tmp_path, db):
    settings.MAIL_DIR = tmp_path / "none"

    assert "None yet" in text(client.get("/mailbox"))
