"""Explain why a paper is in a digest; mails, pages and the admin all ask here."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from digest.models import Candidate, Interest, Paper, Pick, Topic
from digest.text.tokens import is_quotable, shared_phrases


@dataclass(frozen=True)
class Reason:
    """`text` is the line under a paper.

    `kind` is pinned, forgotten, the kind of the interest that is claimed, near, trend for a
    paper with votes or comments, or new for any other that fills the digest.
    """

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
        # Interests without followers are deleted; digests outlive them.
        reason = Reason("forgotten", "Matched what you followed then")
    else:
        reason = reason_for(candidate, interest, rows.names, pick.opened, pick.near)
    return ExplainedPick(number, candidate, interest, reason)


def load_pick_rows(picks: Iterable[Pick]) -> PickRows:
    """Read the rows that these picks name in four queries."""
    picks = list(picks)
    candidates = Candidate.objects.in_bulk({pick.candidate for pick in picks})
    interests = Interest.objects.in_bulk({p.interest for p in picks if p.interest})
    return PickRows(candidates, interests, load_names(list(interests.values())))


def load_names(interests: list[Interest]) -> dict[str, str]:
    """Read the names of the topics and papers among these interests, by value; two queries at most."""
    values = {
        kind: [i.value for i in interests if i.kind == kind]
        for kind in ("topic", "paper")
    }
    names = dict[str, str]()
    if values["topic"]:
        topics = Topic.objects.filter(slug__in=values["topic"])
        names |= topics.values_list("slug", "name")
    if values["paper"]:
        papers = Paper.objects.filter(identifier__in=values["paper"])
        rows = papers.only("identifier", "title", "corrected_title")
        names |= {paper.identifier: paper.display_title for paper in rows}
    return names


def display_name(interest: Interest, names: dict[str, str]) -> str:
    """Return a topic's name or a paper's title; other interests are their own names."""
    if interest.kind in (Interest.Kind.TOPIC, Interest.Kind.PAPER):
        return names.get(interest.value, interest.value)
    return interest.value


def reason_for(
    candidate: Candidate,
    interest: Interest | None,
    names: dict[str, str],
    opened: bool = False,
    near: bool = False,
) -> Reason:
    """Give the reason for a candidate: an editor's pin, else the winning interest, else its trend.

    Words in quotation marks stand in the paper. `opened` marks a paper that the reader only
    opened, `near` an interest that the paper is close to without matching it.
    """
    card = candidate.card
    if candidate.pin:
        return Reason("pinned", "Picked by the editors")
    if interest is None:
        return trend_reason(card)
    text = f"{card['title']}. {card['abstract']}"
    name = display_name(interest, names)
    if near:
        return Reason("near", near_text(interest, name, text, opened))
    return Reason(interest.kind, match_text(interest, name, text, opened))


def trend_reason(card: dict[str, Any]) -> Reason:
    """Describe a paper that no interest chose."""
    counts = [(card["votes"], "vote"), (card["comments"], "comment")]
    attention = " and ".join(count_text(n, noun) for n, noun in counts if n)
    if attention:
        return Reason("trend", f"Trending: {attention}")
    return Reason("new", f"New in {card['primary']}" if card["primary"] else "New")


def filler_heading(kinds: Collection[str], has_matches: bool) -> str:
    """Name a section of papers that no interest chose: trending only where they all are."""
    if set(kinds) == {"trend"}:
        heading = "Trending"
    else:
        heading = "New" if set(kinds) == {"new"} else "Trending or new"
    return f"Also {heading.lower()}" if has_matches else heading


def count_text(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def match_text(interest: Interest, name: str, text: str, opened: bool = False) -> str:
    """Say how a paper's `text` matches an interest called `name`."""
    match interest.kind:
        case Interest.Kind.TOPIC:
            # Also true on the front page, for visitors who follow nothing yet.
            return f"Matches your topic {name}"
        case Interest.Kind.CATEGORY:
            return f"Because you follow {name}"
        case Interest.Kind.KEYWORD:
            return f"Matches your keyword{named(name, text)}"
        case Interest.Kind.AUTHOR:
            return f"By {name}, whom you follow"
        case Interest.Kind.PAPER:
            return f"Similar to a paper you {opened_or_liked(opened)}: {name}"
        case _:
            return f"Close to your search{named(name, text)}"


def near_text(interest: Interest, name: str, text: str, opened: bool = False) -> str:
    """Say what a paper that is only close to an interest has to do with it."""
    match interest.kind:
        case Interest.Kind.TOPIC:
            return f"Close to your topic {name}"
        case Interest.Kind.KEYWORD:
            return f"Mentions your keyword{named(name, text)}"
        case Interest.Kind.AUTHOR:
            return f"Perhaps by {name}, whom you follow"
        case Interest.Kind.PAPER:
            return f"Related to a paper you {opened_or_liked(opened)}: {name}"
        case Interest.Kind.SEARCH:
            phrases = shared_phrases(name, text)
            if not phrases:
                return f"Near your search: {name}"
            quoted = " and ".join(f"“{phrase}”" for phrase in phrases)
            return f"Shares {quoted} with your search"
        case _:
            return f"Close to {name}, which you follow"


def named(phrase: str, text: str) -> str:
    """Put a phrase in quotation marks only where it stands in the text."""
    return f" “{phrase}”" if is_quotable(phrase, text) else f": {phrase}"


def opened_or_liked(opened: bool) -> str:
    return "opened" if opened else "liked"
