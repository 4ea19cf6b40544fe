"""Reading lists: stored papers are followed, unknown ones queued."""

import pytest

from digest import follows
from digest.ingest.reader_requests import reading_lists
from digest.ingest.reader_requests.reading_lists import (
    Report,
    Result,
    follow_reading_list,
)
from digest.models import Follow, PendingPaper
from tests import make
from tests.make import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.both]


def followed(reader):
    rows = reader.follows.filter(weight=1, source="chosen").order_by("pk")
    return list(rows.values_list("interest__value", flat=True))


def pending_ids(reader):
    return set(reader.pending_papers.values_list("identifier", flat=True))


def test_stored_papers_are_followed_and_unknown_ones_queued(ada):
    paper = make.paper(identifier="2401.00001")

    report = follow_reading_list(
        ada, ["2401.00001\nhep-th/9901001\nno paper\n2401.00001v2"], NOW
    )

    assert report == Report(
        followed=1, fetching=1, unrecognized_count=1, unrecognized=("no paper",)
    )
    assert followed(ada) == [paper.identifier]
    assert pending_ids(ada) == {"hep-th/9901001"}


def test_papers_are_found_by_title_or_listed_as_missing(ada):
    paper = make.paper("Über <all> Naïve $k$-Means: 2nd Edition")
    make.paper("Über all")
    text = """@misc{a, title={{\\"U}ber <all> Naive k-means, 2nd edition}}
    @misc{b, title={über <all> naive k-means 2nd edition}}
    @misc{c, title={Über Nobody's Paper}}"""

    report = follow_reading_list(ada, [text], NOW)

    assert followed(ada) == [paper.identifier]
    assert (report.followed, report.missing_titles) == (1, ("Über Nobody's Paper",))


def test_titles_match_regardless_of_case(ada):
    paper = make.paper("DEEP Floods")

    assert (
        follow_reading_list(ada, ["@misc{a, title={{D}eep floods.}}"], NOW).followed
        == 1
    )
    assert followed(ada) == [paper.identifier]


def test_muted_papers_stay_muted_and_are_counted(ada):
    paper = make.paper()
    follows.follow(ada, "paper", paper.identifier, -1.0, Follow.Source.FEEDBACK)

    report = follow_reading_list(ada, [paper.identifier], NOW)

    assert report == Report(disliked=1)
    assert ada.follows.get().weight == -1.0


def test_same_list_again_changes_nothing(ada):
    make.paper(identifier="2401.00001")
    text = "2401.00001 2401.00002"

    assert follow_reading_list(ada, [text], NOW) == follow_reading_list(
        ada, [text], NOW
    )

    assert len(followed(ada)) == 1
    assert PendingPaper.objects.count() == 1


def test_followed_and_queued_papers_stay_within_the_limit(ada):
    for number in range(follows.MAX_EXAMPLE_PAPERS - 4):
        ada.follows.create(interest=make.interest("paper", f"2301.{number:05}"))
    stored = [make.paper(identifier=f"2402.0000{n}").identifier for n in range(2)]
    text = "\n".join(stored) + "\n2401.00001 2401.00002 2401.00003 2401.00004"

    report = follow_reading_list(ada, [text], NOW)

    assert report == Report(followed=2, fetching=2, over_limit=2)
    assert pending_ids(ada) == {"2401.00001", "2401.00002"}
    assert follow_reading_list(ada, ["2401.00009"], NOW) == Report(over_limit=1)


def test_papers_not_found_are_not_queued_again(ada):
    follow_reading_list(ada, ["2401.00001"], NOW)
    PendingPaper.objects.update(not_found=True)

    assert follow_reading_list(ada, ["2401.00001 2712.00001"], NOW) == Report(
        not_on_arxiv=2
    )


def test_reader_may_fetch_papers_of_twenty_lists_a_day(ada):
    make.paper(identifier="2402.00001")
    reports = [follow_reading_list(ada, [f"2401.000{n:02}"], NOW) for n in range(21)]

    assert [report.fetching for report in reports] == [1] * 20 + [0]
    assert reports[-1] == Report(over_limit=1, is_fetch_limited=True)
    assert follow_reading_list(ada, ["2402.00001"], NOW).followed == 1
    assert follow_reading_list(make.subscriber(), ["2401.00099"], NOW).fetching == 1


def test_report_lists_each_entry_with_its_result(ada):
    stored = make.paper("By Title", identifier="2401.00001").identifier
    disliked = make.paper(identifier="2401.00002").identifier
    follows.follow(ada, "paper", disliked, -1.0)
    PendingPaper.objects.create(
        subscriber=ada, identifier="2401.00004", at=NOW, not_found=True
    )
    text = f"{stored} {disliked} 2401.00003 2401.00004\nno paper"
    records = "@misc{a, title={By title}} @misc{b, title={Another title}}"

    report = follow_reading_list(ada, [text, records], NOW)

    assert report.results == (
        ("2401.00001", Result.FOLLOWED),
        ("2401.00002", Result.DISLIKED),
        ("2401.00003", Result.FETCHING),
        ("2401.00004", Result.NOT_ON_ARXIV),
        ("By title", Result.FOLLOWED),
        ("Another title", Result.TITLE_NOT_FOUND),
        ("no paper", Result.NO_IDENTIFIER),
    )


def test_several_texts_are_one_list(ada):
    first = make.paper("By Title").identifier
    second = make.paper(identifier="2401.00001").identifier

    report = follow_reading_list(ada, ["2401.00001", "@misc{a, title={By title}}"], NOW)

    assert report == Report(followed=2)
    assert set(followed(ada)) == {first, second}


def test_titles_are_found_in_one_query(ada, django_assert_num_queries):
    for number in range(30):
        make.paper(f"Paper {number} of many")

    with django_assert_num_queries(1):
        matches = reading_lists.find_by_title(
            [f"Paper {number}, of Many" for number in range(20)]
        )

    assert len(matches) == 20
