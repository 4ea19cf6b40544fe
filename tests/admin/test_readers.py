"""Reader admin: search, preview, unsubscribe, suppress, erase."""

import re
from html.parser import HTMLParser

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.core import mail
from django.db import connection
from django.urls import reverse

from accounts.addresses import address_hash
from accounts.admin_base import filter_by_address
from accounts.models import AccountMail, Subscriber, Suppression, User
from digest.models import Digest, Event, Follow
from tests import make

HOSTILE = '<img src=x onerror=alert(1)> & "A\nBcc: x@y"'


@pytest.fixture
def staff(client, db):
    editor = User.objects.create_superuser("editor@example.org", "a long passphrase")
    client.force_login(editor)
    return client


@pytest.fixture
def reader(db):
    reader = make.subscriber("ada@example.org")
    interest = make.interest("keyword", "attention")
    Follow.objects.create(subscriber=reader, interest=interest, weight=1)
    return reader


class FrameParser(HTMLParser):
    def __init__(self):
        super().__init__()
        self.frames = []

    def handle_starttag(self, tag, attrs):
        if tag == "iframe":
            self.frames.append(dict(attrs))


def parse_frames(page):
    parser = FrameParser()
    parser.feed(page)
    return parser.frames


def preview_url(reader):
    return reverse("admin:accounts_subscriber_preview", args=[reader.pk])


def test_readers_are_searched_by_address_prefix_in_any_case(staff, reader):
    make.subscriber("bob@example.org")

    page = staff.get(reverse("admin:accounts_subscriber_changelist"), {"q": " ADA@"})

    assert "ada@example.org" in page.content.decode()
    assert "bob@example.org" not in page.content.decode()


@pytest.mark.parametrize("typed", ["ada@bücher.example", "ada@xn--bch", "ADA@B"])
def test_search_finds_both_spellings_of_an_international_domain(staff, typed):
    make.subscriber("ada@bücher.example")
    make.subscriber("ada@b.example")

    page = staff.get(reverse("admin:accounts_subscriber_changelist"), {"q": typed})

    assert ("ada@xn--bcher-kva.example" in page.text) == (typed != "ADA@B")
    assert ("ada@b.example" in page.text) == (typed == "ADA@B")


SEARCHES = {
    "@uni.example": {"bob@uni.example", "ada+papers@uni.example"},
    "uni.example": {"bob@uni.example", "ada+papers@uni.example"},
    "@UNI.example": {"bob@uni.example", "ada+papers@uni.example"},
    "ada@uni.example": {"ada+papers@uni.example"},
    "@ni.example": set(),
    "@bücher.example": {"ada@xn--bcher-kva.example"},
    "bob@": {"bob@uni.example"},
}


@pytest.mark.both
@pytest.mark.parametrize("typed", SEARCHES)
def test_search_finds_readers_by_domain_and_tag(db, typed):
    for email in (
        "bob@uni.example",
        "ada+papers@uni.example",
        "ada@bücher.example",
        "uni@other.example",
    ):
        make.subscriber(email)

    matches = filter_by_address(Subscriber.objects.all(), typed)

    assert set(matches.values_list("email", flat=True)) == SEARCHES[typed]


@pytest.mark.skipif(
    connection.vendor != "postgresql", reason="reads the plans of PostgreSQL"
)
@pytest.mark.parametrize("typed", ["@uni.example", "ada@uni.example", "uni.example"])
def test_search_uses_indexes(db, typed):
    make.subscriber("ada@uni.example")
    readers = filter_by_address(Subscriber.objects.all(), typed)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")

    plan = readers.explain()

    assert "readers_by_domain" in plan
    assert "Seq Scan" not in plan


def test_reader_page_has_state_consent_digests_events_and_history(staff, reader):
    reader.consent_text, reader.consent_how = "Email me <b>digests</b>.", "the form"
    reader.save()
    Suppression.add(reader.email, "bounce")
    edition = make.frozen(make.edition(papers=1))
    digest = make.digest(make.batch(edition, [reader]), reader, outcome="accepted")
    Event.objects.create(
        source="sendgrid",
        key="1",
        semantic_key="1",
        kind="bounce",
        digest=digest,
        at=make.NOW,
    )
    act(staff, reader, "pause", weeks="2")

    page = staff.get(reverse("admin:accounts_subscriber_change", args=[reader.pk])).text

    assert "Email me &lt;b&gt;digests&lt;/b&gt;." in page
    assert "the form" in page
    assert '<span class="pr-bad">bounced</span>' in page
    assert "bounce <span" in page
    assert "attention" in page
    assert "Paused digests until" in page


def act(client, reader, action, **fields):
    url = reverse("admin:accounts_subscriber_act", args=[reader.pk])
    return client.post(url, {"act": action, **fields}, follow=True)


def test_operators_pause_a_reader_and_end_the_pause(staff, reader, time_machine):
    time_machine.move_to(make.NOW, tick=False)

    act(staff, reader, "pause", weeks="2")
    reader.refresh_from_db()
    paused_until = reader.paused_until
    act(staff, reader, "unpause")

    reader.refresh_from_db()
    assert paused_until == make.NOW + make.hours(14 * 24)
    assert reader.paused_until is None
    assert LogEntry.objects.count() == 2


def test_confirmation_is_mailed_again_to_who_did_not_confirm(
    staff, eager, bob, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        act(staff, bob, "resend")

    (message,) = mail.outbox
    assert message.to == ["bob@example.org"]
    assert message.subject == "Confirm your subscription to Paper Round"


def test_confirmation_is_not_mailed_to_active_readers(staff, reader):
    page = act(staff, reader, "resend").text

    assert "That is not possible any more." in page
    assert not AccountMail.objects.exists()


def test_confirmations_to_a_mailbox_are_limited(staff, bob):
    for _ in range(4):
        page = act(staff, bob, "resend").text

    assert "got too many mails. Try again in" in page
    assert AccountMail.objects.count() == 3


def test_export_of_a_reader_is_recorded(staff, reader):
    data = act(staff, reader, "export").json()

    assert data["reader"]["email"] == "ada@example.org"
    assert LogEntry.objects.get().change_message == "Exported all data of the reader."


def test_actions_on_a_reader_need_the_permission_to_change(client, reader):
    user = User.objects.create_user("looker@example.org", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(codename__in=["view_subscriber"])
    )
    client.force_login(user)

    statuses = {
        action: act(client, reader, action).status_code
        for action in ("pause", "export")
    }

    assert statuses == {"pause": 403, "export": 403}


def test_consent_and_state_cannot_be_edited(staff, reader):
    reader.unsubscribe(make.NOW)
    url = reverse("admin:accounts_subscriber_change", args=[reader.pk])

    staff.post(
        url,
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


def test_preview_shows_the_mail_with_reasons_and_stores_nothing(staff, reader):
    make.edition(papers=[make.paper("Sparse attention"), make.paper(HOSTILE)])

    page = staff.get(preview_url(reader)).content.decode()

    light, dark = parse_frames(page)
    for frame in (light, dark):
        assert frame["sandbox"] is None
        assert frame["srcdoc"].rstrip().endswith("</html>")
        assert "&lt;img src=x onerror=alert(1)&gt;" in frame["srcdoc"]
    assert "Sparse attention" in page
    assert "Matches your keyword “attention”" in page
    assert "<img src=x" not in page
    assert not Digest.objects.exists()


def test_preview_excludes_papers_already_sent(staff, reader):
    sent = make.paper("Sparse attention")
    old = make.edition(make.DAY.replace(day=19), papers=[sent])
    batch = make.batch(make.frozen(old), [reader])
    make.digest(batch, reader, [(old.candidates.get().pk, 0)])
    make.edition(papers=[sent, make.paper("Dense attention")])

    page = staff.get(preview_url(reader)).content.decode()

    assert "Dense attention" in page
    assert "Sparse attention" not in page


@pytest.mark.parametrize("editions", [0, 1])
def test_preview_without_papers_shows_an_empty_digest(staff, reader, editions):
    if editions:
        make.edition(papers=0)

    page = staff.get(preview_url(reader))
    posted = staff.post(preview_url(reader))

    assert "Empty digest" in page.content.decode()
    assert posted.status_code == 200
    assert not mail.outbox


def test_empty_digest_with_a_note_is_previewed_and_listed(staff, reader):
    Subscriber.objects.update(fill_mode="followed_only", note_when_empty=True)
    edition = make.edition(papers=2)
    make.digest(make.batch(edition, [reader]), reader)

    preview = staff.get(preview_url(reader)).content.decode()
    digest_list = staff.get(reverse("admin:digest_digest_changelist")).content.decode()
    reader_url = reverse("admin:accounts_subscriber_change", args=[reader.pk])

    assert "No matches today" in preview
    assert "Empty digest" not in preview
    assert "empty, with a note" in digest_list
    assert "empty, with a note" in staff.get(reader_url).content.decode()


def test_preview_for_followed_only_without_note_is_empty(staff, reader):
    Subscriber.objects.update(fill_mode="followed_only")
    make.edition(papers=2)

    page = staff.get(preview_url(reader)).content.decode()

    assert "They chose to receive only matching papers" in page
    assert "Send test to me" not in page


def test_test_mail_goes_to_staff_without_unsubscribe_links(staff, reader):
    make.edition(papers=[make.paper(HOSTILE)])

    staff.post(preview_url(reader))

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


def test_reader_page_lists_follows_and_digests(staff, reader):
    edition = make.frozen(make.edition(papers=1))
    muted = make.interest("keyword", HOSTILE)
    Follow.objects.create(subscriber=reader, interest=muted, weight=-1)
    make.digest(
        make.batch(edition, [reader]), reader, outcome="skipped", reason="nothing"
    )

    url = reverse("admin:accounts_subscriber_change", args=[reader.pk])
    page = staff.get(url).content.decode()

    assert "attention" in page
    assert "mutes" in page
    assert "nothing new that matches" in page
    assert "<img src=x" not in page


def test_unsubscribe_action(staff, reader):
    staff.post(
        reverse("admin:accounts_subscriber_changelist"),
        {"action": "unsubscribe", "_selected_action": reader.pk, "sure": "1"},
    )

    reader.refresh_from_db()
    assert reader.state == "left"


@pytest.mark.parametrize(
    ("action", "verb"), [("unsubscribe", "Unsubscribe"), ("suppress", "Suppress")]
)
def test_irreversible_actions_ask_for_confirmation(staff, reader, action, verb):
    others = [make.subscriber(f"z{n:02}@example.org") for n in range(21)]
    selected = [str(row.pk) for row in (reader, *others)]
    url = reverse("admin:accounts_subscriber_changelist")

    confirmation = staff.post(
        f"{url}?state__exact=active",
        {"action": action, "_selected_action": selected},
    )

    page = confirmation.content.decode()
    assert f"{verb} these 22 readers" in page
    assert "and 2 more" in page
    assert f'href="{url}?state__exact=active"' in page
    posted = re.findall('name="_selected_action" value="([0-9]+)"', page)
    assert sorted(posted) == sorted(selected)
    assert f'name="action" value="{action}"' in page
    assert Subscriber.objects.filter(state="active").count() == 22
    assert not Suppression.objects.exists()


def test_suppress_action(staff, reader):
    staff.post(
        reverse("admin:accounts_subscriber_changelist"),
        {"action": "suppress", "_selected_action": reader.pk, "sure": "1"},
    )

    assert not Subscriber.objects.not_suppressed().exists()
    page = staff.get(reverse("admin:accounts_subscriber_changelist")).content.decode()
    assert "yes: not mailed" in page


def test_added_suppression_stores_only_the_hash(staff):
    url = reverse("admin:accounts_suppression_add")
    form = {"email": "Gone@Example.org", "reason": "manual"}

    staff.post(url, form)
    again = staff.post(url, form)

    assert Suppression.objects.get().address_hash == address_hash("gone@example.org")
    assert "This address is already suppressed." in again.content.decode()


def test_suppressions_are_searched_by_address(staff):
    Suppression.add("gone@example.org", "manual")
    Suppression.add("other@example.org", "bounce")

    page = staff.get(
        reverse("admin:accounts_suppression_changelist"), {"q": "gone@example.org"}
    ).content.decode()

    assert address_hash("gone@example.org") in page
    assert address_hash("other@example.org") not in page


@pytest.mark.parametrize(("reason", "left"), [("manual", 0), ("complaint", 1)])
def test_only_manual_suppressions_can_be_deleted(staff, reason, left):
    Suppression.add("gone@example.org", reason)
    row = Suppression.objects.get()

    staff.post(
        reverse("admin:accounts_suppression_delete", args=[row.pk]), {"post": "yes"}
    )

    assert Suppression.objects.count() == left


def staff_with(*codenames):
    """A staff user with exactly these permissions."""
    editor = User.objects.create_user(
        "desk@example.org", "a long passphrase", is_staff=True
    )
    editor.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return editor


def test_erasing_a_reader_keeps_only_the_suppression_hash(staff, reader):
    edition = make.edition()
    candidate = make.candidate(edition)
    make.frozen(edition)
    make.digest(make.batch(edition, [reader]), reader, [(candidate.pk, 0)])
    Suppression.add(reader.email, Suppression.Reason.COMPLAINT)
    staff.post(
        reverse("admin:accounts_subscriber_changelist"),
        {"action": "unsubscribe", "_selected_action": reader.pk, "sure": "1"},
    )
    url = reverse("admin:accounts_subscriber_delete", args=[reader.pk])

    confirmation = staff.get(url)
    answer = staff.post(url, {"post": "yes"})

    assert "Are you sure" in confirmation.content.decode()
    assert answer.status_code == 302
    assert not Subscriber.objects.exists()
    assert not Digest.objects.exists()
    assert Suppression.objects.count() == 1
    assert LogEntry.objects.count() == 2
    assert {row.object_repr for row in LogEntry.objects.all()} == {"an erased reader"}


def test_erasing_a_reader_removes_the_address_from_the_history(staff, reader):
    other = make.subscriber("bob@example.org")
    staff.post(
        reverse("admin:accounts_subscriber_changelist"),
        {
            "action": "unsubscribe",
            "_selected_action": [reader.pk, other.pk],
            "sure": "1",
        },
    )

    reader.delete()

    names = set(LogEntry.objects.values_list("object_repr", flat=True))
    assert names == {"an erased reader", "bob@example.org"}


def test_erasing_requires_delete_permission(client, reader):
    client.force_login(staff_with("view_subscriber", "change_subscriber"))

    answer = client.post(
        reverse("admin:accounts_subscriber_delete", args=[reader.pk]), {"post": "yes"}
    )

    assert answer.status_code == 403
    assert Subscriber.objects.filter(pk=reader.pk).exists()


def test_saving_a_reader_does_not_undo_a_concurrent_unsubscribe(rf, staff, reader):
    old = Subscriber.objects.get(pk=reader.pk)
    reader.unsubscribe(make.NOW)
    model_admin = admin.site.get_model_admin(Subscriber)
    old.hour = 5

    model_admin.save_model(rf.post("/"), old, FormStub(["hour"]), True)

    reader.refresh_from_db()
    assert (reader.state, reader.hour) == ("left", 5)


class FormStub:
    """A form with these changed fields."""

    def __init__(self, names):
        self.changed_data = names
