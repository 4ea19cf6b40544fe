"""Editions freeze once, when due, and safely with two processes."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from digest.models import Edition
from digest.ranking import freeze
from digest.ranking.rank_edition import rank_edition
from tests import make
from tests.make import DAY, NOW


@pytest.mark.django_db
@pytest.mark.both
def test_freezing_closes_an_edition_once():
    edition = make.edition()

    assert freeze.freeze(edition, NOW)
    assert not freeze.freeze(edition, NOW + make.hours(1))

    edition.refresh_from_db()
    assert edition.state == Edition.State.FROZEN
    assert edition.frozen_at == NOW


@pytest.mark.django_db
def test_an_edition_is_scored_a_last_time():
    make.paper()
    edition = rank_edition(DAY, NOW - make.hours(2))
    late = make.paper("Announced while the editors read")

    freeze.freeze(edition, NOW)

    assert edition.ranked_at == NOW
    assert edition.candidates.filter(paper=late).exists()


@pytest.mark.django_db
def test_an_edition_whose_papers_are_gone_stays_open():
    edition = make.edition(papers=0)

    assert not freeze.freeze(edition, NOW)
    assert Edition.objects.get().is_open


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("zone", "minute_before", "due"),
    [
        (
            "UTC",
            datetime(2026, 11, 20, 8, 59, tzinfo=UTC),
            datetime(2026, 11, 20, 9, 0, tzinfo=UTC),
        ),
        (
            "Asia/Tokyo",
            datetime(2026, 11, 19, 23, 59, tzinfo=UTC),
            datetime(2026, 11, 20, 0, 0, tzinfo=UTC),
        ),
        (
            "America/New_York",
            datetime(2026, 11, 20, 13, 59, tzinfo=UTC),
            datetime(2026, 11, 20, 14, 0, tzinfo=UTC),
        ),
    ],
)
def test_an_edition_freezes_at_the_editors_nine_o_clock(
    settings, zone, minute_before, due
):
    settings.TIME_ZONE = zone
    edition = make.edition()

    assert freeze.freeze_due(minute_before) == []
    assert freeze.freeze_due(due) == [edition]
    assert freeze.freeze_due(due) == []


@pytest.mark.django_db
def test_an_edition_of_tomorrow_waits():
    make.edition(day=DAY + timedelta(days=1))

    assert freeze.freeze_due(NOW) == []


@pytest.mark.django_db
def test_overdue_edition_is_frozen_as_expired():
    monday, today = DAY - timedelta(days=4), DAY
    make.edition(day=monday)
    make.edition(day=today)

    old, new = freeze.freeze_due(NOW + make.hours(1))

    assert old.expired(NOW + make.hours(1))
    assert not new.expired(NOW + make.hours(1))
    assert new.frozen_at == NOW + make.hours(1)


@pytest.mark.django_db(transaction=True)
@pytest.mark.both
def test_two_processes_freeze_an_edition_once():
    edition = make.edition()
    won, start = [], threading.Barrier(2)

    def freeze_it():
        start.wait()
        won.append(freeze.freeze(Edition.objects.get(pk=edition.pk), NOW))
        connection.close()

    threads = [threading.Thread(target=freeze_it) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(won) == [False, True]


@pytest.mark.django_db
def test_freeze_returns_false_when_another_process_was_first(monkeypatch):
    edition = make.edition()

    def overtaken(day, now):
        ranked = rank_edition(day, now)
        make.frozen(edition, NOW - make.hours(1))
        return ranked

    monkeypatch.setattr("digest.ranking.rank_edition.rank_edition", overtaken)

    assert not freeze.freeze(edition, NOW)
    assert edition.frozen_at == NOW - make.hours(1)


@pytest.mark.django_db
def test_the_command_freezes_a_day_at_any_hour(capsys):
    make.edition(day=DAY + timedelta(days=1))

    call_command("freeze", day=DAY + timedelta(days=1))

    assert "Frozen: 2026-11-21." in capsys.readouterr().out
    assert not Edition.objects.get().is_open


@pytest.mark.django_db
def test_the_command_without_a_day_freezes_what_is_due(capsys, time_machine):
    time_machine.move_to(NOW - make.hours(1))
    make.edition()

    call_command("freeze")
    time_machine.move_to(NOW)
    call_command("freeze")

    assert capsys.readouterr().out.splitlines() == [
        "Nothing to freeze.",
        "Frozen: 2026-11-20.",
    ]


@pytest.mark.django_db
def test_the_command_knows_no_edition_of_another_day():
    with pytest.raises(CommandError, match=r"manage\.py rank"):
        call_command("freeze", day=DAY)
