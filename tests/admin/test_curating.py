"""Curating: one click each while the edition is open, refused with a reason after it froze."""

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import User
from digest.admin import curating
from digest.models import Candidate, Digest, Edition, Frozen, Recall
from tests import make

HOSTILE = '<img src=x onerror=alert(1)> & "A\nBcc: x@y"'


@pytest.fixture
def editor(db):
    return User.objects.create_superuser("editor@example.org", "a long passphrase")


@pytest.fixture
def room(client, editor):
    client.force_login(editor)
    return client


@pytest.fixture
def papers(db):
    """The candidates of an open edition, most trending first."""
    return list(make.edition(papers=5).candidates.order_by("-trend"))


def press(room, candidate, verb, **fields):
    """Press a button of the list, as a browser does."""
    address = reverse("admin:digest_candidate_curate", args=[candidate.pk])
    page = room.post(address, {"verb": verb, **fields}, follow=True)
    return page.content.decode()


def pins():
    held = Candidate.objects.filter(pin__isnull=False).order_by("pin")
    return list(held.values_list("pin", "pk"))


@given(
    st.permutations(range(1, 6)).map(lambda order: list(order[:3])),
    st.integers(1, 5),
    st.integers(1, 3),
)
def test_a_pin_takes_its_place_and_the_others_keep_their_order(held, pk, place):
    after = curating.insert(held, pk, place)

    others = [found for found in after if found not in (pk, None)]
    assert after[place - 1] == pk
    assert others == [found for found in held if found in others]
    assert len(others) == 2


def test_a_pin_that_leaves_a_gap_moves_nobody_past_it():
    assert curating.insert([1, None, 3], 9, 1) == [9, 1, 3]
    assert curating.insert([1, 2, 3], 3, 1) == [3, 1, 2]
    assert curating.insert([1, 2, 3], 1, 2) == [2, 1, 3]
    assert curating.insert([None, None, None], 9, 2) == [None, 9, None]


def test_pinning_a_taken_place_moves_the_other_down(room, papers):
    a, b, c, d, _ = papers
    for place, candidate in enumerate([a, b, c], start=1):
        press(room, candidate, f"pin:{place}")

    press(room, d, "pin:1")

    assert pins() == [(1, d.pk), (2, a.pk), (3, b.pk)]


def test_undo_brings_back_the_one_that_fell_out(room, papers):
    a, b, c, d, _ = papers
    for place, candidate in enumerate([a, b, c], start=1):
        press(room, candidate, f"pin:{place}")
    page = press(room, d, "pin:1")
    undo = f"arrange:{a.pk},{b.pk},{c.pk}"
    assert f'value="{undo}"' in page

    press(room, d, undo)

    assert pins() == [(1, a.pk), (2, b.pk), (3, c.pk)]


def test_a_pinned_paper_leads_the_list_and_can_be_unpinned(room, papers):
    last = papers[-1]

    page = press(room, last, "pin:1")

    assert page.index(f"candidate-{last.pk}") < page.index(f"candidate-{papers[0].pk}")
    press(room, last, "unpin:")
    assert pins() == []


def test_the_other_verbs_change_their_column_and_say_so(room, papers):
    paper = papers[0]

    press(room, paper, "boost:2")
    press(room, paper, "hide:")
    page = press(room, paper, "note:", note="  Read the\nappendix ")

    paper.refresh_from_db()
    assert (paper.boost, paper.is_hidden, paper.note) == (2, True, "Read the appendix")
    assert "Note written." in page
    assert "Unhide" in page
    press(room, paper, "show:")
    paper.refresh_from_db()
    assert not paper.is_hidden


def test_every_change_is_in_the_history(room, editor, papers):
    press(room, papers[0], "hide:")

    found = LogEntry.objects.get()
    assert (found.user, found.change_message) == (editor, "Hidden: nobody gets it.")


@pytest.mark.parametrize(
    "verb", ["pin:4", "pin:", "boost:3", "boost:x", "delete:", "", "arrange:1,2"]
)
def test_what_is_no_verb_changes_nothing(room, papers, verb):
    before = list(Candidate.objects.order_by("pk").values())

    press(room, papers[0], verb)

    assert list(Candidate.objects.order_by("pk").values()) == before


def test_a_pin_of_another_edition_is_not_moved_here(room, papers):
    other = make.edition(make.DAY.replace(day=19), papers=1).candidates.get()

    press(room, papers[0], f"arrange:{other.pk},0,0")

    other.refresh_from_db()
    assert other.pin is None


@pytest.mark.parametrize("verb", ["pin:1", "unpin:", "boost:1", "hide:", "note:late"])
def test_after_freezing_every_verb_is_refused_with_the_reason(room, papers, verb):
    make.frozen(papers[0].edition)
    before = list(Candidate.objects.order_by("pk").values())

    page = press(room, papers[0], verb)

    assert "This edition is frozen" in page
    assert list(Candidate.objects.order_by("pk").values()) == before
    assert not LogEntry.objects.exists()


def test_a_frozen_list_has_no_buttons_but_recall(room, papers):
    edition = make.frozen(papers[0].edition)

    page = room.get(reverse("admin:digest_candidate_changelist")).content.decode()

    assert "/curate/" not in page
    assert "Freeze now" not in page
    assert page.count("Recall this paper") == edition.candidates.count()


def test_a_paper_of_a_frozen_edition_is_recalled_with_a_reason(room, papers):
    paper = papers[0].paper
    make.frozen(papers[0].edition)
    address = reverse("admin:digest_recall_add")
    assert (
        f'value="{paper.pk}" selected'
        in room.get(address, {"paper": paper.pk}).content.decode()
    )

    room.post(address, {"paper": paper.pk, "reason": "Withdrawn by its authors"})

    assert Recall.objects.get().paper == paper


def test_the_list_shows_the_newest_open_edition_by_itself(room, papers):
    make.frozen(make.edition(make.DAY.replace(day=21), papers=[make.paper("Tomorrow")]))

    page = room.get(reverse("admin:digest_candidate_changelist")).content.decode()

    assert "Friday, 20 November 2026" in page
    assert "Tomorrow" not in page


def test_the_list_is_searched_by_words_of_the_title(room):
    make.edition(papers=[make.paper("Sparse attention"), make.paper("Frozen soil")])
    address = reverse("admin:digest_candidate_changelist")

    page = room.get(address, {"q": "attention sparse"}).content.decode()

    assert "Sparse attention" in page
    assert "Frozen soil" not in page


def test_hostile_titles_notes_and_messages_are_escaped(room):
    paper = make.edition(papers=[make.paper(HOSTILE)]).candidates.get()

    page = press(room, paper, "note:", note=HOSTILE)

    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


def test_curating_needs_the_token_of_the_page(editor, papers):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(editor)

    page = strict.post(
        reverse("admin:digest_candidate_curate", args=[papers[0].pk]), {"verb": "hide:"}
    )

    assert page.status_code == 403


def test_curating_is_not_done_by_a_link(room, papers):
    page = room.get(reverse("admin:digest_candidate_curate", args=[papers[0].pk]))

    assert page.status_code == 405


def test_who_may_only_look_sees_no_buttons_and_changes_nothing(client, papers):
    from django.contrib.auth.models import Permission

    looker = User.objects.create_user("looker@example.org", is_staff=True)
    looker.user_permissions.add(Permission.objects.get(codename="view_candidate"))
    client.force_login(looker)

    page = client.get(reverse("admin:digest_candidate_changelist"))
    posted = client.post(
        reverse("admin:digest_candidate_curate", args=[papers[0].pk]), {"verb": "hide:"}
    )

    assert page.status_code == 200
    assert "/curate/" not in page.content.decode()
    assert posted.status_code == 403


def test_a_form_never_leads_to_another_site(room, papers):
    address = reverse("admin:digest_candidate_curate", args=[papers[0].pk])

    page = room.post(address, {"verb": "hide:", "next": "https://evil.example/"})

    assert page["Location"].startswith("/admin/digest/candidate/")


def test_a_press_leads_back_to_the_paper_it_was_made_for(room, papers):
    address = reverse("admin:digest_candidate_curate", args=[papers[3].pk])
    came_from = reverse("admin:digest_candidate_changelist") + "?edition=7&p=1"

    page = room.post(address, {"verb": "boost:1", "next": came_from + "#elsewhere"})

    assert page["Location"] == f"{came_from}#candidate-{papers[3].pk}"


def test_the_note_of_the_day_is_written_while_the_edition_is_open(room, papers):
    edition = papers[0].edition
    address = reverse("admin:digest_edition_change", args=[edition.pk])

    room.post(address, {"note": "A quiet day."})
    make.frozen(edition)
    room.post(address, {"note": "Too late."})

    edition.refresh_from_db()
    assert edition.note == "A quiet day."


def test_writing_a_note_writes_nothing_that_the_freeze_writes(room, papers):
    """The state read before somebody's freeze must not be written back after it."""
    address = reverse("admin:digest_edition_change", args=[papers[0].edition_id])

    with CaptureQueriesContext(connection) as told:
        room.post(address, {"note": "A quiet day."})

    (written,) = [
        query["sql"].partition("WHERE")[0]
        for query in told
        if query["sql"].startswith('UPDATE "digest_edition"')
    ]
    assert '"note"' in written
    assert "state" not in written
    assert any(
        '"digest_edition"' in q["sql"] and "FOR UPDATE" in q["sql"] for q in told
    )


@pytest.mark.parametrize("given", ["²", "٣", "x", "9" * 30, "-1", ""])
def test_an_address_with_a_nonsense_edition_opens_a_list(room, papers, given):
    address = reverse("admin:digest_candidate_changelist")

    assert room.get(address, {"edition": given}).status_code == 200


def test_a_note_that_arrives_after_the_freeze_is_refused_with_the_reason(
    room, papers, monkeypatch
):
    edition = papers[0].edition

    def freeze_meanwhile(self, *args, **kwargs):
        make.frozen(edition)
        raise Frozen("This edition is frozen.")

    monkeypatch.setattr(Edition, "save", freeze_meanwhile)
    page = room.post(
        reverse("admin:digest_edition_change", args=[edition.pk]),
        {"note": "Too late."},
        follow=True,
    )

    assert "This edition is frozen." in page.content.decode()


def test_freezing_asks_first_and_names_the_number_of_readers(room, papers):
    for _ in range(3):
        make.subscriber()
    make.subscriber(state="left")
    edition = papers[0].edition

    page = room.get(reverse("admin:digest_edition_freeze", args=[edition.pk]))

    assert "Freeze it for 3 readers" in page.content.decode()
    edition.refresh_from_db()
    assert edition.is_open


def test_freezing_by_hand_freezes(room, papers):
    edition = papers[0].edition

    page = room.post(
        reverse("admin:digest_edition_freeze", args=[edition.pk]), follow=True
    )

    edition.refresh_from_db()
    assert not edition.is_open
    assert "Frozen: 0 readers get it" in page.content.decode()
    assert not Digest.objects.exists()
