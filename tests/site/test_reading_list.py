"""A reader's own papers: added from lists, fetched, suggested and removed."""

from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from digest import follows
from digest.models import Paper, PendingPaper
from digest.ranking import embeddings
from tests import make
from tests.ingest.fake_sources import Sources, paper
from tests.make import DAY
from tests.site.conftest import HOSTILE, body, status_message

OLD_PAPER = paper(1, DAY - timedelta(days=400))


@pytest.fixture
def url(client, key):
    return f"/preferences/{key}/papers"


def add(client, url, papers="", **fields):
    return client.post(url, {"action": "add", "papers": papers, **fields})


def followed(reader):
    rows = reader.follows.filter(interest__kind="paper", weight__gt=0)
    return set(rows.values_list("interest__value", flat=True))


def upload(content, name="library.bib"):
    return SimpleUploadedFile(name, content)


def test_stored_papers_are_followed_and_others_fetched(client, url, ada):
    stored = make.paper(HOSTILE).identifier

    page = add(client, url, f"{stored}\n2401.00001 2401.00002\nwho knows\n<b>x</b>")

    assert (
        "1 paper followed, 2 being fetched from arXiv, 2 lines without an arXiv ID."
        in status_message(page)
    )
    assert followed(ada) == {stored}
    assert (
        "<td>&lt;b&gt;x&lt;/b&gt;</td><td>No arXiv ID or title in this line</td>"
        in body(page)
    )
    assert "<img" not in body(page)
    assert "2401.00001, 2401.00002" in body(page)


def test_fetched_papers_are_followed_and_missing_ones_dismissed(
    client, url, ada, httpserver, settings, eager, monkeypatch
):
    monkeypatch.setattr("digest.ingest.sources.throttle.MIN_REQUEST_GAP_S", 0.0)
    Sources(httpserver, settings).papers = [OLD_PAPER]

    add(client, url, f"{OLD_PAPER.identifier} 2401.99999")

    page = body(client.get(url))
    assert followed(ada) == {OLD_PAPER.identifier}
    assert OLD_PAPER.title_raw in page
    assert "Not on arXiv" in page
    assert "2401.99999" in page

    client.post(url, {"paper": "not_on_arxiv"})
    assert not PendingPaper.objects.exists()


def test_nothing_is_fetched_when_all_papers_are_stored(client, url, eager):
    stored = make.paper().identifier

    # There is no fake arXiv here: a fetch would raise in the eager task.
    assert "1 paper followed." in status_message(add(client, url, stored))


@pytest.mark.parametrize(
    "content",
    [
        b"@misc{a, eprint={2401.00001}}",
        b'\xef\xbb\xbf"Title","Url"\n"X","http://arxiv.org/abs/2401.00001"',
        "\ufeffsee 2401.00001".encode("utf-16"),
        "Schr\u00f6dinger 2401.00001".encode("cp1252"),
    ],
)
def test_file_is_read_in_any_common_encoding(client, url, ada, content):
    make.paper(identifier="2401.00001")

    add(client, url, file=upload(content))

    assert followed(ada) == {"2401.00001"}


def test_text_and_file_are_read_together(client, url, ada):
    for identifier in ("2401.00001", "2401.00002"):
        make.paper(identifier=identifier)

    add(client, url, "2401.00002", file=upload(b"@misc{a, eprint={2401.00001}}"))

    assert followed(ada) == {"2401.00001", "2401.00002"}


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"papers": " \n"}, "Nothing to add."),
        ({}, "Nothing to add."),
        ({"papers": "2401.00001 " * 100_000}, "larger than 1 MB"),
        ({"papers": "", "file": b"x" * 1_000_001}, "larger than 1 MB"),
        ({"papers": "", "file": b"%PDF-1.7 2401.00001"}, "not a text file"),
        ({"papers": "", "file": b"PK\x03\x04\x00 2401.00001"}, "not a text file"),
        ({"papers": "nothing"}, "1 line without an arXiv ID"),
        ({"papers": "% only a comment\n@comment{x}"}, "No papers found"),
    ],
)
def test_unusable_list_is_refused_with_a_message(client, url, ada, form, message):
    if content := form.get("file"):
        form = form | {"file": upload(content)}

    page = client.post(url, {"action": "add", **form})

    assert message in status_message(page)
    assert 'class="error" role="status"' in body(page)
    assert not ada.follows.exists()
    assert not PendingPaper.objects.exists()


def test_network_adds_at_most_sixty_lists_an_hour(client, url, ada):
    statuses = [add(client, url, "x").status_code for _ in range(61)]

    assert statuses == [200] * 60 + [429]
    assert client.post(url, {"paper": "not_on_arxiv"}).status_code == 302


def test_titles_are_matched_and_missing_ones_listed(client, url, ada):
    stored = make.paper("A Deep Look at Floods").identifier
    records = "@misc{a, title={A {Deep} look at floods}} @misc{b, title={%s}}"

    page = add(client, url, records % "<i>Nowhere</i> at all")

    assert "1 paper followed, 1 title not found." in status_message(page)
    assert "&lt;i&gt;Nowhere&lt;/i&gt; at all" in body(page)
    assert followed(ada) == {stored}


def test_papers_are_removed_one_by_one_or_all_at_once(client, url, ada):
    papers = [make.paper().identifier for _ in range(3)]
    follows.follow_papers(ada, papers)
    follows.follow(ada, "paper", make.paper().identifier, -1.0)
    follows.follow(ada, "keyword", "floods")
    PendingPaper.objects.create(subscriber=ada, identifier="2401.1", at=timezone.now())

    page = client.post(url, {"paper": papers[0]}, follow=True)
    assert "Removed." in status_message(page)
    assert followed(ada) == set(papers[1:])

    client.post(url, {"paper": "all"})
    assert followed(ada) == set()
    assert not PendingPaper.objects.exists()
    assert ada.follows.count() == 2


@pytest.mark.parametrize("paper", ["", "2401.00001", "x\x00", "'--", "ALL"])
def test_unknown_paper_cannot_be_removed(client, url, ada, paper):
    follows.follow_papers(ada, [make.paper().identifier])

    page = client.post(url, {"paper": paper}, follow=True)

    assert "Nothing was changed" in status_message(page)
    assert len(followed(ada)) == 1


def test_papers_of_other_readers_are_not_shown_or_removed(client, url, ada):
    dora = make.subscriber("dora@example.org")
    paper = make.paper("Dora's paper").identifier
    follows.follow_papers(dora, [paper])

    assert "Dora" not in body(client.get(url))
    client.post(url, {"paper": paper})

    assert followed(dora) == {paper}


def test_three_hundred_papers_are_folded_and_need_twelve_queries(
    client, url, ada, django_assert_max_num_queries
):
    papers = [make.paper().identifier for _ in range(follows.MAX_EXAMPLE_PAPERS)]
    follows.follow_papers(ada, papers)

    with django_assert_max_num_queries(12):
        page = body(client.get(url))

    assert page.count('aria-label="Remove Invented') == follows.MAX_EXAMPLE_PAPERS
    assert "<h2>300 papers</h2>" in page
    assert "<details>\n    <summary>Show all" in page
    assert len(page) < 200_000


def test_opened_papers_are_not_in_the_reading_list(client, url, ada):
    opened = make.paper("Merely opened")
    ada.follows.create(
        interest=make.interest("paper", opened.identifier), weight=0.25, source="opened"
    )

    page = body(client.get(url))
    assert "Merely opened" not in page.partition("Learned from papers")[0]
    assert Paper.objects.count() == 1


@pytest.fixture
def co_followed(ada):
    """A paper that twenty readers follow together with ada's only paper."""
    ada_paper, other = make.paper("On storks"), make.paper(HOSTILE)
    for _ in range(20):
        reader = make.subscriber()
        follows.follow_papers(reader, [ada_paper.identifier, other.identifier])
    follows.follow_papers(ada, [ada_paper.identifier])
    embeddings.refresh()
    return other


def suggestions(page):
    return page.partition("<h2>Suggestions</h2>")[2].partition("</section>")[0]


def test_co_followed_paper_is_suggested(client, url, co_followed):
    section = suggestions(body(client.get(url)))

    assert section.count("<li>") == 1
    assert "Also followed by readers of your papers" in section
    assert f'name="paper" value="{co_followed.identifier}"' in section
    assert "&lt;img src=x" in section
    assert "<img" not in section


def test_suggestion_is_followed_with_one_click(client, url, ada, co_followed):
    form = {"action": "follow", "paper": co_followed.identifier}

    page = client.post(url, form, follow=True)

    assert "Followed." in status_message(page)
    assert 'class="success" role="status"' in body(page)
    assert co_followed.identifier in followed(ada)
    assert suggestions(body(page)) == ""


@pytest.mark.parametrize("paper", ["", "2401.00001", "x\x00", "all", "not_on_arxiv"])
def test_unknown_paper_cannot_be_followed(client, url, ada, paper):
    page = client.post(url, {"action": "follow", "paper": paper}, follow=True)

    assert "Nothing was changed" in status_message(page)
    assert not ada.follows.exists()


def test_paper_over_the_limit_is_not_followed(
    client, url, ada, co_followed, monkeypatch
):
    monkeypatch.setattr(follows, "MAX_EXAMPLE_PAPERS", 1)
    form = {"action": "follow", "paper": co_followed.identifier}

    page = client.post(url, form, follow=True)

    assert "Remove some first." in status_message(page)
    assert co_followed.identifier not in followed(ada)


def test_disliked_papers_are_not_suggested_nor_any_without_papers(
    client, url, ada, co_followed
):
    follows.follow(ada, "paper", co_followed.identifier, -1.0)
    assert suggestions(body(client.get(url))) == ""

    follows.unfollow_papers(ada)
    assert suggestions(body(client.get(url))) == ""


def test_suggestions_need_twenty_queries_for_many_papers(
    client, url, ada, co_followed, django_assert_max_num_queries
):
    papers = [make.paper().identifier for _ in range(50)]
    follows.follow_papers(ada, papers)
    embeddings.refresh()

    with django_assert_max_num_queries(20):
        page = body(client.get(url))

    assert "Also followed by readers" in suggestions(page)


def test_titles_that_an_editor_corrected_are_shown(client, url, ada):
    paper = make.paper("Tilte of the source", corrected_title="Title of the editor")
    follows.follow(ada, "paper", paper.identifier)

    page = client.get(url).content.decode()

    assert "Title of the editor" in page
    assert "Tilte of the source" not in page
