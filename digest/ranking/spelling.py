"""Correct misspelt words of a search by the vocabulary of all papers.

The vocabulary is in memory, because a trigram index needs an extension that neither
SQLite nor every PostgreSQL has. Letters are counted first: words within two edits differ
in at most four counts, which leaves a few hundred of a hundred thousand to compare.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from django.utils import timezone

from digest.models import SearchWord

# Rarer words may be misspelt themselves.
MIN_PAPERS = 2
# A word may be misspelt if a similar one stands in this many times more papers.
RARER_FACTOR = 50
MIN_LETTERS = 4
# Shorter words have too many others within two edits.
MIN_LETTERS_OF_TWO_EDITS = 7
MAX_WORDS = 400_000
_ALPHABET = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Words, in how many papers each stands, and how often each letter stands in it [n, 27]."""

    words: tuple[str, ...]
    papers: npt.NDArray[np.int64]
    letters: npt.NDArray[np.int8]

    def correct(self, word: str, min_papers: int = MIN_PAPERS) -> str:
        """Return the nearest word that enough papers have; "" where none is near."""
        max_edits = 2 if len(word) >= MIN_LETTERS_OF_TWO_EDITS else 1
        if len(word) < MIN_LETTERS or not self.words:
            return ""
        difference = np.abs(self.letters - count_letters([word])[0]).sum(axis=1)
        near = np.flatnonzero(
            (difference <= 2 * max_edits) & (self.papers >= min_papers)
        )
        candidates = [
            (edits, -int(self.papers[i]), self.words[i])
            for i in near.tolist()
            if self.words[i] != word
            and (edits := edit_distance(word, self.words[i], max_edits)) <= max_edits
        ]
        return min(candidates)[2] if candidates else ""


def load_vocabulary(prefix: str = "") -> Vocabulary:
    """Load the words of papers, or with the prefix `a:` those of names; once an hour."""
    return _load(prefix, int(timezone.now().timestamp()) // 3600)


@lru_cache(maxsize=2)
def _load(prefix: str, hour: int) -> Vocabulary:
    rows = SearchWord.objects.filter(papers__gte=1 if prefix else MIN_PAPERS)
    named = rows.filter(word__startswith="a:")
    rows = named if prefix else rows.exclude(word__startswith="a:")
    pairs = list(rows.order_by("-papers").values_list("word", "papers")[:MAX_WORDS])
    words = tuple(word.removeprefix(prefix) for word, _ in pairs)
    papers = np.array([papers for _, papers in pairs], np.int64)
    return Vocabulary(words, papers, count_letters(words))


def count_letters(words: Sequence[str]) -> npt.NDArray[np.int8]:
    """Count a to z, and all other characters together, in each word [n, 27]."""
    counts = np.zeros((len(words), len(_ALPHABET) + 1), np.int8)
    text = "\n".join(words).encode("ascii", "replace")
    codes = np.frombuffer(text, np.uint8).astype(np.int64)
    rows = np.cumsum(codes == ord("\n"))
    columns = codes - ord("a")
    columns[(columns < 0) | (columns >= len(_ALPHABET))] = len(_ALPHABET)
    inside = codes != ord("\n")
    np.add.at(counts, (rows[inside], columns[inside]), 1)
    return counts


def edit_distance(first: str, second: str, limit: int) -> int:
    """Count insertions, deletions, replacements and swaps of neighbours; at most limit + 1."""
    if abs(len(first) - len(second)) > limit:
        return limit + 1
    before: list[int] = []
    row = list(range(len(second) + 1))
    for i, char in enumerate(first, start=1):
        new = [i]
        for j, other in enumerate(second, start=1):
            cost = min(row[j] + 1, new[j - 1] + 1, row[j - 1] + (char != other))
            is_swap = (
                i > 1 and j > 1 and char == second[j - 2] and first[i - 2] == other
            )
            new.append(min(cost, before[j - 2] + 1) if is_swap else cost)
        if min(new) > limit:
            return limit + 1
        before, row = row, new
    return row[-1]
