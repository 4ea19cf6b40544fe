"""Queries are parsed into words, phrases, exclusions and operators."""

from datetime import date

import pytest

from digest.text.search_query import (
    LexemeQuery,
    document_lexemes,
    parse_day,
    parse_search_query,
    title_key,
    word_clauses,
)


def test_operators_are_taken_out_of_the_text():
    query = parse_search_query(
        'sparse "long context" -survey -"case study" author:"Ada Okafor" '
        "cat:cs.LG -cat:cs.CR after:2026-03 before:2026-04-05"
    )

    assert query.text == "sparse long context"
    assert (query.words, query.phrases) == (("sparse",), ("long context",))
    assert query.excluded == ("survey", "case study")
    assert query.authors == ("Ada Okafor",)
    assert (query.categories, query.excluded_categories) == (("cs.lg",), ("cs.cr",))
    assert (query.first_day, query.end_day) == (date(2026, 3, 1), date(2026, 4, 5))
    assert query.problems == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pre-training", ("pre-training",)),
        ("state - of - the art", ("state", "-", "of", "-", "the", "art")),
        ("https://example.org/x", ("https://example.org/x",)),
        ("AUTHOR:Li maps", ("maps",)),
        ('an "open phrase', ("an", "open", "phrase")),
        ("“curly” quotes", ("quotes",)),
    ],
)
def test_words_are_what_is_no_operator(text, words):
    assert parse_search_query(text).words == words


def test_an_unreadable_date_is_named():
    query = parse_search_query("maps after:yesterday")

    assert query.problems[0].startswith("“after:yesterday” was ignored")
    assert query.first_day is None


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-03-06", date(2026, 3, 6)),
        ("2026/3/6", date(2026, 3, 6)),
        ("2026-03", date(2026, 3, 1)),
        ("2026", date(2026, 1, 1)),
        *(("2026-13", None), ("2026-02-30", None), ("0000", None), ("x", None)),
    ],
)
def test_days_are_whole_or_the_first_of_their_month_or_year(text, day):
    assert parse_day(text) == day


def test_queries_are_rendered_for_both_databases():
    query = LexemeQuery(word_clauses(["pre-training"], "t:"), (("it's", 'a"b'),))

    assert query.to_tsquery() == (
        "(('t:pre' & 't:training') | ('t:pretraining')) & !(('it''s' & 'a\"b'))"
    )
    assert query.to_fts5() == (
        '((("t:pre" AND "t:training") OR ("t:pretraining"))) NOT (("it\'s" AND "a""b"))'
    )


def test_documents_have_lexemes_of_every_field():
    lexemes = document_lexemes(
        "Pre-training Nets", "We colour.", ["Ada O. Okafor"], ["cs.LG"], "10.1/AB c"
    )

    assert lexemes == sorted(
        [
            *("pre", "training", "pretraining", "net", "t:pre", "t:training"),
            *(
                "t:pretraining",
                "t:net",
                "color",
                "a:ada",
                "a:okafor",
                "c:cs",
                "c:cs.lg",
            ),
        ]
    )


def test_title_keys_ignore_case_accents_and_punctuation():
    assert title_key("Émile: a Net?") == title_key("emile A net") == "emile a net"
