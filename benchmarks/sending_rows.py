"""The rows of the sending benchmark: invented papers, a frozen edition, and its readers.

A reader follows ten of 300 shared topics, categories and keywords. Every third has a
saved search of their own, every tenth 20 example papers. Rows of readers are copied, so
that a million of them exist within minutes.
"""

import secrets
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from accounts.addresses import address_hash
from accounts.models import CONSENT_TEXT
from digest.models import Edition, Interest, Paper, Topic
from digest.ranking import embeddings, freeze, rank_edition

CANDIDATES = 1_500  # of 14 days
OLDER_PAPERS = 500  # that readers follow beside the candidates
SUBJECTS = 60
SHARED = 300
FOLLOWS = 10
SEARCH_EVERY, EXAMPLES_EVERY = 3, 10
EXAMPLES = 20
DAY = date(2026, 11, 20)
FROZEN_AT = datetime.combine(DAY, time(9), UTC)
CATEGORIES = ("cs.AI", "cs.CL", "cs.CV", "cs.LG", "stat.ML")


def create_rows(readers: int) -> Edition:
    """Fill an empty database; takes a minute for a million readers' follows."""
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE digest_paper, digest_topic, digest_interest,"
            " digest_embeddingmodel, accounts_subscriber CASCADE"
        )
        cursor.execute("TRUNCATE digest_edition CASCADE")
    call_command("loaddata", "topics", verbosity=0)
    chance = np.random.default_rng(0)
    papers = create_papers(chance)
    edition = rank_edition.rank_edition(DAY, FROZEN_AT)
    assert edition
    freeze.freeze(edition, FROZEN_AT)
    shared = create_shared_interests(chance)
    examples = create_interests("paper", [paper.identifier for paper in papers])
    create_readers(readers)
    create_follows(chance, readers, shared, examples)
    embeddings.refresh()  # vectors of searches, as the next ranking stores them
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")
    return edition


def create_papers(chance: np.random.Generator) -> list[Paper]:
    """Papers with words of their subject, as many a day as the candidates need."""
    now = timezone.now()
    papers = []
    for number in range(CANDIDATES + OLDER_PAPERS):
        subject = number % SUBJECTS
        age = number % 14 if number < CANDIDATES else 15 + number % 30
        title = invent_words(chance, 9, subject).capitalize()
        # Quotes, formulas and accents, as many titles have them.
        title = title + (" (λ ≤ 2) & “so” <on>" if number % 7 == 0 else "")
        abstract = ". ".join(invent_words(chance, 17, subject) for _ in range(10))
        votes = int(chance.pareto(1.2)) if number % 5 == 0 else 0
        papers.append(
            Paper(
                identifier=f"2611.{10000 + number}",
                announced_on=DAY - timedelta(days=age),
                announce_type="new",
                title_raw=title,
                abstract_raw=abstract,
                title=title,
                abstract=abstract,
                authors=[
                    f"Given{a} Family{b}" for a, b in chance.integers(0, 999, (4, 2))
                ],
                categories=[CATEGORIES[subject % 5]],
                primary=CATEGORIES[subject % 5],
                votes=votes,
                comments=votes // 4,
                code_url="https://code.example/a" if number % 3 == 0 else "",
                created_at=now,
                updated_at=now,
            )
        )
    return Paper.objects.bulk_create(papers)


def invent_words(chance: np.random.Generator, n: int, subject: int) -> str:
    """Words by Zipf's law, a fifth of them of a subject."""
    numbers, is_special = chance.zipf(1.3, n) % 20_000, chance.random(n) < 0.2
    return " ".join(
        f"subject{subject}word{number % 200}" if special else f"word{number}"
        for number, special in zip(numbers, is_special, strict=True)
    )


def create_shared_interests(chance: np.random.Generator) -> list[int]:
    topics = list(Topic.objects.values_list("slug", flat=True))
    keywords = [
        f"subject{n % SUBJECTS}word{n // SUBJECTS + 1}"
        for n in range(SHARED - len(topics) - len(CATEGORIES))
    ]
    return [
        *create_interests("topic", topics),
        *create_interests("category", CATEGORIES),
        *create_interests("keyword", keywords),
    ]


def create_interests(kind: str, values: Iterable[str]) -> list[int]:
    rows = [Interest(kind=kind, value=value) for value in values]
    return [row.pk for row in Interest.objects.bulk_create(rows)]


def create_readers(readers: int) -> None:
    """Copy readers in; ids count from 1, so that follows can name them."""
    fields: dict[str, Any] = {
        "state": "active",
        "zone": "UTC",
        "hour": 9,
        "frequency": "daily",
        "weekday": 0,
        "length": 10,
        "fill_mode": "followed_first",
        "note_when_empty": False,
        "learns_from_clicks": True,
        "created_at": FROZEN_AT - timedelta(days=90),
        "consent_text": CONSENT_TEXT,
        "consent_how": "link",
    }

    def rows() -> Iterator[Sequence[Any]]:
        for pk in range(1, readers + 1):
            email = f"reader{pk}@domain{pk % 97}.example"
            confirmed = FROZEN_AT - timedelta(days=1 + pk % 80)
            key = secrets.token_urlsafe(16)
            yield pk, email, address_hash(email), key, confirmed, *fields.values()

    columns = ["id", "email", "address_hash", "unsubscribe_key", "confirmed_at"]
    copy_rows("accounts_subscriber", [*columns, *fields], rows())


def create_follows(
    chance: np.random.Generator, readers: int, shared: list[int], examples: list[int]
) -> None:
    first = max(examples) + 1
    searches = range(first, first + readers // SEARCH_EVERY + 1)
    copy_rows(
        "digest_interest",
        ["id", "kind", "value"],
        ((pk, "search", f"{invent_search(pk)} {pk}") for pk in searches),
    )
    created_at = FROZEN_AT - timedelta(days=30)

    def rows() -> Iterator[Sequence[Any]]:
        for reader in range(1, readers + 1):
            chosen = chance.choice(shared, FOLLOWS, replace=False).tolist()
            if reader % SEARCH_EVERY == 0:
                chosen.append(searches[reader // SEARCH_EVERY])
            if reader % EXAMPLES_EVERY == 0:
                # Of four subjects, as a person's library has a few fields.
                for subject in chance.choice(SUBJECTS, 4, replace=False):
                    papers = examples[subject::SUBJECTS]
                    chosen += chance.choice(
                        papers, EXAMPLES // 4, replace=False
                    ).tolist()
            for interest in chosen:
                yield reader, interest, 1.0, "chosen", created_at

    columns = ["subscriber_id", "interest_id", "weight", "source", "created_at"]
    copy_rows("digest_follow", columns, rows())


def invent_search(pk: int) -> str:
    subject = pk % SUBJECTS
    return f"subject{subject}word{pk % 11 + 1} subject{subject}word{pk % 7 + 2} word{pk % 300}"


def copy_rows(
    table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """COPY without checks of foreign keys, which these rows satisfy."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
        with cursor.cursor.copy(statement) as copy:  # psycopg's, within Django's
            for row in rows:
                copy.write_row(row)
        cursor.execute("SET session_replication_role = DEFAULT")
        cursor.execute(
            "SELECT setval(pg_get_serial_sequence(%s, 'id'), (SELECT max(id) FROM "
            f"{table}))",
            [table],
        )
