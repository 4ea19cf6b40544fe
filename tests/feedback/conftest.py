"""Five readers and the recorded post about their digests; recorded bounces of a digest."""

from datetime import timedelta
from pathlib import Path

import pytest

from accounts import return_paths
from tests import make

RECORDED = Path(__file__).parent.parent / "recorded"
POST = RECORDED / "sendgrid_events" / "post.json"
BOUNCE_ADDRESS = "bounces@papers.example"
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


@pytest.fixture
def bounce_address(settings):
    settings.BOUNCE_ADDRESS = BOUNCE_ADDRESS


@pytest.fixture
def reported(ada, bounce_address):
    """A digest to Ada, of unknown outcome, on which the recorded bounces report."""
    ada.confirmed_at = make.NOW - timedelta(days=9)
    ada.save()
    batch = make.batch(make.edition(), [ada], state="done")
    return make.digest(batch, ada, outcome="unknown")


def recorded(name, digest, **addresses):
    """A recorded mail about this digest, as bytes."""
    addresses = {
        "return_path": digest.return_path,
        "complaints": return_paths.complaints_address(),
        "unsubscribe": digest.subscriber.unsubscribe_address,
        **addresses,
    }
    text = (RECORDED / "bounces" / f"{name}.eml").read_text()
    for field, address in addresses.items():
        text = text.replace(f"{{{field}}}", address)
    return text.encode()
