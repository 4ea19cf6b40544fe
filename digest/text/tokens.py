"""Words: how text is cut into comparable words, and how phrases are found in it."""

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

_WORD = re.compile(r"[^\W_]+(?:\+\+|#)?")  # letters and digits; C++ and C# stay apart
_MARKS = "\"'\u201c\u201d\u2018\u2019.,;:!?()"  # around words, not of them
_HYPHEN = re.compile("(?<=\\w)[-\u2010\u2011](?=\\w)")
# Words that only look like plurals, where the singular means something else.
_NOT_PLURAL = {"news", "aids", "lens", "gas", "bus", "atlas", "chaos", "bias", "alias"}


def fold(text: str) -> str:
    """Lower case without accents: Schrödinger and SCHRODINGER are one."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in apart if not unicodedata.combining(c))


@lru_cache(maxsize=200_000)
def singular(word: str) -> str:
    """The word without a simple English plural; crude on purpose, and the same for all."""
    if len(word) < 4 or word in _NOT_PLURAL or not word.endswith("s"):
        return word
    if word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-1]


def tokens(text: str) -> list[str]:
    """Every word of the text, folded and singular, in order."""
    return [singular(word) for word in _WORD.findall(fold(text))]


def words(text: str) -> list[str]:
    """The words that carry meaning: `tokens` without stop words and lone characters."""
    return [w for w in tokens(text) if len(w) > 1 and w not in ENGLISH_STOP_WORDS]


def words_and_pairs(text: str) -> list[str]:
    """`words`, then each pair of neighbours among them."""
    single = words(text)
    return single + [f"{a} {b}" for a, b in pairwise(single)]


def spellings(text: str) -> tuple[str, ...]:
    """The text as padded runs of tokens: hyphens as spaces, and hyphens left out.

    So that `pre-training`, `pre training` and `pretraining` find each other.
    """
    spaced = f" {' '.join(tokens(text))} "
    if not _HYPHEN.search(text):
        return (spaced,)
    return spaced, f" {' '.join(tokens(_HYPHEN.sub('', text)))} "


def contains(text: tuple[str, ...], phrase: tuple[str, ...]) -> bool:
    """Whether the phrase occurs in the text as whole words; both are `spellings`."""
    return any(p in t for p in phrase if p.strip() for t in text)


def shared(query: str, text: str) -> tuple[list[str], bool]:
    """The query's words that the text has, in runs as the query spells them; whether all are there.

    Stop words stand in a run where they join two words of it.
    """
    known = {word for run in spellings(text) for word in run.split()}
    runs: list[list[str]] = [[]]
    between, complete = list[str](), True
    for word in (word.strip(_MARKS) for word in query.split()):
        if not words(word):
            between.append(word)
        elif any(known.issuperset(run.split()) for run in spellings(word)):
            runs[-1] += [*between, word] if runs[-1] else [word]
            between = []
        else:
            runs.append([])
            between, complete = [], False
    return [" ".join(run) for run in runs if run], complete
