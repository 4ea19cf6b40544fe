"""Pending papers are fetched and followed."""

from datetime import UTC, datetime, timedelta

import pytest

from digest import follows
from digest.ingest import rerun, run_source
from digest.ingest.reader_requests import pending_papers
from digest.ingest.sources import arxiv_api
from digest.models import IngestRun, Paper, PendingPaper
from tests import make
from tests.ingest.fake_sources import CAPTCHA, busy, paper
from tests.make import DAY, NOW

pytestmark = [pytest.mark.django_db, pytest.mark.both]
OLD = [paper(number, DAY - timedelta(days=400)) for number in range(1, 251)]


def names(listings):
    return [listing.identifier for listing in listings]


def asked(sources):
    return [request.args["id_list"].split(",") for request in sources.requests["api"]]


def followed(reader):
    rows = reader.follows.filter(interest__kind="paper", weight=1, source="chosen")
    return set(rows.values_list("interest__value", flat=True))


def test_pending_papers_are_fetched_in_one_request_and_followed(ada, sources):
    dora = make.subscriber("dora@example.org")
    sources.papers = OLD[:3]
    pending_papers.request_papers(ada, names(OLD[:3]), NOW)
    pending_papers.request_papers(dora, names(OLD[1:2]), NOW)

    (run,) = pending_papers.fetch_pending(NOW)

    assert (run.source, run.state, run.new) == ("arxiv", "done", 3)
    assert run.kind == "pending_papers"
    assert run.origin.endswith(f"?id_list={','.join(names(OLD[:3]))}")
    assert asked(sources) == [names(OLD[:3])]
    assert followed(ada) == set(names(OLD[:3]))
    assert followed(dora) == {OLD[1].identifier}
    assert not PendingPaper.objects.exists()
    assert set(Paper.objects.values_list("announce_type", flat=True)) == {"added"}


def test_nothing_is_requested_without_pending_papers(sources):
    assert pending_papers.fetch_pending(NOW) == []
    assert not sources.requests["api"]


def test_pending_papers_are_fetched_a_hundred_at_a_time(ada, sources):
    sources.papers = OLD
    pending_papers.request_papers(ada, names(OLD), NOW)

    runs = pending_papers.fetch_pending(NOW)

    assert [run.new for run in runs] == [100, 100, 50]
    assert [len(names) for names in asked(sources)] == [100, 100, 50]
    assert len(followed(ada)) == 250


def test_requests_of_a_turn_are_bounded(ada, sources, monkeypatch):
    monkeypatch.setattr(pending_papers, "MAX_REQUESTS_PER_TURN", 2)
    sources.papers = OLD
    pending_papers.request_papers(ada, names(OLD), NOW)

    assert len(pending_papers.fetch_pending(NOW)) == 2
    assert len(followed(ada)) == 200
    assert len(pending_papers.fetch_pending(NOW)) == 1
    assert len(followed(ada)) == 250


def test_unknown_paper_is_marked_and_not_requested_again(ada, sources):
    sources.papers = OLD[:1]
    pending_papers.request_papers(ada, [OLD[0].identifier, "2501.00001"], NOW)

    pending_papers.fetch_pending(NOW)

    row = PendingPaper.objects.get()
    assert (row.identifier, row.not_found) == ("2501.00001", True)
    assert pending_papers.fetch_pending(NOW) == []


@pytest.mark.parametrize("fault", [CAPTCHA, busy(400), busy(503)])
def test_failed_request_is_repeated_after_an_hour(ada, sources, fault):
    sources.faults["api"] = [fault] * 3
    sources.papers = OLD
    pending_papers.request_papers(ada, names(OLD), NOW)

    (run,) = pending_papers.fetch_pending(NOW)

    assert run.state == "failed"
    assert run.error
    assert PendingPaper.objects.filter(not_found=False).count() == 250
    sources.faults["api"] = []
    assert pending_papers.fetch_pending(NOW + timedelta(minutes=59)) == []
    assert len(pending_papers.fetch_pending(NOW + timedelta(minutes=61))) == 3
    assert len(followed(ada)) == 250


def test_failed_request_ends_the_turn(ada, sources):
    sources.faults["api"] = [lambda answer: answer, CAPTCHA]
    sources.papers = OLD
    pending_papers.request_papers(ada, names(OLD), NOW)

    done, failed = pending_papers.fetch_pending(NOW)

    assert (done.state, failed.state) == ("done", "failed")
    assert failed.finished_at > NOW
    assert PendingPaper.objects.count() == 150


def test_failures_of_other_kinds_do_not_delay_pending_papers(ada, sources):
    sources.faults["feed"] = [CAPTCHA]
    run_source.ingest_feed(NOW)
    pending_papers.request_papers(ada, names(OLD[:1]), NOW)

    assert len(pending_papers.fetch_pending(NOW)) == 1


def test_pending_paper_from_another_source_is_followed(ada, sources):
    pending_papers.request_papers(ada, ["2611.95001"], NOW)
    make.paper(identifier="2611.95001")

    assert pending_papers.fetch_pending(NOW) == []

    assert followed(ada) == {"2611.95001"}
    assert not sources.requests["api"]


def test_identifiers_of_future_months_are_not_requested(ada, sources):
    assert (
        pending_papers.request_papers(
            ada, ["2612.00001", "2702.00001", "2611.00001"], NOW
        )
        == 1
    )
    assert pending_papers.request_papers(ada, ["hep-th/9901001"], NOW) == 1

    unknown = PendingPaper.objects.filter(not_found=True)
    assert unknown.count() == 2


@pytest.mark.parametrize(("day", "is_to_come"), [(28, True), (29, True), (30, False)])
def test_next_month_begins_a_day_early_for_time_zones(day, is_to_come):
    noon = datetime(2026, 11, day, 12, tzinfo=UTC)

    assert pending_papers.is_future_identifier("2612.00001", noon) == is_to_come


@pytest.mark.parametrize("day", [28, 29])
def test_leap_day_is_the_end_of_its_month(day):
    now = datetime(2028, 2, day, 12, tzinfo=UTC)

    assert pending_papers.is_future_identifier("2803.00001", now) == (day == 28)


def test_next_january_begins_on_new_years_eve():
    assert not pending_papers.is_future_identifier(
        "2701.00001", datetime(2026, 12, 31, 12, tzinfo=UTC)
    )
    assert pending_papers.is_future_identifier(
        "2702.00001", datetime(2026, 12, 31, 12, tzinfo=UTC)
    )


def test_repeated_request_is_stored_once(ada):
    for _ in range(2):
        pending_papers.request_papers(ada, ["2611.95001"], NOW)

    assert PendingPaper.objects.count() == 1


def test_fetched_paper_beyond_the_limit_is_not_followed(ada, sources):
    for number in range(follows.MAX_EXAMPLE_PAPERS):
        ada.follows.create(interest=make.interest("paper", f"2601.{number:05}"))
    sources.papers = OLD[:1]
    pending_papers.request_papers(ada, names(OLD[:1]), NOW)

    pending_papers.fetch_pending(NOW)

    assert not PendingPaper.objects.exists()
    assert ada.follows.count() == follows.MAX_EXAMPLE_PAPERS


def test_pending_paper_is_given_up_after_a_week_and_deleted_after_a_month(ada, sources):
    sources.faults["api"] = [busy(400)] * 9
    pending_papers.request_papers(ada, ["2611.95001"], NOW)

    pending_papers.fetch_pending(NOW + timedelta(days=6))
    assert not PendingPaper.objects.get().not_found

    pending_papers.fetch_pending(NOW + timedelta(days=8))
    assert PendingPaper.objects.get().not_found

    pending_papers.fetch_pending(NOW + timedelta(days=31))
    assert not PendingPaper.objects.exists()


def test_odd_record_does_not_delay_the_others(ada, sources):
    odd = OLD[1]
    sources.papers = OLD[:3]
    sources.faults["api"] = [
        lambda answer: type(answer)(
            answer.get_data().replace(odd.title_raw.encode(), b"")
        )
    ]
    pending_papers.request_papers(ada, names(OLD[:3]), NOW)

    pending_papers.fetch_pending(NOW)

    assert followed(ada) == {OLD[0].identifier, OLD[2].identifier}
    assert PendingPaper.objects.get().not_found


def test_only_requested_papers_are_stored(ada, sources, monkeypatch):
    sources.papers = OLD[:2]
    pending_papers.request_papers(ada, names(OLD[:1]), NOW)
    answer = arxiv_api.LookupResult((OLD[0], OLD[1]), frozenset())
    monkeypatch.setattr(arxiv_api, "look_up", lambda *_: answer)

    pending_papers.fetch_pending(NOW)

    assert Paper.objects.get().identifier == OLD[0].identifier


def test_repeated_run_requests_papers_that_are_still_pending(ada, sources):
    sources.faults["api"] = [CAPTCHA]
    sources.papers = OLD[:1]
    pending_papers.request_papers(ada, names(OLD[:1]), NOW)
    pending_papers.fetch_pending(NOW)

    (run,) = rerun.run_again(IngestRun.objects.get(), NOW)

    assert run.new == 1
    assert followed(ada) == {OLD[0].identifier}
