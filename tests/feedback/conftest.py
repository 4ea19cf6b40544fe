"""Five readers, and the recorded post about their digests."""

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
    """One post of SendGrid's webhook: recorded structure, invented people."""
    return POST.read_bytes()


@pytest.fixture
def digests(db):
    """The digests of that post by their readers' names, all of unknown outcome."""
    readers = {name: make.subscriber(f"{name}@example.org") for name in KEYS}
    batch = make.batch(make.edition(), list(readers.values()), state="done")
    return {
        name: make.digest(batch, reader, key=KEYS[name], outcome="unknown")
        for name, reader in readers.items()
    }
