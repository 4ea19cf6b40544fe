"""Curation of candidates: allowed while the edition is open, refused after the freeze."""

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import User
from digest.admin import curation
from digest.models import Candidate, Digest, Edition, Frozen, Recall
from tests import make

HOSTILE = '<img src=x onerror=alert(1)> & "A\nBcc: x@y"'


@pytest.fixture
def editor(db):
    return User.objects.create_superuser("editor@example.org", "a long passphrase")


@pytest.fixture
def staff(client, editor):
    client.force_login(editor)
    return client


@pytest.fixture
def papers(db):
    """Candidates of an open edition, by descending trend."""
    return list(make.edition(papers=5).candidates.order_by("-trend"))


def curate(staff, candidate, action, **fields):
    """Submit a button of the candidate list."""
    url = reverse("admin:digest_candidate_curate", args=[candidate.pk])
    page = staff.post(url, {"action": action, **fields}, follow=True)
    return page.content.decode()


def pins():
    pinned = Candidate.objects.filter(pin__isnull=False).order_by("pin")
    return list(pinned.values_list("pin", "pk"))


@given(
    st.permutations(range(1, 6)).map(lambda order: list(order[:3])),
    st.integers(1, 5),
    st.integers(1, 3),
)
def test_insert_pin_keeps_the_order_of_other_pins(before, pk, place):
    after = curation.insert_pin(before, pk, place)

    others = [pinned for pinned in after if pinned not in (pk, None)]
    assert after[place - 1] == pk
    assert others == [pinned for pinned in before if pinned in others]
    assert len(others) == 2


def test_insert_pin_fills_the_nearest_gap():
    assert curation.insert_pin([1, None, 3], 9, 1) == [9, 1, 3]
    assert curation.insert_pin([1, 2, 3], 3, 1) == [3, 1, 2]
    assert curation.insert_pin([1, 2, 3], 1, 2) == [2, 1, 3]
    assert curation.insert_pin([None, None, None], 9, 2) == [None, 9, None]


def test_pinning_an_occupied_place_shifts_other_pins(staff, papers):
    a, b, c, d, _ = papers
    for place, candidate in enumerate([a, b, c], start=1):
        curate(staff, candidate, f"pin:{place}")

    curate(staff, d, "pin:1")

    assert pins() == [(1, d.pk), (2, a.pk), (3, b.pk)]


def test_undo_restores_the_dropped_pin(staff, papers):
    a, b, c, d, _ = papers
    for place, candidate in enumerate([a, b, c], start=1):
        curate(staff, candidate, f"pin:{place}")
    page = curate(staff, d, "pin:1")
    undo = f"arrange:{a.pk},{b.pk},{c.pk}"
    assert f'value="{undo}"' in page

    curate(staff, d, undo)

    assert pins() == [(1, a.pk), (2, b.pk), (3, c.pk)]


def test_pinned_paper_is_listed_first_and_can_be_unpinned(staff, papers):
    last = papers[-1]

    page = curate(staff, last, "pin:1")

    assert page.index(f"candidate-{last.pk}") < page.index(f"candidate-{papers[0].pk}")
    curate(staff, last, "unpin:")
    assert pins() == []


def test_boost_hide_and_note_are_stored(staff, papers):
    paper = papers[0]

    curate(staff, paper, "boost:2")
    curate(staff, paper, "hide:")
    page = curate(staff, paper, "note:", note="  Read the\nappendix ")

    paper.refresh_from_db()
    assert (paper.boost, paper.is_hidden, paper.note) == (2, True, "Read the appendix")
    assert "Note saved." in page
    assert "Unhide" in page
    curate(staff, paper, "show:")
    paper.refresh_from_db()
    assert not paper.is_hidden


def test_changes_are_recorded_in_the_history(staff, editor, papers):
    curate(staff, papers[0], "hide:")

    entry = LogEntry.objects.get()
    assert (entry.user, entry.change_message) == (editor, "Hidden from all digests.")


@pytest.mark.parametrize(
    "action", ["pin:4", "pin:", "boost:3", "boost:x", "delete:", "", "arrange:1,2"]
)
def test_invalid_action_changes_nothing(staff, papers, action):
    before = list(Candidate.objects.order_by("pk").values())

    curate(staff, papers[0], action)

    assert list(Candidate.objects.order_by("pk").values()) == before


def test_pins_of_another_edition_are_not_changed(staff, papers):
    other = make.edition(make.DAY.replace(day=19), papers=1).candidates.get()

    curate(staff, papers[0], f"arrange:{other.pk},0,0")

    other.refresh_from_db()
    assert other.pin is None


@pytest.mark.parametrize("action", ["pin:1", "unpin:", "boost:1", "hide:", "note:late"])
def test_actions_on_a_frozen_edition_are_refused(staff, papers, action):
    make.frozen(papers[0].edition)
    before = list(Candidate.objects.order_by("pk").values())

    page = curate(staff, papers[0], action)

    assert "This edition is frozen" in page
    assert list(Candidate.objects.order_by("pk").values()) == before
    assert not LogEntry.objects.exists()


def test_frozen_list_offers_only_recall(staff, papers):
    edition = make.frozen(papers[0].edition)

    page = staff.get(reverse("admin:digest_candidate_changelist")).content.decode()

    assert "/curate/" not in page
    assert "Freeze now" not in page
    assert page.count(">Recall</a>") == edition.candidates.count()


def test_paper_of_a_frozen_edition_can_be_recalled(staff, papers):
    paper = papers[0].paper
    make.frozen(papers[0].edition)
    url = reverse("admin:digest_recall_add")
    assert (
        f'value="{paper.pk}" selected'
        in staff.get(url, {"paper": paper.pk}).content.decode()
    )

    staff.post(url, {"paper": paper.pk, "reason": "Withdrawn by its authors"})

    assert Recall.objects.get().paper == paper


def test_list_defaults_to_the_newest_open_edition(staff, papers):
    make.frozen(make.edition(make.DAY.replace(day=21), papers=[make.paper("Tomorrow")]))

    page = staff.get(reverse("admin:digest_candidate_changelist")).content.decode()

    assert "Friday, 20 November 2026" in page
    assert "Tomorrow" not in page


def test_list_is_searched_by_title_words(staff):
    make.edition(papers=[make.paper("Sparse attention"), make.paper("Frozen soil")])
    url = reverse("admin:digest_candidate_changelist")

    page = staff.get(url, {"q": "attention sparse"}).content.decode()

    assert "Sparse attention" in page
    assert "Frozen soil" not in page


def test_titles_notes_and_messages_are_escaped(staff):
    paper = make.edition(papers=[make.paper(HOSTILE)]).candidates.get()

    page = curate(staff, paper, "note:", note=HOSTILE)

    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


def test_curation_requires_a_csrf_token(editor, papers):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(editor)

    page = strict.post(
        reverse("admin:digest_candidate_curate", args=[papers[0].pk]),
        {"action": "hide:"},
    )

    assert page.status_code == 403


def test_curation_requires_post(staff, papers):
    page = staff.get(reverse("admin:digest_candidate_curate", args=[papers[0].pk]))

    assert page.status_code == 405


def test_view_permission_does_not_allow_curation(client, papers):
    from django.contrib.auth.models import Permission

    viewer = User.objects.create_user("viewer@example.org", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_candidate"))
    client.force_login(viewer)

    page = client.get(reverse("admin:digest_candidate_changelist"))
    posted = client.post(
        reverse("admin:digest_candidate_curate", args=[papers[0].pk]),
        {"action": "hide:"},
    )

    assert page.status_code == 200
    assert "/curate/" not in page.content.decode()
    assert posted.status_code == 403


def test_next_url_must_be_on_this_site(staff, papers):
    url = reverse("admin:digest_candidate_curate", args=[papers[0].pk])

    page = staff.post(url, {"action": "hide:", "next": "https://evil.example/"})

    assert page["Location"].startswith("/admin/digest/candidate/")


def test_curation_redirects_to_the_curated_paper(staff, papers):
    url = reverse("admin:digest_candidate_curate", args=[papers[3].pk])
    list_url = reverse("admin:digest_candidate_changelist") + "?edition=7&p=1"

    page = staff.post(url, {"action": "boost:1", "next": list_url + "#elsewhere"})

    assert page["Location"] == f"{list_url}#candidate-{papers[3].pk}"


def test_edition_note_can_be_edited_until_the_freeze(staff, papers):
    edition = papers[0].edition
    url = reverse("admin:digest_edition_change", args=[edition.pk])

    staff.post(url, {"note": "Few papers today."})
    make.frozen(edition)
    staff.post(url, {"note": "Too late."})

    edition.refresh_from_db()
    assert edition.note == "Few papers today."


def test_saving_a_note_updates_only_the_note(staff, papers):
    """Saving the whole row would undo a concurrent freeze."""
    url = reverse("admin:digest_edition_change", args=[papers[0].edition_id])

    with CaptureQueriesContext(connection) as queries:
        staff.post(url, {"note": "Few papers today."})

    (update,) = [
        query["sql"].partition("WHERE")[0]
        for query in queries
        if query["sql"].startswith('UPDATE "digest_edition"')
    ]
    assert '"note"' in update
    assert "state" not in update
    assert any(
        '"digest_edition"' in q["sql"] and "FOR UPDATE" in q["sql"] for q in queries
    )


@pytest.mark.parametrize("given", ["²", "٣", "x", "9" * 30, "-1", ""])
def test_invalid_edition_in_the_url_opens_a_list(staff, papers, given):
    url = reverse("admin:digest_candidate_changelist")

    assert staff.get(url, {"edition": given}).status_code == 200


def test_note_saved_during_a_freeze_is_refused(staff, papers, monkeypatch):
    edition = papers[0].edition

    def freeze_meanwhile(self, *args, **kwargs):
        make.frozen(edition)
        raise Frozen("This edition is frozen.")

    monkeypatch.setattr(Edition, "save", freeze_meanwhile)
    page = staff.post(
        reverse("admin:digest_edition_change", args=[edition.pk]),
        {"note": "Too late."},
        follow=True,
    )

    assert "This edition is frozen." in page.content.decode()


def test_freeze_page_names_the_number_of_recipients(staff, papers):
    for _ in range(3):
        make.subscriber()
    make.subscriber(state="left")
    edition = papers[0].edition

    page = staff.get(reverse("admin:digest_edition_freeze", args=[edition.pk]))

    assert "Freeze and send to 3 readers" in page.content.decode()
    edition.refresh_from_db()
    assert edition.is_open


def test_freeze_button_freezes_the_edition(staff, papers):
    edition = papers[0].edition

    page = staff.post(
        reverse("admin:digest_edition_freeze", args=[edition.pk]), follow=True
    )

    edition.refresh_from_db()
    assert not edition.is_open
    assert "Edition frozen. Sending to 0 readers." in page.content.decode()
    assert not Digest.objects.exists()
