"""Co-readership: papers that share readers, counted only where enough readers share them.

Item-item collaborative filtering (Linden, Smith and York 2003): the cosine of who follows
what, shrunk for small counts. A pair of papers counts from MIN_SHARED_READERS on, so that
no page reveals what a few readers follow.
"""

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from digest.ranking import clustering
from digest.ranking.lsa import Rows, normalize_rows

Ids = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]

# Statistical offices publish no count below three to five; docs/experiments/ranking-until-2026-11.md
# says what each costs.
MIN_SHARED_READERS = 5
# Two papers with the same ten readers get a cosine of one half. Recall@50 of the libraries
# set with 2, 5, 10, 20: .565, .584, .588, .575.
SHRINKAGE_READERS = 10.0


class CoReadership:
    """Which papers share readers."""

    def __init__(
        self, readers: Ids, papers: Ids, min_shared: int = MIN_SHARED_READERS
    ) -> None:
        """Take n follows, in any order: the ids of their readers and of their papers."""
        self.papers, columns = np.unique(papers, return_inverse=True)
        people, rows = np.unique(readers, return_inverse=True)
        shape = people.size, self.papers.size
        self._follows = csr_matrix((np.ones(rows.size), (rows, columns)), shape)
        self._follows.data[:] = 1  # a reader who follows a paper twice counts once
        self._readers_by_paper = self._follows.T.tocsr()
        self._reader_counts = np.diff(self._readers_by_paper.indptr).astype(np.float64)
        self._min_shared = min_shared

    def neighbours(self, followed: Collection[int]) -> tuple[Ids, Scores]:
        """Return ids of the other papers that share readers with these, the nearest first.

        The scores are sums of shrunk cosines over pairs and may be above 1.
        """
        own = np.flatnonzero(np.isin(self.papers, list(followed)))
        pairs = (self._readers_by_paper[own] @ self._follows).tocoo()
        enough = pairs.data >= self._min_shared
        left, right = own[pairs.row[enough]], pairs.col[enough]
        sizes = np.sqrt(self._reader_counts[left] * self._reader_counts[right])
        scores = np.zeros(self.papers.size)
        np.add.at(scores, right, pairs.data[enough] / (sizes + SHRINKAGE_READERS))
        scores[own] = 0
        best = np.lexsort((self.papers, -scores))[: np.count_nonzero(scores)]
        return self.papers[best], scores[best]


def score_related(rows: Rows, followed: Rows, co_readership: Scores) -> Scores:
    """Score how related each of n papers is to those that a reader follows: [n].

    The cosine of its row [d] to the nearest group of `followed`, plus its co-readership
    score [n]. Rounded, so that equal papers tie on every machine.
    """
    groups = clustering.group_examples(followed)
    centroids = np.array([followed[group].mean(axis=0) for group in groups])
    cosines: Rows = rows @ normalize_rows(centroids).T
    likeness = cosines.max(axis=1)
    # Texts that have nothing in common take nothing from what shared readers say.
    scores: Scores = np.where(co_readership > 0, likeness.clip(0), likeness)
    return (scores + co_readership).round(6)
