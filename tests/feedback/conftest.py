"""Five readers whose digests the recorded post speaks of."""

from pathlib import Path

import pytest

from tests import make

POST = Path(__file__).parent.parent / "recorded" / "sendgrid_events" / "post.json"
KEYS = {
    "ada": "digest-key-of-ada-0001",
    "cleo": "digest-key-of-cleo-002",
    "dora": "digest-key-of-dora-003",
    "emil": "digest-key-of-emil-004",
    "fred": "digest-key-of-fred-005",
}


@pytest.fixture
def body():
    """The bytes of one post of SendGrid's webhook: recorded structure, invented people."""
    return POST.read_bytes()


@pytest.fixture
def digests(db):
    """The digests of that post, by their readers' names; nobody knows what became of them."""
    readers = {name: make.subscriber(f"{name}@example.org") for name in KEYS}
    batch = make.batch(make.edition(), list(readers.values()), state="unknown")
    return {
        name: make.digest(batch, reader, key=KEYS[name])
        for name, reader in readers.items()
    }
