"""Daily figures: counted once from rows, equal whenever they are counted again."""

import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command

from digest import figures
from digest.models import DailyFigures, Digest, Event
from tests import make

pytestmark = [pytest.mark.both, pytest.mark.django_db]

DAY = make.DAY


def add_event(digest, kind, number=1, source="sendgrid"):
    Event.objects.create(
        source=source,
        key=f"{digest.pk} {kind} {number}",
        semantic_key=f"{digest.pk} {kind} {number}",
        kind=kind,
        digest=digest,
        at=make.NOW,
    )


@pytest.fixture
def sent():
    """An edition that five readers were sent, with what became of it."""
    edition = make.frozen(make.edition(papers=2))
    readers = [make.subscriber() for _ in range(5)]
    batch = make.batch(edition, readers)
    outcomes = ["accepted", "accepted", "failed", "unknown", "skipped"]
    digests = [
        make.digest(batch, reader, outcome=outcome)
        for reader, outcome in zip(readers, outcomes, strict=True)
    ]
    for number in (1, 2):
        add_event(digests[0], "delivered", number)
        add_event(digests[0], "click", number, source="click")
    add_event(digests[1], "bounce")
    readers[1].unsubscribe(make.NOW)
    return edition


def row_of(day):
    row = DailyFigures.objects.filter(day=day).values().get()
    return {name: row[name] for name in (*figures.COUNTED, "active")}


def test_figures_count_each_digest_once_per_kind_of_event(sent):
    figures.count_days([DAY], make.NOW)

    assert row_of(DAY) == {
        "papers": 2,
        "planned": 4,
        "accepted": 2,
        "failed": 1,
        "unknown": 1,
        "delivered": 1,
        "bounced": 1,
        "complained": 0,
        "clicked": 1,
        "gained": 5,
        "lost": 1,
        "active": 4,
    }


def test_counting_again_gives_the_same_rows(sent):
    figures.update_figures(make.NOW)
    first = list(DailyFigures.objects.values_list(*figures.COUNTED, "day", "active"))

    figures.update_figures(make.NOW)

    second = DailyFigures.objects.values_list(*figures.COUNTED, "day", "active")
    assert list(second) == first


def test_number_of_active_readers_stays_that_of_its_day(sent):
    figures.update_figures(make.NOW)
    make.subscriber()

    figures.update_figures(make.NOW + timedelta(days=1))

    assert row_of(DAY)["active"] == 4
    assert row_of(DAY + timedelta(days=1))["active"] == 5


def test_figures_of_deleted_digests_stay(sent, settings):
    settings.DIGESTS_KEPT = 30
    figures.count_days([DAY], make.NOW)
    Digest.objects.filter(edition=sent).delete()

    figures.count_days([DAY], make.NOW + timedelta(days=40))

    assert row_of(DAY)["accepted"] == 2


def test_command_counts_days_again_and_refuses_the_future(sent, time_machine, capsys):
    time_machine.move_to(make.NOW, tick=False)

    call_command("figures", since=DAY - timedelta(days=9))

    assert "Counted 10 days." in capsys.readouterr().out
    with pytest.raises(CommandError, match="in the future"):
        call_command("figures", since=DAY + timedelta(days=1))


def test_report_prints_the_figures_as_json(sent, time_machine, capsys):
    time_machine.move_to(make.NOW + timedelta(days=1), tick=False)
    call_command("figures")
    capsys.readouterr()

    call_command("report", "--json", days=2)

    report = json.loads(capsys.readouterr().out)
    assert (report["from"], report["until"]) == ("2026-11-19", "2026-11-20")
    assert report["total"]["accepted"] == 2
    assert [day["day"] for day in report["days"]] == ["2026-11-19", "2026-11-20"]
