"""The group of editors created by setup, and login rate limits."""

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
def editor(client):
    """A client logged in as a member of the group."""
    call_command("setup", verbosity=0)
    user = User.objects.create_user("editor@example.org", is_staff=True)
    user.groups.add(Group.objects.get(name="Editors"))
    client.force_login(user)
    return client


def test_group_may_curate_freeze_and_recall(editor):
    edition = make.edition()
    paper = edition.candidates.first()

    editor.post(
        reverse("admin:digest_candidate_curate", args=[paper.pk]), {"action": "pin:1"}
    )
    editor.post(
        reverse("admin:digest_edition_change", args=[edition.pk]), {"note": "Look."}
    )
    editor.post(reverse("admin:digest_edition_freeze", args=[edition.pk]))
    editor.post(
        reverse("admin:digest_recall_add"), {"paper": paper.paper_id, "reason": "Twice"}
    )

    edition = Edition.objects.get()
    assert edition.candidates.get(pin=1) == paper
    assert edition.note == "Look."
    assert not edition.is_open
    assert paper.paper.recall.reason == "Twice"


@pytest.mark.parametrize("name", ["index", "digest_candidate_changelist"])
def test_pages_for_the_group_show_no_reader(editor, name):
    make.edition()
    make.subscriber("ada@example.org")

    response = editor.get(reverse(f"admin:{name}"))

    assert response.status_code == 200
    assert "ada@example.org" not in response.content.decode()


@pytest.mark.parametrize(
    "name", ["accounts_subscriber", "accounts_user", "digest_digest", "digest_follow"]
)
def test_group_may_not_view_readers(editor, name):
    assert editor.get(reverse(f"admin:{name}_changelist")).status_code == 403


def admin_links(response):
    """URLs of the admin in a page's links and forms, except logout."""
    urls = re.findall(r'(?:href|action)="(/admin/[^"]*)"', response.content.decode())
    return {unescape(url).partition("#")[0] for url in urls} - {reverse(LOGOUT)}


@pytest.mark.parametrize(("permissions", "pages"), [("curate", 30), ("log in", 1)])
def test_no_link_leads_to_a_forbidden_page(editor, permissions, pages):
    create_rows()
    Digest.objects.update(outcome="unknown")
    if permissions == "log in":
        Group.objects.get().permissions.clear()
    queue, visited = [(reverse("admin:index"), "")], {}

    while queue:
        url, linked_from = queue.pop()
        kind = re.sub(r"\d+", "1", url)  # one page of each kind
        if kind not in visited:
            response = editor.get(url)
            visited[kind] = (response.status_code, linked_from)
            if response.status_code == 200:
                queue += [(link, url) for link in sorted(admin_links(response))]

    forbidden = {kind: page for kind, page in visited.items() if page[0] == 403}
    assert forbidden == {}
    assert len(visited) >= pages


def test_setup_does_not_restore_revoked_permissions(editor):
    group = Group.objects.get(name="Editors")
    group.permissions.clear()

    call_command("setup", verbosity=0)

    assert not group.permissions.exists()


def codenames(group):
    return set(group.permissions.values_list("codename", flat=True))


@pytest.mark.both
def test_migrate_grants_only_permissions_of_new_tables(editor):
    group = Group.objects.get(name="Editors")
    initial = codenames(group)
    group.permissions.remove(Permission.objects.get(codename="delete_topic"))
    group.permissions.add(Permission.objects.get(codename="view_subscriber"))
    # The previous release had no submissions.
    Permission.objects.filter(codename__endswith="_submission").delete()

    call_command("migrate", verbosity=0)

    assert {"view_submission", "change_submission"} <= initial
    assert codenames(group) == initial - {"delete_topic"} | {"view_subscriber"}
