"""Tell a reader at once what an interest matches in the newest edition."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from django.conf import settings

from digest.models import Candidate, Edition, Interest
from digest.ranking import edition_index, search_index, spelling
from digest.ranking.edition_index import EditionIndex
from digest.text.arxiv_categories import CATEGORIES, archive_of, is_selected
from digest.text.authors import name_parts
from digest.text.tokens import content_words

MAX_TITLES = 3
# Comparing a word with all that papers have takes tens of milliseconds.
MAX_SUGGESTIONS = 5


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
    # A search matches by its other words though one is misspelt.
    is_search = interest.kind == Interest.Kind.SEARCH
    can_suggest = is_search or not columns.size
    suggestion = suggest_spelling(interest) if can_suggest else ""
    hint = f" Did you mean “{suggestion}”?" if suggestion else ""
    if not columns.size:
        return FollowEffect(0, (), f"No paper in the last two weeks.{hint}")
    best = columns[np.argsort(-match.relevance[columns], kind="stable")][:MAX_TITLES]
    ids = [index.candidates[column] for column in best.tolist()]
    rows = Candidate.objects.in_bulk(ids)
    titles = tuple(rows[pk].card["title"] for pk in ids)
    count = int(columns.size)
    noun = "paper" if count == 1 else "papers"
    more = "; …" if count > len(titles) else ""
    spelled = _spelling_note(interest, index)
    text = f"{count} {noun} in the last two weeks{spelled}: {'; '.join(titles)}{more}{hint and '.'}{hint}"
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


def suggest_spelling(interest: Interest) -> str:
    """Replace words that no paper has, or parts of a name that no author has, by near ones.

    Empty where none is near.
    """
    if interest.kind == Interest.Kind.AUTHOR:
        return _suggest_name(interest.value)
    words = interest.value.split()
    vocabulary = spelling.load_vocabulary()
    corrections = {
        token: vocabulary.correct(token) for token in search_index.find_unknown(words)
    }
    suggestion = []
    for word in words:
        tokens = content_words(word)
        corrected = [corrections.get(token) or token for token in tokens]
        suggestion.append(word if corrected == tokens else " ".join(corrected))
    return " ".join(suggestion) if suggestion != words else ""


def _suggest_name(name: str) -> str:
    parts = name_parts(name)
    existing = search_index.count_papers(f"a:{part}" for part in parts)
    vocabulary = spelling.load_vocabulary("a:")
    corrected = tuple(
        part if f"a:{part}" in existing else vocabulary.correct(part, 1) or part
        for part in parts
    )
    return " ".join(corrected).title() if corrected != parts else ""


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
            suggestion = suggest_spelling(interest)
        if count:
            noun = "paper" if count == 1 else "papers"
            texts.append(f"{count:,} {noun} in the last two weeks{spelled}")
        else:
            texts.append(
                f"none yet: did you mean “{suggestion}”?" if suggestion else "none yet"
            )
    return texts
