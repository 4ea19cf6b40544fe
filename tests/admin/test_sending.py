"""The operator's hand on sending: brakes, doubts, and what does not add up."""

import re
from html import unescape

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from accounts.models import User
from digest.models import Batch, Digest, SendingPause, Slot
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def room(client):
    editor = User.objects.create_superuser("editor@example.org", "a long passphrase")
    client.force_login(editor)
    return client


@pytest.fixture
def clerk(client):
    """Somebody who may look at digests and brakes, and touch none."""
    user = User.objects.create_user("clerk@example.org", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(codename__in=["view_digest", "view_sendingpause"])
    )
    client.force_login(user)
    return client


@pytest.fixture(autouse=True)
def no_worker(eager, settings, tmp_path):
    """Tasks run at once, and mails become files."""
    settings.MAIL_DIR = tmp_path
    return tmp_path


@pytest.fixture
def doubtful():
    """One digest that is accepted, and one of which nobody knows."""
    edition = make.frozen(make.edition(papers=1))
    pick = (edition.candidates.get().pk, 0)
    readers = [make.subscriber(), make.subscriber()]
    batch = make.batch(edition, readers, state="accepted")
    make.digest(batch, readers[0], [pick], message_id="a name")
    return make.digest(batch, readers[1], [pick], outcome="unknown")


def act(client, name, rows, model="digest"):
    address = reverse(f"admin:digest_{model}_changelist")
    asked = {"action": name, "_selected_action": [row.pk for row in rows]}
    return client.post(address, asked, follow=True).content.decode()


def test_an_operator_stops_everything_sees_it_first_and_lifts_it(room):
    batch = make.batch(make.frozen(make.edition()), [make.subscriber()])

    room.post(
        reverse("admin:digest_sendingpause_add"), {"reason": "a wrong <b>note</b>"}
    )
    pause = SendingPause.objects.get()
    page = room.get(reverse("admin:index")).content.decode()
    assert "Sending stands still" in page
    assert "a wrong &lt;b&gt;note&lt;/b&gt;" in page
    assert not Batch.objects.free(make.NOW).exists()
    room.post(reverse("admin:digest_sendingpause_lift", args=[pause.pk]))

    pause.refresh_from_db()
    batch.refresh_from_db()
    assert pause.released_at
    assert "stands still" not in room.get(reverse("admin:index")).content.decode()
    assert batch.state == "accepted"  # sent at once: nobody waits for a tick


def test_one_edition_is_stopped_from_the_dashboard_and_not_twice(room):
    edition = make.frozen(make.edition())
    address = reverse("admin:digest_sendingpause_add")
    form = room.get(address, {"edition": edition.pk}).content.decode()
    assert f'<option value="{edition.pk}" selected>' in form

    said = {"edition": edition.pk, "reason": "one"}
    room.post(address, said)
    again = room.post(address, said).content.decode()

    assert SendingPause.objects.count() == 1
    assert "This stands still already" in again


def test_a_link_alone_lifts_nothing(room):
    SendingPause.objects.pull("an operator", make.NOW)

    page = room.get(
        reverse("admin:digest_sendingpause_lift", args=[SendingPause.objects.get().pk])
    )

    assert page.status_code == 403
    assert SendingPause.objects.in_force().exists()


def test_who_may_only_look_lifts_nothing_and_decides_nothing(clerk, doubtful):
    SendingPause.objects.pull("an operator", make.NOW)
    pause = SendingPause.objects.get()

    page = clerk.post(reverse("admin:digest_sendingpause_lift", args=[pause.pk]))
    act(clerk, "mark_accepted", [doubtful])
    act(clerk, "send_once_more", [doubtful])
    act(clerk, "lift", [pause], "sendingpause")

    assert page.status_code == 403
    doubtful.refresh_from_db()
    assert doubtful.outcome == "unknown"
    assert SendingPause.objects.in_force().exists()


def test_the_dashboard_leads_to_the_doubts_of_an_edition(room, doubtful):
    page = room.get(reverse("admin:index")).content.decode()

    (there,) = re.findall(r'href="([^"]+)">1 unknown<', page)
    assert list(room.get(unescape(there)).context["cl"].queryset) == [doubtful]


def test_a_doubt_is_marked_accepted(room, doubtful):
    page = act(room, "mark_accepted", Digest.objects.all())

    doubtful.refresh_from_db()
    assert doubtful.outcome == "accepted"
    assert "1 marked accepted; of 1 it is known what became of them." in page


def test_a_doubt_is_sent_once_more_and_what_was_accepted_is_not(
    room, doubtful, no_worker
):
    page = act(room, "send_once_more", Digest.objects.all())

    assert "1 will be sent once more; of 1 it is known" in page
    assert [f.name for f in no_worker.iterdir()] == [f"2026-11-20-{doubtful.key}.eml"]
    doubtful.refresh_from_db()
    assert doubtful.message_id
    assert doubtful.resent_at


def test_an_edition_that_does_not_add_up_is_an_alarm(room, doubtful):
    Digest.objects.filter(pk=doubtful.pk).update(outcome="")

    page = room.get(reverse("admin:index")).content.decode()

    assert "It does not add up" in page
    assert "1 of 2 readers have no outcome" in page


def test_quarter_hours_of_nobody_are_not_listed(room):
    edition = make.frozen(make.edition(papers=0))
    make.batch(edition, [make.subscriber()])
    Slot.objects.create(edition=edition, at=make.NOW + make.hours(1))

    rows = room.get(reverse("admin:digest_slot_changelist")).context["cl"].queryset

    assert [slot.at for slot in rows] == [make.NOW]
