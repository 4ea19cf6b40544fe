"""Sending and looking by hand."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from digest import follows
from digest.models import Batch, Digest, Edition, SendingPause, Slot
from tests import make

pytestmark = [pytest.mark.both, pytest.mark.django_db]


@pytest.fixture(autouse=True)
def mails(tmp_path, settings):
    settings.MAIL_DIR = tmp_path / "mail"
    settings.MAIL_DIR.mkdir()
    return settings.MAIL_DIR


def said(*arguments):
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def send(*arguments):
    return said("send", "--day", "2026-11-20", *arguments)


def readers(number):
    return [make.subscriber(f"r{n}@example.org") for n in range(number)]


def test_send_freezes_the_edition_mails_everyone_and_says_so(mails):
    make.edition(papers=5)
    readers(3)

    told = send()

    last = told.splitlines()[-1]
    assert last == "recipients 3 = accepted 3 + failed 0 + unknown 0 + skipped 0"
    assert len(list(mails.iterdir())) == 3
    assert not Edition.objects.get().is_open


def test_sending_again_sends_nothing_again(mails):
    make.edition(papers=5)
    readers(2)
    send()
    before = {path: path.stat().st_mtime_ns for path in mails.iterdir()}

    told = send()

    assert told.startswith("recipients 2 = accepted 2")
    assert {path: path.stat().st_mtime_ns for path in mails.iterdir()} == before
    assert Slot.objects.count() == 1


def test_send_to_one_reader_mails_nobody_else(mails):
    make.edition(papers=5)
    readers(3)

    told = send("--to", "R1@example.org")

    assert told.startswith("recipients 1 = accepted 1")
    assert Digest.objects.get().subscriber.email == "r1@example.org"


def test_a_dry_run_counts_and_changes_nothing(mails):
    make.edition(papers=5)
    readers(3)
    make.subscriber(state="left", email="left@example.org")

    assert send("--dry-run") == "3 readers would be mailed the edition of 2026-11-20.\n"
    assert send("--dry-run", "--to", "r1@example.org").startswith("1 readers")
    assert send("--dry-run", "--to", "left@example.org").startswith("0 readers")
    assert Edition.objects.get().is_open
    assert not Batch.objects.exists()
    assert list(mails.iterdir()) == []


def test_what_failed_makes_the_command_fail(settings, tmp_path):
    settings.MAIL_TRANSPORT = "smtp"
    make.edition(papers=5)
    readers(1)

    with pytest.raises(CommandError, match="Not everybody was mailed"):
        send()


def test_a_day_without_an_edition_and_an_unknown_reader_are_told(mails):
    with pytest.raises(CommandError, match="There is no edition of 2026-11-20"):
        send()
    make.edition(papers=1)
    with pytest.raises(CommandError, match="is not a reader"):
        send("--to", "x@example.org")


@pytest.mark.parametrize(
    ("format", "begins", "holds"),
    [
        ("text", "PAPER ROUND\nFriday, 20 November", "More like this: http"),
        ("html", "<!DOCTYPE html>", "More like this</a>"),
        ("eml", "From: Paper Round", "List-Unsubscribe-Post: "),
    ],
)
def test_a_preview_prints_the_mail_and_stores_nothing(mails, format, begins, holds):
    make.edition(papers=5)
    make.subscriber("ada@example.org")

    told = said("preview", "ada@example.org", "--day", "2026-11-20", "--format", format)

    assert told.startswith(begins)
    assert holds in told
    assert Edition.objects.get().is_open
    assert not Digest.objects.exists()
    assert list(mails.iterdir()) == []


def test_a_sending_that_a_brake_stops_says_which_and_why(mails):
    make.edition(papers=2)
    readers(2)
    SendingPause.objects.pull("a wrong note", make.NOW)

    with pytest.raises(CommandError, match="everything stands still: a wrong note"):
        send()

    assert list(mails.iterdir()) == []


def test_progress_is_told_while_it_is_sent(monkeypatch, capsys):
    make.edition(papers=2)
    readers(2)
    monkeypatch.setattr("digest.mailer.progress.EVERY_SECONDS", 0.0)

    send()

    assert "2 of 2 readers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("note", "told", "warned"),
    [(True, "No matches today", ""), (False, "", "would get no mail")],
)
def test_a_preview_of_an_empty_day_is_the_note_or_says_that_nothing_goes(
    note, told, warned
):
    make.edition(papers=2)
    reader = make.subscriber(
        "o@example.org", fill_mode="followed_only", note_when_empty=note
    )
    follows.follow(reader, "keyword", "nothing that any paper says")
    out, err = StringIO(), StringIO()

    call_command("preview", "o@example.org", day=make.DAY, stdout=out, stderr=err)

    assert told in out.getvalue()
    assert bool(out.getvalue()) is note
    assert warned in err.getvalue()
    assert not Digest.objects.exists()


def test_sending_by_hand_on_an_empty_day_tells_who_asked_and_nobody_else(mails):
    make.edition(papers=2)
    for number, note in enumerate((True, False)):
        reader = make.subscriber(fill_mode="followed_only", note_when_empty=note)
        follows.follow(reader, "keyword", f"nothing that paper {number} says")

    told = [send(), send()]

    for once in told:
        assert once.splitlines()[-1].endswith(
            "accepted 1 + failed 0 + unknown 0 + skipped 1"
        )
    assert len(list(mails.iterdir())) == 1


def test_the_brake_is_pulled_shown_and_lifted_from_a_shell():
    SendingPause.objects.pull("a wrong note", make.NOW, make.frozen(make.edition()))

    pulled = said("brake", "restored from a backup")
    again, shown = said("brake", "and again"), said("brake")
    by_itself = dict(SendingPause.objects.values_list("reason", "is_automatic"))
    lifted = said("brake", "--lift")

    assert "everything stands still: restored from a backup, since 20" in pulled
    assert "a wrong note, since 2026-11-20 09:00 UTC" in pulled
    assert again == shown == pulled
    assert by_itself == {"a wrong note": True, "restored from a backup": False}
    assert lifted == "2 lifted.\nNothing stands still.\n"
