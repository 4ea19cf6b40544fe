"""Tokens: which words are equal, and where a phrase matches."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.text.tokens import (
    _LETTERS,
    content_words,
    count_matches,
    fold_text,
    is_one_edit_apart,
    is_quotable,
    phrase_pattern,
    shared_phrases,
    spelling_variants,
    split_at_stop_words,
    tokenize,
    unigrams_and_bigrams,
)


def count_phrases(text, *phrases):
    pattern = phrase_pattern([spelling_variants(phrase) for phrase in phrases])
    return count_matches(pattern, spelling_variants(text))


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("We propose Post-Training Quantization", "post-training quantization"),
        ("We propose post training quantization", "post-training quantization"),
        ("a study of pre-training", "pretraining"),
        ("a study of pretraining", "pre-training"),
        ("Large language models are", "large language model"),
        ("the Schrödinger equation", "schrodinger"),
        ("bindings for C++ programs", "C++"),
        ("Łukasiewicz logic", "lukasiewicz"),
        ("Nørlund sums", "norlund"),
        ("post\u2013training of models", "post-training"),
        ("Strauß sets", "strauss"),
        ("theories of mind", "theory"),
        ("“quantization”, at last", "Quantization"),
    ],
)
def test_phrase_matches_in_other_spellings(text, phrase):
    assert count_phrases(text, phrase) == 1


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("dequantization is hard", "quantization"),
        ("a quantized model", "quantization"),
        ("the C language", "C++"),
        ("a new method", "news"),
        ("model language", "language model"),
        ("anything", ""),
        ("anything", "?!"),
    ],
)
def test_phrase_matches_the_same_words_only(text, phrase):
    assert count_phrases(text, phrase) == 0


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Retrieval-augmented generation (RAG) helps.", 1),
        ("Retrieval-augmented generation (RAG): RAG helps.", 1),
        ("Retrieval-augmented generation (RAG) helps; we study RAG.", 2),
        ("Retrieval helps. So does retrieval-augmented generation.", 2),
        ("Dense retrievers and generation.", 0),
    ],
)
def test_phrase_within_or_right_after_another_is_one_mention(text, count):
    phrases = ["retrieval-augmented generation", "RAG", "retrieval"]

    assert count_phrases(text, *phrases) == count


@pytest.mark.parametrize(
    ("query", "parts"),
    [
        (
            "machine translation of low-resource languages",
            ["machine translation", "low-resource languages"],
        ),
        ("bias and fairness in faces", ["bias and fairness", "faces"]),
        ("the deepfakes", ["deepfakes"]),
        ("of the", []),
        ("", []),
    ],
)
def test_query_is_split_at_stop_words_but_not_at_and(query, parts):
    assert split_at_stop_words(query) == parts


def test_tokenize_keeps_order_and_strips_plurals():
    assert tokenize("Studies of GANs: bias, gas & Gauss") == [
        "study",
        "of",
        "gan",
        "bias",
        "gas",
        "gauss",
    ]


def test_content_words_drop_stop_words():
    assert content_words("We show that the model x is better") == ["model", "better"]


def test_bigrams_follow_unigrams():
    assert unigrams_and_bigrams("graph neural networks") == [
        *("graph", "neural", "network"),
        *("graph neural", "neural network"),
    ]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("deep learning", ["deep learning"]),
        ("Deep learning of storks", ["Deep learning"]),
        ("deep storks", []),
        ("learning with pre-training", ["learning with pre-training"]),
        ("of the", []),
        ("quanta", []),
    ],
)
def test_shared_phrases_stand_contiguously_in_the_text(query, expected):
    text = "Deep Learning with pretraining: a stork"

    assert shared_phrases(query, text) == expected


@pytest.mark.parametrize(
    ("phrase", "text", "expected"),
    [
        ("video diffusion", "Video-diffusions at night", True),
        ("study", "Two studies", True),
        ("codes and channel", "codes. And channels", False),
        ("large model", "largest model", False),
        ("quantisation", "quantization", False),
        ("", "quantization", False),
    ],
)
def test_only_words_that_stand_in_the_text_are_quotable(phrase, text, expected):
    assert is_quotable(phrase, text) is expected


@pytest.mark.parametrize(
    ("british", "american"),
    [
        ("quantisation", "quantization"),
        ("analyses of optimisers", "analyses of optimizers"),
        ("colour modelling", "color modeling"),
        ("neighbourhood centres", "neighborhood centers"),
        ("dialogue", "dialog"),
    ],
)
def test_british_and_american_spellings_are_equal_tokens(british, american):
    assert tokenize(british) == tokenize(american)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("quantizaton", "quantization", True),
        ("quantizattion", "quantization", True),
        ("quantizetion", "quantization", True),
        ("qauntization", "quantization", True),
        ("quantizatoin", "quantization", True),
        ("quantization", "quantization", False),
        ("quantize", "quantization", False),
        ("casual", "causal", True),
        ("abcd", "badc", False),
        ("", "a", True),
    ],
)
def test_words_are_one_edit_apart(first, second, expected):
    assert is_one_edit_apart(first, second) is expected
    assert is_one_edit_apart(second, first) is expected


@given(st.text(max_size=60))
def test_folding_runs_of_characters_folds_each_of_them(text):
    folded = text.casefold().translate(_LETTERS)
    decomposed = unicodedata.normalize("NFKD", folded)
    plain = "".join(char for char in decomposed if not unicodedata.combining(char))

    assert fold_text(text) == (text.lower() if text.isascii() else plain)
