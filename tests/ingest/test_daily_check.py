"""The daily check of the feeds against OAI-PMH."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from digest import tasks
from digest.ingest import oai_harvest, reconcile, rerun, run_source
from digest.ingest.daily_check import FEED_HEAD_START, run_daily_check
from digest.models import IngestRun, Paper, Recall
from tests import make
from tests.ingest.fake_sources import (
    Record,
    Response,
    batch,
    busy,
    cut,
    oai_error,
    paper,
)
from tests.make import DAY

pytestmark = [pytest.mark.django_db, pytest.mark.both]
MORNING = datetime(2026, 11, 20, 5, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)
LATE = datetime(2026, 11, 20, 15, 35, tzinfo=UTC)
MONDAY = datetime(2026, 11, 23, 5, 35, tzinfo=UTC)


@pytest.fixture
def served(sources):
    """Eight new papers in the feed, read this morning, and the same in OAI-PMH."""
    sources.announced = batch(DAY)
    sources.records = [Record(listing, DAY) for listing in sources.announced]
    run_source.poll_feed(MORNING)
    return sources


def test_run_notes_that_feeds_and_oai_agree(served):
    (run,) = run_daily_check(MORNING)

    run.refresh_from_db()
    assert (run.state, run.note) == ("done", reconcile.AGREES)
    assert (run.missed, run.corrected, run.confirmed, run.unconfirmed) == (0, 0, 8, 0)
    assert (run.kind == "daily_check", run.set_spec, run.window_from) == (
        True,
        "cs",
        DAY,
    )
    assert "until" not in served.requests["oai"][0].args


def test_missed_papers_are_announced_and_counted(served):
    served.records.append(Record(paper(40, DAY, "cs.AI"), DAY))

    (run,) = run_daily_check(MORNING)

    assert (run.missed, run.note) == (1, "1 missed by the feeds")
    late = Paper.objects.get(identifier="2611.20040")
    assert (late.announced_on, late.announce_type) == (DAY, "new")


@pytest.mark.parametrize("kind", ["listed", "added"])
def test_papers_from_another_source_count_as_missed_by_the_feed(served, kind):
    make.paper(identifier="2611.20041", announce_type=kind, categories=[], primary="")
    served.records.append(Record(paper(41, DAY), DAY))

    (run,) = run_daily_check(MORNING)

    assert (run.missed, run.corrected) == (1, 0)
    assert Paper.objects.get(identifier="2611.20041").announce_type == "new"


def test_check_stores_the_papers_of_a_late_feed_in_the_morning(sources):
    sources.records = [Record(listing, DAY) for listing in batch(DAY)]

    early = run_daily_check(MORNING)
    (run,) = run_daily_check(MORNING + FEED_HEAD_START)

    assert early == []
    assert (run.missed, run.confirmed, run.unconfirmed) == (8, 8, 0)
    assert Paper.objects.filter(announced_on=DAY, announce_type="new").count() == 8


def test_differences_at_the_same_version_are_corrected(served):
    wrong = served.records[0].listing
    right = replace(
        wrong,
        title_raw="A Better Title",
        categories=("cs.LG", "cs.AI"),
        doi="10.1000/7",
        license="http://creativecommons.org/licenses/by/4.0/",
    )
    served.records[0] = Record(right, DAY)
    Paper.objects.filter(identifier=right.identifier).update(
        vector=b"old", vector_version="1"
    )

    (run,) = run_daily_check(MORNING)

    stored = Paper.objects.get(identifier=right.identifier)
    assert (run.corrected, run.note) == (1, "1 corrected")
    assert (stored.title, stored.title_raw) == ("A Better Title", "A Better Title")
    assert stored.categories == ["cs.LG", "cs.AI"]
    assert (stored.vector, stored.vector_version) == (None, "")
    assert stored.authors == list(wrong.authors)
    assert (stored.announced_on, stored.updated_at) == (DAY, MORNING)


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        (
            {"abstract_raw": "Better."},
            {"abstract": "Better.", "abstract_raw": "Better."},
        ),
        (
            {"primary": "cs.AI", "categories": ("cs.AI", "cs.LG")},
            {"primary": "cs.AI", "categories": ["cs.AI", "cs.LG"]},
        ),
    ],
    ids=lambda value: next(iter(value)),
)
def test_each_difference_is_corrected_independently(served, change, kept):
    Paper.objects.update(published_at=MORNING)  # nothing is left to fill in
    wrong = served.records[0].listing
    served.records[0] = Record(replace(wrong, **change), DAY)

    (run,) = run_daily_check(MORNING + HOUR)

    stored = Paper.objects.get(identifier=wrong.identifier)
    assert run.corrected == 1
    assert {name: getattr(stored, name) for name in kept} == kept
    assert stored.updated_at == MORNING + HOUR
    assert Paper.objects.filter(updated_at=MORNING + HOUR).count() == 1


def test_empty_columns_are_filled_and_not_counted_as_corrections(served):
    stored = Paper.objects.get(identifier="2611.20001")
    assert stored.published_at is None  # no feed says when

    (run,) = run_daily_check(MORNING)

    stored.refresh_from_db()
    assert stored.published_at == served.records[0].listing.published_at
    assert run.corrected == 0


def test_authors_are_filled_only_where_there_are_none(served):
    bare, named = Paper.objects.order_by("identifier")[:2]
    Paper.objects.filter(pk=bare.pk).update(authors=[])
    Paper.objects.filter(pk=named.pk).update(authors=["Orla Quist", "W. Zhen"])

    run_daily_check(MORNING)

    bare.refresh_from_db()
    named.refresh_from_db()
    assert bare.authors == ["Orla Quist", "Wu Zhen"]
    assert named.authors == ["Orla Quist", "W. Zhen"]


def test_equivalent_spelling_is_not_corrected(served):
    same = served.records[0].listing
    served.records[0] = Record(
        replace(
            same,
            title_raw=same.title_raw.replace(" ", "\n  ").replace(
                "Paper", "{\\it Paper}"
            ),
            abstract_raw=same.abstract_raw.replace("well", "{\\it well}"),
            categories=same.categories,
        ),
        DAY,
    )

    (run,) = run_daily_check(MORNING)

    assert (run.corrected, run.note) == (0, reconcile.AGREES)


def test_missed_version_is_stored_and_counted(served):
    third = replace(served.records[0].listing, version=3, title_raw="A Third Title")
    served.records[0] = Record(third, DAY)

    (run,) = run_daily_check(MORNING)

    assert run.corrected == 1
    stored = Paper.objects.get(identifier="2611.20001")
    assert (stored.version, stored.title) == (3, "A Third Title")


def test_older_record_changes_nothing(served):
    newer = {"version": 2, "title": "Second", "title_raw": "Second"}
    Paper.objects.filter(identifier="2611.20001").update(**newer)

    (run,) = run_daily_check(MORNING)

    assert run.corrected == 0
    assert Paper.objects.get(identifier="2611.20001").title == "Second"


def test_withdrawn_papers_are_recalled_and_noted(served):
    gone, back = served.records[:2]
    gone.deleted = True
    served.records[1] = Record(replace(back.listing, comments="Withdrawn"), DAY)

    (run,) = run_daily_check(MORNING)

    assert (run.withdrawn, run.note) == (2, "2 withdrawn")
    assert (run.confirmed, Recall.objects.count()) == (8, 2)


def test_changes_of_old_stored_papers_are_stored_without_announcing_them(served):
    long_ago = date(2026, 10, 5)
    first, second, third = batch(long_ago, 3, first=60)
    for listing, kind in ((first, "new"), (second, "new"), (third, "added")):
        make.paper(
            identifier=listing.identifier, announced_on=long_ago, announce_type=kind
        )
    served.records += [
        Record(replace(first, version=2, title_raw="A Second Title"), DAY),
        Record(replace(second, comments="Withdrawn"), DAY),
        Record(third, DAY),
    ]

    (run,) = run_daily_check(MORNING)

    assert (run.missed, run.withdrawn) == (0, 1)
    stored = Paper.objects.get(identifier=first.identifier)
    assert (stored.title, stored.announced_on) == ("A Second Title", long_ago)
    assert Recall.objects.get().paper.identifier == second.identifier


def test_modified_old_paper_is_not_announced_and_makes_no_gap(served):
    old = paper(60, date(2026, 10, 5))
    served.records.append(Record(replace(old, version=2), DAY))

    (run,) = run_daily_check(MORNING)

    assert (run.missed, run.records) == (0, 9)
    assert set(Paper.objects.values_list("announced_on", flat=True)) == {DAY}


def test_papers_are_not_announced_before_their_day(served):
    """Touched on a day whose evening has no announcement, it is filed under the next."""
    holiday = datetime(2026, 11, 27, 8, 0, tzinfo=UTC)
    touched = replace(
        paper(61, DAY), published_at=datetime(2026, 11, 24, 20, tzinfo=UTC)
    )
    served.records = [Record(touched, holiday.date())]

    (run,) = run_daily_check(holiday)

    assert run.records == 1
    assert Paper.objects.filter(announced_on__gt=holiday).count() == 0


# When


def test_check_runs_two_hours_after_a_late_feed_was_due(sources):
    assert run_daily_check(datetime(2026, 11, 20, 6, 59, tzinfo=UTC)) == []
    assert len(run_daily_check(datetime(2026, 11, 20, 7, 1, tzinfo=UTC))) == 1


def test_check_runs_once_a_day(served):
    run_daily_check(MORNING)

    assert run_daily_check(MORNING + HOUR) == []
    assert len(served.requests["oai"]) == 3


def test_next_check_starts_on_the_day_of_the_last(served):
    run_daily_check(MORNING)
    late = paper(50, DAY, "cs.AI")
    served.records = [Record(late, DAY)]  # stamped after this morning's check

    (run,) = run_daily_check(MONDAY + FEED_HEAD_START)

    assert (run.window_from, run.missed) == (DAY, 1)


def test_check_after_a_long_pause_covers_three_weeks(served):
    IngestRun.objects.create(
        source="arxiv",
        origin="x",
        set_spec="cs",
        state="done",
        kind="daily_check",
        started_at=MORNING - timedelta(days=90),
    )

    (run,) = run_daily_check(MORNING)

    assert run.window_from == DAY - timedelta(days=21)


def test_check_does_not_run_on_weekends(served):
    assert run_daily_check(LATE + timedelta(days=1)) == []


def test_check_is_repeated_while_oai_lags(served):
    served.records, all_of_them = served.records[:6], served.records

    (first,) = run_daily_check(MORNING)
    served.records = all_of_them
    (second,) = run_daily_check(MORNING + HOUR)

    assert (first.unconfirmed, first.note) == (2, "2 of the day not in OAI-PMH yet")
    assert (second.unconfirmed, second.note) == (0, reconcile.AGREES)
    assert run_daily_check(MORNING + 2 * HOUR) == []


@pytest.mark.parametrize(("size", "again"), [(8, 1), (9, 1), (11, 0), (12, 0)])
def test_oai_lags_if_more_than_a_tenth_of_the_papers_is_absent(sources, size, again):
    sources.announced = batch(DAY, size)
    sources.records = [Record(listing, DAY) for listing in sources.announced[1:]]
    run_source.poll_feed(MORNING)
    (run,) = run_daily_check(MORNING)

    assert run.unconfirmed == 1
    assert len(run_daily_check(MORNING + HOUR)) == again


def test_empty_holiday_is_checked_once(sources):
    holiday = datetime(2026, 11, 27, 7, 35, tzinfo=UTC)

    assert len(run_daily_check(holiday)) == 1
    assert run_daily_check(holiday + HOUR) == []


def test_backfill_does_not_count_as_check(served):
    oai_harvest.backfill(DAY, MORNING)

    (run,) = run_daily_check(MORNING + HOUR)

    assert (run.kind == "daily_check", run.note) == (True, reconcile.AGREES)


def test_check_of_absent_papers_ends_after_the_grace_time(served):
    served.records = served.records[:6]

    (late,) = run_daily_check(LATE)

    assert late.unconfirmed == 2
    assert run_daily_check(LATE + HOUR) == []


def test_feed_and_oai_are_repeated_while_both_are_empty(sources):
    (early,) = run_daily_check(MORNING + FEED_HEAD_START)
    sources.records = [Record(listing, DAY) for listing in batch(DAY)]

    (later,) = run_daily_check(MORNING + FEED_HEAD_START + HOUR)

    assert (early.note, later.missed) == (reconcile.NOTHING_TO_COMPARE, 8)


def test_failed_check_is_resumed_at_its_page(served):
    served.faults["oai"] = [lambda answer: answer, cut]
    (failed,) = run_daily_check(MORNING)
    assert (failed.state, failed.confirmed, failed.unconfirmed) == ("failed", 3, 0)

    (run,) = run_daily_check(MORNING + HOUR)

    assert run.pk == failed.pk
    assert (run.state, run.pages, run.confirmed, run.unconfirmed) == ("done", 3, 8, 0)


def test_confirmed_papers_count_once_after_an_expired_token(served):
    expired = Response(oai_error("badResumptionToken"))
    served.faults["oai"] = [lambda answer: answer, expired]

    (run,) = run_daily_check(MORNING)

    assert (run.state, run.confirmed, run.unconfirmed) == ("done", 8, 0)


def test_failed_check_of_yesterday_is_not_resumed_today(served):
    before = {"source": "arxiv", "origin": "x", "set_spec": "cs", "state": "done"}
    wednesday = MORNING - timedelta(days=2)
    IngestRun.objects.create(**before, kind="daily_check", started_at=wednesday)
    served.faults["oai"] = [cut]
    (failed,) = run_daily_check(LATE - timedelta(days=1))

    (run,) = run_daily_check(MORNING)

    assert (failed.window_from, run.window_from) == (wednesday.date(),) * 2
    assert run.pk != failed.pk
    assert (failed.state, run.state, run.started_at) == ("failed", "done", MORNING)


def test_failed_archive_does_not_stop_the_next(served, settings):
    settings.ARXIV_CATEGORIES = ["cs.LG", "stat.ML"]
    served.faults["oai"] = [cut]

    failed, done = run_daily_check(MORNING)

    assert [failed.set_spec, failed.state] == ["cs", "failed"]
    assert [done.set_spec, done.state, done.confirmed] == ["stat", "done", 0]
    (again,) = run_daily_check(MORNING + HOUR)
    assert (again.pk, again.state) == (failed.pk, "done")


def test_unreachable_source_is_requested_once(served, settings):
    settings.ARXIV_CATEGORIES = ["cs.LG", "stat.ML"]
    served.faults["oai"] = [busy()] * 9

    (run,) = run_daily_check(MORNING)

    assert run.failure == "unreachable"


def test_source_that_fails_at_an_archive_is_not_requested_for_the_next(
    served, settings
):
    settings.ARXIV_CATEGORIES = ["cs.LG", "stat.ML", "math.ST"]
    served.faults["oai"] = [lambda answer: answer] * 3 + [busy()] * 9

    done, away = run_daily_check(MORNING)

    assert (done.state, away.failure) == ("done", "unreachable")


def test_empty_oai_url_disables_checks(served, settings):
    settings.ARXIV_OAI_URL = ""

    assert run_daily_check(MORNING) == []
    assert oai_harvest.fill_gaps(LATE + timedelta(days=4)) == []
    (run,) = oai_harvest.backfill(DAY, LATE)
    assert "ARXIV_OAI_URL is empty" in run.error


def test_repeated_check_is_a_check(served):
    (first,) = run_daily_check(MORNING)

    (again,) = rerun.run_again(first, LATE)

    assert again.pk != first.pk
    assert (again.kind, again.note) == ("daily_check", reconcile.AGREES)


def test_backfill_does_not_resume_a_check(served):
    (check,) = run_daily_check(MORNING)
    IngestRun.objects.filter(pk=check.pk).update(state="failed", window_until=DAY)

    (run,) = oai_harvest.backfill(DAY, MORNING)

    assert (run.pk != check.pk, run.kind) == (True, "harvest")


def test_task_ranks_after_the_check(served, monkeypatch):
    monkeypatch.setattr(tasks.timezone, "now", lambda: MORNING)
    served.records.append(Record(paper(40, DAY, "cs.AI"), DAY))

    tasks.run_daily_check()

    late = Paper.objects.get(identifier="2611.20040")
    assert late.candidacies.filter(edition__day=DAY).exists()
