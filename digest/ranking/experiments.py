"""Ranking settings in use, and the experiment that compares two of them."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import fields
from datetime import datetime

from accounts.models import Subscriber
from digest.models import Experiment, Pick, RankingSetting
from digest.ranking.interleaving import (
    Fits,
    Team,
    interleave,
    is_assigned,
)
from digest.ranking.score_breakdown import DEFAULT_WEIGHTS, RankingWeights
from digest.ranking.selection import MAX_PER_AUTHOR_GROUP, Slate


def weights_of(setting: RankingSetting | None) -> RankingWeights:
    """The weights of a setting; an empty one, and no setting, is the evaluated weight."""
    if setting is None:
        return DEFAULT_WEIGHTS
    stored = {
        field.name: getattr(setting, field.name) for field in fields(RankingWeights)
    }
    return RankingWeights(
        **{n: value for n, value in stored.items() if value is not None}
    )


def default_weights() -> RankingWeights:
    """The weights for all readers outside experiments, and for pages."""
    return weights_of(RankingSetting.objects.filter(is_default=True).first())


def load_running(now: datetime) -> Experiment | None:
    return Experiment.objects.running(now).select_related("first", "second").first()


def participates(experiment: Experiment, reader: Subscriber) -> bool:
    """Whether a reader gets interleaved picks.

    Those who want half of their papers for their trend do not: the halves of two rankings
    are no halves of a list drafted from both.
    """
    wants_halves = reader.fill_mode == Subscriber.FillMode.HALF
    return not wants_halves and is_assigned(experiment.pk, reader.pk, experiment.share)


def interleave_picks(
    first: Sequence[Pick],
    second: Sequence[Pick],
    length: int,
    coins: Iterator[bool],
    fits: Fits,
    pinned: Collection[int],
) -> list[Pick]:
    """Merge what both settings pick for a reader, in the order of a mail.

    Pins count for neither setting, and neither does any paper where both pick the same
    ones in the same order.
    """
    if first == second:
        return list(first)
    picks = {
        Team.NONE: {pick.candidate: pick for pick in (*second, *first)},
        Team.FIRST: {pick.candidate: pick for pick in first},
        Team.SECOND: {pick.candidate: pick for pick in second},
    }
    teams = interleave(
        [pick.candidate for pick in first],
        [pick.candidate for pick in second],
        length,
        coins,
        fits,
        [pick.candidate for pick in first if pick.candidate in pinned],
    )
    merged = [
        picks[team][candidate]._replace(team=team) for candidate, team in teams.items()
    ]
    return sorted(merged, key=lambda pick: mail_section(pick, pinned))


def mail_section(pick: Pick, pinned: Collection[int]) -> int:
    """The section of a mail: what may be claimed and pins, what is near, what fills it."""
    if pick.candidate in pinned:
        return 0
    return 2 if not pick.interest else int(pick.near)


def build_fits(slate: Slate, candidates: Sequence[int]) -> Fits:
    """Whether a candidate is no near-duplicate of the picked ones, nor one too many of a group."""
    duplicates = dict(zip(candidates, slate.near_duplicate.tolist(), strict=True))
    groups = dict(zip(candidates, slate.author_group.tolist(), strict=True))

    def fits(picked: Iterable[int], candidate: int) -> bool:
        others = list(picked)
        if duplicates[candidate] in {duplicates[other] for other in others}:
            return False
        same_group = [o for o in others if groups[o] == groups[candidate]]
        return len(same_group) < MAX_PER_AUTHOR_GROUP

    return fits
