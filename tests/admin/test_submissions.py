"""Submissions in the admin: who may approve or decline them, and only once."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from accounts.models import User
from digest.models import Candidate, Paper, Submission
from digest.ranking import rank_edition
from tests import make
from tests.ingest.fake_sources import Sources, paper
from tests.make import DAY, NOW

pytestmark = pytest.mark.django_db
LIST = "admin:digest_submission_changelist"
YOUNG = paper(7, DAY, primary="math.GT")


@pytest.fixture(autouse=True)
def friday(time_machine):
    time_machine.move_to(NOW - timedelta(hours=1), tick=False)


@pytest.fixture
def room(client, edith):
    client.force_login(edith)
    return client


@pytest.fixture
def editor(client):
    return make.log_in_staff(client, "Editors", "guest@example.org")


@pytest.fixture
def arxiv(httpserver, settings, monkeypatch, eager):
    monkeypatch.setattr("digest.ingest.sources.throttle.MIN_REQUEST_GAP_S", 0.0)
    sources = Sources(httpserver, settings)
    sources.papers = [YOUNG]
    return sources


@pytest.fixture
def waiting(ada):
    return submitted(ada, YOUNG.identifier, title=YOUNG.title_raw)


def submitted(reader, identifier, **fields):
    defaults = {"state": "waiting", "announced_on": DAY, "created_at": NOW}
    row = Submission.objects.create(identifier=identifier, **{**defaults, **fields})
    row.requests.create(subscriber=reader, at=NOW)
    return row


def act(client, action, *rows):
    chosen = [row.pk for row in rows]
    form = {"action": action, "_selected_action": chosen}
    return client.post(reverse(LIST), form, follow=True).content.decode()


def decide(client, row, **form):
    address = reverse("admin:digest_submission_decide", args=[row.pk])
    return client.post(address, form, follow=True)


def test_an_approved_paper_joins_the_candidates_of_the_open_edition(
    room, arxiv, waiting
):
    make.paper()
    edition = rank_edition.rank_edition(DAY, NOW)

    page = act(room, "approve", waiting)

    assert "Approved: the paper is being fetched" in page
    joined = Candidate.objects.get(paper__identifier=YOUNG.identifier)
    assert joined.edition == edition
    assert joined.card["title"] == YOUNG.title_raw
    assert LogEntry.objects.get().get_change_message().startswith("Approved")


def test_a_frozen_edition_is_not_touched_and_the_next_one_has_it(room, arxiv, waiting):
    make.paper()
    frozen = make.frozen(rank_edition.rank_edition(DAY, NOW))

    act(room, "approve", waiting)

    assert Paper.objects.filter(identifier=YOUNG.identifier).exists()
    assert frozen.candidates.count() == 1

    make.paper(announced_on=DAY + timedelta(days=3))
    following = rank_edition.rank_edition(DAY + timedelta(days=3), NOW)
    assert following.candidates.filter(paper__identifier=YOUNG.identifier).exists()


def test_an_approved_paper_is_a_candidate_however_many_are_newer(
    room, arxiv, waiting, monkeypatch, time_machine
):
    time_machine.move_to(NOW + timedelta(days=3), tick=False)
    monkeypatch.setattr(rank_edition, "MAX_CANDIDATES", 3)
    for _ in range(5):
        make.paper(announced_on=DAY + timedelta(days=3))

    act(room, "approve", waiting)

    assert Candidate.objects.count() == 3
    assert Candidate.objects.filter(paper__identifier=YOUNG.identifier).exists()


def test_nothing_of_it_is_anywhere_before_an_editor_approves(room, waiting):
    make.paper()
    rank_edition.rank_edition(DAY, NOW)

    assert not Paper.objects.filter(identifier=YOUNG.identifier).exists()
    assert Candidate.objects.count() == 1


def test_a_decision_is_made_on_its_own_page_with_a_reason(room, waiting):
    page = room.get(reverse("admin:digest_submission_change", args=[waiting.pk]))
    shown = page.content.decode()
    assert "ada@example.org" in shown
    # Enter in the reason's field presses the first button of its form.
    before = shown.partition('name="why"')[0]
    assert "approve" not in before.rpartition("<form")[2]

    decide(room, waiting, decline="1", why="  Not\nresearch. ")

    waiting.refresh_from_db()
    assert (waiting.state, waiting.why) == ("declined", "Not research.")


def test_approving_on_its_own_page_is_the_same(room, arxiv, waiting):
    decide(room, waiting, approve="1", why="ignored")

    waiting.refresh_from_db()
    assert (waiting.state, waiting.why) == ("approved", "")
    assert Paper.objects.get().identifier == YOUNG.identifier


def test_several_are_declined_at_once_and_those_who_asked_read_why(room, ada, waiting):
    other = submitted(ada, "2611.95002")

    act(room, "decline", waiting, other)

    assert set(Submission.objects.values_list("state", "why")) == {
        ("declined", "An editor reviewed and declined it.")
    }


def test_what_is_decided_is_not_decided_again(room, waiting):
    act(room, "decline", waiting)

    assert "already decided" in act(room, "approve", waiting)

    waiting.refresh_from_db()
    assert waiting.state == "declined"
    page = room.get(reverse("admin:digest_submission_change", args=[waiting.pk]))
    assert 'name="approve"' not in page.content.decode()


def test_what_is_too_old_by_now_is_declined_instead(room, arxiv, waiting):
    Submission.objects.update(announced_on=DAY - timedelta(days=14))

    assert "more than 14 days old" in act(room, "approve", waiting)

    waiting.refresh_from_db()
    assert waiting.state == "declined"
    assert not arxiv.requests["api"]


def test_those_that_wait_come_first_and_the_list_says_how_many_asked(
    room, ada, waiting
):
    submitted(ada, "2611.95002", state="declined", created_at=NOW + timedelta(hours=1))
    waiting.requests.create(subscriber=make.subscriber(), at=NOW)

    page = room.get(reverse(LIST)).content.decode()

    assert page.index(YOUNG.identifier) < page.index("2611.95002")
    assert "2 readers" in page
    assert "1 reader<" in page


def test_an_editor_decides_without_seeing_who_the_readers_are(editor, ada, waiting):
    page = editor.get(reverse("admin:digest_submission_change", args=[waiting.pk]))

    shown = page.content.decode()
    assert "ada@example.org" not in shown
    assert f"reader {ada.address_hash[:8]}" in shown
    decide(editor, waiting, decline="1")
    waiting.refresh_from_db()
    assert waiting.state == "declined"


def test_whoever_may_only_look_does_not_decide(client, waiting):
    guest = User.objects.create_user("guest@example.org", is_staff=True)
    guest.user_permissions.add(permission("view_submission"))
    client.force_login(guest)

    page = client.get(reverse("admin:digest_submission_change", args=[waiting.pk]))
    assert 'name="approve"' not in page.content.decode()
    assert decide(client, waiting, approve="1").status_code == 403
    act(client, "approve", waiting)

    waiting.refresh_from_db()
    assert waiting.state == "waiting"


def test_the_first_page_says_how_many_wait(room, ada, waiting):
    page = room.get(reverse("admin:index")).content.decode()
    assert "1 submission to review" in page

    submitted(ada, "2611.95002")
    page = room.get(reverse("admin:index")).content.decode()
    assert "2 submissions to review" in page

    act(room, "decline", *Submission.objects.all())
    assert "to review" not in room.get(reverse("admin:index")).content.decode()


def test_a_decision_is_posted(room, waiting):
    address = reverse("admin:digest_submission_decide", args=[waiting.pk])

    assert room.get(address).status_code == 405


def permission(codename):
    from django.contrib.auth.models import Permission

    return Permission.objects.get(codename=codename)
