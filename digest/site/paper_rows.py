"""The papers of the newest edition as pages show them: a card, and why it is there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef

from digest.models import Candidate, Edition, Interest, Pick
from digest.ranking import choose
from digest.reasons import Reason, explain_picks, load_names, reason_for

# As long as most readers' digests.
TEN = 10


@dataclass(frozen=True)
class Shown:
    """One paper of a list: its card, the reason and of what kind that is, an editor's note."""

    card: dict[str, Any]
    kind: str
    why: str
    note: str
    interest: Interest | None

    @property
    def votes_told(self) -> bool:
        """Whether the reason says already how many votes it has."""
        return self.kind == "trend" and bool(self.card["votes"])


def newest() -> Edition | None:
    """The newest edition that holds papers, open or frozen."""
    held = Exists(Candidate.objects.filter(edition=OuterRef("pk")))
    return Edition.objects.filter(held).order_by("-day").first()


def answer(
    edition: Edition | None, requested_interests: list[Interest], length: int = TEN
) -> list[Shown]:
    """The papers that somebody with these requested_interests would get, as production selects them."""
    if edition is None:
        return []
    chosen = choose.preview(edition, requested_interests, length=length)
    names = load_names([interest for _, interest in chosen if interest])
    return [
        as_row(candidate, interest, reason_for(candidate, interest, names))
        for candidate, interest in chosen
    ]


def picked(picks: Sequence[Pick]) -> list[Shown]:
    """Picks as pages show them; four queries however many."""
    return [
        as_row(pick.candidate, pick.interest, pick.reason)
        for pick in explain_picks(picks)
    ]


def as_row(candidate: Candidate, interest: Interest | None, reason: Reason) -> Shown:
    return Shown(candidate.card, reason.kind, reason.text, candidate.note, interest)
