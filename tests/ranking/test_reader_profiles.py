"""Reader profiles group example papers and opened papers, and decay feedback."""

import time
from datetime import timedelta

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from structlog.testing import capture_logs

from benchmarks import opened as benchmark
from digest.models import EmbeddingModel, ExampleGroups, Follow, Interest, Paper
from digest.ranking import choose, embeddings, reader_profiles
from digest.ranking.rank_edition import rank_edition
from digest.ranking.reader_profiles import Key
from digest.ranking.selection import Role
from tests import make
from tests.conftest import DATA, needs_data
from tests.make import DAY, NOW

pytestmark = pytest.mark.django_db

THEMES = {
    "storks": "Storks cross wetlands while volunteers count autumn nests and eggs",
    "quarks": "Quarks bind gluons inside dense hadron lattice simulations of mass",
}


@pytest.fixture
def world(db):
    """Four old papers of each of two themes, and a frozen edition with six new of each."""
    old = {}
    for theme, text in THEMES.items():
        old[theme] = [
            make.paper(f"{theme} {n}", abstract=text, announced_on=DAY - timedelta(90))
            for n in range(4)
        ]
        for n in range(6):  # on one subject, but not nearly the same text
            own = " ".join(f"{theme}{n}{letter}" for letter in "abcdefghijkl")
            make.paper(
                f"{theme} {n} today",
                abstract=f"{text}. {own}",
                authors=[f"{theme} {n}"],
            )
    for _ in range(12):
        make.paper()
    return make.frozen(rank_edition(DAY, NOW)), old


def like(reader, paper, weight=1.0, source="chosen", at=NOW):
    interest = make.interest("paper", paper.identifier)
    row = Follow.objects.create(
        subscriber=reader, interest=interest, weight=weight, source=source
    )
    Follow.objects.filter(pk=row.pk).update(created_at=at)
    return interest


def test_papers_of_two_interests_are_two_groups(world, ada):
    _, old = world
    groups = {
        theme: [like(ada, paper).pk for paper in papers]
        for theme, papers in old.items()
    }

    profiles = reader_profiles.load_profiles([ada], NOW)

    liked = tuple(groups["storks"] + groups["quarks"])
    assert profiles.keys == [
        Key(tuple(groups["storks"]), Role.PLACES),
        Key(liked, Role.ORDER),
        Key(tuple(groups["quarks"]), Role.PLACES),
    ]


def test_both_groups_are_in_the_mail_and_the_reason_is_one_of_their_papers(world, ada):
    edition, old = world
    interests = {
        theme: {like(ada, paper).pk for paper in papers}
        for theme, papers in old.items()
    }

    picks = choose.preview_for(edition, ada, NOW)

    titles = dict(edition.candidates.values_list("pk", "paper__title"))
    for theme, own in interests.items():
        claimed = [pick for pick in picks if titles[pick.candidate].startswith(theme)]
        assert len(claimed) >= 3
        assert {pick.interest for pick in claimed} <= own


def test_the_reason_is_the_same_whoever_else_is_in_the_batch(world, ada):
    edition, old = world
    bea = make.subscriber()
    for paper in old["storks"] + old["quarks"][:2]:
        like(ada, paper)
    for paper in old["quarks"]:
        like(bea, paper)

    alone = choose.choose(edition, [ada], NOW)
    together = choose.choose(edition, [ada, bea], NOW)

    assert together[ada.pk] == alone[ada.pk]


def test_feedback_decays_and_chosen_follows_do_not(world, ada):
    _, old = world
    hint, chosen, mute = old["storks"][:3]
    hinted = like(ada, hint, 0.5, "feedback", NOW - timedelta(60)).pk
    kept_pk = like(ada, chosen, 0.5, "chosen", NOW - timedelta(60)).pk
    muted = like(ada, mute, -1.0, "feedback", NOW - timedelta(60)).pk

    profiles = reader_profiles._load_follows([ada.pk], NOW)[ada.pk].chosen

    assert profiles[hinted] == pytest.approx(0.25)
    assert profiles[kept_pk] == 0.5
    assert profiles[muted] == -1.0


def opened(reader, papers, at=NOW):
    return Key(tuple(like(reader, paper, 0.25, "opened", at).pk for paper in papers))


def test_opened_papers_form_their_own_group(world, ada):
    _, old = world
    chosen = like(ada, old["storks"][0]).pk
    seen = opened(ada, old["storks"][1:])

    profiles = reader_profiles.load_profiles([ada], NOW)

    assert profiles.profiles[ada.pk] == {Key((chosen,)): 1.0, seen: 0.25}
    assert profiles.opened[ada.pk] == set(seen.interests)


def test_two_or_dissimilar_opened_papers_form_no_group(world, ada):
    _, old = world
    opened(ada, [*old["storks"][:2], *old["quarks"][:1]])

    profiles = reader_profiles.load_profiles([ada], NOW)

    assert profiles.keys == []


def test_opened_weight_halves_in_a_month_and_ends_after_two(world, ada):
    _, old = world
    seen = opened(ada, old["storks"], NOW - timedelta(days=30))

    month = reader_profiles.load_profiles([ada], NOW).profiles[ada.pk]
    later = reader_profiles.load_profiles([ada], NOW + timedelta(days=30))

    assert month == {seen: pytest.approx(0.125)}
    assert later.keys == []


@pytest.fixture
def mycelium(db):
    """Three old papers of a third theme."""
    text = "Mycelium feeds forests under snow with sugar, water, nitrogen and salts"
    return [
        make.paper(f"mycelium {n}", abstract=text, announced_on=DAY - timedelta(90))
        for n in range(3)
    ]


def test_two_kinds_of_opened_papers_at_most_the_ones_opened_most(mycelium, world, ada):
    _, old = world
    kinds = [opened(ada, papers) for papers in (mycelium, old["storks"], old["quarks"])]

    profiles = reader_profiles.load_profiles([ada], NOW)

    assert profiles.keys == sorted(kinds[1:])


def test_of_a_kind_the_papers_opened_last_count(world, ada, monkeypatch):
    monkeypatch.setattr(reader_profiles, "MAX_OPENED_GROUP_SIZE", 2)
    _, old = world
    days = (3, 1, 4, 2)
    pairs = zip(old["storks"], days, strict=True)
    seen = [opened(ada, [one], NOW - timedelta(day)) for one, day in pairs]

    profiles = reader_profiles.load_profiles([ada], NOW)

    ((key, weight),) = profiles.profiles[ada.pk].items()
    assert key.interests == (*seen[1].interests, *seen[3].interests)
    assert weight == pytest.approx(0.25 * 0.5 ** (1 / 30))


def test_a_pick_says_that_its_paper_was_only_opened_and_for_whom(world, ada):
    edition, old = world
    bea = make.subscriber()
    seen = opened(ada, old["storks"])
    for paper in old["storks"]:
        like(bea, paper)

    picks = choose.choose(edition, [ada, bea], NOW)

    mine = [pick for pick in picks[ada.pk] if pick.interest]
    theirs = [pick for pick in picks[bea.pk] if pick.interest]
    assert mine
    assert theirs
    assert all(pick.opened and pick.interest in seen.interests for pick in mine)
    assert not any(pick.opened for pick in theirs)


def test_what_was_opened_leaves_the_topics_of_a_reader_their_places(world, ada):
    edition, old = world
    word = make.interest("keyword", "hadron")
    Follow.objects.create(subscriber=ada, interest=word)
    before = [
        pick
        for pick in choose.preview_for(edition, ada, NOW)
        if pick.interest == word.pk
    ]
    opened(ada, old["storks"])

    after = choose.preview_for(edition, ada, NOW)

    assert before == [pick for pick in after if pick.interest == word.pk]
    assert any(pick.opened for pick in after)


@needs_data
@pytest.mark.slow
def test_opened_groups_resist_stray_clicks():
    folder = DATA / "evaluation" / "interests_multi"
    papers = benchmark.read(folder)

    coverage, gain = benchmark.measure(folder, papers, 10, benchmark.apart)
    others = [
        benchmark.measure(folder, papers, 10, way)
        for way in (benchmark.as_chosen, benchmark.together)
    ]

    assert benchmark.KINDS == reader_profiles.MAX_OPENED_GROUPS
    assert coverage > 0.75 > 1.5 * max(covered for covered, _ in others)
    assert gain > 0.5 > 1.5 * max(gained for _, gained in others)


def test_nearest_paper_of_a_group_is_the_reason():
    vectors = {1: np.array([1.0, 0.0]), 2: np.array([0.0, 1.0])}

    profiles = reader_profiles.ReaderProfiles({}, {}, {}, vectors)

    assert profiles.nearest_interest(Key((1, 2)), np.array([0.3, 0.9])) == 2
    assert profiles.nearest_interest(Key((1, 2)), np.array([0.9, 0.3])) == 1
    assert profiles.nearest_interest(Key((1, 2)), np.array([0.7, 0.7])) == 1


def test_groups_are_stored_by_mailing_and_not_computed_again(world, ada, monkeypatch):
    edition, old = world
    for papers in old.values():
        for paper in papers:
            like(ada, paper)
    choose.preview_for(edition, ada, NOW)
    assert not ExampleGroups.objects.exists()  # previews store nothing
    first = choose.choose(edition, [ada], NOW, store=True)

    def fail(rows):
        pytest.fail("clustered again")

    monkeypatch.setattr(reader_profiles.clustering, "group_examples", fail)

    assert choose.choose(edition, [ada], NOW, store=True) == first
    assert ExampleGroups.objects.get().liked_groups == bytes([0] * 4 + [1] * 4)


@pytest.mark.parametrize("change", ["unfollow", "follow", "mute", "model"])
def test_stored_groups_follow_every_change(world, ada, change):
    edition, old = world
    follows = [like(ada, paper) for paper in [*old["storks"], *old["quarks"]]]
    choose.choose(edition, [ada], NOW, store=True)

    if change == "unfollow":
        Follow.objects.filter(interest__in=follows[:2]).delete()
    elif change == "follow":
        like(ada, make.paper("quarks again", abstract=THEMES["quarks"]))
    elif change == "mute":
        Follow.objects.filter(interest=follows[0]).update(weight=-1)
    else:
        EmbeddingModel.objects.all().delete()

    changed = reader_profiles.load_profiles([ada], NOW).profiles
    ExampleGroups.objects.all().delete()
    assert changed == reader_profiles.load_profiles([ada], NOW).profiles


def test_check_reports_and_deletes_wrong_stored_groups(world, ada):
    edition, old = world
    for paper in [*old["storks"], *old["quarks"]]:
        like(ada, paper)
    choose.choose(edition, [ada], NOW, store=True)
    assert reader_profiles.check_stored_groups([ada], NOW) == 0
    ExampleGroups.objects.update(liked_groups=bytes([1, 0] * 4))

    with capture_logs() as logs:
        different = [
            reader_profiles.check_some_groups(NOW + timedelta(n)) for n in range(9)
        ]

    assert sum(different) == 1

    assert logs[0]["reader"] == ada.pk
    assert reader_profiles.check_stored_groups([ada], NOW) == 0


def test_block_of_readers_is_read_with_a_fixed_number_of_queries(
    world, ada, django_assert_max_num_queries
):
    _, old = world
    readers = [ada, *(make.subscriber() for _ in range(20))]
    for number, reader in enumerate(readers):
        for paper in [*old["storks"], *old["quarks"]][: number % 9]:
            like(reader, paper)
        for kind, value in (("search", f"storks {number}"), ("keyword", "quarks")):
            Follow.objects.create(
                subscriber=reader, interest=make.interest(kind, value)
            )

    with django_assert_max_num_queries(12):
        profiles = reader_profiles.load_profiles(readers, NOW)
        queries = profiles.build_queries(profiles.keys)

    assert {type(query).__name__ for query in queries} == {
        "PersonalQuery",
        "InterestQuery",
    }


def test_rows_stored_by_ranking_give_the_same_picks_as_texts(world, ada):
    edition, old = world
    for paper in [*old["storks"], *old["quarks"]]:
        like(ada, paper)
    search = make.interest("search", "hadron lattice storks")
    Follow.objects.create(subscriber=ada, interest=search)
    embeddings.refresh()
    search.refresh_from_db()
    assert search.vector
    assert not Paper.objects.filter(terms=None).exists()
    stored = choose.choose(edition, [ada], NOW)

    Paper.objects.update(terms=None)
    Interest.objects.update(vector=None)

    assert choose.choose(edition, [ada], NOW) == stored


def read_tables(edition, ada, **options):
    with CaptureQueriesContext(connection) as queries:
        picks = choose.choose(edition, [ada], NOW, **options)[ada.pk]
    tables = ("digest_interest", "digest_paper", "digest_topic")
    sql = [query["sql"].partition(" WHERE ")[0] for query in queries]
    return picks, {t for t in tables if any(f'FROM "{t}"' in text for text in sql)}


def test_mails_read_shared_interests_once_a_minute(world, ada, monkeypatch):
    edition, old = world
    like(ada, old["storks"][0])
    Follow.objects.create(subscriber=ada, interest=make.interest("keyword", "quarks"))
    picks, _ = read_tables(edition, ada, store=True)

    again = read_tables(edition, ada, store=True)
    preview = read_tables(edition, ada)
    minute_later = time.monotonic() + 60
    monkeypatch.setattr(reader_profiles.time, "monotonic", lambda: minute_later)
    later = read_tables(edition, ada, store=True)

    assert again == (picks, set())
    assert preview == later == (picks, {"digest_interest", "digest_paper"})


def test_shared_interests_are_bounded(world, ada, monkeypatch):
    edition, old = world
    monkeypatch.setattr(reader_profiles, "MAX_SHARED_ROWS", 3)
    shared = reader_profiles.SharedRows()
    monkeypatch.setattr(reader_profiles, "_shared_rows", lambda *state: shared)
    for paper in old["storks"]:
        reader = make.subscriber()
        like(reader, paper)
        choose.choose(edition, [reader], NOW, store=True)

    assert 0 < len(shared.interests) <= 3
    assert 0 < len(shared.examples) <= 3
