"""Constructors of valid rows, with the fields that a test gives."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any

from django.contrib.auth.models import Group
from django.core.management import call_command
from django.test import Client

from accounts.models import Subscriber, User
from digest.models import (
    Batch,
    Candidate,
    Digest,
    Edition,
    Interest,
    Paper,
    Pick,
    Slot,
    Topic,
)

#: The day of the tests, a Friday.
DAY = date(2026, 11, 20)
#: 09:00 UTC on that day, the default of FREEZE_AT.
NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)

numbers = count(1)


def subscriber(email: str = "", **fields: Any) -> Subscriber:
    fields = {"state": "active", "confirmed_at": NOW, **fields}
    return Subscriber.objects.create(
        email=email or f"reader{next(numbers)}@example.org", **fields
    )


def arxiv_id(number: int) -> str:
    """Return the valid arXiv ID of a number: 5,000 a month, back from November 2026."""
    months, rest = divmod(number, 5_000)
    year, month = divmod(26 * 12 + 10 - months, 12)
    return f"{year:02}{month + 1:02}.{90000 + rest}"


def paper(title: str = "", **fields: Any) -> Paper:
    number = next(numbers)
    title = title or f"Invented paper number {number}"
    abstract = fields.pop(
        "abstract", f"We study {title}. It works well. Code is released."
    )
    defaults = {
        "identifier": arxiv_id(number),
        "announced_on": DAY,
        "announce_type": "new",
        "title_raw": title,
        "abstract_raw": abstract,
        "title": title,
        "abstract": abstract,
        "authors": ["Ada Okafor", "Bruno Lindqvist"],
        "categories": ["cs.LG"],
        "primary": "cs.LG",
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Paper.objects.create(**{**defaults, **fields})


def card(paper: Paper, **fields: Any) -> dict[str, Any]:
    defaults = {
        "identifier": paper.identifier,
        "title": paper.title,
        "authors": ", ".join(paper.authors[:3]),
        "organization": paper.organization,
        "date": paper.announced_on.isoformat(),
        "published": None,
        "summary": paper.abstract,
        "one_line": paper.ai_summary or paper.abstract,
        "one_line_is_generated": bool(paper.ai_summary),
        "abstract": paper.abstract,
        "primary": paper.primary,
        "categories": paper.categories,
        "announce_type": paper.announce_type,
        "votes": paper.votes,
        "comments": paper.comments,
        "stars": paper.stars,
        "arxiv_url": paper.arxiv_url,
        "pdf_url": paper.pdf_url,
        "code_url": paper.code_url,
        "project_url": paper.project_url,
    }
    return {**defaults, **fields}


def edition(day: date = DAY, papers: int | list[Paper] = 3, **fields: Any) -> Edition:
    """An open edition whose candidates have descending trends."""
    made = Edition.objects.create(day=day, **fields)
    rows = (
        papers
        if isinstance(papers, list)
        else [paper(announced_on=day) for _ in range(papers)]
    )
    for rank, row in enumerate(rows):
        candidate(made, row, trend=round(1 - rank / 100, 4))
    return made


def candidate(edition: Edition, row: Paper | None = None, **fields: Any) -> Candidate:
    row = row or paper()
    return Candidate.objects.create(
        edition=edition, paper=row, **{"card": card(row), "trend": 0.5, **fields}
    )


def frozen(edition: Edition, at: datetime = NOW) -> Edition:
    Edition.objects.filter(pk=edition.pk).update(state="frozen", frozen_at=at)
    edition.refresh_from_db()
    return edition


def topic(name: str = "Quantization", **fields: Any) -> Topic:
    defaults = {
        "slug": name.lower().replace(" ", "-"),
        "description": name,
        "keywords": [name.lower()],
    }
    return Topic.objects.create(name=name, **{**defaults, **fields})


def interest(kind: str, value: str) -> Interest:
    return Interest.objects.get_or_create(kind=kind, value=value)[0]


def batch(
    edition: Edition,
    readers: list[Subscriber],
    at: datetime = NOW,
    kind: str = "hour",
    **fields: Any,
) -> Batch:
    """A planned batch of a planned slot."""
    slot, _ = Slot.objects.get_or_create(
        edition=edition, at=at, kind=kind, defaults={"planned_at": at}
    )
    return Batch.objects.create(
        slot=slot, readers=[reader.pk for reader in readers], **fields
    )


def assemble(batch: Batch, now: datetime = NOW) -> list[Digest]:
    """Write the missing digests of a batch; return all of its own by id."""
    from digest.ranking import choose

    blocks = choose.assemble_blocks(batch, now)
    return sorted((each for block in blocks for each in block), key=lambda d: d.pk)


def digest(
    batch: Batch,
    reader: Subscriber,
    picks: Iterable[tuple[int, int]] = (),
    **fields: Any,
) -> Digest:
    if fields.get("outcome") == "unknown":  # as sending records it
        fields.setdefault("provider_detail", "500")
    if fields.get("outcome") == "failed":
        fields.setdefault("reason", "refused")
    made = Digest(
        subscriber=reader,
        edition=batch.slot.edition,
        batch=batch,
        created_at=NOW,
        **fields,
    )
    made.picks = [Pick(*pair) for pair in picks]
    made.save()
    return made


def hours(number: float) -> timedelta:
    return timedelta(hours=number)


def log_in_staff(client: Client, group: str, email: str, **fields: Any) -> Client:
    """Log a new member of a group of staff in to the admin; return the client."""
    call_command("setup", verbosity=0)
    user = User.objects.create_user(email, is_staff=True, **fields)
    user.groups.add(Group.objects.get(name=group))
    client.force_login(user)
    return client
