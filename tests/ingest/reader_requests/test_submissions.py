"""Submissions: requested by readers, looked up at arXiv, decided by editors."""

import re
from datetime import UTC, date, datetime, timedelta

import pytest

from digest.ingest.reader_requests import submissions
from digest.ingest.reader_requests.submissions import submit_paper
from digest.ingest.sources import arxiv_api
from digest.models import IngestRun, Paper, Submission, SubmissionRequest
from tests import make
from tests.ingest.fake_sources import Response, busy, paper
from tests.make import DAY, NOW

pytestmark = [pytest.mark.django_db, pytest.mark.both]
YOUNG = paper(7, DAY - timedelta(days=3), primary="math.GT")


def waiting(identifier="2611.95001", **fields):
    defaults = {"state": "waiting", "announced_on": DAY, "created_at": NOW}
    return Submission.objects.create(identifier=identifier, **{**defaults, **fields})


def test_paper_is_submitted_by_id_or_address(ada):
    make.paper()

    answer = submit_paper(ada, "https://arxiv.org/abs/2611.95001v2", NOW)

    assert (answer.kind, answer.identifier) == ("submitted", "2611.95001")
    assert answer.submission.state == "checking"
    assert list(answer.submission.readers.all()) == [ada]


@pytest.mark.parametrize("text", ["", "<b>floods</b>", "2611.9", "https://example.org"])
def test_text_without_identifier_is_not_stored(ada, text):
    assert submit_paper(ada, text, NOW).kind == "no_identifier"
    assert not Submission.objects.exists()


def test_listed_paper_is_returned_without_a_submission(ada):
    stored = make.paper()

    answer = submit_paper(ada, stored.identifier, NOW)

    assert (answer.kind, answer.paper) == ("listed", stored)
    assert not Submission.objects.exists()


def test_paper_added_by_a_reader_can_be_submitted(ada):
    stored = make.paper(announce_type="added")

    assert submit_paper(ada, stored.identifier, NOW).kind == "submitted"


@pytest.mark.parametrize(
    ("identifier", "kind"),
    [
        ("2609.95001", "too_old"),
        (
            "2610.95001",
            "submitted",
        ),  # submitted late on 31 October, delayed by moderation
        ("hep-th/9901001", "too_old"),
        ("2512.95001", "too_old"),
    ],
)
def test_identifier_of_earlier_months_is_too_old(ada, identifier, kind):
    assert submit_paper(ada, identifier, NOW).kind == kind


@pytest.mark.parametrize(
    ("day", "kind"), [(5, "submitted"), (24, "submitted"), (26, "too_old")]
)
def test_identifier_of_december_is_recent_in_january(ada, day, kind):
    now = datetime(2027, 1, day, 12, tzinfo=UTC)

    assert submit_paper(ada, "2612.95001", now).kind == kind


def test_decided_submission_shows_its_reason_whatever_its_age(ada):
    submissions.decline_submission(waiting("2609.95001"), submissions.TOO_OLD, NOW)

    answer = submit_paper(ada, "2609.95001", NOW)

    assert (answer.kind, answer.submission.why) == ("submitted", submissions.TOO_OLD)


def test_each_reader_adds_one_request(ada):
    dora = make.subscriber("dora@example.org")
    submit_paper(dora, "2611.95002", NOW)
    submit_paper(ada, "2611.95001", NOW)

    answer = submit_paper(dora, "2611.95001", NOW)

    assert answer.submission.readers.count() == 2


def test_repeated_submission_counts_once_per_reader(ada):
    dora = make.subscriber("dora@example.org")

    for reader in (ada, ada, dora):
        submit_paper(reader, "2611.95001", NOW)

    assert Submission.objects.get().readers.count() == 2


def test_reader_may_submit_five_papers_a_day(ada):
    for number in range(submissions.MAX_SUBMISSIONS_PER_DAY):
        assert submit_paper(ada, f"2611.9500{number}", NOW).kind == "submitted"

    assert submit_paper(ada, "2611.95009", NOW).kind == "over_limit"
    assert (
        submit_paper(ada, "2611.95001", NOW).kind == "submitted"
    )  # again, the same one
    assert submit_paper(make.subscriber(), "2611.95009", NOW).kind == "submitted"
    assert (
        submit_paper(ada, "2611.95008", NOW + timedelta(hours=25)).kind == "submitted"
    )


def test_submission_is_described_and_stores_no_paper(ada, sources):
    sources.papers = [YOUNG]
    submit_paper(ada, YOUNG.identifier, NOW)

    assert submissions.look_up_submissions(NOW) == 1

    row = Submission.objects.get()
    assert (row.state, row.title) == ("waiting", YOUNG.title_raw)
    assert row.abstract.startswith("We invent 7 & find that <all>")
    assert (row.authors, row.primary) == (["Orla Quist"], "math.GT")
    assert row.announced_on == YOUNG.announced_on
    assert not Paper.objects.exists()
    assert not IngestRun.objects.exists()


@pytest.mark.parametrize(("days", "state"), [(13, "waiting"), (14, "declined")])
def test_submission_is_too_old_after_fourteen_days(ada, sources, days, state):
    now = datetime(2026, 11, 18, 12, tzinfo=UTC) + timedelta(days=days)
    sources.papers = [paper(1, date(2026, 11, 18))]
    submit_paper(ada, sources.papers[0].identifier, now)

    submissions.look_up_submissions(now)

    row = Submission.objects.get()
    assert row.state == state
    assert ("more than 14 days old" in row.why) == (state == "declined")
    assert row.decided_at == (now if state == "declined" else None)


def test_unknown_submission_is_declined_with_the_reason(ada, sources):
    submit_paper(ada, "2611.95001", NOW)

    submissions.look_up_submissions(NOW)

    row = Submission.objects.get()
    assert (row.state, row.why) == ("declined", "arXiv has no paper with this id.")


def test_submissions_are_described_one_by_one(ada, sources):
    sources.papers = [paper(number, DAY) for number in (1, 2, 3)]
    for listing in sources.papers:
        submit_paper(ada, listing.identifier, NOW)

    assert submissions.look_up_submissions(NOW) == 3

    titles = dict(Submission.objects.values_list("identifier", "title"))
    assert titles == {paper.identifier: paper.title_raw for paper in sources.papers}


def test_submission_absent_from_a_short_answer_stays_unchecked(ada, sources):
    def of_two(answer):
        return Response(answer.get_data().replace(b"Results>1<", b"Results>2<"))

    def nothing_of_two(answer):
        return Response(re.sub(rb"<entry>.+</entry>", b"", of_two(answer).get_data()))

    sources.papers = [YOUNG]
    sources.faults["api"] = [of_two, *[nothing_of_two] * arxiv_api.MAX_EMPTY_ATTEMPTS]
    for identifier in (YOUNG.identifier, "2611.95009"):
        submit_paper(ada, identifier, NOW)

    assert submissions.look_up_submissions(NOW) == 1

    states = dict(Submission.objects.values_list("identifier", "state"))
    assert states == {YOUNG.identifier: "waiting", "2611.95009": "checking"}


def test_submission_stays_unchecked_while_arxiv_is_unreachable(ada, sources):
    sources.faults["api"] = [busy()] * 3
    sources.papers = [YOUNG]
    submit_paper(ada, YOUNG.identifier, NOW)

    assert submissions.look_up_submissions(NOW) == 0
    assert Submission.objects.get().state == "checking"

    assert submissions.look_up_submissions(NOW) == 1


def test_nothing_is_requested_without_submissions(sources):
    waiting()
    submissions.decline_submission(waiting("2611.95002"), "No.", NOW)

    assert submissions.look_up_submissions(NOW) == 0
    assert submissions.fetch_approved(NOW) == []
    assert not sources.requests["api"]


def test_approved_paper_is_announced_on_its_day(sources):
    sources.papers = [YOUNG]
    row = waiting(YOUNG.identifier)

    assert submissions.approve_submission(row, NOW)
    (run,) = submissions.fetch_approved(NOW)

    assert run.new == 1
    paper = Paper.objects.get()
    assert (paper.announce_type, paper.announced_on) == ("new", YOUNG.announced_on)
    assert submissions.fetch_approved(NOW + timedelta(hours=2)) == []


def test_approved_paper_that_a_reader_had_added_is_announced(sources):
    sources.papers = [YOUNG]
    yesterday = NOW - timedelta(days=1)
    make.paper(identifier=YOUNG.identifier, announce_type="added", created_at=yesterday)
    submissions.approve_submission(waiting(YOUNG.identifier), NOW)

    submissions.fetch_approved(NOW)

    assert Paper.objects.get().announce_type == "new"


def test_fetching_an_approved_paper_is_retried_hourly_while_it_is_recent(
    sources,
):
    sources.faults["api"] = [busy()] * 6
    sources.papers = [YOUNG]
    submissions.approve_submission(waiting(YOUNG.identifier), NOW)

    states = [
        [run.state for run in submissions.fetch_approved(NOW + timedelta(minutes=m))]
        for m in (0, 10, 61, 130)
    ]

    assert states == [["failed"], [], ["failed"], ["done"]]

    Paper.objects.all().delete()
    assert submissions.fetch_approved(NOW + timedelta(days=15)) == []


def test_submission_is_decided_once():
    row = waiting()

    assert submissions.decline_submission(row, "Not a paper.", NOW)

    assert not submissions.approve_submission(row, NOW)
    row.refresh_from_db()
    assert (row.state, row.why, row.decided_at) == ("declined", "Not a paper.", NOW)
    assert not submissions.decline_submission(row, "Again.", NOW)


def test_approval_affects_one_submission():
    wanted, _ = waiting(), waiting("2611.95002")

    assert submissions.approve_submission(wanted, NOW)

    rows = Submission.objects.order_by("identifier").values_list("state", "decided_at")
    assert list(rows) == [("approved", NOW), ("waiting", None)]


def test_submissions_are_looked_up_a_hundred_at_a_time(sources):
    rows = [
        Submission(identifier=f"2611.{number}", created_at=NOW)
        for number in range(95000, 95101)
    ]
    Submission.objects.bulk_create(rows)

    for _ in range(2):
        submissions.look_up_submissions(NOW)

    requested_ids = [
        request.args["id_list"].split(",") for request in sources.requests["api"]
    ]
    assert [len(ids) for ids in requested_ids] == [100, 1]


def test_old_submission_cannot_be_approved():
    row = waiting()

    assert not submissions.approve_submission(row, NOW + timedelta(days=14))

    row.refresh_from_db()
    assert (row.state, row.why) == ("declined", submissions.TOO_OLD)


def test_declined_submission_returns_the_same_answer(ada):
    submissions.decline_submission(waiting(), "Not a paper.", NOW)

    answer = submit_paper(ada, "2611.95001", NOW)

    assert (answer.kind, answer.submission.why) == ("submitted", "Not a paper.")


def test_decided_submissions_are_deleted_after_a_month(ada):
    submissions.decline_submission(waiting(), "No.", NOW)
    waiting("2611.95002")

    submissions.close_needless(NOW + timedelta(days=29))
    assert Submission.objects.count() == 2

    submissions.close_needless(NOW + timedelta(days=31))
    assert Submission.objects.get().identifier == "2611.95002"


@pytest.mark.parametrize("state", ["checking", "waiting"])
def test_submission_of_a_listed_paper_is_declined(state):
    waiting(make.paper().identifier, state=state)
    waiting(make.paper(announce_type="added").identifier, state=state)

    submissions.close_needless(NOW)

    rows = Submission.objects.order_by("pk").values_list("state", "why")
    assert list(rows) == [("declined", submissions.ALREADY_LISTED), (state, "")]


def test_erasing_a_reader_deletes_the_request_and_keeps_the_submission(ada):
    submit_paper(ada, "2611.95001", NOW)

    ada.delete()

    assert not SubmissionRequest.objects.exists()
    assert Submission.objects.count() == 1
