"""Papers opened on Thursday explain picks on Friday, if the reader allows it."""

from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy

import pytest
import time_machine
from django.urls import reverse

from digest import tasks
from digest.models import Digest
from digest.ranking import freeze, rank_edition
from tests import make

pytestmark = [
    pytest.mark.both,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("eager"),
]

THURSDAY = datetime(2026, 11, 19, 9, 0, tzinfo=UTC)
FRIDAY = THURSDAY + timedelta(days=1)
STORKS = "Storks cross wetlands while volunteers count autumn nests and eggs"


def announce(day, storks):
    """Announce 16 papers, the first `storks` of them on storks; none are near-duplicates."""
    for number in range(16):
        own = " ".join(f"{day:%a}{number}{letter}" for letter in "abcdefghijkl")
        on_storks = number < storks
        make.paper(
            f"Storks {number} of {day:%A}" if on_storks else f"Subject {own[:6]}",
            abstract=f"{STORKS}. {own}" if on_storks else own,
            authors=[f"Author {day:%a} {number}"],
            announced_on=day.date(),
        )


def send(moment, mails):
    """Send the edition of `moment` to the only reader; return the digest and its text."""
    edition = rank_edition.rank_edition(moment.date(), moment)
    freeze.freeze(edition, moment)
    with time_machine.travel(moment):  # clicks decay by the clock
        tasks.send_edition(edition, None, moment)
    digest = Digest.objects.get(edition=edition)
    (name,) = mails.glob(f"*{digest.key}*.eml")
    mail = message_from_bytes(name.read_bytes(), policy=policy.default)
    return digest, " ".join(mail.get_body(("plain",)).get_content().split())


def titles_of(digest):
    papers = dict(digest.edition.candidates.values_list("pk", "paper__title"))
    return [papers[pick.candidate] for pick in digest.picks]


@pytest.mark.parametrize("learns_from_clicks", [True, False])
def test_opened_papers_become_reasons_of_the_next_digest(
    client, settings, tmp_path, learns_from_clicks
):
    settings.MAIL_DIR = tmp_path
    ada = make.subscriber("ada@example.org", learns_from_clicks=learns_from_clicks)
    announce(THURSDAY, storks=3)
    digest, _ = send(THURSDAY, tmp_path)
    titles = titles_of(digest)
    with time_machine.travel(THURSDAY + timedelta(hours=2), tick=False):
        for place, title in enumerate(titles, 1):
            if title.startswith("Storks"):
                client.get(reverse("link", args=[digest.key, place, "arxiv"]))
    assert not ada.follows.exists()

    with time_machine.travel(FRIDAY - timedelta(hours=2), tick=False):
        tasks.process_feedback()
    announce(FRIDAY, storks=2)
    second, text = send(FRIDAY, tmp_path)

    learned = [pick for pick in second.picks if pick.opened]
    assert sum(title.startswith("Storks") for title in titles) == 3
    assert ada.follows.count() == (3 if learns_from_clicks else 0)
    assert len(learned) == (2 if learns_from_clicks else 0)
    assert ("a paper you opened: " in text) is learns_from_clicks
    if learns_from_clicks:
        assert {title[:8] for title in titles_of(second)[:2]} == {
            "Storks 0",
            "Storks 1",
        }
