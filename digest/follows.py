"""How readers come to follow and to mute: every value is cleaned and bounded here, whoever sent it."""

import re
from collections.abc import Collection, Iterable
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from accounts.models import Subscriber
from digest.models import Follow, Interest, Paper, Topic

Kind = Interest.Kind

# More than sixty topics, words and names is a form filled by a program.
LIMIT = 60
# Example papers come from libraries: many, and they must not crowd out the topics.
EXAMPLES = 300
# arXiv's longest category is 18 characters: "astro-ph.CO", "cond-mat.mtrl-sci".
CATEGORY = re.compile(r"[a-z][a-z-]{1,16}(\.[A-Za-z-]{2,12})?")
LENGTHS = {Kind.KEYWORD: 80, Kind.AUTHOR: 80, Kind.SEARCH: 250}


def clean(kind: str, raw: str) -> str:
    """The stored form of what somebody wants to follow, or "" where it is no such thing."""
    value = " ".join("".join(c if c.isprintable() else " " for c in raw).split())
    match kind:
        case Kind.TOPIC:
            return value if Topic.objects.filter(slug=value).exists() else ""
        case Kind.PAPER:
            return value if Paper.objects.filter(identifier=value).exists() else ""
        case Kind.CATEGORY:
            return category(value)
        case Kind.KEYWORD | Kind.AUTHOR | Kind.SEARCH:
            fits = len(value) <= LENGTHS[Kind(kind)] and any(c.isalnum() for c in value)
            return (value.lower() if kind == Kind.KEYWORD else value) if fits else ""
        case _:
            return ""


def category(typed: str) -> str:
    """A category as arXiv writes it, however it was typed; "" where it is none.

    Classes of two letters are upper case (cs.LG), longer ones lower case (physics.optics).
    """
    archive, dot, subject = typed.lower().removesuffix(".*").partition(".")
    value = f"{archive}{dot}{subject.upper() if len(subject) == 2 else subject}"
    return value if CATEGORY.fullmatch(value) else ""


def held() -> QuerySet[Interest]:
    """Interests whose rows stay until the transaction ends: at night those that nobody follows go."""
    return Interest.objects.select_for_update(no_key=True)


def hold_papers(identifiers: Collection[str]) -> list[Interest]:
    """The interests in these papers, by id, made where there is none and held.

    Twice at most: one that was there may be gone by the time that it could be held.
    """
    made = [Interest(kind=Kind.PAPER, value=one) for one in sorted(set(identifiers))]
    rows = held().filter(kind=Kind.PAPER, value__in=identifiers).order_by("pk")
    for _ in range(2):
        Interest.objects.bulk_create(made, ignore_conflicts=True)
        if len(found := list(rows.all())) == len(made):
            break
    return found


@transaction.atomic
def follow(
    subscriber: Subscriber,
    kind: str,
    raw: str,
    weight: float = 1.0,
    source: str = Follow.Source.CHOSEN,
) -> Follow | None:
    """Make this the reader's stance to an interest; None when it is no interest or they have too many."""
    value = clean(kind, raw)
    known = subscriber.follows.filter(interest__kind=kind, interest__value=value)
    if not value or (not known.exists() and room(subscriber, kind) < 1):
        return None
    interest, _ = held().get_or_create(kind=kind, value=value)
    stance, _ = Follow.objects.update_or_create(
        subscriber=subscriber,
        interest=interest,
        defaults={"weight": weight, "source": source},
    )
    return stance


def room(subscriber: Subscriber, kind: str) -> int:
    """How many more interests of this kind a reader may have; papers they only opened take none."""
    taken = subscriber.follows.exclude(source=Follow.Source.OPENED)
    if kind == Kind.PAPER:
        return EXAMPLES - taken.filter(interest__kind=kind).count()
    return LIMIT - taken.exclude(interest__kind=Kind.PAPER).count()


def follow_papers(subscriber: Subscriber, identifiers: Iterable[str]) -> list[str]:
    """Make these papers the reader's examples, in this order while there is room.

    Returns those that they follow now. Papers that we do not know are left out, and so
    are those of which the reader said "less like this": a list says less than a press.
    """
    asked = list(dict.fromkeys(identifiers))
    known = Paper.objects.filter(identifier__in=asked)
    here = set(known.values_list("identifier", flat=True))
    weights = dict(
        subscriber.follows.filter(interest__kind=Kind.PAPER)
        .exclude(source=Follow.Source.OPENED)
        .values_list("interest__value", "weight")
    )
    left = max(room(subscriber, Kind.PAPER), 0)
    new = [one for one in asked if one in here and one not in weights][:left]
    held = [one for one in asked if weights.get(one, -1) > 0 and one in here]
    _choose(subscriber, {*new, *held})
    return [one for one in asked if one in {*new, *held}]


@transaction.atomic
def _choose(subscriber: Subscriber, identifiers: Collection[str]) -> None:
    """Three queries however many."""
    rows = hold_papers(identifiers)
    Follow.objects.bulk_create(
        [Follow(subscriber=subscriber, interest=row, weight=1.0) for row in rows],
        update_conflicts=True,
        unique_fields=["subscriber", "interest"],
        update_fields=["weight", "source"],
    )


def unfollow_papers(subscriber: Subscriber) -> int:
    """Follow no example paper any more; how many they were.

    What they want less of stays, and what they only opened.
    """
    liked = subscriber.follows.filter(interest__kind=Kind.PAPER, weight__gt=0)
    return liked.exclude(source=Follow.Source.OPENED).delete()[0]


def unfollow_paper(subscriber: Subscriber, identifier: str) -> bool:
    """Follow this example paper no more; False where they did not."""
    value = "".join(sign for sign in identifier if sign.isprintable())
    mine = subscriber.follows.filter(interest__kind=Kind.PAPER, interest__value=value)
    return mine.filter(weight__gt=0).delete()[0] > 0


def unfollow(subscriber: Subscriber, interest_id: int) -> None:
    """Neither follow nor mute this any more."""
    subscriber.follows.filter(interest_id=interest_id).delete()


def read_wishes(requested_interests: Any) -> list[tuple[str, str]]:
    """What a sign-up form asked for: "kind:value" strings from a stranger, at most LIMIT."""
    if not isinstance(requested_interests, list):
        return []
    pairs = [
        wish.partition(":")
        for wish in requested_interests[:LIMIT]
        if isinstance(wish, str)
    ]
    return [(kind, value) for kind, _, value in pairs if kind in Kind.values]


def interests(requested_interests: Any) -> list[Interest]:
    """Wishes as interests that are not stored: for a preview without an account."""
    cleaned = [
        (kind, clean(kind, value)) for kind, value in read_wishes(requested_interests)
    ]
    return [Interest(kind=kind, value=value) for kind, value in cleaned if value]


def follow_wishes(subscriber: Subscriber, requested_interests: Any) -> None:
    """Follow whatever of these requested_interests is an interest."""
    for kind, value in read_wishes(requested_interests):
        follow(subscriber, kind, value)
