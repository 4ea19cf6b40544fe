"""Every reader of a batch gets one digest of new papers that fit."""

from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Suppression
from digest.models import (
    AttentionSample,
    Candidate,
    Digest,
    Edition,
    Follow,
    Interest,
    Recall,
)
from digest.ranking import choose
from digest.ranking.rank_edition import rank_edition
from digest.ranking.selection import TRENDING, Choice, Matches
from tests import make
from tests.make import DAY, NOW

pytestmark = pytest.mark.django_db

FIELDS = ["Glaciers", "Volcanoes", "Forests", "Harbours", "Deserts", "Lagoons"]
LATER = NOW + timedelta(days=1)
STORKS = "Autumn migration of storks over wetland"
WELDS = "Fatigue cracks along welds of steel"
QUANTIZATION = "Post-training quantization of language models"


@pytest.fixture
def edition(db):
    """Three papers of different fields and twelve of none, ranked and frozen."""
    for title in (STORKS, WELDS, QUANTIZATION):
        make.paper(title)
    for _ in range(12):
        make.paper()
    return make.frozen(rank_edition(DAY, NOW))


def follow(reader, kind, value, weight=1.0):
    interest = make.interest(kind, value)
    Follow.objects.create(subscriber=reader, interest=interest, weight=weight)
    return interest


def titles(edition, picks):
    papers = dict(edition.candidates.values_list("pk", "paper__title"))
    return [papers[pick.candidate] for pick in picks]


def chosen(edition, reader):
    return choose.choose(edition, [reader], NOW)[reader.pk]


@pytest.mark.both
def test_each_reader_gets_their_own_digest(edition, ada):
    bea = make.subscriber("bea@example.org")
    keyword = follow(ada, "keyword", "storks")
    follow(bea, "keyword", "welds")

    first, second = make.assemble(make.batch(edition, [ada, bea]), NOW)

    assert (first.subscriber, second.subscriber) == (ada, bea)
    assert titles(edition, first.picks)[0] == STORKS
    assert titles(edition, second.picks)[0] == WELDS
    assert first.picks[0].interest == keyword.pk
    assert len(first.picks) == len(second.picks) == 10
    assert first.created_at == NOW
    assert first.outcome == Digest.Outcome.PENDING


@pytest.mark.both
def test_assembling_again_changes_nothing(edition, ada):
    batch = make.batch(edition, [ada])
    before = [
        (digest.pk, digest.key, digest.picks) for digest in make.assemble(batch, NOW)
    ]

    again = make.assemble(batch, NOW + make.hours(1))

    assert [(digest.pk, digest.key, digest.picks) for digest in again] == before


def test_reader_with_a_digest_in_another_batch_gets_no_second(edition, ada):
    make.assemble(make.batch(edition, [ada], kind="welcome"), NOW)

    assert make.assemble(make.batch(edition, [ada]), NOW) == []
    assert Digest.objects.count() == 1


def test_unmailable_reader_gets_a_skipped_digest_with_reason(edition, ada, bob, cleo):
    paused = make.subscriber(paused_until=NOW + make.hours(1))
    bounced = make.subscriber()
    Suppression.add(bounced.email, Suppression.Reason.BOUNCE)
    readers = [ada, bob, cleo, paused, bounced]

    made = make.assemble(make.batch(edition, readers), NOW)

    reasons = {digest.subscriber: digest.reason for digest in made}
    assert reasons == {
        ada: "",
        bob: "left",
        cleo: "left",
        paused: "left",
        bounced: "suppressed",
    }
    skipped = [digest for digest in made if digest.outcome == "skipped"]
    assert len(skipped) == 4
    assert not any(digest.picks for digest in skipped)


def test_reader_without_new_papers_is_skipped(edition, ada):
    edition.candidates.update(is_hidden=True)

    (digest,) = make.assemble(make.batch(edition, [ada]), NOW)

    assert (digest.outcome, digest.reason) == ("skipped", "nothing")


def test_erased_reader_gets_no_digest(edition, ada):
    batch = make.batch(edition, [ada])
    ada.delete()

    assert make.assemble(batch, NOW) == []


@pytest.mark.both
def test_sent_paper_is_not_picked_on_a_later_day(edition, ada):
    follow(ada, "keyword", "storks")
    make.assemble(make.batch(edition, [ada]), NOW)
    make.paper(announced_on=DAY + timedelta(days=1))
    tomorrow = make.frozen(rank_edition(DAY + timedelta(days=1), NOW))

    (digest,) = make.assemble(make.batch(tomorrow, [ada]), NOW)

    had = set(titles(edition, Digest.objects.get(edition=edition).picks))
    assert STORKS in had
    assert not had & set(titles(tomorrow, digest.picks))
    assert len(digest.picks) == 16 - 10


def test_late_digest_counts_as_sent_for_thirteen_days(ada):
    paper = make.paper(STORKS)
    first = make.frozen(rank_edition(DAY, NOW))
    make.assemble(make.batch(first, [ada]), NOW)
    make.paper(announced_on=DAY + timedelta(days=13))
    later = make.frozen(rank_edition(DAY + timedelta(days=13), NOW))
    assert later.candidates.filter(paper=paper).exists()

    picks = choose.choose(later, [ada], NOW + timedelta(days=14, hours=2))[ada.pk]

    assert STORKS not in titles(later, picks)


def test_skipped_digest_does_not_count_as_sent(edition, ada):
    stork = edition.candidates.get(paper__title=STORKS)
    batch = make.batch(edition, [ada])
    make.digest(batch, ada, [(stork.pk, 0)], outcome="skipped", reason="expired")
    follow(ada, "keyword", "storks")

    assert titles(edition, chosen(edition, ada))[0] == STORKS


def test_reader_without_interests_gets_trending_papers(edition, ada):
    picks = chosen(edition, ada)

    trending = edition.candidates.order_by("-trend", "paper_id")[:10]
    assert [pick.candidate for pick in picks] == [
        candidate.pk for candidate in trending
    ]
    assert {pick.interest for pick in picks} == {0}


def test_digest_has_the_readers_length(edition, ada):
    ada.length = 3

    assert len(chosen(edition, ada)) == 3


def balanced(edition, reader, fill_mode, length=6):
    """How many papers an interest chose, and how many came for their trend."""
    reader.fill_mode, reader.length = fill_mode, length
    reader.save()
    claimed = [pick.interest > 0 for pick in chosen(edition, reader)]
    return sum(claimed), len(claimed) - sum(claimed)


@pytest.mark.both
@pytest.mark.parametrize(
    ("fill_mode", "claimed", "trending"),
    [("followed_only", 2, 0), ("followed_first", 2, 4), ("half", 2, 4)],
)
def test_fill_mode_bounds_trending_picks(edition, ada, fill_mode, claimed, trending):
    follow(ada, "keyword", "storks")
    follow(ada, "keyword", "welds")

    assert balanced(edition, ada, fill_mode) == (claimed, trending)


def slate_of(pins, boost=(0, 0, 0, 0)):
    return SimpleNamespace(
        slate=SimpleNamespace(pin=np.array(pins), boost=np.array(boost))
    )


@pytest.mark.parametrize("pinned", [0, 1])
def test_far_match_fills_the_mail_without_naming_its_interest(pinned):
    index = slate_of([0, 0, 0, pinned])
    relevance = np.array([[0.3, 0.4, 0.3, 0.3]], np.float32)
    matches = Matches(relevance, relevance > 1, [1.0])
    picks = [Choice(i, 0, is_claimed=i == 2) for i in range(4)]

    filled = choose.in_mail_order(index, matches, [0.35], picks)
    followed_only = choose.in_mail_order(index, matches, [0.35], picks, False)

    pins = [Choice(3, TRENDING)] * pinned
    fills = [Choice(0, TRENDING), *[Choice(3, TRENDING)] * (1 - pinned)]
    assert filled == [Choice(2, 0, True), *pins, Choice(1, 0), *fills]
    assert followed_only == [Choice(2, 0, True), *pins, Choice(1, 0)]


def test_far_match_comes_after_trending_papers():
    relevance = np.array([[0.3, 0.3, 0.0]], np.float32)
    matches = Matches(relevance, relevance > 1, [1.0])
    picks = [Choice(0, 0), Choice(1, 0), Choice(2, TRENDING)]

    ordered = choose.in_mail_order(
        slate_of([0, 0, 0], boost=[0, 1, 0]), matches, [0.35], picks
    )

    assert ordered == [Choice(i, TRENDING) for i in (1, 2, 0)]


def test_fill_mode_half_reserves_half_for_trending(ada):
    for n, name in enumerate(FIELDS):
        make.paper(f"{name} seen from orbit", authors=[f"Author {n} Invented"])
        make.paper(f"{name} in the laboratory", authors=[f"Author {n} Other"])
    edition = make.frozen(rank_edition(DAY, NOW))
    follow(ada, "keyword", "seen from orbit")

    assert balanced(edition, ada, "followed_first") == (6, 0)
    assert balanced(edition, ada, "followed_only") == (6, 0)
    assert balanced(edition, ada, "half") == (3, 3)
    assert balanced(edition, ada, "half", length=1) == (1, 0)


@pytest.mark.parametrize("fill_mode", ["followed_only", "half"])
@pytest.mark.parametrize("opinion", [None, "muted", "opened"])
def test_reader_who_follows_nothing_gets_trending_in_any_fill_mode(
    edition, ada, fill_mode, opinion
):
    if opinion == "muted":
        follow(ada, "keyword", "storks", weight=-1)
    if opinion == "opened":
        paper = edition.candidates.get(paper__title=STORKS).paper
        follow(ada, "paper", paper.identifier, weight=0.25)
        Follow.objects.update(source="opened")

    assert sum(balanced(edition, ada, fill_mode)) == 6


def test_fill_mode_is_per_reader(edition, ada):
    bea = make.subscriber(fill_mode="followed_only")
    for reader in (ada, bea):
        follow(reader, "keyword", "storks")

    picks = choose.choose(edition, [ada, bea], NOW)

    assert [len(picks[reader.pk]) for reader in (ada, bea)] == [10, 1]


def test_pin_reaches_followed_only_readers(edition, ada):
    Candidate.objects.filter(paper__title=WELDS).update(pin=1)
    follow(ada, "keyword", "storks")
    ada.fill_mode = "followed_only"

    assert titles(edition, chosen(edition, ada)) == [WELDS, STORKS]


@pytest.mark.both
@pytest.mark.parametrize(
    ("note", "outcome", "reason"),
    [(False, "skipped", "nothing"), (True, "pending", "")],
)
def test_day_without_match_is_skipped_or_a_note(edition, ada, note, outcome, reason):
    follow(ada, "keyword", "nothing that any paper says")
    ada.fill_mode, ada.note_when_empty = "followed_only", note
    ada.save()

    (digest,) = make.assemble(make.batch(edition, [ada]), NOW)

    assert digest.picks == []
    assert (digest.outcome, digest.reason) == (outcome, reason)


def test_note_is_only_for_mailable_readers(edition, ada):
    follow(ada, "keyword", "nothing that any paper says")
    ada.fill_mode, ada.note_when_empty, ada.paused_until = "followed_only", True, LATER
    ada.save()

    (digest,) = make.assemble(make.batch(edition, [ada]), NOW)

    assert (digest.outcome, digest.reason) == ("skipped", "left")


def test_recalled_paper_is_excluded_from_a_frozen_edition(edition, ada):
    follow(ada, "keyword", "storks")
    stork = edition.candidates.get(paper__title=STORKS)
    Recall.objects.create(paper=stork.paper, reason="withdrawn by its authors")

    assert STORKS not in titles(edition, chosen(edition, ada))


def test_a_pin_leads_and_a_mute_beats_it(edition, ada):
    bea = make.subscriber()
    Candidate.objects.filter(paper__title=WELDS).update(pin=1)
    follow(ada, "keyword", "welds", weight=-1)

    picks = choose.choose(edition, [ada, bea], NOW)

    assert WELDS not in titles(edition, picks[ada.pk])
    assert titles(edition, picks[bea.pk])[0] == WELDS


def test_own_example_paper_is_excluded(edition, ada):
    stork = edition.candidates.get(paper__title=STORKS).paper
    follow(ada, "paper", stork.identifier)

    assert STORKS not in titles(edition, chosen(edition, ada))


def test_less_like_this_excludes_the_paper(edition, ada):
    stork = edition.candidates.get(paper__title=STORKS).paper
    follow(ada, "keyword", "wetland")
    follow(ada, "paper", stork.identifier, weight=-1)

    assert STORKS not in titles(edition, chosen(edition, ada))


def test_topic_matches_by_all_its_words(edition, ada):
    make.topic("Compression", keywords=["quantization"], description="")
    topic = follow(ada, "topic", "compression")

    pick = chosen(edition, ada)[0]

    assert pick.interest == topic.pk
    assert titles(edition, [pick]) == [QUANTIZATION]


def test_a_change_of_a_topic_counts_at_once(edition, ada):
    topic = make.topic("Compression", keywords=["quantization"], description="")
    followed = follow(ada, "topic", "compression")
    chosen(edition, ada)
    topic.keywords = ["storks", "wetland"]
    topic.save()

    pick = chosen(edition, ada)[0]
    assert titles(edition, [pick]) == [STORKS]
    assert pick.interest == followed.pk


def test_curation_counts_at_once(db, ada):
    for title in (STORKS, WELDS):
        make.paper(title)
    open_edition = rank_edition(DAY, NOW)
    before = titles(open_edition, choose.choose(open_edition, [ada], NOW)[ada.pk])
    open_edition.candidates.filter(paper__title=before[0]).update(is_hidden=True)

    assert (
        titles(open_edition, choose.choose(open_edition, [ada], NOW)[ada.pk])
        == before[1:]
    )


def test_preview_of_unsaved_interests_stores_nothing(edition):
    search = Interest(kind="search", value="quantization of language models")

    (first, why, _), *rest = choose.preview(edition, [search])

    assert first.paper.title == QUANTIZATION
    assert why is search
    assert rest[-1][1] is None
    assert not Interest.objects.exists()
    assert not Digest.objects.exists()


def test_preview_without_interests_is_trending(edition):
    picks = choose.preview(edition, [], length=4)

    assert len(picks) == 4
    assert all(why is None for _, why, _ in picks)


def test_preview_excludes_muted_papers(edition):
    muted = Interest(kind="keyword", value="storks")

    picks = choose.preview(edition, [], length=15, muted=[muted])

    assert len(picks) == 14


def test_reader_preview_equals_the_digest(edition, ada):
    follow(ada, "keyword", "storks")
    expected = choose.preview_for(edition, ada, NOW)

    (digest,) = make.assemble(make.batch(edition, [ada]), NOW)

    assert digest.picks == expected


def test_the_queries_do_not_grow_with_the_readers(
    edition, ada, django_assert_max_num_queries
):
    readers = [make.subscriber() for _ in range(30)]
    for n, reader in enumerate(readers):
        follow(reader, "keyword", f"storks {n % 7}")
        follow(reader, "paper", edition.candidates.all()[n % 5].paper.identifier)
    make.topic("Compression")
    follow(ada, "topic", "compression")
    batch = make.batch(edition, [ada, *readers])
    choose.preview(edition, [])  # prepares the edition for all later calls

    # Two of them are the savepoint within the transaction of a test.
    with django_assert_max_num_queries(28):
        made = make.assemble(batch, NOW)

    assert len(made) == 31


def test_empty_edition_gives_no_picks(ada):
    empty = Edition.objects.create(day=DAY)

    assert choose.choose(empty, [ada], NOW) == {ada.pk: []}
    assert choose.preview(empty, []) == []


def test_weekly_reader_gets_the_best_of_the_week(ada):
    monday = make.paper("Much discussed", announced_on=DAY - timedelta(days=5))
    today = make.paper("Of this morning")
    for paper, votes in ((monday, 30), (today, 5)):
        AttentionSample.objects.create(paper=paper, kind="upvotes", at=NOW, value=votes)
    edition = rank_edition(DAY, NOW)
    weekly = make.subscriber(frequency="weekly", weekday=DAY.weekday())

    picks = choose.choose(edition, [ada, weekly], NOW)

    assert titles(edition, picks[ada.pk]) == [today.title, monday.title]
    assert titles(edition, picks[weekly.pk]) == [monday.title, today.title]


def test_mixed_batch_costs_one_more_index(edition, ada):
    """Not one look a reader: the edition is read once as it is, once as the week."""
    weekly = [make.subscriber(frequency="weekly", weekday=0) for _ in range(3)]
    daily = [ada, make.subscriber()]
    choose.choose(edition, daily, NOW)
    with CaptureQueriesContext(connection) as one_kind:
        choose.choose(edition, daily, NOW)

    with CaptureQueriesContext(connection) as both:
        choose.choose(edition, daily + weekly, NOW)

    assert len(both) == len(one_kind) + 3  # candidates, recalls, version of the vectors


def test_frozen_edition_is_read_once_but_its_recalls_again(edition, ada):
    first, second = (pick.candidate for pick in chosen(edition, ada)[:2])
    Recall.objects.create(paper=Candidate.objects.get(pk=first).paper, reason="wrong")

    with CaptureQueriesContext(connection) as queries:
        picks = chosen(edition, ada)

    assert not any("is_hidden" in query["sql"] for query in queries)
    candidates = [pick.candidate for pick in picks]
    assert first not in candidates
    assert second in candidates


def test_open_edition_is_read_as_it_is_curated(edition, ada):
    Edition.objects.update(state="open", frozen_at=None)
    edition.refresh_from_db()
    first = chosen(edition, ada)[0].candidate

    Candidate.objects.filter(pk=first).update(is_hidden=True)

    assert first not in [pick.candidate for pick in chosen(edition, ada)]


@pytest.mark.both
def test_any_of_matches_like_in_and_nothing_for_no_value(edition, ada):
    wanted = follow(ada, "keyword", "storks")
    follow(ada, "keyword", "welds")
    follows, interests = Follow.objects, Interest.objects

    assert list(interests.filter(value__any_of=["storks"])) == [wanted]
    assert follows.get(interest__any_of={wanted.pk}).interest == wanted
    assert follows.filter(subscriber__any_of=[ada.pk, 0]).count() == 2
    assert not follows.filter(subscriber__any_of=[]).exists()
