"""Events posted by SendGrid."""

import json
from base64 import b64encode

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.test import Client
from kombu.exceptions import OperationalError as BrokerError

from digest.celery import app
from digest.models import Event

URL = "/webhooks/sendgrid"
EVENTS = json.dumps(
    [
        {
            "event": "open",
            "sg_event_id": "invented-1",
            "timestamp": 1795166400,
            "paper_round_site": "testserver",
        }
    ]
).encode()


def post(client, content, headers=None):
    return client.post(URL, content, content_type="application/json", headers=headers)


@pytest.fixture
def sign(settings):
    """Sets a verification key and signs bodies with it."""
    private_key = ec.generate_private_key(ec.SECP256R1())
    public_key = private_key.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    settings.SENDGRID_WEBHOOK_KEY = b64encode(public_key).decode()

    def headers(content, timestamp="1795166400"):
        signature = private_key.sign(
            timestamp.encode() + content, ec.ECDSA(hashes.SHA256())
        )
        return {
            "X-Twilio-Email-Event-Webhook-Signature": b64encode(signature).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
        }

    return headers


@pytest.fixture
def eager_tasks():
    app.conf.update(task_always_eager=True)
    yield
    app.conf.update(task_always_eager=False)


def test_events_are_refused_without_a_verification_key(client, db):
    assert post(client, EVENTS).status_code == 503


def test_unsigned_events_are_refused(client, db, sign):
    for headers in ({}, sign(b"something else")):
        assert post(client, EVENTS, headers).status_code == 403
    assert not Event.objects.exists()


def test_repeated_signed_events_are_stored_once(db, sign, eager_tasks):
    strict_client = Client(enforce_csrf_checks=True)

    responses = [post(strict_client, EVENTS, sign(EVENTS)) for _ in range(2)]

    assert [response.status_code for response in responses] == [204, 204]
    assert Event.objects.get().key == "invented-1"


def test_unreadable_signed_events_are_refused(client, db, sign):
    assert post(client, b"{", sign(b"{")).status_code == 400


def test_events_are_stored_while_the_broker_is_down(client, db, sign, monkeypatch):
    def fail(*_, **__):
        raise BrokerError("no route")

    monkeypatch.setattr(app, "send_task", fail)
    monkeypatch.setattr("celery.app.task.Task.apply_async", fail)

    assert post(client, EVENTS, sign(EVENTS)).status_code == 204
    assert Event.objects.count() == 1


def test_only_posts_of_bounded_size_are_accepted(client, db, settings):
    settings.SENDGRID_WEBHOOK_KEY = "any"

    assert client.get(URL).status_code == 405
    assert post(client, b"x" * 2_600_000).status_code == 413


@pytest.mark.parametrize(
    "key", ["not base64!", "aGVsbG8=", "-----BEGIN PUBLIC KEY-----"]
)
def test_events_are_refused_for_a_while_with_a_malformed_key(
    client, db, sign, settings, key, caplog
):
    headers = sign(EVENTS)
    settings.SENDGRID_WEBHOOK_KEY = key

    assert post(client, EVENTS, headers).status_code == 503
    assert "SENDGRID_WEBHOOK_KEY" in caplog.text
