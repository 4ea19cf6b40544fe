"""The commands send, preview and pause."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from digest import follows
from digest.models import Batch, Digest, Edition, SendingPause, Slot
from tests import make

pytestmark = [pytest.mark.both, pytest.mark.django_db]


def run_command(*arguments):
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def send(*arguments):
    return run_command("send", "--day", "2026-11-20", *arguments)


def readers(number):
    return [make.subscriber(f"r{n}@example.org") for n in range(number)]


def test_send_freezes_the_edition_mails_all_readers_and_prints_the_tally(mails):
    make.edition(papers=5)
    readers(3)

    output = send()

    last = output.splitlines()[-1]
    assert last == "recipients 3 = accepted 3 + failed 0 + unknown 0 + skipped 0"
    assert len(list(mails.iterdir())) == 3
    assert not Edition.objects.get().is_open


def test_send_again_sends_nothing_twice(mails):
    make.edition(papers=5)
    readers(2)
    send()
    before = {path: path.stat().st_mtime_ns for path in mails.iterdir()}

    output = send()

    assert output.startswith("recipients 2 = accepted 2")
    assert {path: path.stat().st_mtime_ns for path in mails.iterdir()} == before
    assert Slot.objects.count() == 1


def test_send_again_sends_failed_digests_again(mails, settings):
    make.edition(papers=5)
    readers(2)
    send()
    Digest.objects.filter(subscriber__email="r1@example.org").update(
        outcome="failed", reason="refused"
    )
    for path in mails.iterdir():
        path.unlink()

    output = send()

    assert output.startswith("recipients 2 = accepted 2")
    assert len(list(mails.iterdir())) == 1


def test_send_to_mails_one_reader(mails):
    make.edition(papers=5)
    readers(3)

    output = send("--to", "R1@example.org")

    assert output.startswith("recipients 1 = accepted 1")
    assert Digest.objects.get().subscriber.email == "r1@example.org"


def test_send_dry_run_counts_and_changes_nothing(mails):
    make.edition(papers=5)
    readers(3)
    make.subscriber(state="left", email="left@example.org")

    assert send("--dry-run") == "3 readers would be mailed the edition of 2026-11-20.\n"
    assert send("--dry-run", "--to", "r1@example.org").startswith("1 readers")
    assert send("--dry-run", "--to", "left@example.org").startswith("0 readers")
    assert Edition.objects.get().is_open
    assert not Batch.objects.exists()
    assert list(mails.iterdir()) == []


def test_send_fails_if_a_digest_is_not_sent(settings, tmp_path):
    settings.MAIL_TRANSPORT = "smtp"
    make.edition(papers=5)
    readers(1)

    with pytest.raises(CommandError, match="Some readers were not mailed"):
        send()


def test_send_reports_a_missing_edition_or_reader(mails):
    with pytest.raises(CommandError, match="There is no edition of 2026-11-20"):
        send()
    make.edition(papers=1)
    with pytest.raises(CommandError, match="No reader has the address x@"):
        send("--to", "x@example.org")


def test_wrong_day_names_the_format():
    with pytest.raises(CommandError, match="'20 Nov' is not a date: write YYYY-MM-DD"):
        run_command("send", "--day", "20 Nov")


@pytest.mark.parametrize(
    ("format", "begins", "holds"),
    [
        ("text", "PAPER ROUND\nFriday, 20 November", "More like this: http"),
        ("html", "<!DOCTYPE html>", "More like this</a>"),
        ("eml", "From: Paper Round", "List-Unsubscribe-Post: "),
    ],
)
def test_preview_prints_the_mail_and_stores_nothing(mails, format, begins, holds):
    make.edition(papers=5)
    make.subscriber("ada@example.org")

    output = run_command(
        "preview", "ada@example.org", "--day", "2026-11-20", "--format", format
    )

    assert output.startswith(begins)
    assert holds in output
    assert Edition.objects.get().is_open
    assert not Digest.objects.exists()
    assert list(mails.iterdir()) == []


def test_send_reports_the_pause_that_stops_it(mails):
    make.edition(papers=2)
    readers(2)
    SendingPause.objects.trigger("a wrong note", make.NOW)

    with pytest.raises(CommandError, match="All sending paused: a wrong note"):
        send()

    assert list(mails.iterdir()) == []


def test_send_prints_progress(monkeypatch, capsys):
    make.edition(papers=2)
    readers(2)
    monkeypatch.setattr("digest.mailer.progress.REPORT_INTERVAL_S", 0.0)

    send()

    assert "2 of 2 readers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("note", "output", "warned"),
    [(True, "No matches today", ""), (False, "", "would get no mail")],
)
def test_preview_without_matches_prints_the_note_or_a_warning(note, output, warned):
    make.edition(papers=2)
    reader = make.subscriber(
        "o@example.org", fill_mode="followed_only", note_when_empty=note
    )
    follows.follow(reader, "keyword", "nothing that any paper says")
    out, err = StringIO(), StringIO()

    call_command("preview", "o@example.org", day=make.DAY, stdout=out, stderr=err)

    assert output in out.getvalue()
    assert bool(out.getvalue()) is note
    assert warned in err.getvalue()
    assert not Digest.objects.exists()


def test_send_without_matches_mails_only_readers_who_want_notes(mails):
    make.edition(papers=2)
    for number, note in enumerate((True, False)):
        reader = make.subscriber(fill_mode="followed_only", note_when_empty=note)
        follows.follow(reader, "keyword", f"nothing that paper {number} says")

    output = [send(), send()]

    for text in output:
        assert text.splitlines()[-1].endswith(
            "accepted 1 + failed 0 + unknown 0 + skipped 1"
        )
    assert len(list(mails.iterdir())) == 1


def test_pause_pauses_lists_and_resumes():
    SendingPause.objects.trigger("a wrong note", make.NOW, make.frozen(make.edition()))

    paused = run_command("pause", "restored from a backup")
    again, shown = run_command("pause", "and again"), run_command("pause")
    is_automatic = dict(SendingPause.objects.values_list("reason", "is_automatic"))
    resumed = run_command("pause", "--resume")

    assert "All sending paused: restored from a backup, since 20" in paused
    assert "a wrong note, since 2026-11-20 09:00 UTC" in paused
    assert again == shown == paused
    assert is_automatic == {"a wrong note": True, "restored from a backup": False}
    assert resumed == "Ended 2 pauses.\nSending is not paused.\n"
