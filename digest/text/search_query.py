"""Parse what a visitor types into the search field: words, "phrases", -exclusions, operators.

Operators are author:, cat:, after: and before:, as in Gmail and GitHub; a value with spaces
stands in quotation marks. `after` includes its day, `before` does not.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date

from digest.text.authors import name_parts
from digest.text.tokens import content_words, fold_text, normalize_word

# More words are a pasted abstract: the rest is left to the meaning of the text.
MAX_WORDS = 12
MAX_FILTERS = 5
_ITEM = re.compile(
    r"(?P<minus>(?<!\S)-)?(?:(?P<operator>author|cat|category|after|before):)?"
    r"(?:[\"“”](?P<quoted>[^\"“”]*)[\"“”]|(?P<word>[^\s\"“”]+))",
    re.IGNORECASE,
)
_HYPHENATED = re.compile(r"[^\W_]+(?:[-\u2010\u2011\u2012\u2013][^\W_]+)+")
_DATE = re.compile(r"(\d{4})(?:[-/](\d{1,2})(?:[-/](\d{1,2}))?)?")

# One way to match: lexemes that a paper has all of.
Alternative = tuple[str, ...]


@dataclass(frozen=True)
class LexemeQuery:
    """Papers that satisfy every clause by one of its alternatives, and no exclusion."""

    clauses: tuple[tuple[Alternative, ...], ...]
    excluded: tuple[Alternative, ...] = ()

    def to_tsquery(self) -> str:
        """Render for PostgreSQL's `::tsquery`."""
        required = " & ".join(
            f"({' | '.join(_join(a, ' & ', _quote_pg) for a in clause)})"
            for clause in self.clauses
        )
        excluded = "".join(
            f" & !({_join(alternative, ' & ', _quote_pg)})"
            for alternative in self.excluded
        )
        return required + excluded

    def to_fts5(self) -> str:
        """Render for MATCH of SQLite's FTS5."""
        text = " AND ".join(
            f"({' OR '.join(_join(a, ' AND ', _quote_fts5) for a in clause)})"
            for clause in self.clauses
        )
        for alternative in self.excluded:
            text = f"({text}) NOT ({_join(alternative, ' AND ', _quote_fts5)})"
        return text


def _join(alternative: Alternative, operator: str, quote: Callable[[str], str]) -> str:
    return f"({operator.join(map(quote, alternative))})"


def _quote_pg(lexeme: str) -> str:
    escaped = lexeme.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def _quote_fts5(lexeme: str) -> str:
    escaped = lexeme.replace('"', '""')
    return f'"{escaped}"'


@dataclass(frozen=True)
class SearchQuery:
    """A parsed query; `text` is what remains without operators and exclusions."""

    text: str
    words: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    excluded_categories: tuple[str, ...] = ()
    first_day: date | None = None
    end_day: date | None = None
    problems: tuple[str, ...] = field(default=())

    @property
    def has_filters(self) -> bool:
        """Whether something besides the words decides which papers match."""
        return bool(
            self.phrases
            or self.excluded
            or self.authors
            or self.categories
            or self.excluded_categories
            or self.first_day
            or self.end_day
        )

    def filter_clauses(self) -> tuple[tuple[Alternative, ...], ...]:
        """Clauses of categories, authors and phrases, which every result satisfies."""
        # Categories of one query are alternatives: no paper must be in all of them.
        categories = tuple((f"c:{name}",) for name in self.categories)
        phrases = [
            clause for phrase in self.phrases for clause in word_clauses([phrase])
        ]
        authors = [clause for name in self.authors if (clause := author_clause(name))]
        return tuple(filter(None, [categories, *authors, *phrases]))

    def exclusions(self) -> tuple[Alternative, ...]:
        words = tuple(
            alternative
            for text in self.excluded
            for alternative in [tuple(content_words(text))]
            if alternative
        )
        return words + tuple((f"c:{name}",) for name in self.excluded_categories)


def parse_search_query(text: str) -> SearchQuery:
    """Parse a query. Never fails: what cannot be read is named in `problems`."""
    words, phrases, excluded = list[str](), list[str](), list[str]()
    authors, categories, without = list[str](), list[str](), list[str]()
    days: dict[str, date] = {}
    search_words, problems = list[str](), list[str]()
    for match in _ITEM.finditer(text):
        quoted = match["quoted"]
        value = (quoted if quoted is not None else match["word"]).strip()
        operator = (match["operator"] or "").lower()
        if not value:
            continue
        if operator in ("after", "before"):
            if day := parse_day(value):
                days[operator] = day
            else:
                problems.append(
                    f"“{operator}:{value}” was ignored: write a date as 2026-03-06, 2026-03 or 2026."
                )
        elif operator in ("cat", "category"):
            target = without if match["minus"] else categories
            target.append(value.lower().removesuffix(".*"))
        elif operator == "author" and not match["minus"]:
            authors.append(value)
        elif match["minus"]:
            excluded.append(value)
        elif quoted is not None:
            phrases.append(value)
            search_words.append(value)
        else:
            words.append(value)
            search_words.append(value)
    return SearchQuery(
        text=" ".join(search_words),
        words=tuple(words),
        phrases=tuple(phrases[:MAX_FILTERS]),
        excluded=tuple(excluded[:MAX_FILTERS]),
        authors=tuple(authors[:MAX_FILTERS]),
        categories=tuple(categories[:MAX_FILTERS]),
        excluded_categories=tuple(without[:MAX_FILTERS]),
        first_day=days.get("after"),
        end_day=days.get("before"),
        problems=tuple(problems),
    )


def parse_day(text: str) -> date | None:
    """Read a day, the first day of a month, or the first day of a year."""
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    try:
        return date(int(match[1]), int(match[2] or 1), int(match[3] or 1))
    except ValueError:
        return None


def word_clauses(
    words: Iterable[str], prefix: str = ""
) -> tuple[tuple[Alternative, ...], ...]:
    """One clause per content word; a hyphenated word also matches written as one word.

    Without a prefix, a word may also be part of an author's name.
    """
    clauses: dict[tuple[Alternative, ...], None] = {}
    for word in words:
        spaced = content_words(word)
        if not spaced:
            continue
        if _HYPHENATED.fullmatch(word):
            alternatives = tuple(prefix + token for token in spaced)
            joined = prefix + joined_form(word)
            clauses[(alternatives, (joined,))] = None
        else:
            # Names are not normalized: "Ibias" is no plural.
            parts = () if prefix or len(spaced) > 1 else name_parts(word)
            names = tuple((f"a:{part}",) for part in parts)
            for token in spaced:
                clauses[((prefix + token,), *names)] = None
    return tuple(clauses)[:MAX_WORDS]


def author_clause(name: str) -> tuple[Alternative, ...]:
    """One clause for a name: its parts without initials; () where nothing remains."""
    parts = tuple(f"a:{part}" for part in name_parts(name) if len(part) > 1)
    return (parts,) if parts else ()


def joined_form(word: str) -> str:
    """Write a hyphenated word as one: "pre-training" as "pretraining"."""
    return normalize_word("".join(re.findall(r"[^\W_]+", fold_text(word))))


def document_lexemes(
    title: str,
    abstract: str,
    authors: Iterable[str],
    categories: Iterable[str],
    doi: str = "",
) -> list[str]:
    """Return the distinct lexemes under which a paper is found, sorted.

    Words of title and abstract stand alone, those of the title also as `t:`, parts of
    authors' names as `a:`, categories and their archives as `c:`, the DOI as `doi:`.
    """
    title_words = _text_lexemes(title)
    lexemes = title_words | _text_lexemes(abstract)
    lexemes |= {f"t:{word}" for word in title_words}
    lexemes |= {
        f"a:{part}" for name in authors for part in name_parts(name) if len(part) > 1
    }
    for category in categories:
        lexemes |= {f"c:{category.lower()}", f"c:{category.lower().partition('.')[0]}"}
    if doi:
        lexemes.add(f"doi:{doi.lower()}")
    # Separated by spaces in the database.
    return sorted(lexeme for lexeme in lexemes if not re.search(r"\s", lexeme))


def _text_lexemes(text: str) -> set[str]:
    joined = {joined_form(match[0]) for match in _HYPHENATED.finditer(text)}
    return {word for word in {*content_words(text), *joined} if len(word) <= 80}


def title_key(title: str) -> str:
    """Return the words of a title, folded, so that equal titles have equal keys."""
    return " ".join(re.findall(r"[^\W_]+", fold_text(title)))
