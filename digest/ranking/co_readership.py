"""Company: papers by the readers that they share, told only where enough of them do.

Neighbours by common readers, as stores find them (Linden, Smith and York 2003): the cosine
of who follows what, drawn to nothing where few do, counted pair by pair. A pair of papers
counts only from so many readers on that nobody is told what few others follow.
"""

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from sklearn.preprocessing import normalize

from digest.ranking import clustering
from digest.ranking.lsa import Rows

Whole = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]

# Distinct readers who follow both papers of a pair. Statistical offices publish no count
# below three to five; what each costs is in docs/ranking.md.
SHARED_FROM = 5
# A paper and another that the same ten readers follow, and nobody else, are as near as a
# cosine of one half. Recall@50 of the libraries set with 2, 5, 10, 20: .565, .584, .588, .575.
HALFWAY = 10.0


class Company:
    """Who follows what, asked for the papers that go with some."""

    def __init__(
        self, readers: Whole, papers: Whole, shared_from: int = SHARED_FROM
    ) -> None:
        """Of n follows the ids of their readers and of their papers, in any order."""
        self.papers, columns = np.unique(papers, return_inverse=True)
        people, rows = np.unique(readers, return_inverse=True)
        shape = people.size, self.papers.size
        self._follows = csr_matrix((np.ones(rows.size), (rows, columns)), shape)
        self._follows.data[:] = 1  # who follows twice is one reader
        self._readers = self._follows.T.tocsr()  # of each paper
        self._sizes = np.diff(self._readers.indptr).astype(np.float64)
        self._shared_from = shared_from

    def of(self, followed: Collection[int]) -> tuple[Whole, Reals]:
        """Ids of the other papers that share enough readers with these, the nearest first.

        With them how near each is: the sum over its pairs, which may be above 1.
        """
        mine = np.flatnonzero(np.isin(self.papers, list(followed)))
        pairs = (self._readers[mine] @ self._follows).tocoo()
        told = pairs.data >= self._shared_from
        one, other, shared = mine[pairs.row[told]], pairs.col[told], pairs.data[told]
        sizes = np.sqrt(self._sizes[one] * self._sizes[other])
        near = np.zeros(self.papers.size)
        np.add.at(near, other, shared / (sizes + HALFWAY))
        near[mine] = 0
        best = np.lexsort((self.papers, -near))[: np.count_nonzero(near)]
        return self.papers[best], near[best]


def related(known: Rows, followed: Rows, company: Reals) -> Reals:
    """How related each of n papers is to those that a reader follows: [n].

    The cosine of its row in `known` [n, d] to the nearest of their kinds, all of unit
    length, and its company [n] among them. Rounded, so that equal papers tie everywhere.
    """
    kinds = [followed[group].mean(axis=0) for group in clustering.groups(followed)]
    cosines: Rows = known @ normalize(np.array(kinds)).T
    likeness = cosines.max(axis=1)
    # Texts that have nothing in common take nothing from what shared readers say.
    scores: Reals = np.where(company > 0, likeness.clip(0), likeness) + company
    return scores.round(6)
