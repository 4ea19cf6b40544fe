"""More like this, less like this: what a reader says of a paper, and how to take it back."""

from typing import Literal

from accounts.models import Subscriber
from digest.feedback.picked import picked
from digest.follows import follow, unfollow
from digest.models import Digest, Follow, Interest, Paper

Verb = Literal["more", "less"]

# One press is a hint, not a wish: half of what a reader chose counts. Less is a mute,
# as strong as any.
WEIGHTS: dict[Verb, float] = {"more": 0.5, "less": -1.0}


def say(digest: Digest, number: int, verb: Verb) -> Follow | None:
    """Make the reader follow or mute papers like pick `number`; tomorrow's selection reads it.

    None where there is no such pick, or the reader chose so many papers that no room is
    left. Saying it twice is the same; the later verb counts. A paper that they chose
    themselves is more than a hint already, and stays what it is.
    """
    candidate = picked(digest, number)
    if candidate is None:
        return None
    reader, paper = digest.subscriber, candidate.paper
    if verb == "more" and (held := chosen(reader, paper)):
        return held
    return hint(reader, paper, verb) or (
        hint(reader, paper, verb) if make_room(reader) else None
    )


def hint(reader: Subscriber, paper: Paper, verb: Verb) -> Follow | None:
    """Store the stance; None where the reader has no room."""
    weight, source = WEIGHTS[verb], Follow.Source.FEEDBACK
    return follow(reader, Interest.Kind.PAPER, paper.identifier, weight, source)


def chosen(reader: Subscriber, paper: Paper) -> Follow | None:
    """The reader's own wish for papers like this one, if they chose it and did not only press."""
    return reader.follows.filter(
        source=Follow.Source.CHOSEN,
        weight__gt=0,
        interest__kind=Interest.Kind.PAPER,
        interest__value=paper.identifier,
    ).first()


def unsay(digest: Digest, number: int) -> None:
    """Take back what the reader said of pick `number`, if they did."""
    candidate = picked(digest, number)
    if candidate is None:
        return
    said = digest.subscriber.follows.filter(
        source=Follow.Source.FEEDBACK,
        interest__kind=Interest.Kind.PAPER,
        interest__value=candidate.paper.identifier,
    )
    for stance in said:
        unfollow(digest.subscriber, stance.interest_id)


def make_room(reader: Subscriber) -> bool:
    """Forget the oldest hint of a reader who has no room, or hints would stop counting silently; False if none is left."""
    hints = reader.follows.filter(source=Follow.Source.FEEDBACK)
    oldest = hints.order_by("created_at", "pk").first()
    if oldest is None:
        return False
    oldest.delete()
    return True
