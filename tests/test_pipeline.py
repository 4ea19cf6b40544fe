"""End to end: listing, paper, edition, pin, digest, mail, "less like this", next edition."""

from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy

import pytest
import time_machine
from django.conf import settings
from django.core.management import call_command
from django.urls import reverse

from digest import follows, tasks
from digest.ingest import sample
from digest.models import Candidate, Digest, Edition, Follow, Paper
from digest.ranking import freeze, rank_edition
from tests import make

pytestmark = [
    pytest.mark.both,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("eager"),
]

# A Friday, so that the sample's three days are Wednesday to Friday.
FRIDAY = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def friday():
    """Set the clock, because keys expire and follows decay by it."""
    with time_machine.travel(FRIDAY):
        yield


@pytest.fixture
def papers():
    """The sample papers that ship with the demo."""
    sample.store_sample(FRIDAY.date(), FRIDAY)
    return Paper.objects.all()


@pytest.fixture
def mails(tmp_path, settings):
    """The folder of the `files` transport."""
    settings.MAIL_DIR = tmp_path / "mail"
    return settings.MAIL_DIR


def read_mails(folder):
    files = sorted(folder.glob("*.eml"))
    return [message_from_bytes(f.read_bytes(), policy=policy.default) for f in files]


def papers_of(digest):
    chosen = Candidate.objects.in_bulk([pick.candidate for pick in digest.picks])
    return [chosen[pick.candidate].paper_id for pick in digest.picks]


def test_paper_is_mailed_and_feedback_changes_the_next_digest(papers, mails, client):
    ada = make.subscriber("ada@example.org", zone="UTC", hour=7)
    follows.follow(ada, "topic", make.topic("Quantization").slug)
    thursday, friday = FRIDAY.date() - timedelta(days=1), FRIDAY.date()

    # An editor pins a paper with a note, then the edition freezes.
    edition = rank_edition.rank_edition(thursday, FRIDAY)
    pinned = edition.candidates.order_by("trend").first()
    pinned.pin, pinned.note = 1, "Read this one first."
    pinned.save()
    assert freeze.freeze(edition, FRIDAY)

    # The reader is due an hour later.
    with time_machine.travel(FRIDAY + timedelta(hours=1), tick=False):
        tasks.freeze_and_plan()

    digest = Digest.objects.get(subscriber=ada)
    (mail,) = read_mails(mails)
    text = mail.get_body(("plain",)).get_content()
    assert digest.outcome == "accepted"
    assert mail["To"] == "ada@example.org"
    assert papers_of(digest)[0] == pinned.paper_id
    assert "Picked by the editors" in text
    assert "Read this one first." in text
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"

    # "Less like this": GET changes nothing, POST mutes.
    page = reverse("link", args=[digest.key, 2, "less"])
    assert client.get(page).status_code == 200
    assert not Follow.objects.filter(weight__lt=0).exists()
    assert client.post(page).status_code in (200, 302)
    muted = Candidate.objects.get(pk=digest.picks[1].candidate).paper
    assert Follow.objects.get(weight__lt=0).interest.value == muted.identifier

    # The next digest holds no paper of the first one, and not the muted one.
    edition = rank_edition.rank_edition(friday, FRIDAY + timedelta(hours=2))
    tasks.send_edition(edition, None, FRIDAY + timedelta(hours=2))
    second = Digest.objects.get(subscriber=ada, edition=edition)
    assert len(second.picks) >= 5
    assert not set(papers_of(digest)) & set(papers_of(second))
    assert muted.pk not in papers_of(second)


def test_sending_twice_mails_once(papers, mails, capsys):
    for name in ("ada", "dora", "emil"):
        make.subscriber(f"{name}@example.org")
    rank_edition.rank_edition(FRIDAY.date(), FRIDAY)

    call_command("send", day=FRIDAY.date())
    modified = {f.name: f.stat().st_mtime_ns for f in mails.iterdir()}
    call_command("send", day=FRIDAY.date())

    assert len(modified) == 3
    assert {f.name: f.stat().st_mtime_ns for f in mails.iterdir()} == modified
    assert Digest.objects.count() == 3


def test_different_interests_get_different_papers(papers, mails):
    ada, dora = make.subscriber(), make.subscriber()
    follows.follow(ada, "keyword", "quantization")
    follows.follow(dora, "keyword", "robot")
    edition = rank_edition.rank_edition(FRIDAY.date(), FRIDAY)

    tasks.send_edition(edition, None, FRIDAY)

    first, second = (Digest.objects.get(subscriber=reader) for reader in (ada, dora))
    assert papers_of(first) != papers_of(second)
    assert first.picks[0].interest != second.picks[0].interest
    assert first.picks[0].interest > 0


def test_unsubscribed_and_unconfirmed_people_are_not_mailed(
    papers, mails, ada, bob, cleo
):
    edition = rank_edition.rank_edition(FRIDAY.date(), FRIDAY)

    tally = tasks.send_edition(edition, None, FRIDAY)

    assert [mail["To"] for mail in read_mails(mails)] == [ada.email]
    assert (tally.recipients, tally.accepted) == (1, 1)


def test_new_reader_gets_the_latest_frozen_edition(papers, mails, bob):
    edition = rank_edition.rank_edition(FRIDAY.date(), FRIDAY)
    freeze.freeze(edition, FRIDAY)
    bob.confirm(FRIDAY, "link")

    tasks.follow_and_welcome(None, bob, ["search:low-bit quantization"])

    (mail,) = read_mails(mails)
    assert mail["To"] == bob.email
    assert Follow.objects.get(subscriber=bob).interest.value == "low-bit quantization"
    assert Edition.objects.count() == 1
    assert mails == settings.MAIL_DIR
