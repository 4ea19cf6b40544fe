"""Tokens: which words are equal, and where a phrase matches."""

import pytest

from digest.text.tokens import (
    contains_phrase,
    content_words,
    shared_phrases,
    spelling_variants,
    tokenize,
    unigrams_and_bigrams,
)


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
def test_contains_phrase_ignores_spelling(text, phrase):
    assert contains_phrase(spelling_variants(text), spelling_variants(phrase))


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
def test_contains_phrase_needs_the_same_words(text, phrase):
    assert not contains_phrase(spelling_variants(text), spelling_variants(phrase))


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
        ("deep learning", (["deep learning"], True)),
        ("“Deep learning”, of storks", (["Deep learning of storks"], True)),
        ("deep fakes of storks", (["deep", "storks"], False)),
        ("learning and detecting storks", (["learning", "storks"], False)),
        ("pre-training", (["pre-training"], True)),
        ("the of", ([], True)),
        ("quanta", ([], False)),
    ],
)
def test_shared_phrases_are_runs_of_the_query(query, expected):
    assert shared_phrases(query, "Deep Learning with pretraining: a stork") == expected
