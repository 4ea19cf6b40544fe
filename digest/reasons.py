"""Why a paper is in a digest, in words that are true."""

from dataclasses import dataclass
from typing import Any

from digest.models import Candidate, Interest, Paper, Topic
from digest.text.tokens import contains, shared, spellings


@dataclass(frozen=True)
class Reason:
    """`text` completes the line under a paper; `kind` is pinned, trend, or the interest's kind."""

    kind: str
    text: str


def trend_words(card: dict[str, Any]) -> str:
    """What is known of a paper that no interest chose."""
    votes, comments = card["votes"], card["comments"]
    if votes:
        talk = (
            f" and {comments} comment{'s' if comments > 1 else ''}" if comments else ""
        )
        return f"Trending: {votes} vote{'s' if votes > 1 else ''}{talk}"
    return (
        f"Among the most promising in {card['primary']}"
        if card["primary"]
        else "Among the most promising today"
    )


def interest_words(
    interest: Interest, text: str, names: dict[str, str], opened: bool = False
) -> str:
    """What was followed, and how far the paper's `text` is that.

    `names` maps the values of topics and papers to their names. `opened`: a paper that
    the reader only opened.
    """
    shown = names.get(interest.value, interest.value)
    match interest.kind:
        case Interest.Kind.TOPIC:
            return f"Because you follow {shown}"
        case Interest.Kind.CATEGORY:
            return f"Because you follow {shown}"
        case Interest.Kind.KEYWORD:
            return keyword_words(shown, text)
        case Interest.Kind.AUTHOR:
            return f"By {shown}, whom you follow"
        case Interest.Kind.PAPER:
            return f"Similar to “{shown}”, which you {'opened' if opened else 'liked'}"
        case _:
            return search_words(shown, text)


def keyword_words(keyword: str, text: str) -> str:
    if contains(spellings(text), spellings(keyword)):
        return f"Matches your keyword “{keyword}”"
    return f"Has the words of your keyword “{keyword}”, apart"


def search_words(search: str, text: str) -> str:
    """A paper that lacks words of a search is not called close to the whole of it."""
    found, complete = shared(search, text)
    if complete:
        return f"Close to your search “{search}”"
    if not found:
        return f"Near in meaning to your search “{search}”"
    quoted = " and ".join(f"“{run}”" for run in found)
    words = "word" if len(" ".join(found).split()) == 1 else "words"
    return f"Shares the {words} {quoted} with your search"


def reason(
    candidate: Candidate,
    interest: Interest | None,
    names: dict[str, str],
    opened: bool = False,
) -> Reason:
    """Why this candidate: an editor's pin first, then the winning interest, else its trend."""
    if candidate.pin:
        return Reason("pinned", "Picked by the editors")
    if interest is None:
        return Reason("trend", trend_words(candidate.card))
    text = f"{candidate.card['title']}. {candidate.card['abstract']}"
    return Reason(interest.kind, interest_words(interest, text, names, opened))


def names_of(interests: list[Interest]) -> dict[str, str]:
    """Names of the topics and papers among these interests, by value; two queries."""
    values = {
        kind: [i.value for i in interests if i.kind == kind]
        for kind in ("topic", "paper")
    }
    topics = dict(
        Topic.objects.filter(slug__in=values["topic"]).values_list("slug", "name")
    )
    papers = Paper.objects.filter(identifier__in=values["paper"]).values_list(
        "identifier", "title"
    )
    return topics | dict(papers)
