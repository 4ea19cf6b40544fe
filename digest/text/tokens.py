"""Tokens: how text is cut into comparable words, and how phrases are matched in it."""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise

_WORD = re.compile(r"[^\W_]+(?:\+\+|#)?")  # letters and digits; C++ and C# stay apart
_PUNCTUATION = "\"'\u201c\u201d\u2018\u2019.,;:!?()"  # around words, not part of them
_HYPHENS = "-\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d"
_HYPHEN = re.compile(rf"(?<=\w)[{_HYPHENS}](?=\w)")
_FOLDED = re.compile(r"[^\x00-\x5f\x61-\x7f]+")  # not ASCII, or a grave accent
# Letters that Unicode does not decompose, and look-alikes of ASCII punctuation.
_LETTERS = str.maketrans(
    {
        **{"ł": "l", "ø": "o", "đ": "d", "\u0131": "i", "ħ": "h", "ŧ": "t", "ŀ": "l"},
        **{"æ": "ae", "œ": "oe", "ð": "d", "þ": "th", "ŋ": "n", "ß": "ss"},
        **dict.fromkeys("\u2018\u2019\u02bc\u02b9\u2032\uff07`\u00b4", "'"),
        **dict.fromkeys(_HYPHENS, "-"),
        "\u00ad": "",
    }
)
# Words that look like plurals whose singular means something else.
_NOT_PLURAL = {"news", "aids", "lens", "gas", "bus", "atlas", "chaos", "bias", "alias"}

# British endings and their American spelling. Applied to texts and queries alike, so that
# other words which they change ("exercise") still match themselves.
_AMERICAN_SPELLINGS = [
    (re.compile(r"is(ation(?:al)?|e|ed|er|ing)$"), r"iz\1"),
    (re.compile(r"ys(e|ed|er|ing)$"), r"yz\1"),
    (re.compile(r"(?<=[a-z]{3})our(?=$|al|ed|ing|hood|able)"), "or"),
    (re.compile(r"tre(?=$|d$)"), "ter"),
    (re.compile(r"ll(ed|er|ing)$"), r"l\1"),
    (re.compile(r"logue$"), "log"),
]

# The English stop words of scikit-learn, copied because importing it takes half a second.
_STOP_WORDS = frozenset(
    _WORD.findall(
        """
        a about above across after afterwards again against all almost alone along
        already also although always am among amongst amoungst amount an and another any
        anyhow anyone anything anyway anywhere are around as at back be became because
        become becomes becoming been before beforehand behind being below beside besides
        between beyond bill both bottom but by call can cannot cant co con could couldnt
        cry de describe detail do done down due during each eg eight either eleven else
        elsewhere empty enough etc even ever every everyone everything everywhere except
        few fifteen fifty fill find fire first five for former formerly forty found four
        from front full further get give go had has hasnt have he hence her here
        hereafter hereby herein hereupon hers herself him himself his how however
        hundred i ie if in inc indeed interest into is it its itself keep last latter
        latterly least less ltd made many may me meanwhile might mill mine more moreover
        most mostly move much must my myself name namely neither never nevertheless next
        nine no nobody none noone nor not nothing now nowhere of off often on once one
        only onto or other others otherwise our ours ourselves out over own part per
        perhaps please put rather re same see seem seemed seeming seems serious several
        she should show side since sincere six sixty so some somehow someone something
        sometime sometimes somewhere still such system take ten than that the their them
        themselves then thence there thereafter thereby therefore therein thereupon
        these they thick thin third this those though three through throughout thru thus
        to together too top toward towards twelve twenty two un under until up upon us
        very via was we well were what whatever when whence whenever where whereafter
        whereas whereby wherein whereupon wherever whether which while whither who
        whoever whole whom whose why will with within without would yet you your yours
        yourself yourselves
        """
    )
)


def fold_text(text: str) -> str:
    """Fold case, accents, hyphens and apostrophes: Łukasz and LUKASZ are equal."""
    if text.isascii():
        return text.lower()
    return _FOLDED.sub(_fold_characters, text.casefold())


def _fold_characters(match: re.Match[str]) -> str:
    decomposed = unicodedata.normalize("NFKD", match[0].translate(_LETTERS))
    return "".join(char for char in decomposed if not unicodedata.combining(char))


@lru_cache(maxsize=200_000)
def strip_plural(word: str) -> str:
    """Strip a simple English plural; crude on purpose, and the same for all texts."""
    if len(word) < 4 or word in _NOT_PLURAL or not word.endswith("s"):
        return word
    if word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-1]


@lru_cache(maxsize=200_000)
def normalize_word(word: str) -> str:
    """Strip the plural and write British spellings as American ones."""
    word = strip_plural(word)
    if len(word) < 6:
        return word
    for british, american in _AMERICAN_SPELLINGS:
        word = british.sub(american, word)
    return word


def tokenize(text: str) -> list[str]:
    """Return every word of the text, folded and singular, in order."""
    return [normalize_word(word) for word in _WORD.findall(fold_text(text))]


def content_words(text: str) -> list[str]:
    return keep_content(tokenize(text))


def keep_content(tokens: Iterable[str]) -> list[str]:
    """Leave out stop words and single characters."""
    return [token for token in tokens if len(token) > 1 and token not in _STOP_WORDS]


def unigrams_and_bigrams(text: str) -> list[str]:
    """Return the content words, then each pair of neighbours among them."""
    unigrams = content_words(text)
    return unigrams + [f"{first} {second}" for first, second in pairwise(unigrams)]


def spelling_variants(text: str) -> tuple[str, ...]:
    """Return the text as padded tokens: with hyphens as spaces, and without hyphens.

    So `pre-training`, `pre training` and `pretraining` match each other.
    """
    spaced = f" {' '.join(tokenize(text))} "
    if not _HYPHEN.search(text):
        return (spaced,)
    return spaced, f" {' '.join(tokenize(_HYPHEN.sub('', text)))} "


def contains_phrase(text: tuple[str, ...], phrase: tuple[str, ...]) -> bool:
    """Decide whether the text contains the phrase as whole words.

    Both are `spelling_variants`.
    """
    return any(
        variant in text_variant
        for variant in phrase
        if variant.strip()
        for text_variant in text
    )


def phrase_pattern(phrases: Iterable[tuple[str, ...]]) -> re.Pattern[str]:
    """Compile a pattern of any of the phrases, given as `spelling_variants`.

    A phrase within another, or right after one as its abbreviation, belongs to its match:
    "retrieval-augmented generation (RAG)" names RAG once.
    """
    runs = {variant.strip() for phrase in phrases for variant in phrase} - {""}
    longest_first = sorted(runs, key=lambda run: (-len(run), run))
    any_run = "|".join(map(re.escape, longest_first)) or r"(?!)"
    return re.compile(rf"(?<= )(?:{any_run})(?: (?:{any_run}))*(?= )")


def count_matches(pattern: re.Pattern[str], text: tuple[str, ...]) -> int:
    """Count the places where the text, given as `spelling_variants`, has the pattern."""
    return max(len(pattern.findall(variant)) for variant in text)


def split_at_stop_words(text: str) -> list[str]:
    """Split a query at its stop words into parts that each say something.

    "bias and fairness in face recognition" has two: what "and" joins may replace each
    other.
    """
    parts = [""]
    for word in text.split():
        if word.lower() in ("and", "or") or content_words(word):
            parts[-1] += f" {word}"
        else:
            parts.append("")
    return [part.strip() for part in parts if content_words(part)]


def is_one_edit_apart(first: str, second: str) -> bool:
    """Decide whether one letter more, another letter or two swapped ones differ."""
    short, long = sorted((first, second), key=len)
    if short == long or len(long) > len(short) + 1:
        return False
    start = next(
        (i for i, (a, b) in enumerate(zip(short, long, strict=False)) if a != b),
        len(short),
    )
    if len(short) < len(long):
        return short[start:] == long[start + 1 :]
    rest = short[start + 1 :]
    is_swap = short[start : start + 2] == long[start : start + 2][::-1]
    return rest == long[start + 1 :] or (is_swap and rest[1:] == long[start + 2 :])


def is_quotable(phrase: str, text: str) -> bool:
    """Decide whether the words of a phrase stand in the text, one right after the other.

    Stricter than `phrase_pattern`: only spaces and hyphens may stand between them.
    """
    folded = _fold_paper(text)
    words = [strip_plural(word) for word in _WORD.findall(fold_text(phrase))]
    if not words or not _may_contain(folded, words):
        return False
    return bool(_adjacent_words(tuple(words)).search(folded))


# A mail's reasons, and a batch's, ask for several phrases of one paper after the other.
@lru_cache(maxsize=16)
def _fold_paper(text: str) -> str:
    return fold_text(text)


# Compiling takes as long as searching a hundred abstracts.
@lru_cache(maxsize=5_000)
def _adjacent_words(words: tuple[str, ...]) -> re.Pattern[str]:
    pattern = r"[\s\u2010\u2011-]*".join(map(_with_plural, words))
    return re.compile(rf"(?<![^\W_]){pattern}(?![^\W_])")


def _may_contain(folded: str, words: Iterable[str]) -> bool:
    """Whether a folded text has the letters of all words: much faster than a pattern."""
    return all(word.removesuffix("y") in folded for word in words)


def _with_plural(word: str) -> str:
    if word.endswith("y"):
        return rf"{re.escape(word[:-1])}(?:ys?|ies)"
    return rf"{re.escape(word)}s?"


def shared_phrases(query: str, text: str) -> list[str]:
    """Return the runs of at least two content words of the query that the text quotes."""
    words = [word.strip(_PUNCTUATION) for word in query.split()]
    folded = _fold_paper(text)
    is_candidate = [
        _may_contain(folded, map(strip_plural, _WORD.findall(fold_text(word))))
        for word in words
    ]
    phrases, start = list[str](), 0
    while start < len(words):
        for end in range(len(words), start, -1):
            if not all(is_candidate[start:end]):
                continue
            phrase = " ".join(words[start:end])
            bounded = content_words(words[start]) and content_words(words[end - 1])
            enough = bounded and len(content_words(phrase)) >= 2
            if enough and is_quotable(phrase, text):
                phrases.append(phrase)
                start = end - 1
                break
        start += 1
    return phrases
