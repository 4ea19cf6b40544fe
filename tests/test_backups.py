"""Backup and restore: nobody is mailed twice, and erased readers stay erased."""

import io
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections

from accounts.models import Subscriber
from digest.management import backups
from digest.models import Digest, Heartbeat, SendingPause
from tests import make
from tests.conftest import CLOSE_CONNECTIONS

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both]


@pytest.fixture(autouse=True)
def no_other_connections(transactional_db):
    """Close what threads of earlier tests left open."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(CLOSE_CONNECTIONS)


@pytest.fixture(autouse=True)
def var(settings, tmp_path):
    settings.VAR = tmp_path
    return tmp_path


@pytest.fixture
def sent(ada):
    batch = make.batch(make.frozen(make.edition()), [ada])
    return make.digest(batch, ada, outcome="accepted")


def back_up(*arguments):
    output = io.StringIO()
    call_command("backup", *arguments, stdout=output)
    return output.getvalue()


def restore(path):
    output = io.StringIO()
    call_command("restore", str(path), "--yes", stdout=output)
    return output.getvalue()


def test_restored_database_is_paused_and_without_erased_readers(sent, var):
    zoe = make.subscriber("zoe@example.org")
    back_up("--to", str(var / "a.backup"))
    zoe.delete()
    Digest.objects.all().delete()
    make.subscriber("later@example.org")

    output = restore(var / "a.backup")

    assert "1 readers were erased again" in output
    assert [reader.email for reader in Subscriber.objects.all()] == ["ada@example.org"]
    assert Digest.objects.get().key == sent.key
    pause = SendingPause.objects.in_force().get()
    assert pause.reason.startswith("Restored from a.backup")
    assert not pause.is_automatic


def test_backup_is_private_and_recorded(sent, var):
    output = back_up()

    (path,) = (var / "backups").iterdir()
    assert str(path) in output
    assert path.stat().st_mode & 0o077 == 0
    assert Heartbeat.objects.filter(name="backup").exists()


def test_only_the_newest_backups_are_kept(var, time_machine):
    for day in range(4):
        time_machine.move_to(make.NOW + timedelta(days=day), tick=False)
        back_up("--keep", "2")

    names = sorted(path.name for path in (var / "backups").iterdir())
    assert [name[12:22] for name in names] == ["2026-11-22", "2026-11-23"]


@pytest.mark.parametrize("content", [b"", b"not a backup", None])
def test_damaged_backup_changes_nothing(sent, var, content):
    path = var / "damaged"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(CommandError):
        restore(path)

    assert Digest.objects.get().key == sent.key


@pytest.mark.parametrize("share", [0.5, 0.99])
def test_truncated_backup_changes_nothing(sent, var, share):
    path = var / "a.backup"
    back_up("--to", str(path))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])

    with pytest.raises(CommandError):
        restore(path)

    assert Digest.objects.get().key == sent.key


def test_failed_restore_keeps_the_database(sent, var, monkeypatch):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite copies the file that was checked")
    back_up("--to", str(var / "a.backup"))
    run_program = backups.run_program

    def run_without_space(name, *arguments):
        if "--single-transaction" in arguments:
            raise backups.BackupError("No space left on device")
        run_program(name, *arguments)

    monkeypatch.setattr(backups, "run_program", run_without_space)
    with pytest.raises(CommandError, match="No space left"):
        restore(var / "a.backup")

    assert Digest.objects.get().key == sent.key


def test_restore_continues_after_one_that_was_killed(sent, var):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite copies in one transaction")
    back_up("--to", str(var / "a.backup"))
    backups.execute_sql(
        f"ALTER SCHEMA public RENAME TO {backups.OLD_SCHEMA}", "CREATE SCHEMA public"
    )

    restore(var / "a.backup")

    assert Digest.objects.get().key == sent.key


def test_restore_is_refused_while_others_are_connected(sent, var, monkeypatch):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite does not know its connections")
    back_up("--to", str(var / "a.backup"))
    other = connections.create_connection("default")
    other.ensure_connection()
    monkeypatch.setattr(backups, "MAX_CLOSING_S", 0.2)

    with pytest.raises(CommandError, match="stop web, workers and beat first"):
        restore(var / "a.backup")

    other.close()
    assert Digest.objects.exists()


def test_restore_waits_for_connections_that_are_closing(sent, monkeypatch):
    counts = [1, 1, 0]
    monkeypatch.setattr(backups, "count_other_connections", lambda: counts.pop(0))

    backups.refuse_other_connections()

    assert counts == []


def test_restore_needs_a_confirmation(sent):
    with pytest.raises(CommandError, match="Add --yes"):
        call_command("restore", "a.backup")


def test_failed_backup_leaves_no_file(sent, var, monkeypatch):
    def fail(*_):
        raise backups.BackupError("pg_dump: disk full")

    monkeypatch.setattr(backups, "run_program", fail)
    monkeypatch.setattr(backups, "copy_sqlite", fail)

    with pytest.raises(CommandError, match="disk full"):
        back_up()

    assert list((var / "backups").iterdir()) == []
    assert not Heartbeat.objects.filter(name="backup").exists()
