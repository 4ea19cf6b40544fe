"""Amazon SES's events: SNS's signature, the confirmation of a subscription, and parsing."""

import base64
import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from accounts.addresses import address_hash
from accounts.models import Subscriber
from digest.feedback import process_events, ses_webhook
from digest.models import Event
from tests import make
from tests.feedback.conftest import RECORDED

TOPIC = "arn:aws:sns:eu-central-1:123456789012:paper-round"
CERTIFICATE_URL = (
    "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0.pem"
)
URL = "/webhooks/ses"
SECRET = rsa.generate_private_key(65537, 2048)
NAMES = ["bounce", "soft_bounce", "complaint", "delivery", "delay"]


def certificate():
    """A certificate of SECRET, as SNS serves its own."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sns.invented")])
    builder = x509.CertificateBuilder(name, name, SECRET.public_key())
    builder = builder.serial_number(1).not_valid_before(make.NOW - timedelta(days=1))
    signed = builder.not_valid_after(make.NOW + timedelta(days=9)).sign(
        SECRET, hashes.SHA256()
    )
    return signed.public_bytes(Encoding.PEM)


def sign(message, key=SECRET, version="2", **changes):
    """Sign a message of SNS; `changes` are made afterwards."""
    algorithm = hashes.SHA256() if version == "2" else hashes.SHA1()
    text = ses_webhook.signed_text(message)
    signature = base64.b64encode(key.sign(text, padding.PKCS1v15(), algorithm))
    fields = {"SigningCertURL": CERTIFICATE_URL, "SignatureVersion": version}
    signed = message | fields | {"Signature": signature.decode()} | changes
    return json.dumps(signed).encode()


def recorded(name):
    return (RECORDED / "ses" / f"{name}.json").read_text()


def notification(event, number=1):
    return {
        "Type": "Notification",
        "MessageId": f"da41e39f-ea4d-435a-b922-{number:012}",
        "TopicArn": TOPIC,
        "Subject": "Amazon SES Email Event Notification",
        "Message": event,
        "Timestamp": "2026-11-20T09:00:10.000Z",
    }


CONFIRMATION = json.loads(recorded("subscription_confirmation"))


@pytest.fixture(autouse=True)
def requests(settings, monkeypatch):
    """The URLs that are requested; SNS answers with its certificate."""
    settings.SES_TOPIC_ARN = TOPIC
    ses_webhook.fetch_public_key.cache_clear()
    urls = []

    def get(url, **_):
        urls.append(url)
        return httpx.Response(
            200, content=certificate(), request=httpx.Request("GET", url)
        )

    monkeypatch.setattr(httpx, "get", get)
    return urls


@pytest.mark.parametrize("version", ["1", "2"])
def test_signed_messages_are_genuine_and_the_certificate_is_fetched_once(
    requests, version
):
    bodies = [sign(notification("{}", n), version=version) for n in range(3)]

    assert all(ses_webhook.is_genuine({}, body) for body in bodies)
    assert requests == [CERTIFICATE_URL]


@pytest.mark.parametrize(
    "changes",
    [
        {"Message": "another"},
        {"Timestamp": "2026-11-21T09:00:10.000Z"},
        {"TopicArn": TOPIC + "-of-another"},
        {"SignatureVersion": "3"},
        {"Signature": "no base64"},
        {"Signature": None},
        {"Type": "SubscriptionConfirmation"},
    ],
)
def test_changed_messages_are_not_genuine(changes):
    assert not ses_webhook.is_genuine({}, sign(notification("{}"), **changes))


def test_messages_of_another_key_or_topic_are_not_genuine(settings):
    stranger = rsa.generate_private_key(65537, 2048)
    body = sign(notification("{}"))

    assert not ses_webhook.is_genuine({}, sign(notification("{}"), key=stranger))
    settings.SES_TOPIC_ARN = TOPIC + "-2"
    assert not ses_webhook.is_genuine({}, body)


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.eu-central-1.amazonaws.com/a.pem",
        "https://sns.eu-central-1.amazonaws.com.evil.example/a.pem",
        "https://evil.example/sns.eu-central-1.amazonaws.com/a.pem",
        "https://user@sns.eu-central-1.amazonaws.com/a.pem",
        "https://sns.eu-central-1.amazonaws.com@evil.example/a.pem",
        "https://sns.eu-central-1.amazonaws.com/a.txt",
        "file:///etc/passwd.pem",
        7,
    ],
)
def test_certificates_are_fetched_from_sns_only(requests, url):
    assert not ses_webhook.is_genuine({}, sign(notification("{}"), SigningCertURL=url))
    assert requests == []


def test_a_subscription_is_confirmed_once_it_is_verified(client, db, requests):
    def post(body):
        return client.post(URL, body, content_type="text/plain").status_code

    assert post(sign(CONFIRMATION, Token="changed")) == 403
    assert requests == [CERTIFICATE_URL]
    assert post(sign(CONFIRMATION)) == 204
    assert requests[1:] == [CONFIRMATION["SubscribeURL"]]


def test_a_subscription_is_not_confirmed_elsewhere(requests):
    with pytest.raises(ses_webhook.MalformedPost, match="SubscribeURL"):
        ses_webhook.parse_post(
            json.dumps(
                CONFIRMATION | {"SubscribeURL": "https://evil.example/"}
            ).encode()
        )
    assert requests == []


def test_posts_are_refused_without_topic_and_while_sns_is_unreachable(
    client, db, settings, monkeypatch
):
    def fail(*_, **__):
        raise httpx.ConnectError("no route")

    monkeypatch.setattr(httpx, "get", fail)
    body = sign(notification("{}"))

    assert client.post(URL, body, content_type="text/plain").status_code == 503
    settings.SES_TOPIC_ARN = ""
    assert client.post(URL, body, content_type="text/plain").status_code == 503


@pytest.mark.both
def test_events_settle_digests_and_suppress_addresses(client, digests):
    for number, name in enumerate(NAMES):
        body = sign(notification(recorded(name), number))
        for _ in range(2):  # SNS may repeat
            assert client.post(URL, body, content_type="text/plain").status_code == 204
    process_events.process_pending(make.NOW)

    assert Event.objects.count() == len(NAMES)
    for digest in digests.values():
        digest.refresh_from_db()
    assert {digest.outcome for digest in digests.values()} == {"accepted"}
    readers = {name: digest.subscriber for name, digest in digests.items()}
    for reader in readers.values():
        reader.refresh_from_db()
    mailable = set(Subscriber.objects.not_suppressed())
    suppressed = {name for name, reader in readers.items() if reader not in mailable}
    assert suppressed == {"cleo", "emil"}
    assert {name for name, r in readers.items() if r.state == "left"} == {"emil"}


def test_stored_events_hold_no_address():
    (report,) = ses_webhook.parse_post(
        json.dumps(notification(recorded("bounce"))).encode()
    )

    assert report.payload == {
        "status": "5.1.1",
        "reason": "smtp; 550 5.1.1 <<address>>: user unknown",
        "classification": "General",
        "type": "bounce",
        "address_hash": address_hash("cleo@example.org"),
    }
    assert report.at == datetime(2026, 11, 20, 9, 0, 4, 669000, UTC)
    assert report.is_ours


def test_events_of_other_senders_are_not_ours():
    event = recorded("bounce").replace("paper-round.example", "shop.example")
    (report,) = ses_webhook.parse_post(json.dumps(notification(event)).encode())

    assert not report.is_ours


def test_a_report_that_a_mail_is_no_spam_has_no_effect():
    event = recorded("complaint").replace('"abuse"', '"not-spam"')
    (report,) = ses_webhook.parse_post(json.dumps(notification(event)).encode())

    assert report.kind == "not_spam"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"Type": "Other"}', b" " * 300_001]
)
def test_malformed_posts_raise(body):
    with pytest.raises(ses_webhook.MalformedPost):
        ses_webhook.parse_post(body)
    assert not ses_webhook.is_genuine({}, body)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("eventType", "mail", "bounce", "timestamp", "tags", "digest"),
                    *("bouncedRecipients", "emailAddress", "destination", "source"),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(anything, st.sampled_from(["Bounce", "Delivery", "Complaint", 7]))
def test_parsing_never_raises_for_any_event(mail, name):
    event = {"eventType": name, "mail": mail, "bounce": mail, "delivery": mail}
    body = json.dumps(notification(json.dumps(event))).encode()

    for report in ses_webhook.parse_post(body):
        assert len(report.kind) <= 24
