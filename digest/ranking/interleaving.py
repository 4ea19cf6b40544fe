"""Team-draft interleaving: merge two rankings into one list that compares them.

As in arXivDigest's living lab: the two rankings pick in turns, a coin decides who begins
each round, and a paper counts for the ranking that picked it. Readers see one list, so
their clicks compare the rankings under the same conditions (Radlinski, Kurup and Joachims
2008).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import IntEnum
from hashlib import blake2b
from itertools import chain
from random import Random

ASSIGNMENT_STEPS = 10_000  # shares of readers are exact to a hundredth of a percent

Fits = Callable[[Iterable[int], int], bool]


class Team(IntEnum):
    """The ranking that a paper counts for; NONE where both would have picked it anyway."""

    NONE = 0
    FIRST = 1
    SECOND = 2


def is_assigned(experiment: int, reader: int, percent: int) -> bool:
    """Whether a reader is among the share of an experiment: the same answer every day."""
    key = blake2b(b"%d:%d" % (experiment, reader), digest_size=4).digest()
    step = int.from_bytes(key, "big") % ASSIGNMENT_STEPS
    return step < percent * ASSIGNMENT_STEPS // 100


def toss_coins(*seed: int) -> Iterator[bool]:
    """Toss a fair coin; the same seed repeats the same results, so that a preview equals its mail."""
    random = Random(":".join(map(str, seed)))
    while True:
        yield random.random() < 0.5


def interleave(
    first: Sequence[int],
    second: Sequence[int],
    length: int,
    coins: Iterator[bool],
    fits: Fits = lambda picked, paper: True,
    shared: Sequence[int] = (),
) -> dict[int, Team]:
    """Draft up to `length` papers from two rankings: papers in their order, with their team.

    `shared` papers lead and count for neither. `fits`: whether a paper may stand beside
    the picked ones. What only one ranking has left had no rival, so it counts for
    neither; papers that do not fit come last.
    """
    picked = dict.fromkeys(shared, Team.NONE)
    rankings = {Team.FIRST: first, Team.SECOND: second}
    while len(picked) < length:
        sizes = Counter(picked.values())
        lead = sizes[Team.FIRST] - sizes[Team.SECOND]
        is_first = lead < 0 or (lead == 0 and next(coins))
        offers = {
            team: _first_open(papers, picked, fits) for team, papers in rankings.items()
        }
        if None in offers.values():
            break
        team = Team.FIRST if is_first else Team.SECOND
        picked[offers[team]] = team  # type: ignore[index]  # no offer is None
    for may_follow in (fits, lambda picked, paper: True):
        for paper in chain(first, second):
            if len(picked) < length and may_follow(picked, paper):
                picked.setdefault(paper, Team.NONE)
    return picked


def _first_open(
    papers: Sequence[int], picked: dict[int, Team], fits: Fits
) -> int | None:
    is_open = (p for p in papers if p not in picked and fits(picked, p))
    return next(is_open, None)
