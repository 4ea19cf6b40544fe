"""The group of editors that setup makes: enough to curate a day, and no reader's address."""

import re
from html import unescape

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.urls import reverse

from accounts.models import User
from digest.models import Digest, Edition
from tests import make
from tests.admin.test_pages import create_rows

LOGOUT = "admin:logout"

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(client):
    """An editor of the group, logged in."""
    call_command("setup", verbosity=0)
    editor = User.objects.create_user("desk@example.org", is_staff=True)
    editor.groups.add(Group.objects.get(name="Editors"))
    client.force_login(editor)
    return client


def test_an_editor_of_the_group_curates_notes_freezes_and_recalls(desk):
    edition = make.edition()
    paper = edition.candidates.first()

    desk.post(
        reverse("admin:digest_candidate_curate", args=[paper.pk]), {"verb": "pin:1"}
    )
    desk.post(
        reverse("admin:digest_edition_change", args=[edition.pk]), {"note": "Look."}
    )
    desk.post(reverse("admin:digest_edition_freeze", args=[edition.pk]))
    desk.post(
        reverse("admin:digest_recall_add"), {"paper": paper.paper_id, "reason": "Twice"}
    )

    edition = Edition.objects.get()
    assert edition.candidates.get(pin=1) == paper
    assert edition.note == "Look."
    assert not edition.is_open
    assert paper.paper.recall.reason == "Twice"


@pytest.mark.parametrize("name", ["index", "digest_candidate_changelist"])
def test_an_editor_of_the_group_opens_the_morning_s_pages(desk, name):
    make.edition()
    make.subscriber("ada@example.org")

    answer = desk.get(reverse(f"admin:{name}"))

    assert answer.status_code == 200
    assert "ada@example.org" not in answer.content.decode()


@pytest.mark.parametrize(
    "name", ["accounts_subscriber", "accounts_user", "digest_digest", "digest_follow"]
)
def test_an_editor_of_the_group_sees_no_readers(desk, name):
    assert desk.get(reverse(f"admin:{name}_changelist")).status_code == 403


def doors(answer):
    """The addresses of the control room that a page leads to, by link or by button."""
    found = re.findall(r'(?:href|action)="(/admin/[^"]*)"', answer.content.decode())
    return {unescape(one).partition("#")[0] for one in found} - {reverse(LOGOUT)}


@pytest.mark.parametrize(("may", "pages"), [("curate", 30), ("log in", 1)])
def test_no_page_that_an_editor_may_open_leads_to_a_closed_door(desk, may, pages):
    create_rows()
    Digest.objects.update(outcome="unknown")
    if may == "log in":
        Group.objects.get().permissions.clear()
    begin = reverse("admin:index")
    wanted, opened = [(begin, "")], {}

    while wanted:
        address, came_from = wanted.pop()
        kind = re.sub(r"\d+", "1", address)  # a page of each kind is enough
        if kind not in opened:
            answer = desk.get(address)
            opened[kind] = (answer.status_code, came_from)
            if answer.status_code == 200:
                wanted += [(door, address) for door in sorted(doors(answer))]

    closed = {kind: told for kind, told in opened.items() if told[0] == 403}
    assert closed == {}
    assert len(opened) >= pages


def test_setup_keeps_what_an_operator_changed_in_the_group(desk):
    group = Group.objects.get(name="Editors")
    group.permissions.clear()

    call_command("setup", verbosity=0)

    assert not group.permissions.exists()


def codes(group):
    return set(group.permissions.values_list("codename", flat=True))


@pytest.mark.both
def test_an_older_group_is_given_what_a_release_brings_and_nothing_else(desk):
    group = Group.objects.get(name="Editors")
    made = codes(group)
    group.permissions.remove(Permission.objects.get(codename="delete_topic"))
    group.permissions.add(Permission.objects.get(codename="view_subscriber"))
    # The release before knew no submissions.
    Permission.objects.filter(codename__endswith="_submission").delete()

    call_command("migrate", verbosity=0)

    assert {"view_submission", "change_submission"} <= made
    assert codes(group) == made - {"delete_topic"} | {"view_subscriber"}


def tried(client, password, address="192.0.2.7"):
    return client.post(
        reverse("admin:login"),
        {"username": "chief@example.org", "password": password},
        REMOTE_ADDR=address,
    )


def test_a_network_that_tries_many_passwords_is_not_let_in_by_the_right_one(
    client, settings
):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    User.objects.create_superuser("chief@example.org", "a long passphrase")
    for number in range(20):
        tried(client, f"guess {number}")

    late = tried(client, "a long passphrase")
    elsewhere = tried(client, "a long passphrase", "198.51.100.7")

    assert "Too many passwords" in late.content.decode()
    assert elsewhere.status_code == 302
