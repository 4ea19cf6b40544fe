"""The papers of an edition as pages list them, each with the reason it was picked."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Exists, OuterRef, Prefetch, prefetch_related_objects

from digest.cards import card
from digest.models import (
    Candidate,
    Edition,
    Interest,
    Paper,
    PaperThumbnail,
    Pick,
    Topic,
)
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


def paper_cards(papers: Iterable[Paper]) -> list[dict[str, Any]]:
    """Build the cards of papers with their topics and their unconverted text, which pages show with formulas."""
    rows = list(papers)
    shown = find_thumbnails([paper.pk for paper in rows])
    listed = Topic.objects.filter(is_listed=True).only("slug", "name")
    prefetch_related_objects(rows, Prefetch("topics", listed))
    return [paper_card(paper) | {"has_thumbnail": paper.pk in shown} for paper in rows]


def find_thumbnails(paper_ids: Iterable[int]) -> set[int]:
    """Return the papers whose thumbnails are stored, and shown by this installation."""
    if not settings.THUMBNAILS:
        return set()
    rows = PaperThumbnail.objects.usable().filter(paper__in=list(paper_ids))
    return set(rows.values_list("paper_id", flat=True))


def paper_card(paper: Paper) -> dict[str, Any]:
    return card(paper) | {
        "title_raw": paper.corrected_title or paper.title_raw,
        "abstract_raw": paper.abstract_raw,
        "topics": [(topic.slug, topic.name) for topic in paper.topics.all()],
    }


def newest_edition() -> Edition | None:
    candidates = Candidate.objects.filter(edition=OuterRef("pk"))
    return Edition.objects.filter(Exists(candidates)).order_by("-day").first()


def preview_rows(
    edition: Edition | None,
    interests: list[Interest],
    length: int = DEFAULT_LENGTH,
    muted: Sequence[Interest] = (),
    excluded: Collection[int] = (),
) -> list[PaperRow]:
    """Select papers for these interests the way a digest does."""
    from digest.ranking import choose

    if edition is None:
        return []
    return explain_rows(choose.preview(edition, interests, length, muted, excluded))


def explain_rows(
    chosen: Sequence[tuple[Candidate, Interest | None, bool]],
) -> list[PaperRow]:
    """Add reasons to candidates; the flag marks one that is only near its interest."""
    names = load_names([interest for _, interest, _ in chosen if interest])
    shown = find_thumbnails(candidate.paper_id for candidate, _, _ in chosen)
    return [
        as_row(
            candidate,
            interest,
            reason_for(candidate, interest, names, near=near),
            has_thumbnail=candidate.paper_id in shown,
        )
        for candidate, interest, near in chosen
    ]


def pick_rows(picks: Sequence[Pick]) -> list[PaperRow]:
    return [
        as_row(pick.candidate, pick.interest, pick.reason)
        for pick in explain_picks(picks)
    ]


def as_row(
    candidate: Candidate,
    interest: Interest | None,
    reason: Reason,
    has_thumbnail: bool = False,
) -> PaperRow:
    card = candidate.card | {"has_thumbnail": has_thumbnail}
    return PaperRow(card, reason.kind, reason.text, candidate.note, interest)
