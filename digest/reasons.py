"""Explain why a paper is in a digest; mails, pages and the admin all ask here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from digest.models import Candidate, Interest, Paper, Pick, Topic
from digest.text.tokens import contains_phrase, shared_phrases, spelling_variants


@dataclass(frozen=True)
class Reason:
    """`kind` is pinned, trend, forgotten or the interest's kind; `text` is the line under a paper."""

    kind: str
    text: str


@dataclass(frozen=True)
class PickRows:
    """The rows that picks name: candidates and interests by id, names of topics and papers by value."""

    candidates: dict[int, Candidate]
    interests: dict[int, Interest]
    names: dict[str, str]


@dataclass(frozen=True)
class ExplainedPick:
    """A pick with its rows; `number` counts from 1, as the links of a mail do."""

    number: int
    candidate: Candidate
    interest: Interest | None
    reason: Reason


def explain_picks(
    picks: Sequence[Pick], rows: PickRows | None = None
) -> list[ExplainedPick]:
    """Explain each pick whose candidate still exists; `rows` saves four queries."""
    rows = rows or load_pick_rows(picks)
    return [
        explain_pick(number, pick, rows)
        for number, pick in enumerate(picks, start=1)
        if pick.candidate in rows.candidates
    ]


def explain_pick(number: int, pick: Pick, rows: PickRows) -> ExplainedPick:
    candidate = rows.candidates[pick.candidate]
    interest = rows.interests.get(pick.interest)
    if pick.interest and interest is None and not candidate.pin:
        # An interest that nobody follows any more is deleted; digests outlive it.
        reason = Reason("forgotten", "Matched what you followed then")
    else:
        reason = reason_for(candidate, interest, rows.names, pick.opened)
    return ExplainedPick(number, candidate, interest, reason)


def load_pick_rows(picks: Iterable[Pick]) -> PickRows:
    """Read the rows that these picks name in four queries."""
    picks = list(picks)
    candidates = Candidate.objects.in_bulk({pick.candidate for pick in picks})
    interests = Interest.objects.in_bulk({p.interest for p in picks if p.interest})
    return PickRows(candidates, interests, load_names(list(interests.values())))


def load_names(interests: list[Interest]) -> dict[str, str]:
    """Read the names of the topics and papers among these interests, by value; two queries."""
    values = {
        kind: [i.value for i in interests if i.kind == kind]
        for kind in ("topic", "paper")
    }
    topics = Topic.objects.filter(slug__in=values["topic"])
    papers = Paper.objects.filter(identifier__in=values["paper"])
    return {
        **dict(topics.values_list("slug", "name")),
        **dict(papers.values_list("identifier", "title")),
    }


def reason_for(
    candidate: Candidate,
    interest: Interest | None,
    names: dict[str, str],
    opened: bool = False,
) -> Reason:
    """Give the reason for a candidate: an editor's pin, else the winning interest, else its trend."""
    if candidate.pin:
        return Reason("pinned", "Picked by the editors")
    if interest is None:
        return Reason("trend", trend_text(candidate.card))
    text = f"{candidate.card['title']}. {candidate.card['abstract']}"
    return Reason(interest.kind, interest_text(interest, text, names, opened))


def trend_text(card: dict[str, Any]) -> str:
    """Describe the attention of a paper that no interest claims."""
    votes, comments = card["votes"], card["comments"]
    if votes:
        discussion = f" and {count_text(comments, 'comment')}" if comments else ""
        return f"Trending: {count_text(votes, 'vote')}{discussion}"
    return (
        f"Among the most promising in {card['primary']}"
        if card["primary"]
        else "Among the most promising today"
    )


def count_text(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def interest_text(
    interest: Interest, text: str, names: dict[str, str], opened: bool = False
) -> str:
    """Say how a paper's `text` matches an interest; `opened` marks a paper that the reader only opened."""
    name = names.get(interest.value, interest.value)
    match interest.kind:
        case Interest.Kind.TOPIC | Interest.Kind.CATEGORY:
            return f"Because you follow {name}"
        case Interest.Kind.KEYWORD:
            return keyword_text(name, text)
        case Interest.Kind.AUTHOR:
            return f"By {name}, whom you follow"
        case Interest.Kind.PAPER:
            return f"Similar to “{name}”, which you {'opened' if opened else 'liked'}"
        case _:
            return search_text(name, text)


def keyword_text(keyword: str, text: str) -> str:
    if contains_phrase(spelling_variants(text), spelling_variants(keyword)):
        return f"Matches your keyword “{keyword}”"
    return f"Has the words of your keyword “{keyword}”, apart"


def search_text(search: str, text: str) -> str:
    """Name the words that a paper shares with a search, where it lacks some of them."""
    runs, complete = shared_phrases(search, text)
    if complete:
        return f"Close to your search “{search}”"
    if not runs:
        return f"Near in meaning to your search “{search}”"
    quoted = " and ".join(f"“{run}”" for run in runs)
    words = "word" if len(" ".join(runs).split()) == 1 else "words"
    return f"Shares the {words} {quoted} with your search"
