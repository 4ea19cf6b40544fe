"""A small world for pages: an edition of ranked papers, and a reader with keys."""

import pytest
from django.utils import timezone

from accounts.models import Link
from digest import follows
from digest.ranking import rank_edition
from tests import make

SUBJECTS = [
    "post-training quantization of language models",
    "sparse attention for long documents",
    "retrieval for question answering",
    "diffusion models for protein design",
    "policy gradients in robot control",
    "speech recognition without labels",
]
HOSTILE = '<img src=x onerror=alert(1)> & "A\nBcc: x@y" \''


@pytest.fixture
def world(db):
    """The ranked edition of make.DAY: twelve papers on six subjects."""
    make.topic("Quantization", description="Fewer bits per weight.")
    make.topic("Robots", keywords=["robot", "policy gradients"])
    for number in range(2):
        for subject in SUBJECTS:
            make.paper(
                f"Study {number} of {subject}",
                abstract=f"We look into {subject}. It works. See https://example.org/{number}.",
                votes=3 * number,
            )
    return rank_edition.rank_edition(make.DAY, make.NOW)


@pytest.fixture
def key(ada):
    """Opens ada's preferences."""
    return Link.issue(ada, Link.Purpose.PREFERENCES, timezone.now()).key


@pytest.fixture
def hers(world, ada):
    """A digest of ada's, made now: the edition's three first papers, chosen by a search."""
    wish = follows.follow(ada, "search", "quantization").interest
    make.frozen(world)
    picks = [(one.pk, wish.pk) for one in world.candidates.all()[:3]]
    return sent(make.batch(world, [ada]), ada, picks)


def sent(batch, reader, picks):
    made = make.digest(batch, reader, picks)
    made.created_at = timezone.now()
    made.save(update_fields=["created_at"])
    return made


def text(response):
    return response.content.decode()
