"""Words: what is the same word, and where a phrase stands."""

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
        ("theories of mind", "theory"),
        ("“quantization”, at last", "Quantization"),
    ],
)
def test_a_phrase_is_found_whatever_its_spelling(text, phrase):
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
def test_another_word_is_not_found(text, phrase):
    assert not contains_phrase(spelling_variants(text), spelling_variants(phrase))


def test_tokens_keep_their_order_and_lose_their_plural():
    assert tokenize("Studies of GANs: bias, gas & Gauss") == [
        "study",
        "of",
        "gan",
        "bias",
        "gas",
        "gauss",
    ]


def test_words_leave_out_what_carries_no_meaning():
    assert content_words("We show that the model x is better") == ["model", "better"]


def test_pairs_follow_their_words():
    assert unigrams_and_bigrams("graph neural networks") == [
        *("graph", "neural", "network"),
        *("graph neural", "neural network"),
    ]


@pytest.mark.parametrize(
    ("query", "found"),
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
def test_the_words_shared_with_a_text_are_told_in_runs(query, found):
    assert shared_phrases(query, "Deep Learning with pretraining: a stork") == found
