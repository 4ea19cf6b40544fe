"""Results of an experiment: which setting's papers readers open and like.

A digest is won by the setting with more opened papers and “more like this”, less “less like
this”. Digests of one reader are alike, so the interval is widened by how much readers differ
from each other (the design effect of a cluster sample).
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from digest.feedback.clicks import MAX_LINKS_OF_A_PERSON, SOURCE
from digest.models import (
    Candidate,
    Digest,
    Event,
    Experiment,
    Follow,
    Interest,
    decode_picks,
)

# Clicks and opinions of a mail arrive for days.
COUNTED_AFTER_END = timedelta(days=7)
Z_OF_95_PERCENT = 1.96
IDS_PER_QUERY = 5_000

Scores = dict[int, int]  # of digests: what the second setting got more than the first
Wins = dict[int, tuple[int, int]]  # of readers: digests won by the second, and decided


@dataclass(frozen=True)
class Result:
    """Digests won by each setting; the second one's share of those with a winner."""

    first: int
    second: int
    ties: int
    readers: int
    share: float | None = None
    low: float | None = None
    high: float | None = None


def update_results(now: datetime) -> int:
    """End overdue experiments and count those that run or ended lately; return their number."""
    Experiment.objects.end_overdue(now)
    counted = Experiment.objects.filter(ends_at__gt=now - COUNTED_AFTER_END)
    for experiment in counted:
        store_results(experiment, now)
    return len(counted)


def store_results(experiment: Experiment, now: datetime) -> None:
    results = {name: asdict(result) for name, result in count_wins(experiment).items()}
    rows = Experiment.objects.filter(pk=experiment.pk)
    rows.update(results=results, counted_at=now)


def count_wins(experiment: Experiment) -> dict[str, Result]:
    """Count by clicks, by opinions and by both."""
    readers: dict[int, int] = {}  # by digest
    by_clicks = score_clicks(experiment, readers)
    by_opinions = score_opinions(experiment, readers)
    both = {
        digest: by_clicks.get(digest, 0) + by_opinions.get(digest, 0)
        for digest in {**by_clicks, **by_opinions}
    }
    scores = {"both": both, "clicks": by_clicks, "opinions": by_opinions}
    return {name: summarize(values, readers) for name, values in scores.items()}


def score_clicks(experiment: Experiment, readers: dict[int, int]) -> Scores:
    """Score the digests of which a person opened papers; add their readers to `readers`."""
    events = Event.objects.filter(
        source=SOURCE,
        digest__created_at__gte=experiment.started_at,
        digest__created_at__lt=experiment.ends_at,
    )
    opened: defaultdict[tuple[int, str], set[int]] = defaultdict(set)
    links: defaultdict[tuple[int, str], int] = defaultdict(int)
    columns: dict[int, bytes] = {}
    for digest, reader, packed, key in events.values_list(
        "digest", "digest__subscriber", "digest__packed_picks", "key"
    ).iterator():
        _, number, _, day = key.split(":")
        opened[digest, day].add(int(number))
        links[digest, day] += 1
        columns[digest], readers[digest] = bytes(packed), reader
    numbers: defaultdict[int, set[int]] = defaultdict(set)
    for (digest, day), places in opened.items():
        if links[digest, day] <= MAX_LINKS_OF_A_PERSON:
            numbers[digest] |= places
    scores = {}
    for digest, places in numbers.items():
        picks = decode_picks(columns[digest])
        if any(pick.team for pick in picks):
            teams = [picks[n - 1].team for n in places if 1 <= n <= len(picks)]
            scores[digest] = teams.count(2) - teams.count(1)
    return scores


def score_opinions(experiment: Experiment, readers: dict[int, int]) -> Scores:
    """Score the digests whose papers readers asked for more or less of."""
    opinions: defaultdict[int, dict[str, int]] = defaultdict(dict)
    follows = Follow.objects.filter(
        source=Follow.Source.FEEDBACK,
        interest__kind=Interest.Kind.PAPER,
        created_at__gte=experiment.started_at,
    )
    for reader, identifier, weight in follows.values_list(
        "subscriber", "interest__value", "weight"
    ).iterator():
        opinions[reader][identifier] = 1 if weight > 0 else -1
    scores: Scores = {}
    ids = sorted(opinions)
    for start in range(0, len(ids), IDS_PER_QUERY):
        digests = Digest.objects.filter(
            subscriber__in=ids[start : start + IDS_PER_QUERY],
            created_at__gte=experiment.started_at,
            created_at__lt=experiment.ends_at,
        )
        rows = list(digests.values_list("pk", "subscriber", "packed_picks"))
        papers = load_identifiers(packed for _, _, packed in rows)
        for digest, reader, packed in rows:
            values = [
                (pick.team, opinions[reader][papers[pick.candidate]])
                for pick in decode_picks(packed)
                if pick.team and papers.get(pick.candidate) in opinions[reader]
            ]
            if values:
                readers[digest] = reader
                scores[digest] = sum(v if team == 2 else -v for team, v in values)
    return scores


def load_identifiers(columns: Iterable[bytes | memoryview]) -> dict[int, str]:
    """The paper's identifier of each candidate in these packed picks."""
    ids = sorted({pick.candidate for row in columns for pick in decode_picks(row)})
    papers: dict[int, str] = {}
    for start in range(0, len(ids), IDS_PER_QUERY):
        rows = Candidate.objects.filter(pk__in=ids[start : start + IDS_PER_QUERY])
        papers |= dict(rows.values_list("pk", "paper__identifier"))
    return papers


def summarize(scores: Scores, readers: Mapping[int, int]) -> Result:
    first = sum(score < 0 for score in scores.values())
    second = sum(score > 0 for score in scores.values())
    wins: defaultdict[int, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for digest, score in scores.items():
        if score:
            won, decided = wins[readers[digest]]
            wins[readers[digest]] = won + (score > 0), decided + 1
    number = len({readers[digest] for digest in scores})
    ties = len(scores) - first - second
    interval = share_interval(list(wins.values()))
    return Result(first, second, ties, number, *(interval or ()))


def share_interval(
    wins: list[tuple[int, int]],
) -> tuple[float, float, float] | None:
    """The share of won digests with its 95 % interval; None without decided digests.

    `wins`: per reader the digests won and decided. Wilson's score interval for as many
    independent digests as have the same variance as these readers' ones.
    """
    decided = sum(number for _, number in wins)
    if not decided:
        return None
    share = sum(won for won, _ in wins) / decided
    n, z2 = effective_number(wins, share, decided), Z_OF_95_PERCENT**2
    center = (share + z2 / (2 * n)) / (1 + z2 / n)
    spread = math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    half = Z_OF_95_PERCENT * spread / (1 + z2 / n)
    return share, max(center - half, 0.0), min(center + half, 1.0)


def effective_number(wins: list[tuple[int, int]], share: float, decided: int) -> float:
    """The number of independent digests that say as much; that of readers where all agree."""
    readers = len(wins)
    if share in (0, 1) or readers == 1:
        return readers
    squares = sum((won - share * number) ** 2 for won, number in wins)
    variance = readers / (readers - 1) * squares / decided**2
    return min(decided, share * (1 - share) / variance) if variance else decided
