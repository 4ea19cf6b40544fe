"""The papers of an edition as pages list them, each with the reason it was picked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef

from digest.cards import card
from digest.models import Candidate, Edition, Interest, Paper, Pick
from digest.reasons import Reason, explain_picks, load_names, reason_for

# The default length of a digest.
DEFAULT_LENGTH = 10


@dataclass(frozen=True)
class PaperRow:
    card: dict[str, Any]
    kind: str
    reason: str
    note: str
    interest: Interest | None

    @property
    def reason_has_votes(self) -> bool:
        return self.kind == "trend"


def paper_card(paper: Paper) -> dict[str, Any]:
    """Return the card of a paper with its unconverted text, which pages show with formulas."""
    raw = {"title_raw": paper.title_raw, "abstract_raw": paper.abstract_raw}
    return card(paper) | raw


def newest_edition() -> Edition | None:
    candidates = Candidate.objects.filter(edition=OuterRef("pk"))
    return Edition.objects.filter(Exists(candidates)).order_by("-day").first()


def preview_rows(
    edition: Edition | None, interests: list[Interest], length: int = DEFAULT_LENGTH
) -> list[PaperRow]:
    """Select papers for these interests the way a digest does."""
    from digest.ranking import choose

    if edition is None:
        return []
    return explain_rows(choose.preview(edition, interests, length=length))


def explain_rows(
    chosen: Sequence[tuple[Candidate, Interest | None, bool]],
) -> list[PaperRow]:
    """Add reasons to candidates; the flag marks one that is only near its interest."""
    names = load_names([interest for _, interest, _ in chosen if interest])
    return [
        as_row(candidate, interest, reason_for(candidate, interest, names, near=near))
        for candidate, interest, near in chosen
    ]


def pick_rows(picks: Sequence[Pick]) -> list[PaperRow]:
    return [
        as_row(pick.candidate, pick.interest, pick.reason)
        for pick in explain_picks(picks)
    ]


def as_row(candidate: Candidate, interest: Interest | None, reason: Reason) -> PaperRow:
    return PaperRow(candidate.card, reason.kind, reason.text, candidate.note, interest)
