"""SendGrid's webhook: signatures and parsing."""

import base64
import json
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from accounts.addresses import address_hash
from digest.feedback.sendgrid_webhook import (
    MAX_EVENTS,
    MalformedKey,
    MalformedPost,
    is_genuine,
    parse_post,
)

SIGNATURE = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP = "X-Twilio-Email-Event-Webhook-Timestamp"
SECRET = ec.generate_private_key(ec.SECP256R1())


def public(key):
    """A public key as SendGrid's settings page shows it."""
    shown = serialization.PublicFormat.SubjectPublicKeyInfo
    der = key.public_key().public_bytes(serialization.Encoding.DER, shown)
    return base64.b64encode(der).decode()


def signed(body, timestamp="1795166410", key=SECRET):
    signature = key.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    return {SIGNATURE: base64.b64encode(signature).decode(), TIMESTAMP: timestamp}


@pytest.fixture(autouse=True)
def webhook_key(settings):
    settings.SENDGRID_WEBHOOK_KEY = public(SECRET)


def test_a_signed_post_is_genuine(body):
    assert is_genuine(signed(body), body)


def test_the_signature_covers_the_exact_bytes():
    body = '[{"reason": "Größe \\u00fc  "}]\r\n'.encode()

    assert is_genuine(signed(body), body)
    assert not is_genuine(signed(body), json.dumps(json.loads(body)).encode())


def test_another_key_body_or_time_is_not_genuine(body):
    stranger = ec.generate_private_key(ec.SECP256R1())

    assert not is_genuine(signed(body, key=stranger), body)
    assert not is_genuine(signed(body), body + b" ")
    assert not is_genuine(signed(body) | {TIMESTAMP: "1795166411"}, body)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {SIGNATURE: "AAAA"},
        {TIMESTAMP: "1"},
        {SIGNATURE: "", TIMESTAMP: ""},
        {SIGNATURE: "A", TIMESTAMP: "1"},
        {SIGNATURE: "not base64 ü", TIMESTAMP: "1"},
        {SIGNATURE: "AAAA", TIMESTAMP: "\ud800"},
    ],
)
def test_a_malformed_signature_is_not_genuine_and_does_not_raise(headers, body):
    assert not is_genuine(headers, body)


def test_a_body_that_is_not_utf8_is_not_genuine():
    assert not is_genuine(signed(b"\xff\xfe"), b"\xff\xfe")


def test_without_a_key_no_post_is_genuine(settings, body):
    settings.SENDGRID_WEBHOOK_KEY = ""

    assert not is_genuine(signed(body), body)


def test_an_old_post_is_genuine_because_sendgrid_retries_for_a_day(body):
    assert is_genuine(signed(body, timestamp="1500000000"), body)


def test_parsed_events_have_kind_digest_and_time(body):
    reports = parse_post(body)

    assert [report.kind for report in reports] == [
        *("processed", "deferred", "delivered", "bounce", "dropped"),
        *("spamreport", "group_unsubscribe", "a_kind_of_next_year"),
    ]
    bounce = reports[3]
    assert bounce.key == "Ym91bmNlLTAtaW52ZW50ZWQ"
    assert bounce.digest_key == "digest-key-of-cleo-002"
    assert bounce.message_id == "Inventedm3ssag3IdBBBBB"
    assert bounce.at == datetime.fromtimestamp(1795166403, UTC)
    assert bounce.payload["type"] == "bounce"


def test_payloads_hold_no_personal_data_but_the_address_hash(body):
    reports = parse_post(body)

    payloads = json.dumps([report.payload for report in reports])
    assert "example.org" not in payloads.lower()
    assert "203.0.113" not in payloads
    assert "Invented/1.0" not in payloads
    assert reports[3].payload["address_hash"] == address_hash("cleo@example.org")
    assert (
        reports[3].payload["reason"]
        == "550 5.1.1 The email account <<address>> does not exist."
    )


@pytest.mark.parametrize(
    ("items", "why"),
    [
        (b"", "JSON"),
        (b"[{", "JSON"),
        (b"\xff", "JSON"),
        (b"[" * 100_000, "JSON"),
        (b'{"event": "bounce"}', "list"),
        (json.dumps([{}] * (MAX_EVENTS + 1)).encode(), "list"),
        (b"[" + b" " * 2_000_000 + b"]", "bytes"),
    ],
)
def test_a_malformed_post_raises_with_a_reason(items, why):
    with pytest.raises(MalformedPost, match=why):
        parse_post(items)


def test_events_are_ours_by_the_sites_mark_only():
    marks = ["testserver", "other.example", "", None, 7]
    body = json.dumps([{"event": "open", "paper_round_site": mark} for mark in marks])
    reports = parse_post(body.encode())

    assert [report.is_ours for report in reports] == [True, False, False, False, False]


@pytest.mark.parametrize("number", ["1" + "0" * 400, "-1" + "0" * 4000, "1e999", "NaN"])
def test_numbers_beyond_every_range_are_no_timestamps(number):
    (report,) = parse_post(f'[{{"event": "open", "timestamp": {number}}}]'.encode())

    assert report.at is None


@pytest.mark.parametrize(
    "key",
    [
        *("not base64!", "aGVsbG8=", "ü", "A", "-----BEGIN PUBLIC KEY-----"),
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE",  # without its point
    ],
)
def test_a_malformed_key_raises_malformed_key(settings, body, key):
    settings.SENDGRID_WEBHOOK_KEY = key

    with pytest.raises(MalformedKey, match="SENDGRID_WEBHOOK_KEY"):
        is_genuine(signed(body), body)


def test_items_that_are_not_events_are_ignored():
    items = [1, None, "x", [], {}, {"event": ""}, {"event": "open"}]

    assert [report.kind for report in parse_post(json.dumps(items).encode())] == [
        "open"
    ]


@pytest.mark.parametrize(
    "when", ["", "soon", None, True, -1, 0, 1e300, "1795166403", [], 99999999999]
)
def test_an_implausible_timestamp_is_none(when):
    (report,) = parse_post(json.dumps([{"event": "open", "timestamp": when}]).encode())

    assert report.at is None or report.at.year < 2100


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=5,
)
FIELDS = ["event", "timestamp", "email", "reason", "sg_event_id", "sg_message_id"]


@given(st.lists(st.dictionaries(st.sampled_from([*FIELDS, "digest"]), anything)))
def test_parsing_never_raises_for_any_field_values(items):
    for report in parse_post(json.dumps(items).encode()):
        words = [report.kind, report.key, report.message_id, *report.payload.values()]
        assert len(report.kind) <= 24
        assert all("\0" not in word and word.encode() is not None for word in words)
