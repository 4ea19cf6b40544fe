"""SpamAssassin's local rules on every mail: no rule of one point or more.

Needs Debian's package spamassassin; no rule asks the network.
"""

import re
import shutil
import subprocess

import pytest

from accounts import emails
from digest.mailer import compose
from digest.mailer.transports import as_bytes
from digest.models import Edition
from tests import make

SPAMASSASSIN = shutil.which("spamassassin")
MAX_POINTS_OF_A_RULE = 1.0
TIMEOUT_S = 120

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(
        SPAMASSASSIN is None, reason="needs Debian's package spamassassin"
    ),
]


@pytest.fixture(autouse=True)
def production_settings(settings):
    settings.SITE_URL = "https://papers.example.org"
    settings.MAIL_FROM = settings.DEFAULT_FROM_EMAIL = (
        "Paper Round <papers@papers.example.org>"
    )


def rule_points(mails, tmp_path):
    """The points of each rule by mail; all are checked by one process, which takes seconds to start."""
    paths = [tmp_path / f"{number}.eml" for number in range(len(mails))]
    for path, content in zip(paths, mails.values(), strict=True):
        path.write_bytes(content.replace(b"\r\n", b"\n"))
    checked = subprocess.run(
        [
            *(SPAMASSASSIN, "--local", "--test-mode"),
            *("--prefspath", str(tmp_path / "user_prefs")),
            *("--cf", "use_bayes 0", "--cf", "add_header all Points _TESTSSCORES( )_"),
            *map(str, paths),
        ],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=TIMEOUT_S,
    )
    reports = re.findall(
        r"^X-Spam-Points: (.*(?:\n[ \t].*)*)", checked.stdout.decode(), re.M
    )
    return {
        name: {
            rule: float(points)
            for rule, _, points in (pair.rpartition("=") for pair in report.split())
        }
        for name, report in zip(mails, reports, strict=True)
    }


def digest_mail(name, papers):
    """A digest; one of more than four papers has a table of contents."""
    reader = make.subscriber(
        f"{name}@example.com", note_when_empty=True, confirmed_at=make.NOW
    )
    edition = Edition.objects.first() or make.frozen(
        make.edition(papers=12, note="Two of these papers share a dataset.")
    )
    picks = [(candidate.pk, 0) for candidate in edition.candidates.all()[:papers]]
    batch = make.batch(edition, [reader])
    return as_bytes(compose.compose_digest(make.digest(batch, reader, picks)))


def account_mail(name, **context):
    """An account mail with a link key as long as a real one."""
    path = "/confirm/Zx3kQ9w_pL2mN8vB4tR7yU1o"
    message = emails.render_message(name, "ada@example.com", path, **context)
    return message.message().as_bytes(linesep="\n")


def test_no_rule_of_spamassassin_gives_a_mail_a_point(tmp_path):
    block = {"block_url": "https://papers.example.org/block/Zx3kQ9w_pL2mN8vB4tR7yU1o"}
    link = {"is_active": True, "has_requested_interests": False}
    mails = {
        "digest": digest_mail("ada", papers=12),
        "short digest": digest_mail("bob", papers=2),
        "empty digest": digest_mail("cleo", papers=0),
        "confirm": account_mail("confirm", invited_by="", **block),
        "invitation": account_mail("confirm", invited_by="Grace Hopper", **block),
        "address": account_mail("address", **block),
        "preferences link": account_mail("preferences_link", **link),
        "moved": account_mail("moved"),
    }

    points = rule_points(mails, tmp_path)

    for name, rules in points.items():
        assert max(rules.values()) < MAX_POINTS_OF_A_RULE, (name, rules)
        assert sum(rules.values()) < MAX_POINTS_OF_A_RULE, (name, rules)
        hidden = [rule for rule in rules if "INVIS" in rule or "CONTRAST" in rule]
        assert not hidden, (name, rules)
