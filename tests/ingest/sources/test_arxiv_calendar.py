"""arXiv's calendar: which days have papers, and when a feed is overdue."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.ingest.sources import arxiv_calendar
from digest.ingest.sources.arxiv_calendar import EASTERN, Expected

DAYS = st.dates(date(2007, 1, 1), date(2060, 1, 1))


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2026, 11, 20), "papers"),  # a Friday: announced on Thursday evening
        (date(2026, 11, 21), "weekend"),
        (date(2026, 11, 22), "weekend"),
        (date(2026, 11, 23), "papers"),  # a Monday: announced on Sunday evening
        (date(2026, 11, 26), "unsure"),  # Thanksgiving itself
        (date(2026, 11, 27), "holiday"),  # nothing on Thanksgiving's evening
        (date(2026, 7, 3), "unsure"),
        (date(2026, 7, 6), "unsure"),  # the Monday after a Friday's holiday
        (date(2025, 7, 7), "holiday"),  # its Sunday was on the list
        (date(2026, 12, 30), "holiday"),
        (date(2027, 1, 1), "holiday"),  # after 31 December 2026
        (date(2030, 12, 25), "unsure"),  # a year whose list we do not know
        (date(2030, 9, 3), "unsure"),  # after Labor Day
        (date(2030, 9, 10), "papers"),
    ],
)
def test_expected_follows_the_announcement_of_the_evening_before(day, expected):
    assert arxiv_calendar.expected(day) == expected


def test_feeds_are_rebuilt_at_midnight_eastern_in_summer_and_winter():
    assert arxiv_calendar.feed_rebuilt_at(date(2026, 7, 15)).hour == 4
    assert arxiv_calendar.feed_rebuilt_at(date(2026, 11, 20)).hour == 5


@pytest.mark.parametrize(
    ("day", "hours"), [(date(2026, 3, 9), 4), (date(2026, 11, 2), 5)]
)
def test_rebuild_hour_changes_on_the_monday_after_daylight_saving(day, hours):
    assert arxiv_calendar.feed_rebuilt_at(day) == datetime(
        day.year, day.month, day.day, hours, tzinfo=UTC
    )


def test_today_is_yesterday_until_midnight_eastern():
    assert arxiv_calendar.today(datetime(2026, 11, 20, 4, 59, tzinfo=UTC)).day == 19
    assert arxiv_calendar.today(datetime(2026, 11, 20, 5, 0, tzinfo=UTC)).day == 20


def test_only_a_day_with_certain_papers_is_overdue_after_the_grace():
    friday, holiday = date(2026, 11, 20), date(2026, 11, 27)
    due = arxiv_calendar.feed_rebuilt_at(friday) + arxiv_calendar.FEED_GRACE

    assert not arxiv_calendar.is_overdue(friday, due)
    assert arxiv_calendar.is_overdue(friday, due + timedelta(seconds=1))
    assert not arxiv_calendar.is_overdue(holiday, due + timedelta(days=30))


# The table of arXiv's help page on availability, with the day after each evening.
@pytest.mark.parametrize(
    ("submitted", "announced"),
    [
        ("2026-11-09T14:00", "2026-11-11"),  # Monday at 14:00 to Tuesday: Tuesday
        ("2026-11-10T13:59", "2026-11-11"),
        ("2026-11-11T13:59", "2026-11-12"),
        ("2026-11-12T13:59", "2026-11-13"),
        ("2026-11-12T14:00", "2026-11-16"),  # Thursday at 14:00 to Friday: Sunday
        ("2026-11-13T13:59", "2026-11-16"),
        ("2026-11-13T14:00", "2026-11-17"),  # Friday at 14:00 to Monday: Monday
        ("2026-11-14T08:00", "2026-11-17"),
        ("2026-11-15T23:00", "2026-11-17"),
        ("2026-11-16T13:59", "2026-11-17"),
        ("2026-11-26T10:00", "2026-11-30"),  # Thanksgiving: not on Friday
    ],
)
def test_announcement_day_follows_the_schedule(submitted, announced):
    when = datetime.fromisoformat(submitted).replace(tzinfo=EASTERN)

    assert arxiv_calendar.announcement_day(when) == date.fromisoformat(announced)


def test_announcement_day_of_a_moderated_paper_is_the_day_of_its_record():
    when = datetime(2026, 11, 9, 15, tzinfo=UTC)

    assert arxiv_calendar.announcement_day(when, date(2026, 11, 13)) == date(
        2026, 11, 13
    )
    assert arxiv_calendar.announcement_day(when, date(2026, 11, 15)) == date(
        2026, 11, 16
    )
    assert arxiv_calendar.announcement_day(when, date(2027, 1, 5)) == date(2026, 11, 10)


@given(st.datetimes(datetime(2007, 1, 1), datetime(2060, 1, 1)))  # noqa: DTZ001
def test_announcement_day_is_after_submission_and_never_a_holiday(moment):
    when = moment.replace(tzinfo=UTC)

    day = arxiv_calendar.announcement_day(when)

    assert arxiv_calendar.expected(day) in {Expected.PAPERS, Expected.UNSURE}
    assert 1 <= (day - when.astimezone(EASTERN).date()).days <= 10


@given(DAYS)
def test_four_days_in_a_row_have_at_most_two_weekend_days(day):
    expected = [arxiv_calendar.expected(day + timedelta(days=n)) for n in range(4)]

    assert set(expected) & {Expected.PAPERS, Expected.UNSURE, Expected.HOLIDAY}
    assert expected.count(Expected.WEEKEND) <= 2


def test_days_between_includes_both_ends():
    week = list(arxiv_calendar.days_between(date(2026, 11, 16), date(2026, 11, 22)))

    assert (len(week), week[0].day, week[-1].day) == (7, 16, 22)


@pytest.mark.parametrize(
    ("identifier", "day", "plausible"),
    [
        ("2612.00001", "2026-11-30", "2026-12-01"),
        ("2612.00001", "2026-12-02", "2026-12-02"),
        ("2608.00001", "2026-07-31", "2026-08-03"),  # 1 August is a Saturday
        ("hep-th/9901001", "1998-12-31", "1999-01-01"),
    ],
)
def test_plausible_day_is_not_before_the_month_of_the_identifier(
    identifier, day, plausible
):
    day = arxiv_calendar.plausible_day(identifier, date.fromisoformat(day))

    assert day == date.fromisoformat(plausible)
