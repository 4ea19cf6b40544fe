"""The search index: lexemes of every paper, and the vocabulary that corrects spelling.

The database searches the lexemes: PostgreSQL by a GIN index on a tsvector, SQLite by an
FTS5 table that triggers keep equal. Both see the same lexemes, so results are the same.
"""

from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.sql.compiler import SQLCompiler

from digest.models.papers import Paper
from digest.text.search_query import LexemeQuery


class SearchEntry(models.Model):
    """The lexemes of one paper. A paper whose text changes gets a new entry with a higher id."""

    paper = models.OneToOneField(Paper, models.CASCADE, related_name="search_entry")
    paper_updated_at = models.DateTimeField()
    title_hash = models.CharField(max_length=16, db_index=True)
    announced_on = models.DateField()
    lexemes = models.TextField()

    def __str__(self) -> str:
        return f"search entry of {self.paper_id}"


class SearchWord(models.Model):
    """A word of titles and abstracts, or `a:` and a part of an author's name."""

    word = models.CharField(max_length=48, unique=True)
    papers = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.word} ({self.papers})"


@models.TextField.register_lookup
class Matches(models.Lookup):
    """`lexemes__matches=LexemeQuery(…)`; needs the indexes of migration create_search_index."""

    lookup_name = "matches"

    def get_prep_lookup(self) -> LexemeQuery:
        query: LexemeQuery = self.rhs
        return query

    def as_postgresql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper
    ) -> tuple[str, list[Any]]:
        column, parameters = self.process_lhs(compiler, connection)
        return (
            f"digest_search_vector({column}) @@ %s::tsquery",
            [*parameters, self.rhs.to_tsquery()],
        )

    def as_sqlite(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper
    ) -> tuple[str, list[Any]]:
        column, parameters = self.process_lhs(compiler, connection)
        table = column.rpartition(".")[0]
        return (
            f"{table}.id IN (SELECT rowid FROM digest_search_fts WHERE digest_search_fts MATCH %s)",
            [*parameters, self.rhs.to_fts5()],
        )
