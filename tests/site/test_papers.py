"""Search, and the page of a paper."""

import re

import pytest

from digest import follows
from digest.models import Paper
from digest.ranking import embeddings
from digest.ranking.co_readership import MIN_SHARED_READERS
from tests import make
from tests.site.conftest import SUBJECTS, body


def test_search_finds_papers_by_meaning_and_keeps_the_query(client, edition):
    page = body(client.get("/papers?q=robot+control"))

    first = page.partition("<article")[2].partition("</article>")[0]
    assert "policy gradients in robot control" in first
    assert 'value="robot control"' in page
    assert 'name="requested_interests" value="search:robot control"' in page


def test_search_without_results_suggests_other_terms(client, edition):
    page = body(client.get("/papers?q=zzzzqqq"))

    assert "<article" not in page
    assert "Try fewer or more common English terms" in page


def test_papers_without_a_query_shows_the_newest_day(client, edition):
    page = body(client.get("/papers"))

    assert "Friday, 20 November 2026" in page
    assert page.count("<article") == 12


def test_search_returns_at_most_120_papers_in_500_kilobytes(client, db):
    for number in range(320):
        subject = SUBJECTS[0] if number < 125 else SUBJECTS[1 + number % 5]
        words = f"{subject} & {number}. "
        make.paper(f"Long one {number}", abstract=(words * 60)[:1920])
    embeddings.refresh()

    response = client.get("/papers", {"q": SUBJECTS[0]})

    assert body(response).count("<article") == 120
    assert len(response.content) < 500_000


@pytest.mark.parametrize("path", ["/papers?q=tides", "/papers/date/2026-11-20"])
def test_lists_show_one_line_and_fold_the_abstract(client, db, path):
    background = "Tides come and go at every shore of every sea there is. " * 8
    abstract = f"{background}We measure tides. It works. It is cheap. End."
    make.paper("Tides", abstract=abstract)
    embeddings.refresh()

    page = body(client.get(path))

    assert '<p class="summary">We measure tides.</p>' in page
    assert "Tides come and go" not in re.sub(
        "<details.*?</details>", "", page, flags=re.S
    )


def test_card_shows_authors_organization_and_counts_above_zero(client, edition):
    make.paper(
        "Alone quantization", organization="Northern Lab", votes=1204, comments=1
    )
    make.paper(
        "Unrated quantization", authors=["A One", "B Two", "C Three", "D Four", "E F"]
    )

    page = body(client.get("/papers/date/2026-11-20"))

    alone = page[page.index("Alone quantization") :].partition("</article>")[0]
    unrated = page[page.index(">Unrated quantization") :].partition("</article>")[0]
    assert "Ada Okafor, Bruno Lindqvist · Northern Lab" in alone
    assert "1,204 votes" in alone
    assert "1 comment<" in alone
    assert "A One, B Two, C Three + 2 more" in unrated
    assert "vote" not in unrated
    assert "comment" not in unrated


def test_paper_page_shows_the_stored_fields_and_related_papers(client, edition):
    paper = Paper.objects.get(title__startswith="Study 1 of sparse")
    Paper.objects.filter(pk=paper.pk).update(
        code_url="https://example.org/code", version=2
    )

    page = body(client.get(f"/papers/{paper.identifier}"))

    for text in (
        "Ada Okafor, Bruno Lindqvist",
        "3 votes",
        "version 2",
        "@misc{",
        "https://example.org/code",
        f"https://arxiv.org/pdf/{paper.identifier}",
        '<a href="https://example.org/1" rel="nofollow noopener">',
        f'value="paper:{paper.identifier}"',
    ):
        assert text in page
    assert "Study 0 of sparse attention" in page.partition("Similar papers")[2]


FORMULA = r"Maps of $\mathbb{R}^n$ & <b>$\alpha_1$</b>"


@pytest.mark.parametrize(
    "path", ["/papers/2611.00001", "/papers/date/2026-11-20", "/papers?q=maps"]
)
def test_formulas_of_titles_are_mathml(client, db, path):
    make.paper("Maps of R\u207f", identifier="2611.00001", title_raw=FORMULA)
    embeddings.refresh()

    page = body(client.get(path))

    heading = re.search(r"<h[12]>.*?Maps of .*?</h[12]>", page)[0]
    assert heading.count("<math") == 2
    assert "<b>" not in heading
    assert "&amp;" in heading
    title = re.search("<title>.*?</title>", page)[0]
    assert "<math" not in title


@pytest.mark.parametrize("path", ["/papers/2611.00001", "/papers/date/2026-11-20"])
def test_formulas_of_abstracts_are_mathml_beside_links(client, db, path):
    text = FORMULA + ". See https://example.org/x. " + "More text. " * 60
    make.paper("Maps", identifier="2611.00001", abstract_raw=text, abstract=text)

    page = body(client.get(path))

    assert page.count("<math") == 2
    assert '<a href="https://example.org/x" rel="nofollow noopener">' in page


def test_paper_page_labels_the_generated_summary_and_links_keywords(client, db):
    paper = make.paper(ai_summary="Bits <go>.", ai_keywords=["low-bit maps", "x&y"])

    page = body(client.get(f"/papers/{paper.identifier}"))

    assert "Bits &lt;go&gt;." in page
    assert "AI summary" in page
    assert 'href="/papers?q=low-bit+maps"' in page
    assert 'href="/papers?q=x%26y"' in page
    other = body(client.get(f"/papers/{make.paper().identifier}"))
    assert "Generated by AI" not in other


@pytest.mark.parametrize(
    "identifier", ["hep-th/9901001", "math.GT/0309136", "2401.01234"]
)
def test_old_and_new_identifiers_have_a_page_and_versions_redirect(
    client, db, identifier
):
    make.paper("Old and good", identifier=identifier)

    assert "Old and good" in body(client.get(f"/papers/{identifier}"))
    assert client.get(f"/papers/{identifier}v3")["Location"] == f"/papers/{identifier}"


def test_paper_page_folds_long_author_lists(client, db):
    paper = make.paper(authors=[f"Author {number}" for number in range(3303)])

    page = body(client.get(f"/papers/{paper.identifier}"))

    assert "3,283 more authors" in page
    assert page.index("<details>") < page.index("Author 3302") < page.index("Abstract")


def test_paper_page_links_http_and_https_only(client, db):
    paper = make.paper(code_url="javascript:alert(1)")

    assert "javascript" not in body(client.get(f"/papers/{paper.identifier}"))


def test_paper_page_marks_papers_with_enough_co_readers(client, edition):
    paper, followed_by_many, followed_by_few = (
        Paper.objects.get(title=f"Study 0 of {SUBJECTS[n]}") for n in (0, 3, 4)
    )
    for number in range(12):
        reading_list = [paper, followed_by_many]
        if number < MIN_SHARED_READERS - 1:
            reading_list.append(followed_by_few)
        identifiers = [row.identifier for row in reading_list]
        follows.follow_papers(make.subscriber(), identifiers)

    page = body(client.get(f"/papers/{paper.identifier}"))

    related = page.partition("Similar papers")[2].split("<article")[1:]
    marked = ["Also followed by readers of this paper" in row for row in related]
    assert [followed_by_many.title in row for row in related] == marked
    assert sum(marked) == 1
    assert followed_by_few.title not in page
