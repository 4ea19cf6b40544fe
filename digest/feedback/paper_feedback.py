"""More like this, less like this: store a reader's opinion of a paper, and take it back."""

from typing import Literal

from accounts.models import Subscriber
from digest.follows import follow, unfollow
from digest.models import Digest, Follow, Interest, Paper

Verb = Literal["more", "less"]

# "More" is a hint and counts half of a chosen follow; "less" is a full mute.
WEIGHTS: dict[Verb, float] = {"more": 0.5, "less": -1.0}
# Of a paper that no interest chose: it never comes again, and ranking learns nothing from
# it, because it says nothing about what the reader follows.
FILLER_WEIGHT = 0.0


def store_opinion(digest: Digest, number: int, verb: Verb) -> Follow | None:
    """Make the reader follow or mute papers like pick `number`; the next selection reads it.

    None if there is no such pick, or if chosen papers use up the reader's limit of
    follows. Repeating it changes nothing; the last verb counts. A paper that
    the reader chose to follow keeps its weight.
    """
    candidate = digest.candidate_at(number)
    if candidate is None:
        return None
    reader, paper = digest.subscriber, candidate.paper
    if verb == "more" and (existing := chosen_follow(reader, paper)):
        return existing
    weight = WEIGHTS[verb]
    if verb == "less" and not digest.picks[number - 1].interest:
        weight = FILLER_WEIGHT
    return store_follow(reader, paper, weight) or (
        store_follow(reader, paper, weight) if delete_oldest_opinion(reader) else None
    )


def store_follow(reader: Subscriber, paper: Paper, weight: float) -> Follow | None:
    """Store the follow or mute; None if the reader has too many."""
    source = Follow.Source.FEEDBACK
    return follow(reader, Interest.Kind.PAPER, paper.identifier, weight, source)


def chosen_follow(reader: Subscriber, paper: Paper) -> Follow | None:
    return reader.follows.filter(
        source=Follow.Source.CHOSEN,
        weight__gt=0,
        interest__kind=Interest.Kind.PAPER,
        interest__value=paper.identifier,
    ).first()


def withdraw_opinion(digest: Digest, number: int) -> None:
    candidate = digest.candidate_at(number)
    if candidate is None:
        return
    opinions = digest.subscriber.follows.filter(
        source=Follow.Source.FEEDBACK,
        interest__kind=Interest.Kind.PAPER,
        interest__value=candidate.paper.identifier,
    )
    for opinion in opinions:
        unfollow(digest.subscriber, opinion.interest_id)


def delete_oldest_opinion(reader: Subscriber) -> bool:
    """Delete the oldest opinion, so that new ones still count; False if there is none."""
    opinions = reader.follows.filter(source=Follow.Source.FEEDBACK)
    oldest = opinions.order_by("created_at", "pk").first()
    if oldest is None:
        return False
    oldest.delete()
    return True
