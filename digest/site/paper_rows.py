"""The papers of the newest edition as pages show them: a card, and why it is there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef

from digest.models import Candidate, Edition, Interest, Pick
from digest.ranking import choose
from digest.reasons import names_of, reason

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
    found = choose.preview(edition, requested_interests, length=length)
    return with_reasons([(one, interest, False) for one, interest in found])


def with_reasons(
    chosen: Sequence[tuple[Candidate, Interest | None, bool]],
) -> list[Shown]:
    """Candidates with their interests, and whether that is a paper which the reader opened."""
    names = names_of([interest for _, interest, _ in chosen if interest])
    found = []
    for one, interest, opened in chosen:
        why = reason(one, interest, names, opened)
        found.append(Shown(one.card, why.kind, why.text, one.note, interest))
    return found


def picked(picks: Sequence[Pick]) -> list[Shown]:
    """Picks as pages show them; two queries however many."""
    candidates = Candidate.objects.in_bulk([pick.candidate for pick in picks])
    interests = Interest.objects.in_bulk([p.interest for p in picks if p.interest])
    known = [pick for pick in picks if pick.candidate in candidates]
    return with_reasons(
        [
            (candidates[pick.candidate], interests.get(pick.interest), pick.opened)
            for pick in known
        ]
    )
