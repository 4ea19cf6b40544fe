"""Every admin page opens for staff with permission, with a constant number of queries."""

import functools
import re
from datetime import UTC, datetime
from html import unescape

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

import digest.urls  # noqa: F401  (registers the admin)
from accounts.models import AccountMail, ReaderImport, Subscriber, Suppression, User
from digest.admin.unfold import PAGE_PERMISSIONS, sidebar_navigation
from digest.models import (
    Batch,
    Candidate,
    Digest,
    Edition,
    EmbeddingModel,
    Event,
    Experiment,
    Follow,
    ForeignEventCount,
    IngestRun,
    Paper,
    RankingSetting,
    Recall,
    SendingPause,
    Slot,
    Submission,
    Topic,
)
from digest.ranking import lsa
from tests import make

HOSTILE = '<img src=x onerror=alert(1)> & "A\nBcc: x@y"'
MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
NAMES = [f"{model._meta.app_label}_{model._meta.model_name}" for model in MODELS]
pytestmark = pytest.mark.django_db


@pytest.fixture
def editor():
    return User.objects.create_superuser("editor@example.org", "a long passphrase")


@pytest.fixture
def staff(client, editor):
    """A client logged in as a superuser."""
    client.force_login(editor)
    return client


@functools.cache
def small_model():
    return lsa.fit_lsa(["Invented paper number one", "Another paper"]).to_bytes()


def create_rows(rows=1):
    """Create rows in every table that the admin shows."""
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
        digest = make.digest(batch, reader, [pick], provider_detail=HOSTILE)
        Event.objects.create(
            source="sendgrid",
            key=f"event {number}",
            semantic_key=f"{number}",
            kind="bounce",
            digest=digest,
            payload={"reason": HOSTILE},
            at=make.NOW,
        )
        ForeignEventCount.add("sendgrid", day, 3)
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
        submission.requests.create(subscriber=reader, at=make.NOW)
        Recall.objects.create(paper=old.candidates.get().paper, reason=HOSTILE)
        Suppression.add(f"gone{number}@example.org", "manual")
        AccountMail.objects.create(
            kind="sign_up", email=f"new{number}@example.org", last_error=HOSTILE
        )
        job = ReaderImport.objects.create(
            file_name=HOSTILE, content=HOSTILE, consent_source=HOSTILE, state="checked"
        )
        result = (1, "invalid", HOSTILE)
        job.chunks.create(first_line=1, results=[result], counts={"invalid": 1})
        SendingPause.objects.trigger(HOSTILE, make.NOW, old)
        setting = RankingSetting.objects.create(name=f"{HOSTILE} {next(make.numbers)}")
        Experiment.objects.create(
            name=f"{HOSTILE} {next(make.numbers)}", second=setting
        )
        EmbeddingModel.objects.create(
            version=f"v{number}", content=small_model(), papers=1
        )
        User.objects.create_user(f"staff{number}@example.org", is_staff=True)
    return edition


def first_row(model):
    return model._default_manager.order_by("pk").first()


def count_queries(staff, url):
    with CaptureQueriesContext(connection) as queries:
        assert staff.get(url).status_code == 200
    return len(queries)


@pytest.mark.parametrize("name", NAMES)
def test_every_list_opens(staff, name):
    create_rows()

    page = staff.get(reverse(f"admin:{name}_changelist"))

    assert page.status_code == 200
    assert "<img src=x" not in page.content.decode()


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_every_change_page_opens(staff, editor, model):
    create_rows()
    LogEntry.objects.create(user=editor, object_repr=HOSTILE, action_flag=2)
    name = f"{model._meta.app_label}_{model._meta.model_name}"
    if name == "auth_group":
        model.objects.create(name="curators")

    page = staff.get(reverse(f"admin:{name}_change", args=[first_row(model).pk]))

    assert page.status_code == 200
    assert "<img src=x" not in page.content.decode()


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_add_pages_open_only_for_models_created_by_hand(staff, model):
    name = f"{model._meta.app_label}_{model._meta.model_name}"
    addable = {
        "accounts_readerimport",
        "accounts_suppression",
        "accounts_user",
        "auth_group",
        "digest_experiment",
        "digest_rankingsetting",
        "digest_sendingpause",
        "digest_recall",
        "digest_topic",
    }

    page = staff.get(reverse(f"admin:{name}_add"))

    assert page.status_code == (200 if name in addable else 403)


@pytest.mark.parametrize("rows", [0, 1])
def test_dashboard_opens(staff, rows):
    if rows:
        create_rows()

    page = staff.get(reverse("admin:index")).content.decode()

    assert ("Curate candidates" in page) == bool(rows)
    assert ("No open edition" in page) != bool(rows)
    assert "<img src=x" not in page


def test_dashboard_links_open_without_a_redirect(staff):
    """The admin redirects a filter that does not exist to the unfiltered list."""
    create_rows()
    page = staff.get(reverse("admin:index")).content.decode()
    links = {
        unescape(link) for link in re.findall(r'href="(/admin/[^"]*\?[^"]*)"', page)
    }

    assert any("processed_at__isempty" in link for link in links)
    assert {link: staff.get(link).status_code for link in links} == dict.fromkeys(
        links, 200
    )


def queries_of_lists(staff):
    """Query count per change list."""
    return {
        name: count_queries(staff, reverse(f"admin:{name}_changelist"))
        for name in NAMES
    }


def test_query_count_of_lists_does_not_grow_with_rows(staff, time_machine):
    # The topics of an edition's papers are read once a minute.
    time_machine.move_to(timezone.now(), tick=False)
    create_rows(5)
    queries_of_lists(staff)  # content types are looked up once
    queries_for_5_rows = queries_of_lists(staff)
    delete_rows()
    create_rows(20)
    queries_of_lists(staff)

    queries_for_20_rows = queries_of_lists(staff)

    assert queries_for_20_rows == queries_for_5_rows


def delete_rows():
    """Delete everything except the superuser."""
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
def test_every_page_requires_login(client, name):
    url = reverse("admin:index" if name == "index" else f"admin:{name}_changelist")

    page = client.get(url)

    assert page.status_code == 302
    assert page["Location"].startswith("/admin/login/")


def test_staff_log_in_by_email(client, editor):
    page = client.post(
        reverse("admin:login"),
        {"username": "editor@example.org", "password": "a long passphrase"},
    )

    assert page.status_code == 302
    assert client.get(reverse("admin:index")).status_code == 200


def test_admin_pages_get_the_relaxed_content_security_policy(staff):
    inside = staff.get(reverse("admin:index"))["Content-Security-Policy"]

    assert "script-src 'self' 'unsafe-inline' 'unsafe-eval'" in inside
    assert "default-src 'none'" in inside


def test_new_staff_user_is_created_by_email(staff):
    page = staff.post(
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


def test_dashboard_lists_failed_ingest_runs_first(staff, time_machine):
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

    page = staff.get(reverse("admin:index")).content.decode()

    assert "It ends in the middle." in page
    assert page.index("failed.xml") < page.index("good.json")


def test_sidebar_links_every_registered_model(staff, rf, editor):
    request = rf.get("/admin/")
    request.user = editor

    items = [
        item for section in sidebar_navigation(request) for item in section["items"]
    ]

    assert len(items) == len(MODELS) + len(PAGE_PERMISSIONS) + 1  # and Today
    assert all(staff.get(item["link"]).status_code == 200 for item in items)


@pytest.mark.parametrize("name", ["index", "checks", "digest_sendingpause_changelist"])
def test_sidebar_marks_one_page(rf, editor, name):
    request = rf.get(reverse(f"admin:{name}"))
    request.user = editor

    items = [
        item for section in sidebar_navigation(request) for item in section["items"]
    ]

    (active,) = (item["link"] for item in items if item["active"])
    assert active == request.path


def test_sidebar_hides_models_the_user_may_not_view(rf):
    request = rf.get("/admin/")
    request.user = User.objects.create_user("looker@example.org", is_staff=True)

    (section,) = sidebar_navigation(request)

    assert [item["title"] for item in section["items"]] == ["Today"]


# Fields that need no help text.
SELF_EXPLANATORY = {"password", "last_login", "edition", "paper"}


@pytest.mark.parametrize(
    "model", [User, Subscriber, Topic, Paper, Edition, Candidate, Recall]
)
def test_editable_fields_have_help_text(model):
    own = (f for f in model._meta.get_fields() if not f.auto_created)
    editable = [f for f in own if f.editable and f.name not in SELF_EXPLANATORY]

    assert [field.name for field in editable if not field.help_text] == []
