"""Reasons say what is true, quote only what stands in the paper, and outlive their interests."""

import struct

import pytest

from digest.mailer import compose
from digest.models import Candidate, Digest, Interest, Pick, decode_picks, encode_picks
from digest.reasons import explain_picks, load_names, reason_for
from tests import make

SEARCH = "machine translation of low-resource languages"


def reason(kind, value, text="", names=None, **card):
    card = {"title": text, "abstract": "", "votes": 0, "comments": 0, **card}
    flags = {name: card.pop(name) for name in ("near", "opened") if name in card}
    interest = Interest(kind=kind, value=value) if kind else None
    return reason_for(Candidate(card=card), interest, names or {}, **flags)


@pytest.mark.parametrize(
    ("kind", "value", "text", "near", "expected"),
    [
        ("topic", "birds", "", False, "Matches your topic Birds"),
        ("topic", "birds", "", True, "Close to your topic Birds"),
        ("category", "cs.CL", "", False, "Because you follow cs.CL"),
        ("author", "Ada Ruiz", "", False, "By Ada Ruiz, whom you follow"),
        ("author", "Ada Ruiz", "", True, "Perhaps by Ada Ruiz, whom you follow"),
        ("paper", "1", "", False, "Similar to a paper you liked: Rounding"),
        ("paper", "1", "", True, "Related to a paper you liked: Rounding"),
        (
            *("keyword", "video diffusion", "Video-diffusions at night", False),
            "Matches your keyword “video diffusion”",
        ),
        (
            *("keyword", "video diffusion", "A video-diffusion", True),
            "Mentions your keyword “video diffusion”",
        ),
        (
            "search",
            "old storks",
            "On old storks",
            False,
            "Close to your search “old storks”",
        ),
        (
            "search",
            SEARCH,
            "Machine translation",
            False,
            f"Close to your search: {SEARCH}",
        ),
        (
            *("search", SEARCH, "Entities in low-resource languages", True),
            "Shares “low-resource languages” with your search",
        ),
        (
            "search",
            SEARCH,
            "A machine for languages",
            True,
            f"Near your search: {SEARCH}",
        ),
    ],
)
def test_reason_of_each_kind(kind, value, text, near, expected):
    names = {"birds": "Birds", "1": "Rounding"}

    result = reason(kind, value, text, names, near=near)

    assert result.text == expected
    assert result.kind == ("near" if near else kind)


def test_opened_paper_is_not_called_liked():
    result = reason("paper", "1", names={"1": "Rounding"}, opened=True)

    assert result.text == "Similar to a paper you opened: Rounding"


@pytest.mark.parametrize(
    ("votes", "comments", "primary", "expected"),
    [
        (5, 0, "cs.CL", ("trend", "Trending: 5 votes")),
        (1, 2, "cs.CL", ("trend", "Trending: 1 vote and 2 comments")),
        (0, 0, "cs.CL", ("new", "New in cs.CL")),
        (0, 0, "", ("new", "New")),
    ],
)
def test_paper_without_attention_is_called_new(votes, comments, primary, expected):
    result = reason(None, "", votes=votes, comments=comments, primary=primary)

    assert (result.kind, result.text) == expected


@pytest.mark.django_db
def test_interest_that_was_deleted_is_not_called_trending():
    candidate = make.candidate(make.edition(papers=0))

    (pick,) = explain_picks([Pick(candidate.pk, 2**20)])

    assert pick.reason.kind == "forgotten"


def test_picks_round_trip():
    picks = [Pick(7, 0), Pick(2**32 - 1, 2**32 - 1), Pick(8, 5, opened=True, near=True)]

    column = encode_picks(picks)

    assert decode_picks(column) == picks
    assert len(column) == 27


def test_interest_id_that_does_not_fit_raises():
    with pytest.raises(struct.error):
        encode_picks([Pick(1, 2**32)])


@pytest.mark.django_db
def test_sent_mail_says_opened_after_its_reader_liked_the_paper(ada):
    old = make.paper("Storks of the delta")
    interest = make.interest("paper", old.identifier)
    edition = make.frozen(make.edition(papers=1))
    picks = [(edition.candidates.get().pk, interest.pk, True)]
    digest = make.digest(make.batch(edition, [ada]), ada, picks)
    before = compose.compose_digest(digest)
    ada.follows.create(interest=interest, source="feedback")

    after = compose.compose_digest(Digest.objects.get())

    for body in (after.text, after.html):
        assert "a paper you opened" in " ".join(body.split())
    assert (after.text, after.html) == (before.text, before.html)


@pytest.mark.django_db
def test_liked_paper_is_named_as_an_editor_corrected_it():
    paper = make.paper("Storks adn wetlands", corrected_title="Storks and wetlands")

    names = load_names([Interest(kind="paper", value=paper.identifier)])

    assert names == {paper.identifier: "Storks and wetlands"}
