"""Attention prior: the attention that a paper without votes may expect.

On the morning of its announcement no paper has a vote. Known are its text and authors, and
how similar papers and these authors fared before: a ridge regression of ln(1 + votes) on
papers whose votes are in. It orders papers without votes, never ranks one above a vote, and
is never stated as a reason.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from digest.ranking.lsa import Rows
from digest.text.tokens import fold_text

Reals = npt.NDArray[np.float64]
Names = Sequence[str]  # the authors of one paper
AuthorRecords = dict[str, tuple[float, int]]  # sum of ln(1 + votes), and papers

# Days after its announcement when a paper has most of the votes that it will get.
SETTLED_DAYS = 7
# Papers with votes that a fit needs. Seventy of them order a day better than chance
# (ndcg@10 .50 to .04, five hundred .53), but an organisation's first week is no rule.
MIN_VOTED_PAPERS = 500
RIDGE = 30.0  # 3 to 100 differ by less than .01 of auc
# Papers by which an author's mean is shrunk to that of all; 1 and 10 are no better.
AUTHOR_SHRINKAGE_PAPERS = 3.0
MAX_PRIOR = 0.6  # less than one vote is worth, which is ln 2 = .69


@dataclass(frozen=True)
class PastPapers:
    """n papers whose votes are in: vectors [n, d], authors [n] and votes [n]."""

    rows: Rows
    authors: Sequence[Names]
    votes: Sequence[int]


@dataclass(frozen=True)
class AttentionPrior:
    """Slopes [d + 3] on the columns minus their `center`, over their `spread`."""

    level: float  # mean ln(1 + votes)
    center: Reals
    spread: Reals
    slopes: Reals
    records: AuthorRecords

    def predict(self, rows: Rows, authors: Sequence[Names]) -> list[float]:
        """Predict for each paper, in [0, MAX_PRIOR), what to add while it has no votes."""
        people = [_author_columns(a, self.records, self.level) for a in authors]
        columns = np.hstack([rows, np.array(people).reshape(-1, 3)])
        values = (columns - self.center) / self.spread @ self.slopes + self.level
        # Bounded without changing the order.
        return [
            round(MAX_PRIOR * -math.expm1(-max(x, 0) / MAX_PRIOR), 6) for x in values
        ]


def fit_prior(past: PastPapers) -> AttentionPrior | None:
    """Fit to past papers, deterministically; None where too few of them have votes."""
    if sum(votes > 0 for votes in past.votes) < MIN_VOTED_PAPERS:
        return None
    attention = np.log1p(np.array(past.votes, float))
    level = float(attention.mean())
    records = _author_records(past.authors, attention.tolist())
    # Each paper is seen as on its own morning: without its votes in its authors' records.
    pairs = zip(past.authors, attention.tolist(), strict=True)
    people = np.array([_author_columns(a, records, level, own) for a, own in pairs])
    columns = np.hstack([past.rows, people])
    center, spread = columns.mean(axis=0), np.ones(columns.shape[1])
    spread[-3:] = people.std(axis=0) + 1e-9  # vectors have one scale already
    columns = (columns - center) / spread
    squares = columns.T @ columns + RIDGE * np.eye(spread.size)
    slopes = np.linalg.solve(squares, columns.T @ (attention - level))
    return AttentionPrior(level, center, spread, slopes, records)


def _author_records(
    authors: Sequence[Names], attention: Sequence[float]
) -> AuthorRecords:
    records: defaultdict[str, tuple[float, int]] = defaultdict(lambda: (0.0, 0))
    for names, value in zip(authors, attention, strict=True):
        for name in _folded_names(names):
            total, papers = records[name]
            records[name] = total + value, papers + 1
    return dict(records)


def _author_columns(
    names: Names, records: AuthorRecords, level: float, own: float | None = None
) -> tuple[float, float, float]:
    """The best author's record above the average, the authors' mean, and their number.

    Large groups have more readers from the start. `own`: the paper's own attention, to be
    left out of its authors' records.
    """
    above = [
        _above_average(records.get(name, (0.0, 0)), level, own)
        for name in _folded_names(names)
    ] or [0.0]
    return max(above), math.fsum(above) / len(above), math.log1p(len(names))


def _above_average(record: tuple[float, int], level: float, own: float | None) -> float:
    """An author's mean attention above the average, shrunk to 0 for few papers."""
    total, papers = record
    if own is not None:
        total, papers = total - own, papers - 1
    if not papers:
        return 0.0
    return (total - papers * level) / (papers + AUTHOR_SHRINKAGE_PAPERS)


def _folded_names(names: Names) -> list[str]:
    return sorted({fold_text(name) for name in names})
