"""States of feeds, missing days, lagging categories, polling and alarms."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest

from digest import tasks
from digest.ingest import (
    daily_check,
    monitoring,
    oai_harvest,
    rerun,
    run_source,
)
from digest.ingest.sources import arxiv_calendar
from digest.models import Edition, IngestRun, Paper
from tests import make
from tests.ingest import documents
from tests.ingest.fake_sources import Record, batch, busy, paper
from tests.make import DAY, NOW

pytestmark = [pytest.mark.django_db, pytest.mark.both]
MORNING = datetime(2026, 11, 20, 5, 20, tzinfo=UTC)
LATE = (
    arxiv_calendar.feed_rebuilt_at(DAY)
    + arxiv_calendar.FEED_GRACE
    + timedelta(minutes=1)
)
SATURDAY = MORNING + timedelta(days=1)
AFTER_THANKSGIVING = datetime(2026, 11, 27, 5, 20, tzinfo=UTC)


def test_complete_feed_has_no_note_and_is_not_requested_again(sources):
    sources.announced = batch(DAY)

    (run,) = run_source.poll_feed(MORNING)

    assert (run.state, run.new, run.note) == ("done", 8, "")
    assert run_source.poll_feed(MORNING) == []
    assert len(sources.requests["feed"]) == 1


def test_empty_feed_on_an_announcement_day_is_requested_until_papers_arrive(sources):
    (empty,) = run_source.poll_feed(MORNING)
    sources.announced = batch(DAY)

    (full,) = run_source.poll_feed(MORNING + timedelta(minutes=20))

    assert empty.note == "empty, though papers are expected: requested again"
    assert full.new == 8


def test_feed_is_not_requested_on_weekends(sources):
    assert run_source.poll_feed(SATURDAY) == []
    assert not sources.requests["feed"]


def test_empty_holiday_is_done_after_one_request(sources):
    make.paper(announced_on=date(2026, 11, 25))

    (run,) = run_source.poll_feed(AFTER_THANKSGIVING)

    assert run.note == "empty, as expected: a holiday"
    assert run_source.poll_feed(AFTER_THANKSGIVING) == []


def test_weekend_feed_by_hand_is_empty_as_expected(sources):
    (run,) = run_source.ingest_feed(SATURDAY)

    assert run.note == "empty, as expected: a weekend"


def test_feed_of_yesterday_is_late(sources):
    sources.feed_day = DAY - timedelta(days=1)
    sources.announced = batch(sources.feed_day)

    (run,) = run_source.poll_feed(MORNING)

    assert run.note == "late: still the feed of 2026-11-19"
    assert not monitoring.todays_feed_done(MORNING)


def test_feed_of_friday_is_expected_on_a_weekend(sources):
    sources.announced = batch(DAY)

    first, again = (run_source.ingest_feed(SATURDAY)[0] for _ in range(2))

    assert (first.new, again.new) == (8, 0)
    assert {first.note, again.note} == {
        "still the feed of 2026-11-20, as expected: a weekend"
    }


def test_previous_batch_with_a_current_date_is_stale(sources):
    yesterday = DAY - timedelta(days=1)
    sources.feed_day, sources.announced = yesterday, batch(yesterday)
    run_source.ingest_feed(MORNING - timedelta(days=1))
    sources.feed_day = DAY  # the same papers, and a date that says today

    (run,) = run_source.poll_feed(MORNING)

    assert (run.new, run.note) == (
        0,
        "stale: the previous batch again, with a current date",
    )
    assert set(Paper.objects.values_list("announced_on", flat=True)) == {yesterday}
    assert not monitoring.todays_feed_done(MORNING)


def test_repeated_category_is_named(sources):
    yesterday = DAY - timedelta(days=1)
    old = batch(yesterday, 6, "cs.AI")
    sources.feed_day, sources.announced = yesterday, old
    run_source.ingest_feed(MORNING - timedelta(days=1))
    sources.feed_day, sources.announced = DAY, [*old, *batch(DAY, 6, "cs.LG")]

    (run,) = run_source.poll_feed(MORNING)

    assert (run.new, run.note) == (6, "stale in cs.AI")


def test_feed_with_several_dates_counts_as_the_newest(sources):
    yesterday = DAY - timedelta(days=1)
    old = batch(yesterday, 2)
    sources.feed_day, sources.announced = yesterday, old
    run_source.ingest_feed(MORNING - timedelta(days=1))
    feeds = (
        documents.write_atom_feed(batch(DAY, 6), DAY),
        documents.write_atom_feed(old, yesterday),
    )
    entries = feeds[1][feeds[1].index(b"<entry>") : feeds[1].rindex(b"</feed>")]
    sources.feed_body = feeds[0].replace(b"<entry>", entries + b"<entry>", 1)

    (run,) = run_source.poll_feed(MORNING)

    assert (run.new, run.unchanged, run.note) == (6, 2, "")
    days = Counter(Paper.objects.values_list("announced_on", flat=True))
    assert days == {DAY: 6, yesterday: 2}


def test_repeated_category_is_done_once_the_check_added_its_papers(
    sources,
):
    usual_days()
    old = batch(DAY - timedelta(days=1), 6, "cs.AI", first=300)
    sources.feed_day, sources.announced = DAY - timedelta(days=1), old
    run_source.ingest_feed(MORNING - timedelta(days=1))
    sources.feed_day, sources.announced = DAY, [*old, *batch(DAY, 6, "cs.LG")]
    run_source.poll_feed(MORNING)
    before = monitoring.todays_feed_done(MORNING)
    sources.records = [
        Record(listing, DAY) for listing in batch(DAY, 6, "cs.AI", first=50)
    ]

    daily_check.run_daily_check(MORNING)

    assert (before, monitoring.todays_feed_done(MORNING)) == (False, True)


def usual_days(number=4, size=6):
    for back in range(1, number + 1):
        for primary in ("cs.AI", "cs.LG"):
            for _ in range(size):
                make.paper(announced_on=DAY - timedelta(days=back), primary=primary)


def test_lagging_category_is_requested_again_and_raises_an_alarm(sources):
    usual_days()
    sources.announced = batch(DAY, 6, "cs.LG")
    run_source.poll_feed(MORNING)

    assert monitoring.lagging_categories(DAY) == ["cs.AI"]
    assert not monitoring.todays_feed_done(MORNING)
    assert monitoring.find_alarms(MORNING) == []
    (alarm,) = monitoring.find_alarms(LATE)
    assert "usual in cs.AI" in alarm.text


def test_small_categories_and_new_sites_do_not_lag(sources):
    usual_days(number=2)
    make.paper(primary="cs.LG")
    assert monitoring.lagging_categories(DAY) == []

    for back in (3, 4):
        make.paper(announced_on=DAY - timedelta(days=back), primary="cs.LG")
    usual_days(number=1, size=2)
    assert monitoring.lagging_categories(DAY - timedelta(days=8)) == []


def test_three_days_make_a_usual_number(sources):
    usual_days(number=3)
    make.paper(primary="cs.LG")
    make.paper(primary="cs.LG")

    assert monitoring.lagging_categories(DAY) == ["cs.AI"]


@pytest.mark.parametrize(("size", "names"), [(4, []), (5, ["cs.AI"])])
def test_empty_category_lags_only_with_five_usual_papers(sources, size, names):
    usual_days(size=size)
    for _ in range(size):
        make.paper(primary="cs.LG")

    assert monitoring.lagging_categories(DAY) == names


def test_no_category_lags_on_a_day_without_papers(sources):
    usual_days()

    assert monitoring.lagging_categories(DAY) == []
    assert oai_harvest.fill_gaps(MORNING) == []


def test_day_without_papers_raises_an_alarm_after_the_grace_time(sources):
    make.paper(announced_on=date(2026, 11, 17))

    early, late = monitoring.missing_days(MORNING), monitoring.missing_days(LATE)

    assert early == [date(2026, 11, 18), date(2026, 11, 19)]
    assert late == [*early, DAY]
    assert "Friday, 20 November" in monitoring.find_alarms(LATE)[-1].text


def test_day_with_only_hugging_face_papers_is_missing(sources):
    make.paper(announced_on=date(2026, 11, 18))
    make.paper(announced_on=date(2026, 11, 19), announce_type="listed")

    assert monitoring.missing_days(MORNING) == [date(2026, 11, 19)]


def test_day_with_only_a_few_modified_papers_is_missing(sources):
    usual_days(number=3, size=12)
    make.paper(announced_on=DAY)

    assert monitoring.missing_days(LATE) == [DAY]


def test_thin_day_is_not_missing_after_a_harvest(sources):
    usual_days(number=3, size=12)
    make.paper(announced_on=DAY)

    oai_harvest.fill_gaps(LATE)

    assert monitoring.missing_days(LATE) == []


@pytest.mark.parametrize(
    ("hours", "fields", "is_believed"),
    [
        (1, {}, True),
        (1, {"window_from": DAY - timedelta(days=9)}, True),
        (-1, {}, False),  # OAI-PMH may not have had it yet
        (1, {"window_from": DAY + timedelta(days=1)}, False),
        (1, {"state": "failed"}, False),
        (1, {"state": "running"}, False),
        (1, {"kind": "huggingface"}, False),
    ],
)
def test_only_a_late_done_harvest_of_the_day_proves_that_it_is_thin(
    hours, fields, is_believed
):
    usual_days(number=3, size=12)
    make.paper(announced_on=DAY)
    grace_is_over = arxiv_calendar.feed_rebuilt_at(DAY) + arxiv_calendar.FEED_GRACE
    defaults = {"kind": "harvest", "state": "done", "window_from": DAY, **fields}
    IngestRun.objects.create(
        origin="x", started_at=grace_is_over + timedelta(hours=hours), **defaults
    )

    assert (monitoring.missing_days(LATE + timedelta(hours=2)) == []) == is_believed


def test_cross_lists_count_as_papers_of_a_day_and_replacements_do_not(sources):
    make.paper(announced_on=date(2026, 11, 18), announce_type="cross")
    make.paper(announced_on=date(2026, 11, 19), announce_type="replace")

    assert monitoring.missing_days(MORNING) == [date(2026, 11, 19)]


def test_record_starts_with_the_first_day():
    make.paper(announced_on=date(2026, 11, 19))
    make.paper(announced_on=date(2026, 11, 17))

    assert monitoring.missing_days(MORNING) == [date(2026, 11, 18)]


def test_empty_day_stays_missing_after_a_harvest(sources):
    usual_days(number=3)

    oai_harvest.fill_gaps(LATE)

    assert monitoring.missing_days(LATE) == [DAY]


def test_papers_from_another_source_do_not_end_polling(sources):
    make.paper(announced_on=DAY)
    sources.announced = batch(DAY)

    (run,) = run_source.poll_feed(MORNING)

    assert (run.new, monitoring.todays_feed_done(MORNING)) == (8, True)


@pytest.mark.parametrize("day", [DAY, DAY - timedelta(days=1)])
def test_late_feed_does_not_end_polling(sources, day):
    make.paper(announced_on=DAY)
    sources.feed_day, sources.announced = day, batch(day)

    run_source.poll_feed(MORNING)

    assert monitoring.todays_feed_done(MORNING) == (day == DAY)


@pytest.mark.parametrize(
    ("fields", "is_brought"),
    [
        ({"feed_state": "complete"}, True),
        ({"feed_state": "partly_stale"}, True),
        ({"feed_state": "incomplete"}, True),
        ({"feed_state": "unchanged"}, False),
        ({"feed_state": "late"}, False),
        ({"feed_state": "complete", "state": "failed"}, False),
        ({"feed_state": "complete", "kind": "document"}, False),
    ],
)
def test_feed_states_with_papers_of_the_day(fields, is_brought):
    defaults = {"kind": "feed", "source": "arxiv", "state": "done", **fields}
    IngestRun.objects.create(started_at=MORNING, **defaults)

    assert monitoring.feed_had_todays_papers(DAY) == is_brought


def test_days_before_the_record_and_weekends_are_not_missing():
    make.paper(announced_on=date(2026, 11, 13))
    for day in range(16, 21):
        make.paper(announced_on=date(2026, 11, day))

    assert monitoring.missing_days(LATE + timedelta(days=1)) == []


def test_failing_new_site_misses_days_from_the_next_day_on(sources):
    IngestRun.objects.create(
        source="arxiv", origin="x", state="failed", started_at=MORNING - timedelta(2)
    )

    assert monitoring.missing_days(LATE) == [date(2026, 11, 19), DAY]


def test_record_starts_after_the_first_arxiv_run(
    sources,
):
    for source, days in [("huggingface", 9), ("arxiv", 3), ("arxiv", 1)]:
        IngestRun.objects.create(
            source=source,
            origin="x",
            state="failed",
            started_at=MORNING - timedelta(days),
        )

    assert monitoring.missing_days(LATE) == [
        date(2026, 11, 18),
        date(2026, 11, 19),
        DAY,
    ]


def test_unchanged_feed_is_not_sent_again(sources):
    sources.etag = '"one"'
    first, second = (run_source.ingest_feed(MORNING)[0] for _ in range(2))
    sources.etag, sources.announced = '"two"', batch(DAY)
    (third,) = run_source.ingest_feed(MORNING)

    assert (first.etag, second.note) == ('"one"', "not modified since the last time")
    assert sources.requests["feed"][1].headers["If-None-Match"] == '"one"'
    assert (third.new, third.etag) == (8, '"two"')


def test_validators_are_kept_while_the_feed_is_unchanged(sources):
    sources.etag = '"one"'

    runs = [run_source.ingest_feed(MORNING)[0] for _ in range(4)]

    assert [run.note for run in runs[1:]] == ["not modified since the last time"] * 3
    validators = [
        request.headers.get("If-None-Match") for request in sources.requests["feed"]
    ]
    assert validators == [None, *['"one"'] * 3]


def test_refused_feed_is_requested_without_validators(sources):
    sources.etag = '"one"'
    sources.faults["feed"] = [
        lambda answer: type(answer)(b"<rss>", headers=answer.headers)
    ]
    (refused,) = run_source.ingest_feed(MORNING)

    run_source.ingest_feed(MORNING)

    assert refused.state == "failed"
    assert "If-None-Match" not in sources.requests["feed"][1].headers


def test_task_ranks_after_the_feed(sources, monkeypatch):
    monkeypatch.setattr(tasks.timezone, "now", lambda: MORNING)
    sources.announced = batch(DAY)

    tasks.ingest_announcements()
    ranked = Edition.objects.get(day=DAY).ranked_at
    tasks.ingest_announcements()

    assert Edition.objects.get(day=DAY).ranked_at == ranked
    assert len(sources.requests["feed"]) == 1


def test_future_paper_does_not_hide_the_edition_of_today(sources, monkeypatch):
    monkeypatch.setattr(tasks.timezone, "now", lambda: MORNING)
    make.paper(announced_on=date(2199, 1, 1))
    sources.announced = batch(DAY)

    tasks.ingest_announcements()

    assert [edition.day for edition in Edition.objects.all()] == [DAY]


# One paper, and any run again


def test_paper_is_added_by_its_address(sources):
    sources.papers = [paper(7, DAY)]

    run = run_source.create_paper_run("https://arxiv.org/abs/2611.20007v1", NOW)
    run_source.fetch_paper(run, NOW)

    assert (run.state, run.new) == ("done", 1)
    assert Paper.objects.get().announced_on == DAY


def test_unknown_paper_is_refused(sources):
    run = run_source.fetch_paper(run_source.create_paper_run("2611.99999", NOW), NOW)

    assert (run.state, run.error) == (
        "failed",
        "arXiv knows no such paper: check the identifier",
    )


def test_text_without_identifier_is_refused():
    with pytest.raises(
        run_source.SourceError, match="is not an arXiv identifier: enter one"
    ):
        run_source.create_paper_run("a paper about floods", NOW)
    assert not IngestRun.objects.exists()


@pytest.mark.parametrize("endpoint", ["feed", "daily", "oai", "api", "file"])
def test_any_run_can_be_repeated(endpoint, sources, tmp_path):
    sources.papers = sources.announced = batch(DAY, 1)
    sources.faults[endpoint] = [busy(404)]
    file = tmp_path / "late.json"
    first = {
        "feed": lambda: run_source.ingest_feed(NOW)[0],
        "daily": lambda: run_source.ingest_huggingface_day(DAY, NOW),
        "oai": lambda: oai_harvest.backfill(DAY, NOW)[0],
        "api": lambda: run_source.fetch_paper(
            run_source.create_paper_run("2611.20001", NOW), NOW
        ),
        "file": lambda: run_source.ingest_documents([file], NOW)[0],
    }[endpoint]()
    file.write_text("[]")

    (again,) = rerun.run_again(first, NOW + timedelta(hours=1))

    assert again.state == "done"
    assert first.origin == again.origin


# Alarms of other kinds


def alarm(kind, now):
    return [alarm.text for alarm in monitoring.find_alarms(now) if alarm.kind == kind]


def checked(now, **fields):
    defaults = {"source": "arxiv", "origin": "x", "state": "done", **fields}
    IngestRun.objects.create(kind="daily_check", started_at=now, **defaults)


def test_days_without_a_check_raise_an_alarm(sources):
    checked(NOW - timedelta(days=4, hours=1))

    (text,) = alarm("Unchecked", NOW)

    assert "since 16 November" in text


def test_weekend_between_two_checks_raises_no_alarm(sources):
    checked(datetime(2026, 11, 12, 5, 35, tzinfo=UTC))
    checked(datetime(2026, 11, 20, 5, 35, tzinfo=UTC))

    assert alarm("Unchecked", datetime(2026, 11, 23, 14, tzinfo=UTC)) == []


def test_site_without_checks_raises_an_alarm_after_its_first_day(sources, settings):
    IngestRun.objects.create(
        source="arxiv", origin="x", state="done", started_at=NOW - timedelta(hours=9)
    )
    assert alarm("Unchecked", NOW) == []

    (text,) = alarm("Unchecked", NOW + timedelta(days=3, hours=8))
    assert "No daily check against OAI-PMH has succeeded yet" in text

    settings.ARXIV_OAI_URL = ""
    assert alarm("Unchecked", NOW + timedelta(days=3, hours=8)) == []


def read_votes(hours, state="done"):
    at = NOW - timedelta(hours=hours)
    IngestRun.objects.create(
        source="huggingface", origin="x", state=state, started_at=at
    )


def test_failing_votes_raise_an_alarm():
    read_votes(40)
    read_votes(1, "failed")

    (text,) = alarm("Stale", NOW)

    assert "No votes were read since 18 November, 17:00" in text


def test_votes_that_never_succeeded_raise_an_alarm_after_a_day():
    assert alarm("Stale", NOW) == []
    read_votes(20, "failed")
    assert alarm("Stale", NOW) == []

    read_votes(40, "failed")

    (text,) = alarm("Stale", NOW)
    assert text.startswith("No votes were read yet")


def test_recent_votes_raise_no_alarm():
    read_votes(40)
    read_votes(23)

    assert alarm("Stale", NOW) == []


def test_end_of_the_holiday_list_is_announced_a_month_before():
    early, late = datetime(2026, 11, 29, tzinfo=UTC), datetime(2026, 12, 2, tzinfo=UTC)

    assert alarm("Calendar", early) == []
    (text,) = alarm("Calendar", late)
    assert "known until 31 Dec 2026: update" in text
    assert alarm("Calendar", late + timedelta(days=100)) == [text]


def test_check_summary_covers_a_week():
    checked(NOW - timedelta(days=8), missed=50)
    checked(
        NOW - timedelta(days=1), missed=2, corrected=5, unconfirmed=9, set_spec="cs"
    )
    checked(NOW - timedelta(minutes=9), missed=1, unconfirmed=2, set_spec="cs")
    checked(NOW - timedelta(minutes=8), corrected=1, unconfirmed=1, set_spec="stat")
    checked(NOW - timedelta(days=2), unconfirmed=7, set_spec="a former archive")
    checked(NOW - timedelta(minutes=7), missed=4, set_spec="math", state="failed")

    assert monitoring.check_summary(NOW) == monitoring.CheckSummary(
        NOW - timedelta(minutes=8), 3, 6, 3
    )


def test_check_summary_without_checks_is_empty():
    assert monitoring.check_summary(NOW) == monitoring.CheckSummary(None)
