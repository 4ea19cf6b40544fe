"""Search papers of all days, and find related ones, for the pages.

What a query names exactly comes first: identifiers, a DOI, a title, an author. Then papers
that have its words, in the title or anywhere, and papers close in meaning, fused by
reciprocal rank. The words are searched by the database (models/search_entries.py), meaning by
the vectors of all papers in memory (ranking/paper_vectors.py).
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import lru_cache
from itertools import chain, combinations

import numpy as np
import numpy.typing as npt
from django.db.models import QuerySet

from accounts.models import Subscriber
from digest.models import Follow, Interest, Paper, SearchEntry
from digest.ranking import co_readership, embeddings, search_index, spelling
from digest.ranking.co_readership import CoReadership
from digest.ranking.lsa import Rows
from digest.ranking.paper_vectors import PaperVectors, load_vectors
from digest.text.arxiv_ids import find_arxiv_ids
from digest.text.authors import NameMatch, match_names, name_parts
from digest.text.search_query import (
    Alternative,
    LexemeQuery,
    SearchQuery,
    author_clause,
    parse_search_query,
    word_clauses,
)
from digest.text.tokens import content_words, is_quotable, tokenize

# Hugging Face's limit.
MAX_RESULTS = 120
# Cosine below which two texts have nothing to do with each other.
MIN_SEARCH_COSINE = 0.1
# Papers with all words of a query that are ordered by meaning, the newest ones of more.
MAX_WORD_MATCHES = 2_000
MAX_NEAR_PAPERS = 400
# Papers whose text or names are read to verify a phrase or an author.
MAX_VERIFIED = 600
# The constant of reciprocal rank fusion (Cormack et al. 2009).
RANK_CONSTANT = 60
# Share of words that a query and a title have in common, where it is meant as the title.
MIN_TITLE_SIMILARITY = 0.7
MIN_TITLE_WORDS = 4
MAX_NAME_WORDS = 5
# Cosine or co-readership from which a paper is worth naming beside another.
MIN_RELATED_SCORE = 0.3
# The newest follows that co-readership reads: 12 MB and a quarter of a second an hour.
MAX_FOLLOWS = 500_000
MAX_NEIGHBOURS = 200

Clauses = tuple[tuple[Alternative, ...], ...]
_DOI = re.compile(r"10\.\d{4,9}/[^\s\"<>]+")


@dataclass(frozen=True)
class SearchResult:
    """Ids of papers, best first.

    `query` is what was searched: `corrected`, where that replaced a misspelt text. `suggestion`
    is a text to try. Both keep the operators.
    """

    query: SearchQuery
    paper_ids: tuple[int, ...] = ()
    corrected: str = ""
    suggestion: str = ""

    def load_papers(self, first: int = 0, end: int | None = None) -> list[Paper]:
        ids = self.paper_ids[first:end]
        papers = Paper.objects.defer("vector", "dense_vector").in_bulk(ids)
        return [papers[pk] for pk in ids if pk in papers]


def find_papers(
    text: str,
    limit: int = MAX_RESULTS,
    category: str = "",
    first_day: date | None = None,
    keep_spelling: bool = False,
) -> SearchResult:
    """Find the papers that a query names, then those that match it best."""
    query = parse_search_query(text)
    if category:
        query = replace(query, categories=(category.lower(),))
    if first_day:
        query = replace(query, first_day=max(first_day, query.first_day or first_day))
    if named := _find_named(text, limit):
        return SearchResult(query, tuple(named))
    if not query.text and not query.has_filters:
        return SearchResult(query)
    corrected = "" if keep_spelling else _correct(query, text)
    suggestion = "" if keep_spelling or corrected else _suggest(query, text)
    if corrected:
        words = parse_search_query(corrected)
        query = replace(query, text=words.text, words=words.words)
    paper_ids = _verify(query, _rank(query), limit)
    return SearchResult(query, tuple(paper_ids[:limit]), corrected, suggestion)


def papers_by_author(name: str, limit: int = MAX_RESULTS) -> list[int]:
    """Return ids of papers by an author of this name, first authors first, then the newest."""
    clause = author_clause(name)
    if not clause:
        return []
    return _by_author(SearchEntry.objects.all(), name, LexemeQuery((clause,)))[:limit]


def _find_named(text: str, limit: int) -> list[int]:
    """Return the papers that a query names by arXiv identifier or DOI, in its order."""
    if identifiers := find_arxiv_ids(text):
        papers = Paper.objects.filter(identifier__in=identifiers[:limit])
        keys = dict(papers.values_list("identifier", "pk"))
        if keys:
            return [keys[name] for name in identifiers if name in keys]
    if match := _DOI.search(text):
        doi = match[0].rstrip(".,;:)").lower()
        clause = ((f"doi:{doi}",),)
        entries = SearchEntry.objects.filter(lexemes__matches=LexemeQuery((clause,)))
        return list(entries.values_list("paper_id", flat=True)[:limit])
    return []


def _rank(query: SearchQuery) -> list[int]:
    """Return candidates: exact title, author, then the fused lists."""
    entries = _entries_of(query)
    filters, excluded = query.filter_clauses(), query.exclusions()
    if not query.text:
        if not filters:
            return _newest(entries, MAX_WORD_MATCHES)
        return _newest(_matching(entries, filters, excluded), MAX_WORD_MATCHES)
    model = embeddings.current_model()
    row = model.center(model.embed([query.text]))[0] if model else None
    vectors = load_vectors(model) if model else None
    in_title, in_text = _find_words(entries, query)
    near = list[int]()
    if vectors is not None and row is not None and row.any():
        in_title = vectors.sort_by_cosine(in_title, row)
        in_text = vectors.sort_by_cosine(in_text, row)
        near = _find_nearest(vectors, row)
        if query.has_filters:
            near = _keep_matching(entries, near, filters, excluded)
    exact = _exact_titles(entries, query)
    authors = _find_author(entries, query)
    fused = _fuse([in_title, in_text, near])
    similar = _similar_titles(fused[:MAX_NEIGHBOURS], query)
    return list(dict.fromkeys([*exact, *similar, *authors, *fused]))


def _entries_of(query: SearchQuery) -> QuerySet[SearchEntry]:
    entries = SearchEntry.objects.all()
    if query.first_day:
        entries = entries.filter(announced_on__gte=query.first_day)
    if query.end_day:
        entries = entries.filter(announced_on__lt=query.end_day)
    return entries


def _matching(
    entries: QuerySet[SearchEntry],
    clauses: Clauses,
    excluded: tuple[Alternative, ...] = (),
) -> QuerySet[SearchEntry]:
    return entries.filter(lexemes__matches=LexemeQuery(clauses, excluded))


def _newest(entries: QuerySet[SearchEntry], limit: int) -> list[int]:
    # By a column without an index: the planner would walk an index of the order and read
    # the lexemes of each paper.
    ordered = entries.order_by("-announced_on", "-paper_id")
    return list(ordered.values_list("paper_id", flat=True)[:limit])


def _find_words(
    entries: QuerySet[SearchEntry], query: SearchQuery
) -> tuple[list[int], list[int]]:
    """Return the newest papers that have all words in the title, and anywhere.

    Where no paper has all of three or more words, those that lack one of them.
    """
    filters, excluded = query.filter_clauses(), query.exclusions()
    clauses = word_clauses(query.words)
    if not clauses and not query.phrases:
        return [], []
    phrase_words = [word for phrase in query.phrases for word in phrase.split()]
    title_clauses = word_clauses([*query.words, *phrase_words], "t:")
    in_title = _newest(
        _matching(entries, title_clauses + filters, excluded), MAX_WORD_MATCHES
    )
    in_text = _newest(_matching(entries, clauses + filters, excluded), MAX_WORD_MATCHES)
    if not in_text and len(clauses) > 2:
        relaxed = (*_drop_one(clauses), *filters)
        in_text = _newest(_matching(entries, relaxed, excluded), MAX_WORD_MATCHES)
    return in_title, in_text


def _drop_one(clauses: Clauses) -> Clauses:
    """Return one clause that any all-but-one of these clauses satisfy."""
    first = [clause[0] for clause in clauses]
    alternatives = tuple(
        tuple(chain.from_iterable(chosen))
        for chosen in combinations(first, len(first) - 1)
    )
    return (alternatives,)


def _find_nearest(vectors: PaperVectors, row: Rows) -> list[int]:
    cosines = vectors.cosines(row)
    if not cosines.size:
        return []
    count = min(MAX_NEAR_PAPERS, cosines.size)
    # Sorting all would take ten times as long. Ties at the end of the list go by id.
    threshold = max(np.partition(cosines, -count)[-count], MIN_SEARCH_COSINE)
    best = np.flatnonzero(cosines >= threshold)
    order = np.lexsort((vectors.ids[best], -cosines[best]))[:count]
    return [int(pk) for pk in vectors.ids[best[order]]]


def _keep_matching(
    entries: QuerySet[SearchEntry],
    paper_ids: list[int],
    filters: Clauses,
    excluded: tuple[Alternative, ...],
) -> list[int]:
    rows = entries.filter(paper__in=paper_ids)
    if filters:
        rows = _matching(rows, filters, excluded)
    elif excluded:
        for alternative in excluded:
            rows = rows.exclude(lexemes__matches=LexemeQuery(((alternative,),)))
    matching_ids = set(rows.values_list("paper_id", flat=True))
    return [pk for pk in paper_ids if pk in matching_ids]


def _fuse(rankings: Iterable[list[int]]) -> list[int]:
    """Fuse lists by reciprocal rank; ties go by id."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for place, pk in enumerate(ranking, start=1):
            scores[pk] = scores.get(pk, 0.0) + 1 / (RANK_CONSTANT + place)
    return sorted(scores, key=lambda pk: (-scores[pk], pk))


def _exact_titles(entries: QuerySet[SearchEntry], query: SearchQuery) -> list[int]:
    if query.excluded or query.excluded_categories:
        return []
    hashed = search_index.title_hash(query.text)
    rows = entries.filter(title_hash=hashed).order_by("-announced_on", "paper_id")
    return list(rows.values_list("paper_id", flat=True)[:MAX_NEIGHBOURS])


def _similar_titles(paper_ids: list[int], query: SearchQuery) -> list[int]:
    """Return those whose titles have most words of the query, where it is long enough to be one."""
    words = set(tokenize(query.text))
    if len(content_words(query.text)) < MIN_TITLE_WORDS:
        return []
    titles = Paper.objects.filter(pk__in=paper_ids).values_list("pk", "title")
    similar = {}
    for pk, title in titles:
        other = set(tokenize(title))
        similarity = len(words & other) / len(words | other)
        if similarity >= MIN_TITLE_SIMILARITY:
            similar[pk] = similarity
    return sorted(similar, key=lambda pk: (-similar[pk], pk))


def _find_author(entries: QuerySet[SearchEntry], query: SearchQuery) -> list[int]:
    """Return the papers of the author whom the words name; none where they name no author."""
    is_name = 1 <= len(query.text.split()) <= MAX_NAME_WORDS and not any(
        char.isdigit() for char in query.text
    )
    clause = author_clause(query.text) if is_name else ()
    # A single word is a surname only where it is hardly a word of papers.
    if not clause or (len(clause[0]) == 1 and not _is_surname(clause[0][0])):
        return []
    name = LexemeQuery((clause, *query.filter_clauses()), query.exclusions())
    return _by_author(entries, query.text, name)


def _is_surname(lexeme: str) -> bool:
    counts = search_index.count_papers([lexeme, lexeme.removeprefix("a:")])
    return counts.get(lexeme, 0) > counts.get(lexeme.removeprefix("a:"), 0)


def _by_author(
    entries: QuerySet[SearchEntry], name: str, query: LexemeQuery
) -> list[int]:
    rows = entries.filter(lexemes__matches=query)
    ordered = rows.order_by("-announced_on", "-paper_id")
    parts = name_parts(name)
    first, others = list[int](), list[int]()
    for pk, authors in ordered.values_list("paper_id", "paper__authors")[:MAX_VERIFIED]:
        matches = [match_names(parts, name_parts(author)) for author in authors]
        least = NameMatch.SURNAME if len(parts) == 1 else NameMatch.INITIALS
        if any(match >= least for match in matches):
            (first if matches[0] >= least else others).append(pk)
    return [*first, *others]


def _verify(query: SearchQuery, paper_ids: list[int], limit: int) -> list[int]:
    """Keep papers that have the phrases word for word, and an author of each name."""
    if not query.phrases and not query.authors:
        return paper_ids
    candidates = paper_ids[:MAX_VERIFIED]
    rows = Paper.objects.filter(pk__in=candidates)
    texts = {
        pk: (f"{title}. {abstract}", authors)
        for pk, title, abstract, authors in rows.values_list(
            "pk", "title", "abstract", "authors"
        )
    }
    names = [name_parts(name) for name in query.authors]
    verified = list[int]()
    for pk in candidates:
        text, authors = texts.get(pk, ("", []))
        has_phrases = all(is_quotable(phrase, text) for phrase in query.phrases)
        if has_phrases and all(_has_author(name, authors) for name in names):
            verified.append(pk)
            if len(verified) == limit:
                break
    return verified


def _has_author(name: tuple[str, ...], authors: Iterable[str]) -> bool:
    least = NameMatch.SURNAME if len(name) == 1 else NameMatch.INITIALS
    return any(match_names(name, name_parts(author)) >= least for author in authors)


# Spelling


def _correct(query: SearchQuery, text: str) -> str:
    """Return the text with misspelt words replaced; "" where all words are known."""
    unknown = search_index.find_unknown(query.words)
    return _replace_words(query, text, unknown, spelling.MIN_PAPERS) if unknown else ""


def _suggest(query: SearchQuery, text: str) -> str:
    """Return the text with rare words replaced by similar ones that are far more frequent."""
    names = {f"a:{part}" for word in query.words for part in name_parts(word)}
    tokens = [token for word in query.words for token in content_words(word)]
    counts = search_index.count_papers([*tokens, *names])
    rare = [
        token
        for token in tokens
        if 0 < counts.get(token, 0) <= spelling.MIN_PAPERS
        and f"a:{token}" not in counts
    ]
    return _replace_words(query, text, rare, spelling.RARER_FACTOR) if rare else ""


def _replace_words(
    query: SearchQuery, text: str, words: list[str], min_papers: int
) -> str:
    """Replace these words of the text by near ones; "" where none is near."""
    corrections = {}
    for word in words:
        correction = spelling.load_vocabulary().correct(word, min_papers)
        if not correction and min_papers <= spelling.MIN_PAPERS:
            correction = spelling.load_vocabulary("a:").correct(word, 1)
        if correction:
            corrections[word] = correction
    if not corrections:
        return ""
    for word in query.words:
        tokens = content_words(word)
        if any(token in corrections for token in tokens):
            corrected = " ".join(corrections.get(token, token) for token in tokens)
            pattern = rf"(?<!\S){re.escape(word)}(?!\S)"
            text = re.sub(pattern, corrected.replace("\\", r"\\"), text)
    return " ".join(text.split())


# Related papers


def related(
    papers: Sequence[Paper],
    now: datetime,
    limit: int = 5,
    exclude: Collection[str] = (),
) -> list[tuple[Paper, bool]]:
    """Find the papers most related to these, without them and the identifiers in `exclude`.

    True with each that enough readers follow who also follow one of `papers`. Follows are
    read once an hour.
    """
    model = embeddings.current_model()
    if model is None or not papers:
        return []
    vectors = load_vectors(model)
    ids, rows = vectors.ids, vectors.rows
    shared = _co_readership_scores([paper.identifier for paper in papers], now)
    co_scores = np.array([shared.get(pk, 0.0) for pk in ids.tolist()])
    followed = model.center(embeddings.rows(papers, model))
    scores = co_readership.score_related(rows, followed, co_scores)
    excluded = Paper.objects.filter(identifier__in=exclude).values_list("pk", flat=True)
    scores[np.isin(ids, [*excluded, *(paper.pk for paper in papers)])] = 0
    best = _load_best(ids, scores, limit, MIN_RELATED_SCORE)
    return [(paper, paper.pk in shared) for paper, _ in best]


def _load_best(
    ids: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float64],
    limit: int,
    minimum: float,
) -> list[tuple[Paper, float]]:
    order = np.lexsort((ids, -scores))[:limit]
    best = [(int(ids[i]), float(scores[i])) for i in order if scores[i] >= minimum]
    papers = Paper.objects.defer(
        "title_raw", "abstract_raw", "vector", "dense_vector"
    ).in_bulk([pk for pk, _ in best])
    return [(papers[pk], score) for pk, score in best if pk in papers]


def _co_readership_scores(
    identifiers: Collection[str], now: datetime
) -> dict[int, float]:
    """Co-readership scores of other papers with these, by paper id; most have none."""
    interests = Interest.objects.filter(kind=Interest.Kind.PAPER)
    own = interests.filter(value__in=identifiers).values_list("pk", flat=True)
    hour = int(now.timestamp()) // 3600
    ids, near = _load_co_readership(hour).neighbours(list(own))
    scores = dict(zip(ids[:MAX_NEIGHBOURS].tolist(), near.tolist(), strict=False))
    by_identifier = dict(interests.filter(pk__in=scores).values_list("value", "pk"))
    papers = Paper.objects.filter(identifier__in=by_identifier)
    return {
        pk: scores[by_identifier[identifier]]
        for pk, identifier in papers.values_list("pk", "identifier")
    }


@lru_cache(maxsize=1)
def _load_co_readership(hour: int) -> CoReadership:
    """Read who follows which papers, once an hour.

    Only papers that active readers chose or liked themselves, and only of readers who let
    us learn from them.
    """
    liked = Follow.objects.filter(interest__kind=Interest.Kind.PAPER, weight__gt=0)
    own = liked.exclude(source=Follow.Source.OPENED).filter(
        subscriber__state=Subscriber.State.ACTIVE, subscriber__learns_from_clicks=True
    )
    newest = own.order_by("-pk").values_list("subscriber_id", "interest_id")
    pairs = np.fromiter(
        chain.from_iterable(newest[:MAX_FOLLOWS].iterator(10_000)), np.int64
    )
    return CoReadership(pairs[::2], pairs[1::2])
