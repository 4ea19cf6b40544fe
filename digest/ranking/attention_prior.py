"""Promise: the attention that a paper without votes may expect.

On the morning of its announcement no paper has a vote. What is known is its text and who
wrote it, and how papers like it and by these authors fared before: a ridge regression
of ln(1 + votes), on papers whose votes are in. It orders papers that nobody has voted on
yet, and never stands above a vote.
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
Fame = dict[str, tuple[float, int]]  # of an author: sum of ln(1 + votes), and papers

# So many days after its announcement a paper has most of the votes that it will get.
SETTLED = 7
# Papers with votes that it takes. Seventy of them already order a day better than chance
# (ndcg@10 .50 to .04, five hundred .53), but an organisation's first week is no rule.
RATED = 500
RIDGE = 30.0  # 3 to 100 differ by less than .01 of auc
# An author's mean is drawn to that of all as by so many papers; 1 and 10 are no better.
STEADY = 3.0
MOST = 0.6  # that is ever expected: less than one vote is worth, which is ln 2 = .69


@dataclass(frozen=True)
class Past:
    """n papers whose votes are in: vectors [n, d], authors [n] and votes [n]."""

    rows: Rows
    authors: Sequence[Names]
    votes: Sequence[int]


@dataclass(frozen=True)
class Promise:
    """What was learned: slopes [d + 3] on the columns less their `centre`, over their `spread`."""

    level: float  # ln(1 + votes) of papers on average
    centre: Reals
    spread: Reals
    slopes: Reals
    fame: Fame

    def expected(self, rows: Rows, authors: Sequence[Names]) -> list[float]:
        """Of each paper, in [0, MOST), what to add to its attention while it has no votes."""
        who = np.array([_who(names, self.fame, self.level) for names in authors])
        columns = np.hstack([rows, who.reshape(-1, 3)])
        found = (columns - self.centre) / self.spread @ self.slopes + self.level
        # Order is kept up to the limit, and nobody expects less than nothing.
        return [round(MOST * -math.expm1(-max(x, 0.0) / MOST), 6) for x in found]


def learn(past: Past) -> Promise | None:
    """The same from the same papers; None where too few of them have votes."""
    if sum(votes > 0 for votes in past.votes) < RATED:
        return None
    got = np.log1p(np.array(past.votes, float))
    level, fame = float(got.mean()), _fame(past.authors, got.tolist())
    # Each paper is seen as on its own morning: its votes are not in its authors' past.
    pairs = zip(past.authors, got.tolist(), strict=True)
    who = np.array([_who(names, fame, level, own) for names, own in pairs])
    columns = np.hstack([past.rows, who])
    centre, spread = columns.mean(axis=0), np.ones(columns.shape[1])
    spread[-3:] = who.std(axis=0) + 1e-9  # vectors have one scale, the others have not
    columns = (columns - centre) / spread
    squares = columns.T @ columns + RIDGE * np.eye(spread.size)
    slopes = np.linalg.solve(squares, columns.T @ (got - level))
    return Promise(level, centre, spread, slopes, fame)


def _fame(authors: Sequence[Names], got: Sequence[float]) -> Fame:
    sums: defaultdict[str, tuple[float, int]] = defaultdict(lambda: (0.0, 0))
    for names, votes in zip(authors, got, strict=True):
        for name in _folded(names):
            total, papers = sums[name]
            sums[name] = total + votes, papers + 1
    return dict(sums)


def _who(
    names: Names, fame: Fame, level: float, own: float | None = None
) -> tuple[float, float, float]:
    """The best author's past above the average, the authors' mean, and how many they are.

    Large groups have more readers from the start. `own`: what the paper itself brought
    to its authors' past, to be left out.
    """
    above = [_above(fame.get(name, (0.0, 0)), level, own) for name in _folded(names)]
    above = above or [0.0]
    return max(above), math.fsum(above) / len(above), math.log1p(len(names))


def _above(past: tuple[float, int], level: float, own: float | None) -> float:
    """What an author's papers got more than the average, drawn to 0 where they are few."""
    total, papers = past
    if own is not None:
        total, papers = total - own, papers - 1
    return (total - papers * level) / (papers + STEADY) if papers else 0.0


def _folded(names: Names) -> list[str]:
    return sorted({fold_text(name) for name in names})
