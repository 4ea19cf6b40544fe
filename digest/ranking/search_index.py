"""Keep the search index: one entry of lexemes per paper, and the counts of its words."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain

from django.db import connection, transaction
from django.db.models import F, QuerySet

from digest.models import Paper, SearchEntry, SearchWord
from digest.text.authors import name_parts
from digest.text.search_query import document_lexemes, title_key
from digest.text.tokens import content_words

WRITE_CHUNK = 500
MAX_WORD_LENGTH = 48
# Lexemes that are no words: categories and DOIs are not misspelt, those of titles repeat.
_NO_WORDS = ("t:", "c:", "doi:")
_ADD_COUNTS = """
    INSERT INTO digest_searchword (word, papers) VALUES {rows}
    ON CONFLICT (word) DO UPDATE SET papers = digest_searchword.papers + excluded.papers
"""
# SQLite of Python 3.11 allows 32,766 parameters.
MAX_WORDS_PER_STATEMENT = 10_000


def index_papers() -> int:
    """Index papers that are new or changed, the newest first; return their number.

    Runs after papers are embedded: a paper with an entry has a vector. Papers that another
    process is writing or indexing are left to it, or to the next call.
    """
    count = 0
    while chunk := index_chunk():
        count += chunk
    return count


@transaction.atomic
def index_chunk() -> int:
    """Lock and index stale papers; return their number, 0 if none is free."""
    free = stale_papers().select_for_update(of=("self",), no_key=True, skip_locked=True)
    papers = list(free[:WRITE_CHUNK])
    if papers:
        _write_entries(papers)
    return len(papers)


def stale_papers() -> QuerySet[Paper]:
    embedded = Paper.objects.filter(vector__isnull=False)
    stale = embedded.exclude(search_entry__paper_updated_at=F("updated_at"))
    columns = ("title", "abstract", "authors", "categories", "doi")
    return stale.only(*columns, "announced_on", "updated_at").order_by("-pk")


def _write_entries(papers: Sequence[Paper]) -> None:
    entries = SearchEntry.objects.filter(paper__in=papers)
    existing = {entry.paper_id: entry for entry in entries}
    new, unchanged, replaced = list[SearchEntry](), list[SearchEntry](), list[int]()
    for paper in papers:
        entry, old = build_entry(paper), existing.get(paper.pk)
        if old is None:
            new.append(entry)
        elif (old.lexemes, old.announced_on, old.title_hash) == (
            entry.lexemes,
            entry.announced_on,
            entry.title_hash,
        ):
            old.paper_updated_at = entry.paper_updated_at
            unchanged.append(old)
        else:
            replaced.append(old.pk)
            new.append(entry)
    SearchEntry.objects.bulk_update(unchanged, ["paper_updated_at"])
    SearchEntry.objects.filter(pk__in=replaced).delete()
    SearchEntry.objects.bulk_create(new)
    counted = [entry for entry in new if entry.paper_id not in existing]
    _count_words(counted)


def build_entry(paper: Paper) -> SearchEntry:
    lexemes = document_lexemes(
        paper.title, paper.abstract, paper.authors, paper.categories, paper.doi
    )
    return SearchEntry(
        paper=paper,
        paper_updated_at=paper.updated_at,
        title_hash=title_hash(paper.title),
        announced_on=paper.announced_on,
        lexemes=" ".join(lexemes),
    )


def title_hash(title: str) -> str:
    return hashlib.sha256(title_key(title).encode()).hexdigest()[:16]


def _count_words(entries: Sequence[SearchEntry]) -> None:
    """Add the words of new entries to the vocabulary; a revised paper is not counted again."""
    counts = Counter(
        lexeme
        for entry in entries
        for lexeme in entry.lexemes.split(" ")
        if not lexeme.startswith(_NO_WORDS) and 2 < len(lexeme) <= MAX_WORD_LENGTH
    )
    # In one order, so that two processes do not wait for each other's rows.
    rows = sorted((word, n) for word, n in counts.items() if not word[-1].isdigit())
    for start in range(0, len(rows), MAX_WORDS_PER_STATEMENT):
        part = rows[start : start + MAX_WORDS_PER_STATEMENT]
        statement = _ADD_COUNTS.format(rows=", ".join(["(%s, %s)"] * len(part)))
        with connection.cursor() as cursor:
            cursor.execute(statement, [value for row in part for value in row])


def count_papers(words: Iterable[str]) -> dict[str, int]:
    """Return in how many papers each of these words or `a:` names stands; unknown ones are missing."""
    rows = SearchWord.objects.filter(word__in=set(words))
    return dict(rows.values_list("word", "papers"))


def find_unknown(words: Sequence[str]) -> list[str]:
    """Return the tokens of these words that no indexed paper has, as text or as a name.

    Names are not normalized: "Ibias" is no plural.
    """
    tokens = {word: content_words(word) for word in words}
    names = {word: [f"a:{part}" for part in name_parts(word)] for word in words}
    forms = chain(*tokens.values(), *names.values())
    stored = count_papers(forms)
    return [
        token
        for word in words
        if not any(name in stored for name in names[word])
        for token in tokens[word]
        if token.isalpha() and token not in stored
    ]
