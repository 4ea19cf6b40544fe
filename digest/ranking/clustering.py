"""Group a reader's example papers by Ward clustering, so that several interests stay apart.

One centroid for all examples falls between interests and loses one of them in every
second digest. The silhouette decides how many groups there are.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist, squareform

from digest.ranking.lsa import Rows

Labels = npt.NDArray[np.int64]

MAX_GROUPS = 4
# Two papers have much in common by chance: groups of two cost the libraries set .012 of
# recall@50 and gain nothing where interests are mixed.
MIN_GROUP_SIZE = 3
# A silhouette is at most 1; that of one topic's papers cut in two is about .1. Chosen on
# mixes of one to four topics: three interests are then served as well as two.
MIN_SILHOUETTE = 0.1
# Mean cosine of opened papers of one kind. Of pairs on one interest the median is .35, on
# two .02; three of six papers drawn by chance are this near once in a hundred times.
MIN_OPENED_COSINE = 0.25


def group_examples(rows: Rows) -> list[list[int]]:
    """Group unit rows [n, d]: indices, in the order of the groups' first rows."""
    n = len(rows)
    best_score, best_labels = MIN_SILHOUETTE, np.ones(n, np.int64)
    if n >= 2 * MIN_GROUP_SIZE:
        tree, distances = linkage(rows, "ward"), squareform(pdist(rows))
        for count in range(2, MAX_GROUPS + 1):
            labels = fcluster(tree, count, "maxclust").astype(np.int64)
            score = _mean_silhouette(distances, labels)
            if np.bincount(labels)[1:].min() >= MIN_GROUP_SIZE and score > best_score:
                best_score, best_labels = score, labels
    return _by_label(best_labels)


def group_opened(rows: Rows) -> list[list[int]]:
    """Group unit rows [n, d] that are near each other, the largest group first.

    The reader did not say that these papers belong together or matter, so papers outside
    groups of MIN_GROUP_SIZE are left out.
    """
    if len(rows) < MIN_GROUP_SIZE:
        return []
    distances = squareform(np.clip(1 - rows @ rows.T, 0, None), checks=False)
    tree = linkage(distances, "average")
    labels = fcluster(tree, 1 - MIN_OPENED_COSINE, "distance").astype(np.int64)
    groups = [group for group in _by_label(labels) if len(group) >= MIN_GROUP_SIZE]
    return sorted(groups, key=lambda group: (-len(group), group))


def group_weights(groups: Sequence[Sequence[int]]) -> list[float]:
    """Weigh each group by the root of its size relative to the largest.

    Plain shares would leave three papers of thirty without a place in the digest.
    """
    largest = max(map(len, groups), default=1)
    return [float((len(group) / largest) ** 0.5) for group in groups]


def _by_label(labels: Labels) -> list[list[int]]:
    groups: dict[int, list[int]] = {}
    for index, label in enumerate(labels.tolist()):
        groups.setdefault(label, []).append(index)
    return list(groups.values())


def _mean_silhouette(distances: npt.NDArray[np.float64], labels: Labels) -> float:
    """Rousseeuw's mean silhouette; a paper alone in its group counts 0."""
    sizes = np.bincount(labels)[1:]
    if sizes.size < 2:
        return 0.0
    own_cells = np.arange(labels.size), labels - 1
    sums = distances @ np.eye(sizes.size)[labels - 1]
    within = sums[own_cells] / np.maximum(sizes[labels - 1] - 1, 1)
    means = sums / sizes
    means[own_cells] = np.inf
    nearest = means.min(axis=1)
    scores = (nearest - within) / np.maximum(np.maximum(nearest, within), 1e-12)
    return float(np.where(sizes[labels - 1] > 1, scores, 0).mean())
