"""LSA models are deterministic, work from one text on, and are stored without code."""

import io
from itertools import combinations

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.preprocessing import normalize

from digest.ranking import lsa
from digest.ranking.mapped_arrays import load_arrays, save_arrays

FIELDS = [
    "birds migration feathers wetland autumn storks nests counting",
    "steel alloys stress cracks grain welds fatigue corrosion",
    "choirs harmony cathedrals reverberation singers tuning voices hymns",
]
# Five of a field's eight words each, so that its words occur in many combinations.
TEXTS = [
    " ".join(chosen)
    for field in FIELDS
    for chosen in list(combinations(field.split(), 5))[::4]
]


def test_texts_of_one_field_are_near_though_they_share_no_word():
    model = lsa.fit_lsa(TEXTS)

    bird, wetland, weld = model.embed(
        ["birds in autumn", "wetland feathers", "grain of steel welds"]
    )

    assert bird @ wetland > 0 > bird @ weld


def test_rows_are_unit_rows_of_the_model():
    model = lsa.fit_lsa(TEXTS)

    rows = model.embed(TEXTS)

    assert rows.shape == (len(TEXTS), model.dimensions)
    assert rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


def test_a_text_of_unknown_words_is_a_row_of_zeros():
    row = lsa.fit_lsa(TEXTS).embed(["zymurgy"])[0]

    assert not row.any()


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_a_model_works_from_one_document_up(size):
    texts = TEXTS[:size]

    rows = lsa.fit_lsa(texts).embed(texts)

    assert np.allclose((rows * rows).sum(axis=1), 1, atol=1e-5)


def test_texts_without_words_give_a_model_without_terms():
    model = lsa.fit_lsa(["", "the of and"])

    assert not model.embed(["birds", ""]).any()


def test_no_texts_make_no_model():
    with pytest.raises(ValueError, match="at least one text"):
        lsa.fit_lsa([])


def test_embedding_nothing_gives_no_rows():
    model = lsa.fit_lsa(TEXTS)

    assert model.embed([]).shape == (0, model.dimensions)


def test_the_same_texts_give_the_same_model():
    assert lsa.fit_lsa(TEXTS).version == lsa.fit_lsa(TEXTS).version
    assert lsa.fit_lsa(TEXTS).version != lsa.fit_lsa(TEXTS[1:]).version


def test_stored_model_round_trips():
    model = lsa.fit_lsa(TEXTS)

    again = lsa.from_bytes(model.to_bytes())

    assert again.version == model.version
    assert np.array_equal(again.embed(TEXTS), model.embed(TEXTS))


def test_stored_model_cannot_run_code():
    file = io.BytesIO()
    np.savez(file, terms=np.array([object()], dtype=object))

    with pytest.raises(ValueError, match="allow_pickle"):
        lsa.from_bytes(file.getvalue())


def test_a_model_has_at_most_128_dimensions():
    texts = [f"word{n} word{n + 1} word{n + 2}" for n in range(300)]

    assert lsa.fit_lsa(texts).dimensions == 128


def test_texts_of_rare_words_are_not_alike_for_being_rare():
    chance = np.random.default_rng(0)
    words = [f"word{number}" for number in range(400)]
    texts = [" ".join(words[n] for n in chance.zipf(1.3, 60) % 400) for _ in range(400)]
    model = lsa.fit_lsa(texts)

    rows = model.embed(words[300:])

    cosines = rows @ rows.T
    assert abs(np.median(cosines[np.triu_indices(100, 1)])) < 0.1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_normalization_is_that_of_scikit_learn(dtype):
    rows = np.random.default_rng(0).standard_normal((9, 5)).astype(dtype)
    rows[3] = 0

    np.testing.assert_allclose(lsa.normalize_rows(rows), normalize(rows), atol=1e-6)
    matrix = lsa.normalize_matrix(csr_matrix(rows))
    np.testing.assert_allclose(matrix.toarray(), normalize(rows), atol=1e-6)
    assert matrix.dtype == dtype


def test_mapped_model_embeds_as_the_stored_one(tmp_path):
    model = lsa.fit_lsa(["graph neural network", "protein folding by graphs"])
    save_arrays(tmp_path / "model", model.to_arrays())

    mapped = lsa.from_arrays(load_arrays(tmp_path / "model"))

    assert mapped.version == model.version
    texts = ["graph folding", "", "unknown"]
    assert (mapped.embed(texts) == model.embed(texts)).all()
