"""Tell a reader at once what an interest matches in the newest edition."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache

import numpy as np
from django.conf import settings

from digest.models import Candidate, Edition, Interest
from digest.ranking import edition_index
from digest.ranking.edition_index import EditionIndex
from digest.text.arxiv_categories import CATEGORIES, archive_of, is_selected
from digest.text.tokens import content_words

MAX_TITLES = 3
# Comparing a word with all of an edition takes tens of milliseconds.
MAX_SUGGESTIONS = 5
# Words of the edition that are rarer may be misspelt themselves.
MIN_SUGGESTION_PAPERS = 3
MIN_SUGGESTION_SIMILARITY = 0.8
MIN_SUGGESTION_LETTERS = 5


@dataclass(frozen=True)
class FollowEffect:
    """How many papers of the last two weeks match an interest, the first titles, and one sentence for the reader."""

    count: int
    titles: tuple[str, ...]
    text: str


def follow_effect(interest: Interest) -> FollowEffect:
    """Evaluate an interest, stored or not, against the newest edition that has papers."""
    if interest.kind == Interest.Kind.CATEGORY and (
        text := _category_problem(interest)
    ):
        return FollowEffect(0, (), text)
    edition = Edition.objects.filter(candidates__isnull=False).order_by("-day").first()
    if edition is None:
        return FollowEffect(0, (), "No papers yet.")
    index = edition_index.load_index(edition)
    (query,) = edition_index.build_queries([interest])
    match = index.evaluate(query)
    columns = np.flatnonzero(match.claimed)
    if not columns.size:
        suggestion = suggest_spelling(interest.value, edition)
        hint = f" Did you mean “{suggestion}”?" if suggestion else ""
        return FollowEffect(0, (), f"No paper in the last two weeks.{hint}")
    best = columns[np.argsort(-match.relevance[columns], kind="stable")][:MAX_TITLES]
    ids = [index.candidates[column] for column in best.tolist()]
    rows = Candidate.objects.in_bulk(ids)
    titles = tuple(rows[pk].card["title"] for pk in ids)
    count = int(columns.size)
    noun = "paper" if count == 1 else "papers"
    more = "; …" if count > len(titles) else ""
    spelled = _spelling_note(interest, index)
    text = f"{count} {noun} in the last two weeks{spelled}: {'; '.join(titles)}{more}"
    return FollowEffect(count, titles, text)


def _spelling_note(interest: Interest, index: EditionIndex) -> str:
    """Say as what a misspelt keyword is read; "" where it is read as it stands."""
    if interest.kind != Interest.Kind.KEYWORD:
        return ""
    corrected = index.correct_spelling(interest.value)
    return f" for “{corrected}”" if corrected != interest.value else ""


def _category_problem(interest: Interest) -> str:
    """Say why a category cannot match; "" where it can."""
    category = interest.value.removesuffix(".*")
    archives = {archive_of(name) for name in CATEGORIES}
    if category not in CATEGORIES and category not in archives:
        return f"{interest.value} is not an arXiv category."
    if not is_selected(category, settings.ARXIV_CATEGORIES):
        return f"We don't read {interest.value} yet."
    return ""


def suggest_spelling(value: str, edition: Edition) -> str:
    """Correct words that the edition does not have to its nearest ones; "" where nothing changes."""
    frequencies = _word_frequencies(edition.pk, edition.ranked_at)
    common = [w for w, n in frequencies.items() if n >= MIN_SUGGESTION_PAPERS]
    words, changed = [], False
    for word in value.lower().split():
        occurs = all(token in frequencies for token in content_words(word))
        if not occurs and len(word) >= MIN_SUGGESTION_LETTERS:
            nearest = get_close_matches(word, common, 1, MIN_SUGGESTION_SIMILARITY)
            changed |= bool(nearest)
            word = nearest[0] if nearest else word
        words.append(word)
    return " ".join(words) if changed else ""


@lru_cache(maxsize=1)
def _word_frequencies(edition: int, ranked_at: object) -> Counter[str]:
    """The number of papers of an edition that have each word; `ranked_at` ends the cache."""
    cards = Candidate.objects.filter(edition=edition).values_list("card", flat=True)
    words: Counter[str] = Counter()
    for card in cards.iterator(chunk_size=500):
        words.update(set(content_words(f"{card['title']}. {card['abstract']}")))
    return words


def summarize_effects(interests: Sequence[Interest]) -> list[str]:
    """Say in a few words what each interest matches; one edition is read for all."""
    edition = Edition.objects.filter(candidates__isnull=False).order_by("-day").first()
    if edition is None or not interests:
        return ["no papers yet" for _ in interests]
    index = edition_index.load_index(edition)
    queries = edition_index.build_queries(interests)
    suggestions = iter(range(MAX_SUGGESTIONS))
    texts = []
    for interest, query in zip(interests, queries, strict=True):
        is_category = interest.kind == Interest.Kind.CATEGORY
        if is_category and _category_problem(interest):
            texts.append("not read here")
            continue
        count = int(np.count_nonzero(index.evaluate(query).claimed))
        spelled = _spelling_note(interest, index)
        suggestion = ""
        if not count and not is_category and next(suggestions, None) is not None:
            suggestion = suggest_spelling(interest.value, edition)
        if count:
            noun = "paper" if count == 1 else "papers"
            texts.append(f"{count:,} {noun} in the last two weeks{spelled}")
        else:
            texts.append(
                f"none yet: did you mean “{suggestion}”?" if suggestion else "none yet"
            )
    return texts
