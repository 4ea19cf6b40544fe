"""An experiment interleaves two settings for a share of the readers; the others get the default."""

from datetime import timedelta

import numpy as np
import pytest
from django.db import IntegrityError, transaction

from digest.models import (
    Candidate,
    Experiment,
    Follow,
    Pick,
    RankingSetting,
    decode_picks,
    encode_picks,
)
from digest.ranking import choose, edition_index, experiments, score_breakdown
from digest.ranking.interleaving import is_assigned
from digest.ranking.score_breakdown import RankingWeights
from tests import make
from tests.make import DAY, NOW

pytestmark = pytest.mark.django_db


@pytest.fixture
def edition(db):
    """Twelve papers on storks: those with less of them have the higher trend."""
    papers = [
        make.paper(
            f"Storks {n}" if n < 6 else f"Birds {n}",
            abstract=f"We count them in the wetland {n}."
            + " Storks and storks." * (n >= 6),
            authors=[f"Author {n}"],
        )
        for n in range(12)
    ]
    edition = make.edition(DAY, papers)
    for n, candidate in enumerate(edition.candidates.order_by("pk")):
        candidate.trend = n / 12
        candidate.save()
    return make.frozen(edition)


@pytest.fixture
def experiment(db):
    plain = RankingSetting.objects.create(name="Relevance only", trend=0)
    trendy = RankingSetting.objects.create(name="Trend", trend=1)
    made = Experiment.objects.create(
        name="Trend or not", first=plain, second=trendy, share=100
    )
    made.start(NOW - timedelta(days=1))
    made.refresh_from_db()
    return made


def follow_storks(reader):
    interest = make.interest("keyword", "storks")
    Follow.objects.create(subscriber=reader, interest=interest, weight=1.0)


def picks_for(edition, reader, weights=None):
    weights = weights or experiments.default_weights()
    return choose.choose_with(weights, edition, [reader], NOW)[reader.pk]


def test_a_setting_changes_only_the_weights_that_it_names():
    setting = RankingSetting.objects.create(name="Nearest", nearest=3, sentences=0)

    weights = experiments.weights_of(setting)

    assert weights == RankingWeights(nearest=3, sentences=0)
    assert experiments.weights_of(None) == score_breakdown.DEFAULT_WEIGHTS


def test_weight_of_trend_changes_the_order_of_matching_papers(edition, ada):
    follow_storks(ada)

    relevant = picks_for(edition, ada, RankingWeights(trend=0))
    trendy = picks_for(edition, ada, RankingWeights(trend=1))

    ids = list(edition.candidates.order_by("pk").values_list("pk", flat=True))
    assert {pick.candidate for pick in relevant[:6]} == set(ids[:6])
    assert trendy[0].candidate == ids[11]


def test_the_default_setting_counts_for_every_reader(edition, ada):
    follow_storks(ada)
    setting = RankingSetting.objects.create(name="Trend", trend=1)
    before = picks_for(edition, ada)

    RankingSetting.objects.make_default(setting)

    assert picks_for(edition, ada) == picks_for(edition, ada, RankingWeights(trend=1))
    assert picks_for(edition, ada) != before


def test_a_reader_of_the_experiment_gets_papers_of_both_settings(
    edition, ada, experiment
):
    follow_storks(ada)

    picks = choose.choose(edition, [ada], NOW)[ada.pk]

    teams = [pick.team for pick in picks]
    assert len({pick.candidate for pick in picks}) == len(picks) == 10
    assert abs(teams.count(1) - teams.count(2)) <= 1
    assert 1 in teams
    assert choose.choose(edition, [ada], NOW)[ada.pk] == picks


def test_the_digest_stores_the_teams(edition, ada, experiment):
    follow_storks(ada)
    expected = choose.preview_for(edition, ada, NOW)

    (digest,) = make.assemble(make.batch(edition, [ada]), NOW)

    digest.refresh_from_db()
    assert digest.picks == expected
    assert {pick.team for pick in digest.picks} >= {1, 2}


def test_readers_outside_the_share_get_the_default(edition, experiment):
    Experiment.objects.update(share=50)
    readers = [make.subscriber() for _ in range(20)]
    for reader in readers:
        follow_storks(reader)

    picks = choose.choose(edition, readers, NOW)

    inside = {r.pk for r in readers if is_assigned(experiment.pk, r.pk, 50)}
    assert 0 < len(inside) < 20
    for reader in readers:
        has_teams = any(pick.team for pick in picks[reader.pk])
        assert has_teams == (reader.pk in inside)
        if reader.pk not in inside:
            assert picks[reader.pk] == picks_for(edition, reader)


def test_readers_who_want_half_trending_do_not_take_part(edition, ada, experiment):
    ada.fill_mode = "half"
    ada.save()
    follow_storks(ada)

    picks = choose.choose(edition, [ada], NOW)[ada.pk]

    assert not any(pick.team for pick in picks)
    assert len(picks) == 10


def test_equal_picks_count_for_neither_setting(edition, ada, experiment):
    picks = choose.choose(edition, [ada], NOW)[ada.pk]  # follows nothing

    assert len(picks) == 10
    assert not any(pick.team for pick in picks)


def test_pins_lead_and_count_for_neither_setting(edition, ada, experiment):
    follow_storks(ada)
    last = edition.candidates.order_by("-pk").first()
    edition.candidates.filter(pk=last.pk).update(pin=1)

    first, *rest = choose.choose(edition, [ada], NOW)[ada.pk]

    assert (first.candidate, first.team) == (last.pk, 0)
    assert last.pk not in {pick.candidate for pick in rest}


def test_sections_of_a_mail_stay_together(edition, ada, experiment):
    follow_storks(ada)
    for _ in range(4):
        turtles = make.paper("Turtles", abstract="We count turtles.")
        Candidate.objects.bulk_create(
            [Candidate(edition=edition, paper=turtles, card=make.card(turtles))]
        )
    ada.length = 15

    picks = choose.choose(edition, [ada], NOW)[ada.pk]

    sections = [experiments.mail_section(pick, ()) for pick in picks]
    assert sections == sorted(sections)
    assert sections[-1] == 2


def test_an_ended_experiment_interleaves_no_more(edition, ada, experiment):
    follow_storks(ada)
    experiment.stop(NOW)

    picks = choose.choose(edition, [ada], NOW)[ada.pk]

    assert picks == picks_for(edition, ada)


def test_an_experiment_ends_by_itself(edition, ada, experiment):
    after = NOW + timedelta(days=experiment.days)

    assert experiments.load_running(NOW) == experiment
    assert experiments.load_running(after) is None


def test_keeping_a_setting_stops_and_makes_it_the_default(edition, ada, experiment):
    follow_storks(ada)

    experiment.keep("second", NOW)

    experiment.refresh_from_db()
    assert (experiment.state, experiment.kept) == ("ended", "second")
    assert picks_for(edition, ada) == picks_for(edition, ada, RankingWeights(trend=1))
    experiment.first, experiment.state = None, "ended"
    experiment.keep("first", NOW)
    assert experiments.default_weights() == score_breakdown.DEFAULT_WEIGHTS


def test_only_one_experiment_runs(experiment):
    other = Experiment.objects.create(name="Other", second=experiment.second)

    with pytest.raises(ValueError, match="is running"):
        other.start(NOW)
    with pytest.raises(IntegrityError), transaction.atomic():
        Experiment.objects.filter(pk=other.pk).update(state="running")


def test_an_overdue_experiment_makes_way_for_the_next(experiment):
    other = Experiment.objects.create(name="Other", second=experiment.second)

    other.start(NOW + timedelta(days=experiment.days))

    experiment.refresh_from_db()
    assert experiment.state == "ended"
    with pytest.raises(ValueError, match="started before"):
        other.start(NOW + timedelta(days=experiment.days))


def test_packed_picks_keep_flags_and_team():
    picks = [Pick(5, 7, True, False, 1), Pick(6, 0, False, True, 2), Pick(8, 9)]

    assert decode_picks(encode_picks(picks)) == picks
    assert encode_picks([Pick(5, 7, True, True)])[-1] == 3  # as before experiments


def test_an_index_of_other_weights_is_not_reused(edition):
    plain = edition_index.load_index(edition, weights=RankingWeights())
    other = edition_index.load_index(edition, weights=RankingWeights(trend=1))

    assert (plain.slate.trend_weight, other.slate.trend_weight) == (0.15, 1)
    assert np.array_equal(plain.slate.trend, other.slate.trend)
