"""A paper with HTML, header injection and long fields passes safely through the pipeline."""

from email import message_from_bytes, policy

import pytest
from django.urls import reverse

from digest import tasks
from digest.ingest import run_source
from digest.ingest.sources.listing import Listing
from digest.models import Paper
from digest.ranking import rank_edition
from tests import make
from tests.ingest import documents

pytestmark = [pytest.mark.both, pytest.mark.django_db(transaction=True)]

TITLE = '<img src=x onerror=alert(1)> & "A\nBcc: x@y"'
LATEX = (
    r"$\frac{\alpha_{i}}{\beta^{2}}$ \textbf{bold} \href \begin{cases} & <eos> \% " * 30
)[:1920]
AUTHORS = tuple(f"Given{n} Family{n}" for n in range(3303))


@pytest.fixture
def mail(tmp_path, settings):
    """The digest with the hostile paper in first place."""
    settings.MAIL_DIR = tmp_path / "mail"
    reader = make.subscriber("ada@example.org")
    listing = Listing(
        identifier="2611.90001",
        version=1,
        source="arxiv",
        title_raw=TITLE,
        abstract_raw=LATEX,
        authors=AUTHORS,
        categories=("cs.LG",),
        announce_type="new",
        announced_on=make.DAY,
    )
    (tmp_path / "feed.xml").write_bytes(documents.write_atom_feed([listing], make.DAY))
    (run,) = run_source.ingest_documents([tmp_path / "feed.xml"], make.NOW)
    assert run.new == 1
    tasks.send_edition(rank_edition.rank_edition(make.DAY, make.NOW), reader, make.NOW)
    (file,) = settings.MAIL_DIR.glob("*.eml")
    return message_from_bytes(file.read_bytes(), policy=policy.default)


def test_hostile_paper_is_escaped_in_the_mail(mail):
    html = mail.get_body(("html",)).get_content()
    text = mail.get_body(("plain",)).get_content()

    assert mail["To"] == "ada@example.org"
    assert mail["Bcc"] is None
    assert "\n" not in mail["Subject"]
    assert '<img src=x onerror=alert(1)> & "A' in mail["Subject"]
    assert "<img" not in html
    assert "&lt;img src=x onerror=alert(1)&gt; &amp; " in html
    assert "&lt;eos&gt;" in html
    assert "<img src=x onerror=alert(1)>" in " ".join(text.split())
    assert "Given0 Family0, Given1 Family1, Given2 Family2 + 3,300 more" in " ".join(
        text.split()
    )
    assert len(html.encode()) < 80_000


def test_hostile_paper_is_escaped_on_pages(mail, client):
    paper = Paper.objects.get()

    for url in (
        paper.get_absolute_url(),
        reverse("day", args=[make.DAY.isoformat()]),
        reverse("home"),
        reverse("papers") + "?q=bold",
    ):
        page = client.get(url)
        assert page.status_code == 200
        assert "<img" not in page.content.decode()
        assert "&lt;img src=x onerror=alert(1)&gt; &amp; " in page.content.decode()
        assert "'none'" in page.headers["Content-Security-Policy"]
