"""Search, a paper's page, topics."""

import pytest

from digest import follows
from digest.models import Paper
from digest.ranking import embeddings
from digest.ranking.co_readership import MIN_SHARED_READERS
from tests import make
from tests.site.conftest import SUBJECTS, text


def test_search_is_by_meaning_and_keeps_the_question(client, world):
    page = text(client.get("/papers?q=robot+control"))

    first = page.partition("<article")[2].partition("</article>")[0]
    assert "policy gradients in robot control" in first
    assert 'value="robot control"' in page
    assert 'name="requested_interests" value="search:robot control"' in page


def test_search_without_a_result_says_what_may_help(client, world):
    page = text(client.get("/papers?q=zzzzqqq"))

    assert "<article" not in page
    assert "Try fewer or more usual words" in page


def test_papers_without_a_question_is_the_newest_day(client, world):
    page = text(client.get("/papers"))

    assert "Friday, 20 November 2026" in page
    assert page.count("<article") == 12


def test_search_shows_at_most_120_long_papers_on_less_than_500_kilobytes(client, db):
    for number in range(320):
        subject = SUBJECTS[0] if number < 125 else SUBJECTS[1 + number % 5]
        words = f"{subject} & {number}. "
        make.paper(f"Long one {number}", abstract=(words * 60)[:1920])
    embeddings.refresh()

    response = client.get("/papers", {"q": SUBJECTS[0]})

    assert text(response).count("<article") == 120
    assert len(response.content) < 500_000


@pytest.mark.parametrize("address", ["/papers?q=tides", "/papers/date/2026-11-20"])
def test_lists_show_what_was_done_instead_of_why(client, db, address):
    why = "Tides come and go at every shore of every sea there is. " * 8
    make.paper("Tides", abstract=f"{why}We measure tides. It works. It is cheap. End.")
    embeddings.refresh()

    shown = text(client.get(address))

    assert "… We measure tides. It works. It is cheap." in shown
    assert "Tides come and go" not in shown


def test_a_card_names_an_organization_or_authors_and_counts_above_zero(client, world):
    make.paper(
        "Alone quantization", organization="Northern Lab", votes=1204, comments=1
    )
    make.paper(
        "Quiet quantization", authors=["A One", "B Two", "C Three", "D Four", "E Five"]
    )

    page = text(client.get("/papers/date/2026-11-20"))

    alone = page[page.index("Alone quantization") :].partition("</article>")[0]
    quiet = page[page.index(">Quiet quantization") :].partition("</article>")[0]
    assert "Northern Lab" in alone
    assert "Ada Okafor" not in alone
    assert "1,204 votes" in alone
    assert "1 comment<" in alone
    assert "A One, B Two, C Three + 2 more" in quiet
    assert "vote" not in quiet
    assert "comment" not in quiet


def test_a_paper_s_page_shows_all_that_we_know(client, world):
    one = Paper.objects.get(title__startswith="Study 1 of sparse")
    Paper.objects.filter(pk=one.pk).update(
        code_url="https://example.org/code", version=2
    )

    page = text(client.get(f"/papers/{one.identifier}"))

    for known in (
        "Ada Okafor, Bruno Lindqvist",
        "3 votes",
        "version 2",
        "@misc{",
        "https://example.org/code",
        f"https://arxiv.org/pdf/{one.identifier}",
        '<a href="https://example.org/1" rel="nofollow noopener">',
    ):
        assert known in page
    similar = page.partition("Related papers")[2]
    assert "Study 0 of sparse attention" in similar
    assert f'value="paper:{one.identifier}"' in page


@pytest.mark.parametrize(
    "identifier", ["hep-th/9901001", "math.GT/0309136", "2401.01234"]
)
def test_identifiers_of_every_age_have_a_page(client, db, identifier):
    make.paper("Old and good", identifier=identifier)

    assert "Old and good" in text(client.get(f"/papers/{identifier}"))
    assert client.get(f"/papers/{identifier}v3")["Location"] == f"/papers/{identifier}"


def test_thousands_of_authors_do_not_bury_a_paper(client, db):
    one = make.paper(authors=[f"Author {number}" for number in range(3303)])

    page = text(client.get(f"/papers/{one.identifier}"))

    assert "3,283 more authors" in page
    assert page.index("<details>") < page.index("Author 3302") < page.index("Abstract")


def test_an_address_that_is_not_of_the_web_is_no_link(client, db):
    one = make.paper(code_url="javascript:alert(1)")

    assert "javascript" not in text(client.get(f"/papers/{one.identifier}"))


def test_a_topic_shows_its_own_papers_only_and_can_be_followed(client, world):
    page = text(client.get("/topics/robots"))

    assert "policy gradients in robot control" in page
    assert "protein design" not in page
    assert 'name="requested_interests" value="topic:robots"' in page


def test_topics_lists_what_is_listed(client, world):
    make.topic("Hidden one", is_listed=False)

    page = text(client.get("/topics"))

    assert 'href="/topics/robots"' in page
    assert "Hidden one" not in page


def test_a_paper_s_page_says_what_its_readers_follow_too_and_nothing_of_few(
    client, world
):
    one, of_many, of_few = (
        Paper.objects.get(title=f"Study 0 of {SUBJECTS[n]}") for n in (0, 3, 4)
    )
    for number in range(12):
        liked = [one, of_many] + ([of_few] if number < MIN_SHARED_READERS - 1 else [])
        reader = make.subscriber()
        follows.follow_papers(reader, [paper.identifier for paper in liked])

    page = text(client.get(f"/papers/{one.identifier}"))

    related = page.partition("Related papers")[2].split("<article")[1:]
    reasons = [paper.count("Readers of this paper follow it too") for paper in related]
    assert [of_many.title in paper for paper in related] == reasons
    assert sum(reasons) == 1
    assert of_few.title not in page
