"""The soak's own list of due mails agrees with the product's arithmetic, daylight saving included."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from digest.mailer import schedule
from tests.soak import world

# The weeks in which Cairo, Europe and the US leave summer time.
FROZEN = [datetime(2026, 10, day, 9, 0, tzinfo=UTC) for day in (19, 20, 26, 29, 30)]
END = datetime(2026, 11, 4, tzinfo=UTC)


@pytest.mark.parametrize("frozen_at", FROZEN, ids=lambda at: f"{at:%a-%d}")
def test_daily_readers_are_due_at_the_first_occurrence_of_their_hour(frozen_at):
    editions = [(frozen_at.date(), frozen_at)]
    readers = [
        world.Reader(f"{zone}-{hour}", zone, hour, "daily", 0)
        for zone in world.ZONES
        for hour in range(24)
    ]

    due = world.expect_mails(readers, editions, END)

    assert due == {
        (reader.email, frozen_at.date()): schedule.first_due_at(
            frozen_at, ZoneInfo(reader.zone), reader.hour
        )
        for reader in readers
    }


def test_weekday_readers_are_not_due_on_saturdays():
    friday = datetime(2026, 10, 30, 9, 0, tzinfo=UTC)
    readers = [
        world.Reader(zone, zone, 9, "weekdays", 0) for zone in ("Asia/Tokyo", "UTC")
    ]

    due = world.expect_mails(readers, [(friday.date(), friday)], END)

    assert due == {("UTC", friday.date()): friday}


def test_weekly_readers_get_the_newest_edition_on_their_day():
    editions = [
        (date(2026, 10, day), datetime(2026, 10, day, 9, 0, tzinfo=UTC))
        for day in (29, 30)
    ]
    readers = [world.Reader(str(day), "UTC", 8, "weekly", day) for day in range(7)]

    due = world.expect_mails(readers, editions, END)

    assert due == {
        ("4", date(2026, 10, 29)): datetime(2026, 10, 30, 8, tzinfo=UTC),
        **{
            (str((4 + days) % 7), date(2026, 10, 30)): datetime(
                2026, 10, 30, 8, tzinfo=UTC
            )
            + timedelta(days=days)
            for days in (1, 2, 3, 4)
        },
    }
