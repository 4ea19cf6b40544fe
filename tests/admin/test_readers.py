"""Readers in the control room: found by address, their digest previewed, never consented for."""

import re
from html.parser import HTMLParser

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.core import mail
from django.urls import reverse

from accounts.addresses import address_hash
from accounts.models import Subscriber, Suppression, User
from digest.models import Digest, Follow
from tests import make

HOSTILE = '<img src=x onerror=alert(1)> & "A\nBcc: x@y"'


@pytest.fixture
def room(client, db):
    editor = User.objects.create_superuser("editor@example.org", "a long passphrase")
    client.force_login(editor)
    return client


@pytest.fixture
def reader(db):
    reader = make.subscriber("ada@example.org")
    interest = make.interest("keyword", "attention")
    Follow.objects.create(subscriber=reader, interest=interest, weight=1)
    return reader


class Frames(HTMLParser):
    """Finds the attributes of every frame, as a browser reads them."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        if tag == "iframe":
            self.found.append(dict(attrs))


def frames(page):
    parser = Frames()
    parser.feed(page)
    return parser.found


def preview_of(reader):
    return reverse("admin:accounts_subscriber_preview", args=[reader.pk])


def test_a_reader_is_found_by_the_beginning_of_the_address_in_any_case(room, reader):
    make.subscriber("bob@example.org")

    page = room.get(reverse("admin:accounts_subscriber_changelist"), {"q": " ADA@"})

    assert "ada@example.org" in page.content.decode()
    assert "bob@example.org" not in page.content.decode()


@pytest.mark.parametrize("typed", ["ada@bücher.example", "ada@xn--bch", "ADA@B"])
def test_search_finds_both_spellings_of_an_international_domain(room, typed):
    make.subscriber("ada@bücher.example")
    make.subscriber("ada@b.example")

    page = room.get(reverse("admin:accounts_subscriber_changelist"), {"q": typed})

    assert ("ada@xn--bcher-kva.example" in page.text) == (typed != "ADA@B")
    assert ("ada@b.example" in page.text) == (typed == "ADA@B")


def test_nobody_consents_for_a_reader_here(room, reader):
    reader.unsubscribe(make.NOW)
    address = reverse("admin:accounts_subscriber_change", args=[reader.pk])

    room.post(
        address,
        {
            "state": "active",
            "email": "other@example.org",
            "consent_text": "yes",
            "frequency": "weekly",
            "weekday": "4",
            "hour": "9",
            "zone": "Europe/Berlin",
            "length": "5",
            "fill_mode": "followed_only",
            "note_when_empty": "on",
        },
    )

    reader.refresh_from_db()
    assert (reader.state, reader.email, reader.consent_text) == (
        "left",
        "ada@example.org",
        "",
    )
    assert (reader.frequency, reader.hour, reader.length) == ("weekly", 9, 5)
    assert (reader.fill_mode, reader.wants_note, reader.learns_from_clicks) == (
        "followed_only",
        True,
        False,
    )


def test_a_preview_shows_the_mail_and_why_and_stores_nothing(room, reader):
    make.edition(papers=[make.paper("Sparse attention"), make.paper(HOSTILE)])

    page = room.get(preview_of(reader)).content.decode()

    (frame,) = frames(page)
    assert frame["sandbox"] is None
    assert frame["srcdoc"].rstrip().endswith("</html>")
    assert "&lt;img src=x onerror=alert(1)&gt;" in frame["srcdoc"]
    assert "Sparse attention" in page
    assert "Matches your keyword “attention”" in page
    assert "<img src=x" not in page
    assert not Digest.objects.exists()


def test_a_preview_leaves_out_what_the_reader_was_sent(room, reader):
    sent = make.paper("Sparse attention")
    old = make.edition(make.DAY.replace(day=19), papers=[sent])
    batch = make.batch(make.frozen(old), [reader])
    make.digest(batch, reader, [(old.candidates.get().pk, 0)])
    make.edition(papers=[sent, make.paper("Dense attention")])

    page = room.get(preview_of(reader)).content.decode()

    assert "Dense attention" in page
    assert "Sparse attention" not in page


@pytest.mark.parametrize("editions", [0, 1])
def test_a_preview_of_nothing_says_so(room, reader, editions):
    if editions:
        make.edition(papers=0)

    page = room.get(preview_of(reader))
    posted = room.post(preview_of(reader))

    assert "Nothing for this reader" in page.content.decode()
    assert posted.status_code == 200
    assert not mail.outbox


def test_an_empty_day_of_who_asked_for_a_note_is_previewed_and_listed_as_one(
    room, reader
):
    Subscriber.objects.update(fill_mode="followed_only", note_when_empty=True)
    edition = make.edition(papers=2)
    make.digest(make.batch(edition, [reader]), reader)

    preview = room.get(preview_of(reader)).content.decode()
    ledger = room.get(reverse("admin:digest_digest_changelist")).content.decode()
    about = reverse("admin:accounts_subscriber_change", args=[reader.pk])

    assert "No matches today" in preview
    assert "Nothing for this reader" not in preview
    assert "none: a note" in ledger
    assert "none: a note" in room.get(about).content.decode()


def test_who_wants_only_their_own_and_no_note_is_previewed_as_silent(room, reader):
    Subscriber.objects.update(fill_mode="followed_only")
    make.edition(papers=2)

    page = room.get(preview_of(reader)).content.decode()

    assert "close to what they follow. They want nothing else" in page
    assert "Send me a test" not in page


def test_a_test_goes_to_the_editor_and_cannot_unsubscribe_the_reader(room, reader):
    make.edition(papers=[make.paper(HOSTILE)])

    room.post(preview_of(reader))

    message = mail.outbox[0]
    (html,) = message.alternatives
    assert message.to == ["editor@example.org"]
    assert message.subject.startswith("[Test] ")
    assert "\n" not in message.subject
    assert not message.extra_headers
    for body in (message.body, html[0]):
        assert reader.unsubscribe_key not in body
        assert "<img src=x" not in html[0]
    assert not Digest.objects.exists()


def test_a_readers_page_says_what_they_follow_and_what_they_got(room, reader):
    edition = make.frozen(make.edition(papers=1))
    muted = make.interest("keyword", HOSTILE)
    Follow.objects.create(subscriber=reader, interest=muted, weight=-1)
    make.digest(
        make.batch(edition, [reader]), reader, outcome="skipped", reason="nothing"
    )

    address = reverse("admin:accounts_subscriber_change", args=[reader.pk])
    page = room.get(address).content.decode()

    assert "attention" in page
    assert "mutes" in page
    assert "nothing relevant and new" in page
    assert "<img src=x" not in page


def test_an_operator_unsubscribes_a_reader(room, reader):
    room.post(
        reverse("admin:accounts_subscriber_changelist"),
        {"action": "unsubscribe", "_selected_action": reader.pk, "sure": "1"},
    )

    reader.refresh_from_db()
    assert reader.state == "left"


@pytest.mark.parametrize(
    ("action", "verb"), [("unsubscribe", "Unsubscribe"), ("suppress", "Suppress")]
)
def test_what_cannot_be_taken_back_is_asked_first(room, reader, action, verb):
    others = [make.subscriber(f"z{n:02}@example.org") for n in range(21)]
    chosen = [str(one.pk) for one in (reader, *others)]
    address = reverse("admin:accounts_subscriber_changelist")

    asked = room.post(
        f"{address}?state__exact=active",
        {"action": action, "_selected_action": chosen},
    )

    page = asked.content.decode()
    assert f"{verb} these 22 readers" in page
    assert "and 2 more" in page
    assert f'href="{address}?state__exact=active"' in page
    kept = re.findall('name="_selected_action" value="([0-9]+)"', page)
    assert sorted(kept) == sorted(chosen)
    assert f'name="action" value="{action}"' in page
    assert Subscriber.objects.filter(state="active").count() == 22
    assert not Suppression.objects.exists()


def test_an_operator_suppresses_a_readers_address(room, reader):
    room.post(
        reverse("admin:accounts_subscriber_changelist"),
        {"action": "suppress", "_selected_action": reader.pk, "sure": "1"},
    )

    assert not Subscriber.objects.not_suppressed().exists()
    page = room.get(reverse("admin:accounts_subscriber_changelist")).content.decode()
    assert "yes: not mailed" in page


def test_an_address_is_suppressed_by_hand_and_only_its_hash_is_kept(room):
    address = reverse("admin:accounts_suppression_add")
    form = {"email": "Gone@Example.org", "reason": "manual"}

    room.post(address, form)
    again = room.post(address, form)

    assert Suppression.objects.get().address_hash == address_hash("gone@example.org")
    assert "This address is already suppressed." in again.content.decode()


def test_a_suppression_is_found_by_its_address(room):
    Suppression.add("gone@example.org", "manual")
    Suppression.add("other@example.org", "bounce")

    page = room.get(
        reverse("admin:accounts_suppression_changelist"), {"q": "gone@example.org"}
    ).content.decode()

    assert address_hash("gone@example.org") in page
    assert address_hash("other@example.org") not in page


@pytest.mark.parametrize(("reason", "left"), [("manual", 0), ("complaint", 1)])
def test_only_what_an_operator_said_is_taken_back(room, reason, left):
    Suppression.add("gone@example.org", reason)
    row = Suppression.objects.get()

    room.post(
        reverse("admin:accounts_suppression_delete", args=[row.pk]), {"post": "yes"}
    )

    assert Suppression.objects.count() == left


def limited(*codenames):
    """An editor with these permissions and no others."""
    editor = User.objects.create_user(
        "desk@example.org", "a long passphrase", is_staff=True
    )
    editor.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return editor


def test_an_operator_erases_a_reader_after_being_asked_and_the_hash_stays(room, reader):
    edition = make.edition()
    candidate = make.candidate(edition)
    make.frozen(edition)
    make.digest(make.batch(edition, [reader]), reader, [(candidate.pk, 0)])
    Suppression.add(reader.email, Suppression.Reason.COMPLAINT)
    room.post(
        reverse("admin:accounts_subscriber_changelist"),
        {"action": "unsubscribe", "_selected_action": reader.pk, "sure": "1"},
    )
    address = reverse("admin:accounts_subscriber_delete", args=[reader.pk])

    asked = room.get(address)
    answer = room.post(address, {"post": "yes"})

    assert "Are you sure" in asked.content.decode()
    assert answer.status_code == 302
    assert not Subscriber.objects.exists()
    assert not Digest.objects.exists()
    assert Suppression.objects.count() == 1
    assert LogEntry.objects.count() == 2
    assert {row.object_repr for row in LogEntry.objects.all()} == {"an erased reader"}


def test_a_reader_who_erases_themselves_leaves_no_name_in_the_audit_log(room, reader):
    other = make.subscriber("bob@example.org")
    room.post(
        reverse("admin:accounts_subscriber_changelist"),
        {
            "action": "unsubscribe",
            "_selected_action": [reader.pk, other.pk],
            "sure": "1",
        },
    )

    reader.delete()

    told = set(LogEntry.objects.values_list("object_repr", flat=True))
    assert told == {"an erased reader", "bob@example.org"}


def test_who_may_not_delete_readers_erases_none(client, reader):
    client.force_login(limited("view_subscriber", "change_subscriber"))

    answer = client.post(
        reverse("admin:accounts_subscriber_delete", args=[reader.pk]), {"post": "yes"}
    )

    assert answer.status_code == 403
    assert Subscriber.objects.filter(pk=reader.pk).exists()


def test_saving_a_form_brings_nobody_back_who_left_meanwhile(rf, room, reader):
    old = Subscriber.objects.get(pk=reader.pk)
    reader.unsubscribe(make.NOW)
    door = admin.site.get_model_admin(Subscriber)
    old.hour = 5

    door.save_model(rf.post("/"), old, Changed(["hour"]), True)

    reader.refresh_from_db()
    assert (reader.state, reader.hour) == ("left", 5)


class Changed:
    """A form in which these fields were changed."""

    def __init__(self, names):
        self.changed_data = names
