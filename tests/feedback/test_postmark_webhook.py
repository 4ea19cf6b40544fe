"""Postmark's events: the password of the webhook, and parsing."""

import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.addresses import address_hash
from accounts.models import Subscriber
from digest.feedback import postmark_webhook, process_events
from digest.models import Event
from tests import make
from tests.feedback.conftest import RECORDED

URL = "/webhooks/postmark"
PASSWORD = "an invented password of a webhook"
NAMES = [
    *("bounce", "soft_bounce", "spam_complaint", "delivery", "subscription_change"),
]


def recorded(name):
    return (RECORDED / "postmark" / f"{name}.json").read_bytes()


def authorization(password=PASSWORD, scheme="Basic"):
    credentials = base64.b64encode(f"paper-round:{password}".encode()).decode()
    return {"Authorization": f"{scheme} {credentials}"}


@pytest.fixture(autouse=True)
def webhook_password(settings):
    settings.POSTMARK_WEBHOOK_PASSWORD = PASSWORD


def post(client, body, headers=None):
    headers = authorization() if headers is None else headers
    response = client.post(URL, body, content_type="application/json", headers=headers)
    return response.status_code


@pytest.mark.parametrize(
    "headers",
    [
        {},
        authorization("wrong"),
        authorization(""),
        authorization(scheme="Bearer"),
        {"Authorization": PASSWORD},
        {"Authorization": "Basic ü"},
        {"Authorization": "Basic " + base64.b64encode(b"\xff:\xff").decode()},
    ],
)
def test_posts_without_the_password_are_refused(client, db, headers):
    assert post(client, recorded("bounce"), headers) == 403
    assert not Event.objects.exists()


def test_posts_are_refused_while_no_password_is_set(client, db, settings):
    settings.POSTMARK_WEBHOOK_PASSWORD = ""

    assert post(client, recorded("bounce"), authorization("")) == 503


@pytest.mark.both
def test_events_settle_digests_and_suppress_addresses(client, digests):
    for name in NAMES:
        for _ in range(2):  # Postmark may repeat
            assert post(client, recorded(name)) == 204
    process_events.process_pending(make.NOW)

    assert Event.objects.count() == len(NAMES)
    for digest in digests.values():
        digest.refresh_from_db()
    outcomes = {name: digest.outcome for name, digest in digests.items()}
    assert outcomes.pop("fred") == "unknown"  # leaving does not prove acceptance
    assert set(outcomes.values()) == {"accepted"}
    readers = {name: digest.subscriber for name, digest in digests.items()}
    for reader in readers.values():
        reader.refresh_from_db()
    mailable = set(Subscriber.objects.not_suppressed())
    suppressed = {name for name, reader in readers.items() if reader not in mailable}
    assert suppressed == {"cleo", "emil"}
    assert {n for n, reader in readers.items() if reader.state == "left"} == {
        *("emil", "fred")
    }


def test_stored_events_hold_no_address():
    (report,) = postmark_webhook.parse_post(recorded("bounce"))

    assert report.payload == {
        "status": "HardBounce",
        "reason": "smtp;550 5.1.1 The email account <address> does not exist.",
        "type": "bounce",
        "address_hash": address_hash("cleo@example.org"),
    }
    assert report.key == "Bounce:4323372036854775807"
    assert report.at == datetime(2026, 11, 20, 9, 0, 4, 273539, UTC)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"Type": "Unsubscribe"}, "unsubscribe"),
        ({"Type": "AutoResponder"}, "reply"),
        ({"Type": "Transient"}, "bounce"),
        ({"RecordType": "Open"}, "open"),
    ],
)
def test_kinds_of_bounces(changes, kind):
    body = json.dumps(json.loads(recorded("bounce")) | changes).encode()
    (report,) = postmark_webhook.parse_post(body)

    assert report.kind == kind
    assert report.payload.get("type") in (None, "blocked")


@pytest.mark.parametrize(
    "changes",
    [
        {"SuppressSending": False},
        {"Origin": "Admin"},
        {"SuppressionReason": "HardBounce"},
    ],
)
def test_other_changes_of_a_subscription_have_no_effect(changes):
    body = json.dumps(json.loads(recorded("subscription_change")) | changes).encode()
    (report,) = postmark_webhook.parse_post(body)

    assert report.kind == "subscriptionchange"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"\xff", b"{}", b'{"RecordType": []}', b"[" * 100_000]
)
def test_malformed_posts_are_refused(client, db, body):
    assert post(client, body) == 400


FIELDS = ["RecordType", "Type", "ID", "Email", "Metadata", "BouncedAt", "MessageID"]


@given(
    st.dictionaries(
        st.sampled_from(FIELDS),
        st.none() | st.integers() | st.text() | st.lists(st.text(), max_size=2),
    )
)
def test_parsing_never_raises_for_any_field_values(fields):
    body = json.dumps({"RecordType": "Bounce"} | fields).encode()
    try:
        (report,) = postmark_webhook.parse_post(body)
    except postmark_webhook.MalformedPost:
        return
    assert len(report.kind) <= 24
