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
from digest.mailer import plan
from digest.models import (
    Candidate,
    CurationStep,
    Digest,
    Edition,
    Frozen,
    Paper,
    Recall,
)
from digest.ranking import choose, editor_preview, freeze, rank_edition
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


def bulk(staff, edition, candidates, action):
    url = reverse("admin:digest_candidate_bulk", args=[edition.pk])
    selected = [candidate.pk for candidate in candidates]
    page = staff.post(url, {"action": action, "selected": selected}, follow=True)
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


def undo(staff, edition, step=None, **fields):
    url = reverse("admin:digest_candidate_undo", args=[edition.pk])
    data = {"step": step.pk} if step else {}
    return staff.post(url, {**data, **fields}, follow=True).content.decode()


def test_undo_restores_the_dropped_pin(staff, papers):
    a, b, c, d, _ = papers
    for place, candidate in enumerate([a, b, c], start=1):
        curate(staff, candidate, f"pin:{place}")
    page = curate(staff, d, "pin:1")
    step = CurationStep.objects.first()
    assert f'name="step" value="{step.pk}"' in page

    undo(staff, d.edition, step)

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
    page = curate(staff, paper, "note", text="  Read the\nappendix ")

    paper.refresh_from_db()
    assert (paper.boost, paper.is_hidden, paper.note) == (2, True, "Read the appendix")
    assert "Wrote a note for" in page
    assert ">Show</button>" in page
    curate(staff, paper, "show:")
    paper.refresh_from_db()
    assert not paper.is_hidden


def test_changes_are_recorded_in_the_history(staff, editor, papers):
    curate(staff, papers[0], "hide:")

    entry = LogEntry.objects.get()
    assert entry.user == editor
    assert entry.change_message == f"Hid “{papers[0].paper.title}”"


@pytest.mark.parametrize(
    "action",
    ["pin:4", "pin:", "boost:3", "boost:x", "delete:", "", "merge:", "topic:add:x"],
)
def test_invalid_action_changes_nothing(staff, papers, action):
    before = list(Candidate.objects.order_by("pk").values())

    curate(staff, papers[0], action)

    assert list(Candidate.objects.order_by("pk").values()) == before


def test_bulk_action_leaves_other_editions_unchanged(staff, papers):
    other = make.edition(make.DAY.replace(day=19), papers=1).candidates.get()

    bulk(staff, papers[0].edition, [papers[0], other], "hide:")

    other.refresh_from_db()
    assert not other.is_hidden


@pytest.mark.parametrize(
    "action", ["pin:1", "unpin:", "boost:1", "hide:", "note:late", "title:Late"]
)
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

    page = curate(staff, paper, "note", text=HOSTILE)

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


# Steps, undo, conflicts.


def test_any_step_can_be_undone_while_its_values_stand(staff, papers):
    first, second = papers[:2]
    curate(staff, first, "hide:")
    hiding = CurationStep.objects.get()
    curate(staff, second, "boost:2")

    page = undo(staff, first.edition, hiding)

    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.is_hidden, second.boost) == (False, 2)
    assert "Undid: Hid" in page


def test_a_value_that_was_changed_again_is_not_undone(staff, papers):
    curate(staff, papers[0], "boost:1")
    step = CurationStep.objects.get()
    curate(staff, papers[0], "boost:2")

    page = undo(staff, papers[0].edition, step)

    papers[0].refresh_from_db()
    assert papers[0].boost == 2
    assert "Undo the later step." in page


def test_undo_of_an_unpin_names_the_paper_that_took_the_place(staff, papers):
    curate(staff, papers[0], "pin:1")
    curate(staff, papers[0], "unpin:")
    step = CurationStep.objects.first()
    curate(staff, papers[1], "pin:1")

    page = undo(staff, papers[0].edition, step)

    assert "is now at place 1." in page
    assert pins() == [(1, papers[1].pk)]


def test_undo_without_a_step_takes_back_the_editors_own_last_one(staff, papers):
    other = User.objects.create_superuser("other@example.org", "a long passphrase")
    curate(staff, papers[0], "hide:")
    curation.apply_action(
        papers[1].edition_id, [papers[1].pk], "hide", "", other, make.NOW
    )

    undo(staff, papers[0].edition)
    undo(staff, papers[0].edition)  # nothing of this editor is left

    assert list(Candidate.objects.filter(is_hidden=True)) == [papers[1]]


def test_an_undone_step_can_be_repeated_and_is_undone_once(staff, papers):
    curate(staff, papers[0], "hide:")
    step = CurationStep.objects.get()
    undo(staff, papers[0].edition, step)
    undoing = CurationStep.objects.first()

    page = undo(staff, papers[0].edition, step)
    undo(staff, papers[0].edition, undoing)

    papers[0].refresh_from_db()
    assert "is undone already" in page
    assert papers[0].is_hidden


def test_steps_of_a_frozen_edition_cannot_be_undone(staff, papers):
    curate(staff, papers[0], "hide:")
    make.frozen(papers[0].edition)

    undo(staff, papers[0].edition, CurationStep.objects.get())

    papers[0].refresh_from_db()
    assert papers[0].is_hidden


def test_typed_text_is_returned_when_another_editor_changed_it(staff, papers):
    url = reverse("admin:digest_candidate_curate", args=[papers[0].pk])
    curate(staff, papers[0], "note", text="Read section 3")

    page = staff.post(url, {"action": "note", "seen": "", "text": "My own words"})

    papers[0].refresh_from_db()
    assert papers[0].note == "Read section 3"
    assert page.status_code == 409
    assert "My own words" in page.content.decode()
    staff.post(url, {"action": "note", "text": "My own words"})
    papers[0].refresh_from_db()
    assert papers[0].note == "My own words"


def test_typed_text_is_returned_when_the_edition_froze_meanwhile(staff, papers):
    make.frozen(papers[0].edition)
    url = reverse("admin:digest_candidate_curate", args=[papers[0].pk])

    page = staff.post(url, {"action": "note", "seen": "", "text": "My own words"})

    assert "This edition is frozen" in page.content.decode()
    assert "My own words" in page.content.decode()


def test_a_step_that_changes_nothing_is_not_stored(staff, papers):
    curate(staff, papers[0], "show:")

    assert not CurationStep.objects.exists()


def test_history_names_who_did_what(staff, editor, papers):
    editor.name = "Edith"
    editor.save()
    curate(staff, papers[0], "note", text="Read section 3")

    url = reverse("admin:digest_candidate_steps", args=[papers[0].edition_id])
    page = staff.get(url).content.decode()

    assert "Edith" in page
    assert "Wrote a note for" in page
    assert "Read section 3" in page


# Corrections: they reach the mail, later editions and no frozen one.


def test_corrected_title_and_summary_are_mailed_and_kept_by_the_next_ranking(
    staff, papers
):
    candidate = papers[0]
    curate(staff, candidate, "title", text="A better title")
    curate(staff, candidate, "summary", text="What it is about.")

    rank_edition.rank_edition(make.DAY, make.NOW)

    candidate.refresh_from_db()
    assert candidate.card["title"] == "A better title"
    assert candidate.card["summary"] == "What it is about."
    curate(staff, candidate, "title", text="")
    candidate.refresh_from_db()
    assert candidate.card["title"] == candidate.paper.title


def test_corrections_do_not_change_a_frozen_edition(staff):
    paper = make.paper("The first title", announced_on=make.DAY)
    frozen = make.frozen(make.edition(make.DAY, papers=[paper]))
    tomorrow = make.edition(make.DAY.replace(day=21), papers=[paper])

    curate(staff, tomorrow.candidates.get(), "title", text="Another title")

    assert frozen.candidates.get().card["title"] == "The first title"
    assert tomorrow.candidates.get().card["title"] == "Another title"


def test_corrected_topics_decide_the_picks_of_its_followers(staff, papers):
    topic = make.topic("Quantization", keywords=["quantization"])
    paper = papers[-1]
    assert (
        paper.pk
        not in editor_preview.load_topic_matches(paper.edition, make.NOW)[topic.slug]
    )

    curate(staff, paper, f"topic:add:{topic.slug}")

    matches = editor_preview.load_topic_matches(paper.edition, make.NOW)
    assert matches[topic.slug] == {paper.pk}
    follower = make.interest("topic", topic.slug)
    (candidate, interest, near), *_ = choose.preview(paper.edition, [follower])
    assert (candidate, interest, near) == (paper, follower, False)
    curate(staff, paper, f"topic:remove:{topic.slug}")
    matches = editor_preview.load_topic_matches(paper.edition, make.NOW)
    assert matches[topic.slug] == set()


def test_merged_papers_are_mailed_once_and_leave_later_editions(staff, papers):
    kept, duplicate = papers[:2]
    curate(staff, duplicate, "pin:1")

    bulk(staff, kept.edition, [kept, duplicate], "merge:")

    duplicate.refresh_from_db()
    assert duplicate.paper.duplicate_of == kept.paper
    assert (duplicate.is_hidden, duplicate.pin) == (True, None)
    Paper.objects.update(announced_on=make.DAY.replace(day=23))
    later = rank_edition.rank_edition(make.DAY.replace(day=23), make.NOW)
    assert not later.candidates.filter(paper=duplicate.paper).exists()
    undo(staff, kept.edition, CurationStep.objects.first())
    duplicate.refresh_from_db()
    assert duplicate.paper.duplicate_of is None
    assert duplicate.pin == 1


def test_a_paper_is_merged_into_the_one_of_the_typed_identifier(staff, papers):
    curate(staff, papers[0], "merge", text=papers[3].paper.identifier)

    papers[0].paper.refresh_from_db()
    assert papers[0].paper.duplicate_of == papers[3].paper


def test_bulk_actions_are_one_step(staff, papers):
    edition = papers[0].edition
    bulk(staff, edition, papers[:3], "hide:")

    assert Candidate.objects.filter(is_hidden=True).count() == 3
    undo(staff, edition)
    assert not Candidate.objects.filter(is_hidden=True).exists()


# The list.


def list_titles(staff, **query):
    """The titles that the list shows, in order."""
    page = staff.get(reverse("admin:digest_candidate_changelist"), query)
    return [row.candidate.card["title"] for row in page.context_data["rows"]]


@pytest.fixture
def varied(db):
    topic = make.topic("Quantization", keywords=["quantization"])
    papers = [
        make.paper("Alpha", authors=["Zoë Müller"], votes=1),
        make.paper("Beta quantization", primary="cs.CL", votes=9),
        make.paper("Gamma", announced_on=make.DAY.replace(day=18)),
    ]
    edition = make.edition(papers=papers)
    curation.apply_action(
        edition.pk,
        [edition.candidates.get(paper=papers[1]).pk],
        "topic",
        f"add:{topic.slug}",
        None,
        make.NOW,
    )
    return edition


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ({"q": "muller alpha"}, ["Alpha"]),
        ({"q": "nothing of this"}, []),
        ({"sort": "votes"}, ["Beta quantization", "Alpha", "Gamma"]),
        ({"sort": "title"}, ["Alpha", "Beta quantization", "Gamma"]),
        ({"day": "2026-11-18"}, ["Gamma"]),
        ({"category": "cs.CL"}, ["Beta quantization"]),
        ({"topic": "quantization"}, ["Beta quantization"]),
        ({"state": "corrected"}, ["Beta quantization"]),
        ({"state": "pinned"}, []),
        (
            {"state": "no such state", "p": "99"},
            ["Alpha", "Beta quantization", "Gamma"],
        ),
    ],
)
def test_list_is_searched_filtered_and_sorted(staff, varied, query, titles):
    assert list_titles(staff, **query) == titles


def test_rows_say_in_words_why_they_rank(staff):
    paper = make.paper("Alpha", votes=41)
    make.edition(papers=[paper, make.paper("Beta")])
    paper.attention_samples.create(
        source="huggingface", kind="upvotes", value=41, at=make.NOW
    )
    rank_edition.rank_edition(make.DAY, make.NOW)

    page = staff.get(reverse("admin:digest_candidate_changelist")).content.decode()

    assert "41 votes; announced today. Above 75 % of 2 papers in cs.LG." in page


# Without reloads.

HTMX = {"HX-Request": "true"}


def test_htmx_gets_the_changed_rows_alone(staff, papers):
    for place, candidate in enumerate(papers[:2], start=1):
        curate(staff, candidate, f"pin:{place}")
    url = reverse("admin:digest_candidate_curate", args=[papers[2].pk])

    response = staff.post(url, {"action": "pin:1"}, headers=HTMX)

    page = response.content.decode()
    changed = {row.pk for row in papers[:3]}
    assert {
        pk for pk in (row.pk for row in papers) if f'candidate-{pk}"' in page
    } == changed
    assert "<html" not in page
    assert response["X-Curation"] == "done"


def test_htmx_gets_the_reason_of_a_refusal(staff, papers):
    make.frozen(papers[0].edition)
    url = reverse("admin:digest_candidate_curate", args=[papers[0].pk])

    response = staff.post(url, {"action": "hide:"}, headers=HTMX)

    assert response["X-Curation"] == "refused"
    assert "This edition is frozen" in response.content.decode()


def test_an_open_page_learns_what_others_changed(staff, editor, papers):
    edition = papers[0].edition
    other = User.objects.create_superuser("other@example.org", "a long passphrase")
    curation.apply_action(edition.pk, [papers[0].pk], "hide", "", editor, make.NOW)
    curation.apply_action(edition.pk, [papers[1].pk], "hide", "", other, make.NOW)
    url = reverse("admin:digest_candidate_status", args=[edition.pk])

    stale = staff.get(url, {"seen": "0", "open": "1"}).content.decode()
    current = staff.get(url, {"seen": CurationStep.objects.first().pk, "open": "1"})
    make.frozen(edition)
    frozen = staff.get(url, {"seen": CurationStep.objects.first().pk, "open": "1"})

    assert papers[1].paper.title in stale
    assert papers[0].paper.title not in stale
    assert current.content.decode().strip() == ""
    assert "was frozen" in frozen.content.decode()


def test_typical_readers_follow_what_readers_follow(staff, papers):
    topics = [make.topic(name) for name in ("Vision", "Speech", "Robotics")]
    for slug in ("speech", "speech", "vision"):
        reader = make.subscriber()
        for value in (slug, "robotics") if slug == "speech" else (slug,):
            reader.follows.create(interest=make.interest("topic", value))

    profiles = editor_preview.typical_profiles()
    url = reverse("admin:digest_candidate_typical", args=[papers[0].edition_id])
    page = staff.get(url).content.decode()

    assert len(profiles) == 1 + len(topics)
    assert profiles[0].slugs == ()
    assert profiles[1].slugs in {("speech", "robotics"), ("robotics", "speech")}
    assert papers[0].paper.title in page


# Freezing later, and reopening.


def freeze_page(staff, edition, **fields):
    url = reverse("admin:digest_edition_freeze", args=[edition.pk])
    return staff.post(url, fields, follow=True).content.decode()


def test_edition_freezes_at_the_time_that_an_editor_set(staff, papers, time_machine):
    edition = papers[0].edition
    time_machine.move_to(make.NOW, tick=False)

    page = freeze_page(staff, edition, choice="later", time="17:30")

    assert "freezes at 17:30 today" in page
    assert freeze.freeze_due(make.NOW + make.hours(8)) == []
    assert freeze.freeze_due(make.NOW + make.hours(8.5)) == [edition]


@pytest.mark.parametrize("time", ["08:59", "25:00", "", "noon"])
def test_invalid_freeze_time_is_refused(staff, papers, time_machine, time):
    time_machine.move_to(make.NOW, tick=False)

    page = freeze_page(staff, papers[0].edition, choice="later", time=time)

    papers[0].edition.refresh_from_db()
    assert papers[0].edition.freeze_at is None
    assert 'role="alert"' in page


def test_edition_is_reopened_until_its_first_mail_is_planned(
    staff, papers, time_machine
):
    edition = make.frozen(papers[0].edition)
    time_machine.move_to(make.NOW, tick=False)

    page = freeze_page(staff, edition, choice="reopen", time="10:00")

    edition.refresh_from_db()
    assert edition.is_open
    assert freeze.due_at(edition) == make.NOW + make.hours(1)
    assert "freezes again at 10:00" in page
    make.batch(make.frozen(edition), [make.subscriber()])
    freeze_page(staff, edition, choice="reopen", time="10:00")
    edition.refresh_from_db()
    assert not edition.is_open


def test_no_mail_is_planned_for_an_edition_that_was_reopened(papers):
    make.subscriber()
    edition = make.frozen(papers[0].edition)
    stale = Edition.objects.get(pk=edition.pk)
    assert freeze.unfreeze(edition, make.NOW + make.hours(1))

    with pytest.raises(ValueError, match="still open"):
        plan.plan_all(stale, make.NOW)
