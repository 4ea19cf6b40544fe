"""Any list of the admin as CSV: its columns, streamed, without formulas, recorded in the history."""

import csv
import io

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from accounts.models import User
from digest.models import Recall, Submission
from tests import make
from tests.admin.test_pages import MODELS, create_rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client, db):
    client.force_login(User.objects.create_superuser("root@example.org", "x"))
    return client


def export(client, name, **data):
    url = reverse(f"admin:{name}_changelist")
    fields = {"action": "export_csv", "_selected_action": ["1"], "select_across": "1"}
    response = client.post(url, {**fields, **data})
    assert response.streaming, response.content[:300]
    return read(response)


def read(response):
    text = b"".join(response.streaming_content).decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text)))


def test_every_list_is_exported(staff):
    create_rows(2)

    for model in MODELS:
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        if name == "digest_candidate":
            continue  # a page of its own, below
        rows = export(staff, name)
        assert len(rows) == model._default_manager.count() + 1, name
        assert len({len(row) for row in rows}) == 1, name
        assert all("<" not in cell for cell in rows[0]), name


def test_cells_are_plain_text_without_formulas(staff):
    paper = make.paper("Storks")
    Recall.objects.create(paper=paper, reason='=HYPERLINK("http://evil.example")')

    header, row = export(staff, "digest_recall")

    assert header == ["paper", "reason", "created at"]
    assert row[1] == '\'=HYPERLINK("http://evil.example")'
    assert row[2].endswith("+00:00")


def test_export_holds_what_the_search_finds(staff):
    for title in ("Storks", "Welds"):
        paper = make.paper(title)
        Recall.objects.create(paper=paper, reason=f"About {title}")
    url = reverse("admin:digest_recall_changelist")
    fields = {"action": "export_csv", "_selected_action": ["1"], "select_across": "1"}

    rows = read(staff.post(f"{url}?q=Welds", fields))

    assert [row[1] for row in rows[1:]] == ["About Welds"]


def test_only_selected_rows_are_exported(staff):
    rows = [Recall.objects.create(paper=make.paper(), reason=f"No. {n}") for n in "12"]
    data = {"_selected_action": [rows[1].pk], "select_across": "0"}

    exported = export(staff, "digest_recall", **data)

    assert [row[1] for row in exported[1:]] == ["No. 2"]


def test_export_is_recorded(staff):
    Recall.objects.create(paper=make.paper(), reason="Twice")

    export(staff, "digest_recall")

    entry = LogEntry.objects.get()
    assert (entry.object_repr, entry.change_message) == (
        "Recalls",
        "Exported 1 rows as CSV.",
    )


def test_choices_are_exported_by_their_label(staff):
    Submission.objects.create(
        identifier="2611.90001", title="Storks", state="waiting", created_at=make.NOW
    )

    header, row = export(staff, "digest_submission")

    label = dict(Submission.State.choices)["waiting"]
    assert row[header.index("state")] == label


def test_candidates_are_exported_as_listed(staff):
    edition = make.edition(papers=[make.paper("Storks"), make.paper("=Welds")])
    edition.candidates.filter(paper__title="=Welds").update(pin=1, note="Look")
    page = staff.get(reverse("admin:digest_candidate_changelist"), {"q": "storks"})
    url = reverse("admin:digest_candidate_export", args=[edition.pk])

    rows = read(staff.get(url))
    found = read(staff.get(page.context["selection"].export_url))

    assert [row[1] for row in rows] == ["title", "'=Welds", "Storks"]
    assert rows[1][rows[0].index("note")] == "Look"
    assert [row[1] for row in found[1:]] == ["Storks"]
