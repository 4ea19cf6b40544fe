"""When a reader's local hour comes, in every zone there is."""

import zoneinfo
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.mailer.schedule import (
    QUARTER,
    first_due_at,
    local_hours_at,
    next_quarter,
    quarter_start,
)

ZONES = sorted(zoneinfo.available_timezones() - {"localtime", "Factory"})
START = datetime(2024, 1, 1, tzinfo=UTC)
MOMENTS = st.timedeltas(timedelta(0), timedelta(days=7 * 365)).map(START.__add__)


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def strike_by_watching(frozen_at, zone, hour):
    """The oracle: watch the wall clock each quarter hour, and note when it first passes the hour."""
    at = next_quarter(frozen_at) - timedelta(days=2)
    latest = at.astimezone(zone).replace(tzinfo=None)
    while True:
        at += QUARTER
        shown = at.astimezone(zone).replace(tzinfo=None)
        strikes = shown.replace(hour=hour, minute=0)
        if strikes > shown:
            strikes -= timedelta(days=1)
        if latest < strikes and at >= frozen_at:
            return at
        latest = max(latest, shown)


@given(MOMENTS, st.sampled_from(ZONES), st.integers(0, 23))
def test_first_due_at_agrees_with_a_simulated_wall_clock(moment, name, hour):
    zone = ZoneInfo(name)

    due = first_due_at(moment, zone, hour)

    assert due == strike_by_watching(moment, zone, hour)
    assert due == quarter_start(due)
    assert hour in local_hours_at(due, zone)


@given(MOMENTS, st.sampled_from(ZONES))
def test_local_hours_at_agrees_with_first_due_at(moment, name):
    at, zone = quarter_start(moment), ZoneInfo(name)

    hours = local_hours_at(at, zone)

    assert set(hours) == {h for h in range(24) if first_due_at(at, zone, h) == at}


def test_every_zone_is_due_within_26_hours_on_any_day_of_the_year():
    days = [utc("2026-01-01 09:00") + timedelta(days=n) for n in range(0, 365, 7)]

    waits = [
        first_due_at(day, ZoneInfo(name), 7) - day for name in ZONES for day in days
    ]

    assert max(waits) < timedelta(hours=26)
    assert min(waits) >= timedelta(0)


@pytest.mark.parametrize(
    ("zone", "frozen_at", "hour", "due"),
    [
        ("UTC", "2026-11-20 09:00", 9, "2026-11-20 09:00"),
        ("UTC", "2026-11-20 09:00:01", 9, "2026-11-21 09:00"),
        ("Asia/Kathmandu", "2026-11-20 09:00", 7, "2026-11-21 01:15"),
        ("Pacific/Chatham", "2026-06-20 09:00", 7, "2026-06-20 18:15"),
        # Berlin's clocks go from 02:00 to 03:00 on 29 March 2026 …
        ("Europe/Berlin", "2026-03-28 09:00", 2, "2026-03-29 01:00"),
        # … Lord Howe's from 02:00 to 02:30 on 4 October …
        ("Australia/Lord_Howe", "2026-10-03 09:00", 2, "2026-10-03 15:30"),
        # … and Berlin's back from 03:00 to 02:00 on 25 October: the first 02:00 counts,
        ("Europe/Berlin", "2026-10-24 09:00", 2, "2026-10-25 00:00"),
        # and the second is ignored.
        ("Europe/Berlin", "2026-10-25 00:30", 2, "2026-10-26 01:00"),
    ],
)
def test_first_due_at_handles_daylight_saving(zone, frozen_at, hour, due):
    assert first_due_at(utc(frozen_at), ZoneInfo(zone), hour) == utc(due)


def test_a_skipped_hour_begins_with_the_next_one():
    assert local_hours_at(utc("2026-03-29 01:00"), ZoneInfo("Europe/Berlin")) == [2, 3]


def test_a_repeated_hour_begins_once():
    assert local_hours_at(utc("2026-10-25 01:00"), ZoneInfo("Europe/Berlin")) == []
    # Troll's clocks go back two hours: 02:00 comes again in the middle.
    assert local_hours_at(utc("2026-10-25 02:00"), ZoneInfo("Antarctica/Troll")) == []


def test_quarter_start_and_next_quarter():
    assert quarter_start(utc("2026-11-20 09:14:59")) == utc("2026-11-20 09:00")
    assert next_quarter(utc("2026-11-20 09:00:01")) == utc("2026-11-20 09:15")
    assert next_quarter(utc("2026-11-20 09:00")) == utc("2026-11-20 09:00")
