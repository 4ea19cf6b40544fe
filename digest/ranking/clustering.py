"""Taste: a reader's example papers, grouped so that several interests stay apart.

One centre for all examples lies between interests, and in every second digest it loses one
of them. Groups are found by Ward's clustering of the papers' vectors; how many there are
says the silhouette, with a price on each so that one interest is not split.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist, squareform

from digest.ranking.lsa import Rows

Labels = npt.NDArray[np.int64]

MOST_GROUPS = 4
# Of two papers everything is in common by chance; pairs cost the libraries set .012 of
# recall@50 (.485 to .473) and gain nothing where interests are mixed.
SMALLEST = 3
# A silhouette is at most 1; that of one topic's papers cut in two is about .1.
LEAST, PRICE = 0.05, 0.03  # to be worth any cut, and for each group
# Mean cosine of papers that are of one kind. Of pairs on one interest the median is .35, on
# two .02; of six papers drawn by chance three are so near once in a hundred times.
ALIKE = 0.25


def groups(rows: Rows) -> list[list[int]]:
    """The indices [n] of unit rows [n, d] in groups, in the order of their first ones."""
    n = len(rows)
    best, found = LEAST, np.ones(n, np.int64)
    if n >= 2 * SMALLEST:
        tree, apart = linkage(rows, "ward"), squareform(pdist(rows))
        for count in range(2, MOST_GROUPS + 1):
            labels = fcluster(tree, count, "maxclust").astype(np.int64)
            worth = _silhouette(apart, labels) - PRICE * count
            if np.bincount(labels)[1:].min() >= SMALLEST and worth > best:
                best, found = worth, labels
    together: dict[int, list[int]] = {}
    for index, label in enumerate(found.tolist()):
        together.setdefault(label, []).append(index)
    return list(together.values())


def alike(rows: Rows) -> list[list[int]]:
    """The indices [n] of unit rows [n, d] that lie at least three together, the most first.

    For papers of which nobody said that they belong together, nor that they matter: what
    is alone is left out, where `groups` takes a reader's word for it.
    """
    if len(rows) < SMALLEST:
        return []
    apart = squareform(np.clip(1 - rows @ rows.T, 0, None), checks=False)
    labels = fcluster(linkage(apart, "average"), 1 - ALIKE, "distance")
    together: dict[int, list[int]] = {}
    for index, label in enumerate(labels.tolist()):
        together.setdefault(label, []).append(index)
    found = [group for group in together.values() if len(group) >= SMALLEST]
    return sorted(found, key=lambda group: (-len(group), group))


def weights(found: Sequence[Sequence[int]]) -> list[float]:
    """What each group weighs beside the largest: the root of its share.

    The whole share would leave three papers of thirty without a place.
    """
    largest = max(map(len, found), default=1)
    return [float((len(group) / largest) ** 0.5) for group in found]


def _silhouette(apart: npt.NDArray[np.float64], labels: Labels) -> float:
    """Rousseeuw's mean silhouette; a paper alone in its group counts 0."""
    sizes = np.bincount(labels)[1:]
    if sizes.size < 2:
        return 0.0
    places = np.arange(labels.size), labels - 1
    sums = apart @ np.eye(sizes.size)[labels - 1]
    own = sums[places] / np.maximum(sizes[labels - 1] - 1, 1)
    others = sums / sizes
    others[places] = np.inf
    near = others.min(axis=1)
    scores = (near - own) / np.maximum(np.maximum(near, own), 1e-12)
    return float(np.where(sizes[labels - 1] > 1, scores, 0).mean())
