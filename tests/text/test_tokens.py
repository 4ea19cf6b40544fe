"""Tokens: which words are equal, and where a phrase matches."""

import pytest

from digest.text.tokens import (
    contains_phrase,
    content_words,
    is_quotable,
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
