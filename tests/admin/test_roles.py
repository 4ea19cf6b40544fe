"""The roles of staff: what editors and operators may open and do."""

import re
from html import unescape

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.core.management import call_command
from django.urls import reverse

from accounts.models import Subscriber, User
from digest.models import Digest, Edition, Interest
from tests import make
from tests.admin.test_pages import MODELS, NAMES, create_rows

LOGOUT = "admin:logout"

pytestmark = pytest.mark.django_db


@pytest.fixture
def editor(client):
    return make.log_in_staff(client, "Editors", "editor@example.org")


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


@pytest.fixture
def operator(client):
    return make.log_in_staff(client, "Operators", "operator@example.org")


def test_editors_preview_made_up_profiles_and_mail_tests_to_themselves(editor):
    edition = make.edition(papers=[make.paper("Sparse attention for speech")])
    url = reverse("admin:digest_edition_preview", args=[edition.pk])
    query = "?keywords=sparse+attention&length=3"

    page = editor.get(url + query).content.decode()
    editor.post(url + query)

    assert "Sparse attention for speech" in page
    assert "Matches your keyword" in page
    assert ">sparse attention</textarea>" in page
    (test,) = mail.outbox
    assert test.to == ["editor@example.org"]
    assert test.subject.startswith("[Test] ")
    assert not Subscriber.objects.exists()
    assert not Interest.objects.exists()


def test_failed_test_mail_is_reported_with_its_reason(editor, monkeypatch):
    def refuse(*args, **kwargs):
        raise ConnectionRefusedError("connection refused")

    monkeypatch.setattr(EmailMultiAlternatives, "send", refuse)
    edition = make.edition()
    url = reverse("admin:digest_edition_preview", args=[edition.pk])

    page = editor.post(url, follow=True).content.decode()

    assert "The test was not sent: connection refused." in page


def test_operators_see_candidates_and_curate_none(operator):
    edition = make.edition()
    candidate = edition.candidates.first()
    url = reverse("admin:digest_candidate_curate", args=[candidate.pk])

    page = operator.get(reverse("admin:digest_candidate_changelist"))
    posted = operator.post(url, {"action": "hide:"})

    assert page.status_code == 200
    assert "/curate/" not in page.content.decode()
    assert posted.status_code == 403


# Status of the list of each model, by role.
EDITOR_LISTS = {
    *("digest.candidate", "digest.edition", "digest.ingestrun", "digest.interest"),
    *("digest.paper", "digest.recall", "digest.submission", "digest.topic"),
    *("digest.experiment", "digest.rankingsetting"),
}
ADMINISTRATOR_LISTS = {"accounts.user", "auth.group", "digest.topic"}


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_lists_open_by_role(client, model):
    call_command("setup", verbosity=0)
    label = model._meta.label_lower
    expected = {
        "Editors": label in EDITOR_LISTS,
        "Operators": label not in ADMINISTRATOR_LISTS | {"digest.submission"},
        "administrator": True,
    }
    url = reverse(f"admin:{label.replace('.', '_')}_changelist")

    statuses = {}
    for role in expected:
        user = User.objects.create_user(f"{role.lower()}@example.org", is_staff=True)
        user.is_superuser = role == "administrator"
        user.save()
        user.groups.set(Group.objects.filter(name=role))
        client.force_login(user)
        statuses[role] = client.get(url).status_code == 200

    assert statuses == expected


def test_history_holds_texts_before_and_after_a_change(editor):
    topic = make.topic("Prosody", description="Old words")
    url = reverse("admin:digest_topic_change", args=[topic.pk])
    fields = {
        "name": "Prosody",
        "description": "New words",
        "keywords": "prosody",
        "categories": "",
        "position": "100",
        "is_listed": "on",
    }

    editor.post(url, fields)

    entry = LogEntry.objects.get()
    assert entry.change_message == "Description: “Old words” → “New words”"


def test_who_did_what_lists_changes(operator):
    call_command("setup", verbosity=0)
    edition = make.edition()
    operator.post(reverse("admin:digest_edition_freeze", args=[edition.pk]))

    page = operator.get(reverse("admin:admin_logentry_changelist")).content.decode()

    assert "operator@example.org" in page
    assert "Froze the edition" in page


def admin_links(response):
    """URLs of the admin in a page's links and forms, except logout."""
    urls = re.findall(r'(?:href|action)="(/admin/[^"]*)"', response.content.decode())
    return {unescape(url).partition("#")[0] for url in urls} - {reverse(LOGOUT)}


@pytest.mark.parametrize(("permissions", "pages"), [("curate", 30), ("log in", 1)])
def test_no_link_leads_to_a_forbidden_page(editor, permissions, pages):
    create_rows()
    Digest.objects.update(outcome="unknown")
    if permissions == "log in":
        Group.objects.get(name="Editors").permissions.clear()
    queue, visited = [(reverse("admin:index"), "")], {}

    while queue:
        url, linked_from = queue.pop()
        kind = re.sub(r"\d+", "1", url)  # one page of each kind
        if kind not in visited:
            response = editor.get(url)
            visited[kind] = (response.status_code, linked_from)
            if response.status_code == 200 and not response.streaming:
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
