"""Bounces, complaints and requests to unsubscribe that arrive by mail."""

import time
from datetime import timedelta

import pytest

from accounts import return_paths
from accounts.addresses import address_hash
from accounts.models import Suppression
from digest.feedback import inbound, mail_reports
from digest.feedback.process_events import process_pending
from digest.models import Digest, Event
from tests import make
from tests.feedback.conftest import BOUNCE_ADDRESS, recorded

pytestmark = [
    pytest.mark.both,
    pytest.mark.django_db,
    pytest.mark.usefixtures("bounce_address"),
]

LATER = make.NOW + timedelta(hours=4)


def receive(content, recipients=()):
    """Store and process one mail; return whether it reported on a mail of ours."""
    is_report = inbound.store_mail(content, recipients, LATER)
    process_pending(LATER)
    return is_report


def state_after(reported):
    """Outcome, suppression and reader state, as an operator sees them."""
    reported.refresh_from_db()
    reported.subscriber.refresh_from_db()
    suppression = Suppression.objects.values_list("reason", flat=True).first()
    return reported.outcome, suppression, reported.subscriber.state


@pytest.mark.parametrize(
    ("name", "kind", "state"),
    [
        ("postfix_unknown_user", "bounce", ("accepted", "bounce", "active")),
        ("exchange_no_recipient", "bounce", ("accepted", "bounce", "active")),
        ("qmail_unknown_user", "bounce", ("accepted", "bounce", "active")),
        ("postfix_mailbox_full", "bounce", ("accepted", None, "active")),
        ("exim_quota", "bounce", ("accepted", None, "active")),
        ("postfix_delayed", "deferred", ("accepted", None, "active")),
        ("postfix_relayed", "processed", ("accepted", None, "active")),
        ("complaint", "spamreport", ("accepted", "complaint", "left")),
        ("unsubscribe", "unsubscribe", ("unknown", None, "left")),
    ],
)
def test_recorded_mail_settles_the_digest_and_the_reader(reported, name, kind, state):
    assert receive(recorded(name, reported))

    assert Event.objects.get().kind == kind
    assert state_after(reported) == state


def test_vacation_reply_is_ignored(reported):
    assert not receive(recorded("vacation", reported))

    assert not Event.objects.exists()
    assert state_after(reported) == ("unknown", None, "active")


@pytest.mark.parametrize("name", ["postfix_unknown_user", "complaint", "unsubscribe"])
def test_mail_read_twice_is_one_event(reported, name):
    content = recorded(name, reported)

    assert receive(content)
    assert receive(content)

    assert Event.objects.count() == 1


def test_stored_event_holds_no_address(reported):
    receive(recorded("postfix_unknown_user", reported))

    event = Event.objects.get()
    assert event.digest == reported
    assert event.payload["address_hash"] == address_hash("ada@example.org")
    assert "User unknown" in event.payload["reason"]
    assert "ada@" not in str(event.payload)


@pytest.mark.parametrize(
    "forge",
    [
        lambda address: address.replace("+d", "+r"),
        lambda address: address.replace("-", "-a", 1)[:-1],
        lambda address: address.replace("+d", "+d1"),
        lambda address: address.replace("papers.example", "papers.example.net"),
        lambda address: BOUNCE_ADDRESS,
        lambda address: "",
    ],
    ids=["kind", "signature", "id", "domain", "untagged", "absent"],
)
def test_address_that_we_did_not_sign_counts_for_nothing(reported, forge):
    address = forge(reported.return_path)

    assert not receive(recorded("postfix_unknown_user", reported, return_path=address))

    assert state_after(reported) == ("unknown", None, "active")


def test_tag_in_changed_case_counts(reported):
    address = reported.return_path.upper()

    assert receive(recorded("postfix_unknown_user", reported, return_path=address))


def test_report_is_matched_by_the_envelope_alone(reported):
    content = recorded("qmail_unknown_user", reported, return_path=BOUNCE_ADDRESS)

    assert receive(content, [reported.return_path])

    assert state_after(reported)[1] == "bounce"


def test_report_about_a_former_address_is_ignored(reported):
    content = recorded("postfix_unknown_user", reported)
    reported.subscriber.email = "ada@new.example.org"
    reported.subscriber.save()

    assert not receive(content)

    assert not Suppression.objects.exists()


def test_complaint_at_a_return_path_only_unsubscribes(reported):
    """The reader's own mail shows the return path, so that anyone it was forwarded to could write the report."""
    content = recorded("complaint", reported, complaints=reported.return_path)

    assert receive(content)

    assert state_after(reported)[1:] == (None, "left")


def test_report_without_complaint_is_ignored(reported):
    content = recorded("complaint", reported).replace(b"abuse", b"not-spam")

    assert not receive(content)

    assert state_after(reported) == ("unknown", None, "active")


def test_unsubscribing_by_mail_works_after_an_address_change(reported):
    content = recorded("unsubscribe", reported)
    reported.subscriber.email = "ada@new.example.org"
    reported.subscriber.save()

    assert receive(content)

    assert state_after(reported)[2] == "left"


def test_old_request_does_not_unsubscribe_a_reader_who_returned(reported):
    content = recorded("unsubscribe", reported)
    reported.subscriber.confirm(LATER, "test")
    reported.subscriber.confirmed_at = LATER
    reported.subscriber.save()

    receive(content)

    assert state_after(reported)[2] == "active"


def test_bounce_of_an_account_mail_suppresses_the_address(bob, reported):
    content = recorded("postfix_unknown_user", reported, return_path=bob.return_path)

    assert receive(content)

    assert Suppression.objects.get().address_hash == bob.address_hash
    assert Event.objects.get().digest is None


def test_three_full_mailboxes_suppress(ada):
    for number in range(3):
        edition = make.edition(make.DAY + timedelta(days=number), papers=1)
        batch = make.batch(edition, [ada], state="done")
        full = recorded(
            "postfix_mailbox_full", make.digest(batch, ada, outcome="accepted")
        )
        receive(full.replace(b"20 Nov", f"{20 + number} Nov".encode()))

    assert Suppression.objects.get().reason == "bounce"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\0" * 1000,
        b"Content-Type: multipart/report" + b";" * 400_000,
        b'Content-Type: multipart/report; a="' + b'";' * 200_000,
        b"".join(
            b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n)
            for n in range(5000)
        ),
        b"Content-Type: message/delivery-status\n\n" + b"Action: failed\n\n" * 20_000,
        b"Subject: failure notice\n\n" + b"<user user " * 40_000,
        b"Content-Type: text/plain; charset=nonsense\nDate: never\n\nuser unknown",
    ],
    ids=range(8),
)
def test_hostile_mail_is_ignored_in_bounded_time(db, content):
    started = time.process_time()

    assert not receive(content, ["bounces+d1-aaaaaaaaaaaaaaaa@papers.example"])

    assert time.process_time() - started < 20


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        (b"Fri, 20 Nov 2026 11:00:00 +0200", make.NOW),
        (b"Fri, 20 Nov 2099 11:00:00 +0200", LATER),
        (b"never", LATER),
        (b"Fri, 20 Nov 2026 09:00:00 -0000", make.NOW),
    ],
)
def test_date_of_a_report_is_never_in_the_future(date, expected):
    message = mail_reports.parse_message(b"Date: " + date + b"\n\n")

    assert mail_reports.report_date(message, LATER) == expected


def test_addresses_are_empty_without_bounce_address(reported, settings):
    settings.BOUNCE_ADDRESS = ""

    assert reported.return_path == reported.subscriber.unsubscribe_address == ""
    assert return_paths.find_tags("bounces+d1-aaaaaaaaaaaaaaaa@papers.example") == []
    assert not inbound.is_recipient("")


def test_tagged_addresses_fit_a_local_part_and_open_no_page(reported, client):
    reported.pk = 2**63 - 1
    local = reported.return_path.replace("bounces", "b" * 32).partition("@")[0]

    assert len(local) <= 64
    for secret in (reported.key, reported.subscriber.unsubscribe_key):
        assert secret.lower() not in reported.return_path


def test_preview_has_no_return_path(ada):
    preview = Digest(subscriber=ada, key="preview")

    assert preview.return_path == ""
