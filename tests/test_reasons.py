"""Why a paper is there: words that are true, and stay so after the mail was sent."""

import struct

import pytest

from digest.mailer import compose
from digest.models import Digest, Interest, Pick, decode_picks, encode_picks
from digest.reasons import interest_text
from tests import make


def test_what_was_opened_is_not_said_to_be_liked():
    paper = Interest(kind="paper", value="2611.00001")
    names = {"2611.00001": "Rounding"}

    assert interest_text(paper, "", names) == "Similar to “Rounding”, which you liked"
    assert (
        interest_text(paper, "", names, opened=True)
        == "Similar to “Rounding”, which you opened"
    )


SEARCH = "machine translation of low-resource languages"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "Machine translation for a low resource language",
            f"Close to your search “{SEARCH}”",
        ),
        (
            "Named entities in low-resource languages",
            "Shares the words “low-resource languages” with your search",
        ),
        (
            "A machine for languages",
            "Shares the words “machine” and “languages” with your search",
        ),
        ("A machine", "Shares the word “machine” with your search"),
        (
            "Uebersetzung wenig belegter Sprachen",
            f"Near in meaning to your search “{SEARCH}”",
        ),
    ],
)
def test_a_paper_is_not_called_close_to_words_that_it_lacks(text, said):
    assert interest_text(Interest(kind="search", value=SEARCH), text, {}) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Video-diffusion at night", "Matches your keyword “video diffusion”"),
        (
            "Diffusion of sound in video",
            "Has the words of your keyword “video diffusion”, apart",
        ),
    ],
)
def test_a_keyword_whose_words_stand_apart_is_not_said_to_match(text, said):
    keyword = Interest(kind="keyword", value="video diffusion")

    assert interest_text(keyword, text, {}) == said


def test_picks_are_read_as_they_were_written():
    picks = [Pick(7, 0), Pick(2**32 - 1, 2**31 - 1), Pick(8, 5, opened=True)]

    column = encode_picks(picks)

    assert decode_picks(column) == picks
    assert len(column) == 24


def test_an_interest_that_does_not_fit_is_refused_not_cut():
    with pytest.raises(struct.error):
        encode_picks([Pick(1, 2**31)])


@pytest.mark.django_db
def test_a_mail_says_opened_even_after_its_reader_liked_the_paper(ada):
    old = make.paper("Storks of the delta")
    interest = make.interest("paper", old.identifier)
    edition = make.frozen(make.edition(papers=1))
    picks = [(edition.candidates.get().pk, interest.pk, True)]
    digest = make.digest(make.batch(edition, [ada]), ada, picks)
    before = compose.compose_digest(digest)
    ada.follows.create(interest=interest, source="feedback")

    after = compose.compose_digest(Digest.objects.get())

    for body in (after.text, after.html):
        assert "which you opened" in " ".join(body.split())
    assert (after.text, after.html) == (before.text, before.html)
