"""Sending pauses, unknown digests and reconciliation errors in the admin."""

import re
from html import escape, unescape

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.urls import reverse

from accounts import admin_base
from accounts.models import User
from digest.mailer import compose
from digest.models import Batch, Digest, SendingPause, Slot
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client):
    editor = User.objects.create_superuser("editor@example.org", "a long passphrase")
    client.force_login(editor)
    return client


@pytest.fixture
def clerk(client):
    """A staff user who may view digests and sending pauses."""
    user = User.objects.create_user("clerk@example.org", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(codename__in=["view_digest", "view_sendingpause"])
    )
    client.force_login(user)
    return client


@pytest.fixture(autouse=True)
def mail_dir(eager, settings, tmp_path):
    """Run tasks eagerly and write mails to files."""
    settings.MAIL_DIR = tmp_path
    return tmp_path


@pytest.fixture
def unknown_digest():
    """The unknown one of two digests; the other was accepted."""
    edition = make.frozen(make.edition(papers=1))
    pick = (edition.candidates.get().pk, 0)
    readers = [make.subscriber(), make.subscriber()]
    batch = make.batch(edition, readers, state="done")
    make.digest(batch, readers[0], [pick], outcome="accepted")
    return make.digest(
        batch, readers[1], [pick], outcome="unknown", provider_detail="timed out"
    )


def run_action(client, name, rows, model="digest", **fields):
    """Run an action whose confirmation was given."""
    url = reverse(f"admin:digest_{model}_changelist")
    form = {"action": name, "_selected_action": [row.pk for row in rows], "sure": "1"}
    form |= fields
    return client.post(url, form, follow=True).content.decode()


def test_pausing_and_resuming_all_sending(staff):
    batch = make.batch(make.frozen(make.edition()), [make.subscriber()])

    staff.post(
        reverse("admin:digest_sendingpause_add"), {"reason": "a wrong <b>note</b>"}
    )
    pause = SendingPause.objects.get()
    page = staff.get(reverse("admin:index")).content.decode()
    assert "Sending is paused" in page
    assert "a wrong &lt;b&gt;note&lt;/b&gt;" in page
    assert not Batch.objects.claimable().exists()
    staff.post(reverse("admin:digest_sendingpause_resume", args=[pause.pk]))

    pause.refresh_from_db()
    batch.refresh_from_db()
    assert pause.released_at
    assert "is paused" not in staff.get(reverse("admin:index")).content.decode()
    assert batch.state == "done"  # sent immediately


def test_an_edition_is_paused_once(staff):
    edition = make.frozen(make.edition())
    url = reverse("admin:digest_sendingpause_add")
    form = staff.get(url, {"edition": edition.pk}).content.decode()
    assert f'<option value="{edition.pk}" selected>' in form

    data = {"edition": edition.pk, "reason": "one"}
    staff.post(url, data)
    again = staff.post(url, data).content.decode()

    assert SendingPause.objects.count() == 1
    assert "Sending is already paused here." in again


def test_resuming_requires_post(staff):
    SendingPause.objects.trigger("an operator", make.NOW)

    page = staff.get(
        reverse(
            "admin:digest_sendingpause_resume", args=[SendingPause.objects.get().pk]
        )
    )

    assert page.status_code == 403
    assert SendingPause.objects.in_force().exists()


def test_view_permission_allows_no_action(clerk, unknown_digest):
    SendingPause.objects.trigger("an operator", make.NOW)
    pause = SendingPause.objects.get()

    page = clerk.post(reverse("admin:digest_sendingpause_resume", args=[pause.pk]))
    run_action(clerk, "mark_accepted", [unknown_digest])
    run_action(clerk, "send_again", [unknown_digest])
    run_action(clerk, "resume", [pause], "sendingpause")

    assert page.status_code == 403
    unknown_digest.refresh_from_db()
    assert unknown_digest.outcome == "unknown"
    assert SendingPause.objects.in_force().exists()


def test_dashboard_links_unknown_digests(staff, unknown_digest):
    page = staff.get(reverse("admin:index")).content.decode()

    links = re.findall(r'href="([^"]+)">1 unknown<', page)
    assert len(links) == 2  # of the edition, and of the last two weeks
    for link in links:
        rows = staff.get(unescape(link)).context["cl"].queryset
        assert list(rows) == [unknown_digest]


def test_page_of_a_digest_shows_what_mail_servers_log(staff, unknown_digest):
    url = reverse("admin:digest_digest_change", args=[unknown_digest.pk])

    page = staff.get(url).content.decode()

    header = compose.compose_digest(unknown_digest).headers["Message-ID"]
    assert escape(header) in page


def test_unknown_digest_can_be_marked_accepted(staff, unknown_digest):
    page = run_action(staff, "mark_accepted", Digest.objects.all())

    unknown_digest.refresh_from_db()
    assert unknown_digest.outcome == "accepted"
    assert "1 marked as accepted. 1 not changed: their outcome is known." in page


def test_only_unknown_digests_are_sent_again(staff, unknown_digest, mail_dir):
    page = run_action(staff, "send_again", Digest.objects.all())

    assert "1 will be sent again. 1 not changed" in page
    assert [f.name for f in mail_dir.iterdir()] == [
        f"2026-11-20-{unknown_digest.key}.eml"
    ]
    unknown_digest.refresh_from_db()
    assert unknown_digest.outcome == "accepted"
    assert unknown_digest.resent_at


@pytest.mark.parametrize("action", ["mark_accepted", "send_again"])
def test_deciding_an_outcome_is_confirmed_and_recorded(staff, unknown_digest, action):
    url = reverse("admin:digest_digest_changelist")
    form = {"action": action, "_selected_action": [unknown_digest.pk]}

    page = staff.post(url, form).content.decode()
    entries_before = LogEntry.objects.count()
    staff.post(url, form | {"sure": "1"})

    assert 'name="sure"' in page
    assert str(unknown_digest.subscriber) in page
    assert LogEntry.objects.count() == entries_before + 1


@pytest.mark.parametrize(
    ("query", "outcomes"),
    [
        ({"outcome": "pending"}, ["pending"]),
        ({"outcome": "failed"}, ["failed"]),
        ({"outcome": "unknown"}, ["unknown"]),
        ({"outcome": "skipped"}, ["skipped"]),
        ({"outcome": "accepted"}, ["accepted"]),
        ({"reason": "nothing"}, ["skipped"]),
        ({"edition": "0"}, []),
        ({"q": "@nowhere.example"}, []),
    ],
)
def test_digests_are_listed_by_outcome(staff, query, outcomes):
    edition = make.frozen(make.edition())
    details = {
        "pending": {},
        "accepted": {},
        "failed": {"reason": "refused", "provider_detail": "550 no such user"},
        "unknown": {"provider_detail": "timed out"},
        "skipped": {"reason": "nothing"},
    }
    for outcome, fields in details.items():
        reader = make.subscriber()
        batch = make.batch(edition, [reader], state="planned")
        make.digest(batch, reader, outcome=outcome, **fields)

    page = staff.get(reverse("admin:digest_digest_changelist"), query)

    assert [row.outcome for row in page.context["cl"].result_list] == outcomes


def test_counting_stops_at_a_limit(staff, monkeypatch):
    monkeypatch.setattr(admin_base, "MAX_COUNTED_ROWS", 2)
    for _ in range(3):
        make.subscriber()

    page = staff.get(reverse("admin:accounts_subscriber_changelist"))

    assert "2+ readers" in " ".join(page.content.decode().split())


def test_readers_are_found_by_domain(staff):
    make.subscriber("ada@uni.example")
    make.subscriber("bob@other.example")

    page = staff.get(
        reverse("admin:accounts_subscriber_changelist"), {"q": "@uni.example"}
    )

    assert [r.email for r in page.context["cl"].result_list] == ["ada@uni.example"]


def test_failed_digests_are_sent_again(staff, unknown_digest, mail_dir):
    Digest.objects.filter(pk=unknown_digest.pk).update(outcome="failed")

    run_action(staff, "send_again", Digest.objects.all())

    unknown_digest.refresh_from_db()
    assert unknown_digest.outcome == "accepted"
    assert len(list(mail_dir.iterdir())) == 1


def test_dashboard_shows_reconciliation_errors(staff, unknown_digest):
    Digest.objects.filter(pk=unknown_digest.pk).update(outcome="pending")

    page = staff.get(reverse("admin:index")).content.decode()

    assert "Does not reconcile" in page
    assert "1 of 2 readers have no outcome" in page


def test_empty_slots_are_not_listed(staff):
    edition = make.frozen(make.edition(papers=0))
    make.batch(edition, [make.subscriber()])
    Slot.objects.create(edition=edition, at=make.NOW + make.hours(1))

    rows = staff.get(reverse("admin:digest_slot_changelist")).context["cl"].queryset

    assert [slot.at for slot in rows] == [make.NOW]
