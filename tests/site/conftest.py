"""A ranked edition, a reader and her keys."""

import pytest
from django.utils import timezone

from accounts.models import AccessKey, Link
from digest import follows
from digest.models import AttentionSample, Paper
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


@pytest.fixture
def every_page(digest, key, settings):
    """Paths of every kind of page, with something on each."""
    settings.OPERATOR = "A Lab"
    paper = Paper.objects.order_by("pk").first()
    Paper.objects.filter(pk=paper.pk).update(
        ai_summary="A model maps tides.",
        ai_keywords=["tides"],
        organization="Northern Lab",
        title_raw=r"Maps of $\mathbb{R}^n$ and $\sum_{i=0}^{n} x_i^{\alpha+\beta} = \frac{a}{b}$",
        code_url="https://example.org/" + "long/" * 30,
        stars=3,
        comments=2,
    )
    paper.topics.add(make.topic("Oceans"))
    for hours in range(3):
        AttentionSample.objects.create(
            paper=paper,
            source="huggingface",
            kind="upvotes",
            value=hours,
            at=timezone.now() + make.hours(hours),
        )
    reader = digest.subscriber
    reader.saved_papers.create(paper=paper, saved_at=timezone.now(), note="p. 3")
    list_key = AccessKey.issue(reader, AccessKey.Kind.READING_LIST, timezone.now()).key
    return [
        *(
            "/",
            "/papers/date/2026-11-20",
            "/papers/date/2026-11-21",
            "/papers/trending",
        ),
        *("/papers?q=quantization", f"/papers/{paper.identifier}", "/topics"),
        *("/topics/robots", "/authors/Ada%20Okafor", "/about", "/privacy", "/imprint"),
        *("/missing", "/subscribe", "/preferences-link", f"/preferences/{key}"),
        *(f"/preferences/{key}/{page}" for page in ("delivery", "data", "erase")),
        *(f"/unsubscribe/{reader.unsubscribe_key}", f"/saved/{list_key}"),
        *(f"/d/{digest.key}/1/{verb}" for verb in ("more", "less", "save")),
        *("/authors/Ada%20Okafro", f"/papers/{paper.identifier}/save", "/?q=robot"),
        *("/papers/week/2026-W47", "/papers/month/2026-11", "/papers?q=zzzz"),
        *(f"/preferences/{key}/papers", f"/digests/{digest.key}", f"/d/{digest.key}"),
    ]


def body(response):
    return response.content.decode()


def status_message(response):
    """The result of a form, as the page shows it."""
    return body(response).partition('role="status">')[2].partition("</div>")[0]
