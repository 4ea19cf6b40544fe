"""Every page of the control room opens, for those who may, at a cost that does not grow."""

from datetime import UTC, datetime

import pytest
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Subscriber, Suppression, User
from digest.admin.sidebar import navigation
from digest.models import (
    Candidate,
    Edition,
    EmbeddingModel,
    Event,
    Follow,
    IngestRun,
    Paper,
    Recall,
    SendingPause,
    Submission,
    Topic,
)
from tests import make

HOSTILE = '<img src=x onerror=alert(1)> & "A\nBcc: x@y"'
MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
NAMES = [f"{model._meta.app_label}_{model._meta.model_name}" for model in MODELS]
pytestmark = pytest.mark.django_db


@pytest.fixture
def editor():
    return User.objects.create_superuser("editor@example.org", "a long passphrase")


@pytest.fixture
def room(client, editor):
    """A client that is logged in as an editor with every permission."""
    client.force_login(editor)
    return client


def world(rows=1):
    """Rows in every table of the control room."""
    edition = make.edition(
        papers=[make.paper(f"{HOSTILE} {n}") for n in range(rows)], note=HOSTILE
    )
    for number in range(rows):
        day = make.DAY.replace(month=1 + number // 20, day=1 + number % 20)
        old = make.frozen(make.edition(day, papers=1))
        reader = make.subscriber(f"reader{number}@example.org")
        topic = make.topic(f"Topic {number}", description=HOSTILE)
        topic.examples.add(old.candidates.get().paper)
        interest = make.interest("keyword", f"{HOSTILE} {number}")
        Follow.objects.create(subscriber=reader, interest=interest, weight=1)
        batch = make.batch(old, [reader], error=HOSTILE)
        pick = (old.candidates.get().pk, interest.pk)
        digest = make.digest(batch, reader, [pick], detail=HOSTILE)
        Event.objects.create(
            source="sendgrid",
            key=f"event {number}",
            semantic_key=f"{number}",
            kind="bounce",
            digest=digest,
            payload={"reason": HOSTILE},
            at=make.NOW,
        )
        IngestRun.objects.create(
            source="arxiv",
            origin=HOSTILE,
            state="failed",
            started_at=make.NOW,
            error=HOSTILE,
        )
        submission = Submission.objects.create(
            identifier=f"2611.9{number:04}",
            title=HOSTILE,
            abstract=HOSTILE,
            authors=[HOSTILE],
            why=HOSTILE,
            state="waiting",
            created_at=make.NOW,
        )
        submission.asked.create(subscriber=reader, at=make.NOW)
        Recall.objects.create(paper=old.candidates.get().paper, reason=HOSTILE)
        Suppression.add(f"gone{number}@example.org", "manual")
        SendingPause.objects.pull(HOSTILE, make.NOW, old)
        EmbeddingModel.objects.create(version=f"v{number}", content=b"model", papers=1)
        User.objects.create_user(f"staff{number}@example.org", is_staff=True)
    return edition


def first(model):
    return model._default_manager.order_by("pk").first()


def queries(room, address):
    with CaptureQueriesContext(connection) as caught:
        assert room.get(address).status_code == 200
    return len(caught)


@pytest.mark.parametrize("name", NAMES)
def test_every_list_opens(room, name):
    world()

    page = room.get(reverse(f"admin:{name}_changelist"))

    assert page.status_code == 200
    assert "<img src=x" not in page.content.decode()


@pytest.mark.parametrize("name", NAMES)
def test_every_list_searches_without_an_error(room, name):
    world()

    page = room.get(reverse(f"admin:{name}_changelist"), {"q": "reader0@"})

    assert page.status_code == 200


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_every_row_opens(room, model):
    world()
    name = f"{model._meta.app_label}_{model._meta.model_name}"
    if name == "auth_group":
        model.objects.create(name="curators")

    page = room.get(reverse(f"admin:{name}_change", args=[first(model).pk]))

    assert page.status_code == 200
    assert "<img src=x" not in page.content.decode()


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_every_form_for_a_new_row_opens_where_rows_are_made_by_hand(room, model):
    name = f"{model._meta.app_label}_{model._meta.model_name}"
    by_hand = {
        "accounts_suppression",
        "accounts_user",
        "auth_group",
        "digest_sendingpause",
        "digest_recall",
        "digest_topic",
    }

    page = room.get(reverse(f"admin:{name}_add"))

    assert page.status_code == (200 if name in by_hand else 403)


@pytest.mark.parametrize("rows", [0, 1])
def test_the_dashboard_opens(room, rows):
    if rows:
        world()

    page = room.get(reverse("admin:index")).content.decode()

    assert ("Curate the list" in page) == bool(rows)
    assert ("No edition is open" in page) != bool(rows)
    assert "<img src=x" not in page


def costs(room):
    """How many queries each list needs."""
    return {name: queries(room, reverse(f"admin:{name}_changelist")) for name in NAMES}


def test_a_longer_list_needs_no_more_queries(room):
    world(5)
    costs(room)  # content types are looked up once
    few = costs(room)
    clear()
    world(20)

    many = costs(room)

    assert many == few


def clear():
    """Everything but the editor who looks."""
    from digest.models import Batch, Candidate, Digest, Edition, Paper, Slot, Topic

    for model in (
        Event,
        Digest,
        Batch,
        Slot,
        Candidate,
        SendingPause,
        Edition,
        Recall,
        Topic,
        Paper,
        Follow,
        IngestRun,
        EmbeddingModel,
        Submission,
        Suppression,
        Subscriber,
    ):
        model.objects.all().delete()
    User.objects.exclude(email="editor@example.org").delete()


@pytest.mark.parametrize("name", [*NAMES, "index"])
def test_nobody_else_gets_in(client, name):
    address = reverse("admin:index" if name == "index" else f"admin:{name}_changelist")

    page = client.get(address)

    assert page.status_code == 302
    assert page["Location"].startswith("/admin/login/")


def test_an_editor_logs_in_by_email(client, editor):
    page = client.post(
        reverse("admin:login"),
        {"username": "editor@example.org", "password": "a long passphrase"},
    )

    assert page.status_code == 302
    assert client.get(reverse("admin:index")).status_code == 200


def test_only_the_control_room_has_a_looser_policy(room):
    inside = room.get(reverse("admin:index"))["Content-Security-Policy"]

    assert "script-src 'self' 'unsafe-inline' 'unsafe-eval'" in inside
    assert "default-src 'none'" in inside


def test_a_new_editor_is_made_with_an_address(room):
    page = room.post(
        reverse("admin:accounts_user_add"),
        {
            "email": "new@example.org",
            "usable_password": "true",
            "password1": "another long phrase",
            "password2": "another long phrase",
        },
    )

    assert page.status_code == 302
    assert User.objects.get(email="new@example.org").check_password(
        "another long phrase"
    )


def test_the_dashboard_puts_failed_documents_first(room, time_machine):
    time_machine.move_to(make.NOW)
    IngestRun.objects.create(
        source="arxiv",
        origin="failed.xml",
        state="failed",
        started_at=datetime(2026, 11, 20, 4, tzinfo=UTC),
        error="It ends in the middle.",
    )
    IngestRun.objects.create(
        source="huggingface",
        origin="good.json",
        state="done",
        started_at=make.NOW,
        new=7,
    )

    page = room.get(reverse("admin:index")).content.decode()

    assert "It ends in the middle." in page
    assert page.index("failed.xml") < page.index("good.json")


def test_every_door_of_the_sidebar_opens(room, rf, editor):
    request = rf.get("/admin/")
    request.user = editor

    doors = [door for group in navigation(request) for door in group["items"]]

    assert len(doors) == len(MODELS) + 1
    assert all(room.get(door["link"]).status_code == 200 for door in doors)


def test_the_sidebar_shows_only_what_may_be_opened(rf):
    request = rf.get("/admin/")
    request.user = User.objects.create_user("looker@example.org", is_staff=True)

    (group,) = navigation(request)

    assert [door["title"] for door in group["items"]] == ["Today"]


# Django's own, and the row that a candidate belongs to.
SELF_EVIDENT = {"password", "last_login", "edition", "paper"}


@pytest.mark.parametrize(
    "model", [User, Subscriber, Topic, Paper, Edition, Candidate, Recall]
)
def test_every_field_that_an_editor_sees_says_what_it_is(model):
    own = (f for f in model._meta.get_fields() if not f.auto_created)
    seen = [f for f in own if f.editable and f.name not in SELF_EVIDENT]

    assert [field.name for field in seen if not field.help_text] == []
