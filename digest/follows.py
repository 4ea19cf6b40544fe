"""Follow and mute interests: every value is cleaned and bounded here, whatever form sent it."""

import re
from collections.abc import Collection, Iterable
from typing import Any

from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery

from accounts.models import Subscriber
from digest.models import Candidate, Edition, Follow, Interest, Paper, Topic

Kind = Interest.Kind

# More than sixty topics, words and names is a form filled by a program.
MAX_INTERESTS = 60
# Example papers come from libraries: many, and they must not crowd out the topics.
MAX_EXAMPLE_PAPERS = 300
# arXiv's longest category is 18 characters: "astro-ph.CO", "cond-mat.mtrl-sci".
CATEGORY_PATTERN = re.compile(r"[a-z][a-z-]{1,16}(\.[A-Za-z-]{2,12})?")
# Longer words all in capitals are emphasis, not abbreviations.
MAX_ABBREVIATION_LETTERS = 6
MAX_LENGTHS = {Kind.KEYWORD: 80, Kind.AUTHOR: 80, Kind.SEARCH: 250}


def clean_value(kind: str, raw: str) -> str:
    """Return the stored form of an interest, or "" where the value is not valid."""
    value = " ".join("".join(c if c.isprintable() else " " for c in raw).split())
    match kind:
        case Kind.TOPIC:
            topics = Topic.objects.filter(slug=value)
            slugs = topics.values_list("slug", "merged_into__slug").first() or ("", "")
            return slugs[1] or slugs[0]
        case Kind.PAPER:
            return value if Paper.objects.filter(identifier=value).exists() else ""
        case Kind.CATEGORY:
            return normalize_category(value)
        case Kind.KEYWORD | Kind.AUTHOR | Kind.SEARCH:
            fits = len(value) <= MAX_LENGTHS[Kind(kind)]
            valid = fits and any(c.isalnum() for c in value)
            return (
                (_lower_words(value) if kind == Kind.KEYWORD else value)
                if valid
                else ""
            )
        case _:
            return ""


def _lower_words(phrase: str) -> str:
    """Write a phrase in lower case, all but abbreviations and names such as RLHF or NeRF."""
    return re.sub(r"[^\W_]+", _lower_word, phrase)


def _lower_word(match: re.Match[str]) -> str:
    word = match[0]
    has_inner_capital = any(char.isupper() for char in word[1:])
    is_emphasis = word.isupper() and len(word) > MAX_ABBREVIATION_LETTERS
    return word if has_inner_capital and not is_emphasis else word.lower()


def normalize_category(typed: str) -> str:
    """Write a category as arXiv does; "" where it cannot be one.

    Classes of two letters are upper case (cs.LG), longer ones lower case (physics.optics).
    """
    archive, dot, subject = typed.lower().removesuffix(".*").partition(".")
    value = f"{archive}{dot}{subject.upper() if len(subject) == 2 else subject}"
    return value if CATEGORY_PATTERN.fullmatch(value) else ""


def lock_interests() -> QuerySet[Interest]:
    """Interests locked until the transaction ends, because the nightly clean-up deletes those without followers."""
    return Interest.objects.select_for_update(no_key=True)


def lock_paper_interests(identifiers: Collection[str]) -> list[Interest]:
    """Return the locked interests in these papers, by id; missing ones are created."""
    rows = lock_interests().filter(kind=Kind.PAPER, value__in=identifiers)
    missing = [Interest(kind=Kind.PAPER, value=i) for i in sorted(set(identifiers))]
    # Twice, because a row may be deleted between its creation and its lock.
    for _ in range(2):
        Interest.objects.bulk_create(missing, ignore_conflicts=True)
        interests = list(rows.order_by("pk"))
        if len(interests) == len(missing):
            break
    return interests


@transaction.atomic
def follow(
    subscriber: Subscriber,
    kind: str,
    raw: str,
    weight: float = 1.0,
    source: str = Follow.Source.CHOSEN,
) -> Follow | None:
    """Follow or mute an interest; None where the value is not valid or the reader has too many."""
    value = clean_value(kind, raw)
    own = subscriber.follows.filter(interest__kind=kind, interest__value__iexact=value)
    existing = own.select_related("interest").first()
    if not value or (existing is None and remaining_places(subscriber, kind) < 1):
        return None
    if existing:
        value = existing.interest.value  # "rlhf" and "RLHF" are one follow
    interest, _ = lock_interests().get_or_create(kind=kind, value=value)
    row, _ = Follow.objects.update_or_create(
        subscriber=subscriber,
        interest=interest,
        defaults={"weight": weight, "source": source},
    )
    return row


def remaining_places(subscriber: Subscriber, kind: str) -> int:
    """How many more interests of this kind a reader may have; papers they only opened do not count."""
    chosen = subscriber.follows.exclude(source=Follow.Source.OPENED)
    if kind == Kind.PAPER:
        return MAX_EXAMPLE_PAPERS - chosen.filter(interest__kind=kind).count()
    return MAX_INTERESTS - chosen.exclude(interest__kind=Kind.PAPER).count()


def follow_papers(subscriber: Subscriber, identifiers: Iterable[str]) -> list[str]:
    """Make these papers the reader's examples, in this order while there are places.

    Returns those that they follow afterwards. Unknown papers are left out, and so are
    those that the reader marked "less like this": that says more than a list does.
    """
    requested = list(dict.fromkeys(identifiers))
    stored = Paper.objects.filter(identifier__in=requested)
    existing = set(stored.values_list("identifier", flat=True))
    weights = dict(
        subscriber.follows.filter(interest__kind=Kind.PAPER)
        .exclude(source=Follow.Source.OPENED)
        .values_list("interest__value", "weight")
    )
    places = max(remaining_places(subscriber, Kind.PAPER), 0)
    new = [i for i in requested if i in existing and i not in weights][:places]
    liked = [i for i in requested if weights.get(i, -1) > 0 and i in existing]
    _choose_papers(subscriber, {*new, *liked})
    return [i for i in requested if i in {*new, *liked}]


@transaction.atomic
def _choose_papers(subscriber: Subscriber, identifiers: Collection[str]) -> None:
    rows = lock_paper_interests(identifiers)
    Follow.objects.bulk_create(
        [Follow(subscriber=subscriber, interest=row, weight=1.0) for row in rows],
        update_conflicts=True,
        unique_fields=["subscriber", "interest"],
        update_fields=["weight", "source"],
    )


def unfollow_papers(subscriber: Subscriber) -> int:
    """Unfollow all example papers and return their number.

    Papers that the reader wants less of, or only opened, stay.
    """
    liked = subscriber.follows.filter(interest__kind=Kind.PAPER, weight__gt=0)
    return liked.exclude(source=Follow.Source.OPENED).delete()[0]


def unfollow_paper(subscriber: Subscriber, identifier: str) -> bool:
    """Unfollow one example paper; False where the reader did not follow it."""
    value = "".join(c for c in identifier if c.isprintable())
    rows = subscriber.follows.filter(interest__kind=Kind.PAPER, interest__value=value)
    return rows.filter(weight__gt=0).delete()[0] > 0


def unfollow(subscriber: Subscriber, interest_id: int) -> None:
    """Neither follow nor mute this interest any more."""
    subscriber.follows.filter(interest_id=interest_id).delete()


def topic_followers(slug: str) -> QuerySet[Follow]:
    """Select the follows and mutes of a topic."""
    return Follow.objects.filter(interest__kind=Kind.TOPIC, interest__value=slug)


@transaction.atomic
def merge_topics(source: Topic, target: Topic) -> int:
    """Move followers, terms, examples and editors' corrections of `source` to `target`; return the number of follows.

    The source is archived, and its address, its links in mails and sign-ups under way
    lead to the target. A reader of both keeps the higher weight. Its interest stays, so
    that reasons in sent digests do not change.
    """
    Topic.objects.filter(merged_into=source).update(merged_into=target)
    source.is_listed, source.merged_into = False, target
    source.save(update_fields=["is_listed", "merged_into"])
    target.keywords = list(dict.fromkeys([*target.keywords, *source.keywords]))
    target.categories = list(dict.fromkeys([*target.categories, *source.categories]))
    target.save(update_fields=["keywords", "categories"])
    target.examples.add(*source.examples.all())
    _move_papers(source, target)
    return _move_follows(source, target)


def _move_follows(source: Topic, target: Topic) -> int:
    interest, _ = lock_interests().get_or_create(kind=Kind.TOPIC, value=target.slug)
    moved = topic_followers(source.slug)
    number = moved.count()
    same_reader = moved.filter(subscriber=OuterRef("subscriber"))
    weight = Subquery(same_reader.values("weight"))
    weaker = Follow.objects.filter(interest=interest, weight__lt=weight)
    weaker.update(weight=weight, source=Subquery(same_reader.values("source")))
    readers = Follow.objects.filter(interest=interest).values("subscriber")
    moved.filter(subscriber__in=readers).delete()
    moved.update(interest=interest)
    return number


def _move_papers(source: Topic, target: Topic) -> None:
    """List the source's papers under the target, and move corrections of their topic.

    Corrections in frozen editions stay: those never change.
    """
    PaperTopic = Paper.topics.through
    papers = PaperTopic.objects.filter(topic=source).values_list("paper_id", flat=True)
    PaperTopic.objects.bulk_create(
        [PaperTopic(paper_id=pk, topic=target) for pk in papers.iterator()],
        batch_size=1_000,
        ignore_conflicts=True,
    )
    corrected = {"topic_corrections__has_key": source.slug}
    candidates = Candidate.objects.filter(edition__state=Edition.State.OPEN)
    for rows in (Paper.objects.filter(**corrected), candidates.filter(**corrected)):
        for pk, stored in rows.values_list("pk", "topic_corrections"):
            corrections = dict(stored or {})
            is_of_topic = corrections.pop(source.slug)
            corrections.setdefault(target.slug, is_of_topic)
            manager = rows.model._default_manager
            manager.filter(pk=pk).update(topic_corrections=corrections)


def parse_requested(requested_interests: Any) -> list[tuple[str, str, float]]:
    """Parse the untrusted "kind:value" strings of a sign-up form, at most MAX_INTERESTS.

    Returns kinds, values and weights: "-paper:…" is a paper that the visitor would not read.
    """
    if not isinstance(requested_interests, list):
        return []
    parsed = []
    for entry in requested_interests[:MAX_INTERESTS]:
        if isinstance(entry, str):
            kind, _, value = entry.partition(":")
            if kind in Kind.values:
                parsed.append((kind, value, 1.0))
            elif kind == f"-{Kind.PAPER}":
                parsed.append((Kind.PAPER.value, value, -1.0))
    return parsed


def unsaved_interests(requested_interests: Any, weight: float = 1.0) -> list[Interest]:
    """Build the interests of this weight that are not stored, for a preview without an account."""
    cleaned = [
        (kind, clean_value(kind, value))
        for kind, value, requested in parse_requested(requested_interests)
        if requested == weight
    ]
    return [Interest(kind=kind, value=value) for kind, value in cleaned if value]


def follow_requested(subscriber: Subscriber, requested_interests: Any) -> None:
    """Follow the valid ones of the interests that a sign-up form requested."""
    for kind, value, weight in parse_requested(requested_interests):
        source = Follow.Source.CHOSEN if weight > 0 else Follow.Source.FEEDBACK
        follow(subscriber, kind, value, weight, source)
