"""A ranked edition, a reader and her keys."""

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
def edition(db):
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
    """The key of a preferences link of ada."""
    return Link.issue(ada, Link.Purpose.PREFERENCES, timezone.now()).key


@pytest.fixture
def digest(edition, ada):
    """A digest of ada, sent just now: the first three papers, matched by a search."""
    interest = follows.follow(ada, "search", "quantization").interest
    make.frozen(edition)
    picks = [(candidate.pk, interest.pk) for candidate in edition.candidates.all()[:3]]
    digest = make.digest(make.batch(edition, [ada]), ada, picks)
    digest.created_at = timezone.now()
    digest.save(update_fields=["created_at"])
    return digest


def body(response):
    return response.content.decode()


def status_message(response):
    """The result of a form, as the page shows it."""
    return body(response).partition('role="status">')[2].partition("</div>")[0]
