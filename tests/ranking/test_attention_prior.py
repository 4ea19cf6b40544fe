"""The attention prior predicts votes of new papers from papers whose votes are in."""

import math
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import attention_prior as benchmark
from digest.ranking import attention_prior
from digest.ranking.attention_prior import (
    MAX_PRIOR,
    MIN_VOTED_PAPERS,
    PastPapers,
    fit_prior,
)
from tests.conftest import DATA, needs_data


def past(papers=MIN_VOTED_PAPERS * 2, loved=(1.0, 0.0), names=None):
    """Every second paper has 20 votes and points in the direction `loved`, the others the other way."""
    rows = np.array([loved if n % 2 else loved[::-1] for n in range(papers)])
    authors = [names(n) if names else [f"Author {n}"] for n in range(papers)]
    return PastPapers(
        rows.astype(np.float32), authors, [20 if n % 2 else 0 for n in range(papers)]
    )


def expected(learned, *papers):
    rows, authors = zip(*papers, strict=True)
    return learned.predict(np.array(rows, np.float32), authors)


def test_similar_text_to_voted_papers_predicts_more():
    learned = fit_prior(past())

    like, unlike = expected(learned, ([1, 0], ["Ada"]), ([0, 1], ["Ada"]))

    assert like > unlike


def test_author_of_voted_papers_predicts_more():
    learned = fit_prior(
        past(loved=(0.5, 0.5), names=lambda n: ["Loved" if n % 2 else "B"])
    )

    loved, other, new, both = expected(
        learned,
        *(([0.5, 0.5], names) for names in (["LOVED"], ["B"], ["New"], ["B", "Loved"])),
    )

    assert loved > both > other
    assert loved > new > other


def test_a_papers_own_votes_are_not_its_authors_past():
    fame = {"ada": (3.0, 1), "bea": (5.0, 2)}

    assert attention_prior._author_columns(["Ada"], fame, 0.5, own=3.0)[0] == 0
    assert attention_prior._author_columns(["Bea"], fame, 0.5, own=3.0)[
        0
    ] == pytest.approx(1.5 / 4)
    assert attention_prior._author_columns(["Bea"], fame, 0.5)[0] == pytest.approx(
        4 / 5
    )
    assert attention_prior._author_columns([], fame, 0.5) == (0, 0, 0)


def test_authors_of_one_paper_each_show_nothing_of_what_authors_do_again():
    learned = fit_prior(past())

    loved, other, new = expected(
        learned, *(([0.5, 0.5], [name]) for name in ("Author 1", "Author 0", "New"))
    )

    assert loved == other == new


def test_too_few_voted_papers_give_no_prior():
    assert fit_prior(past(MIN_VOTED_PAPERS * 2 - 2)) is None
    assert fit_prior(past(MIN_VOTED_PAPERS * 2)) is not None
    assert fit_prior(PastPapers(np.zeros((0, 2), np.float32), [], [])) is None


def test_prior_is_deterministic():
    papers = [([0.3, 0.7], ["Ada", "Author 7"]), ([0.6, 0.1], [])]

    assert expected(fit_prior(past()), *papers) == expected(fit_prior(past()), *papers)


def test_papers_that_expect_much_keep_their_order():
    rows = np.array([[n / 1_000, 0] for n in range(1_000)], np.float32)
    votes = [10 + n // 5 for n in range(1_000)]
    learned = fit_prior(
        PastPapers(rows, [[f"Author {n}"] for n in range(1_000)], votes)
    )

    priors = expected(learned, *(([n / 5, 0], ["Ada"]) for n in range(6)))

    assert min(priors) > MAX_PRIOR * 0.95
    assert priors == sorted(set(priors))


@given(
    st.lists(st.floats(-50, 50), min_size=2, max_size=2),
    st.lists(st.sampled_from(["Ada", "Author 1", "Author 3", ""]), max_size=4),
)
def test_prior_is_between_zero_and_one_vote(row, names):
    (prior,) = expected(KNOWN, (row, names))

    assert 0 <= prior <= MAX_PRIOR < math.log(2)


KNOWN = fit_prior(past())


@needs_data
@pytest.mark.slow
def test_prior_beats_chance_and_its_parts_on_later_days():
    recorded = benchmark.read(DATA, until=date(2025, 9, 30))

    measures = benchmark.measure(recorded, date(2025, 9, 1), date(2025, 9, 30))

    means = {name: np.mean(days, axis=0) for name, days in measures.items()}
    assert len(measures["prior"]) == 20
    assert means["prior"][0] > 0.55 > 10 * means["by chance"][0]
    assert means["prior"][2] > 0.85
    for part in ("text alone", "authors alone"):
        assert (means["prior"] > means[part]).all()
