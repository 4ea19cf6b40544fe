"""Search, and the page of a paper."""

import re

import pytest

from digest import follows
from digest.models import AttentionSample, Paper, Recall
from digest.ranking import embeddings
from digest.ranking.co_readership import MIN_SHARED_READERS
from tests import make
from tests.site.conftest import SUBJECTS, body


def test_papers_without_a_query_shows_the_newest_day(client, edition):
    page = body(client.get("/papers"))

    assert "Friday, 20 November 2026" in page
    assert page.count("<article") == 12


@pytest.mark.parametrize("path", ["/papers?q=tides", "/papers/date/2026-11-20"])
def test_lists_show_one_line_and_fold_the_abstract(client, db, path):
    background = "Tides come and go at every shore of every sea there is. " * 8
    abstract = f"{background}We measure tides. It works. It is cheap. End."
    make.paper("Tides", abstract=abstract)
    embeddings.refresh()

    page = re.sub("</?mark>", "", body(client.get(path)))

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
        'v2" rel="noopener">2</a>',
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

    page = re.sub("</?mark>", "", body(client.get(path)))

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


def test_paper_page_links_authors_and_folds_long_lists(client, db):
    paper = make.paper(
        authors=["Ada Okafor", *(f"Bo {n}/x" for n in range(24)), "L" * 200]
    )

    page = body(client.get(f"/papers/{paper.identifier}"))

    assert '<a href="/authors/Ada%20Okafor">Ada Okafor</a>' in page
    folded = page.partition("6 more authors")[2].partition("</details>")[0]
    assert '<a href="/authors/Bo%2023/x">Bo 23/x</a>' in folded
    assert ">" + "L" * 200 not in folded


def test_paper_page_draws_attention_over_time(client, db):
    paper = make.paper()
    for hours, votes in ((0, 3), (6, 9), (12, 15)):
        AttentionSample.objects.create(
            paper=paper,
            source="huggingface",
            kind="upvotes",
            value=votes,
            at=make.NOW + make.hours(hours),
        )
    AttentionSample.objects.create(
        paper=paper, source="huggingface", kind="stars", value=5, at=make.NOW
    )

    page = body(client.get(f"/papers/{paper.identifier}"))

    assert '<polyline points="0.0,40.0 120.0,20.0 240.0,0.0"/>' in page
    assert 'aria-label="Votes from 3 on 20 November to 15 on 20 November"' in page
    assert "<td>2026-11-20 15:00</td><td>Votes</td><td>9</td>" in page
    assert "GitHub stars" not in page


@pytest.mark.parametrize(("readers", "shown"), [(4, False), (5, True)])
def test_paper_page_counts_followers_from_five_on(client, db, readers, shown):
    paper = make.paper()
    make.subscriber(state="left")
    for _ in range(readers):
        follows.follow(make.subscriber(), "paper", paper.identifier)
    follows.follow(make.subscriber(state="left"), "paper", paper.identifier)
    follows.follow(make.subscriber(), "paper", paper.identifier, weight=-1.0)

    page = body(client.get(f"/papers/{paper.identifier}"))

    assert ("5 readers of" in page) is shown
    assert ("Followed by" in page) is shown


def test_paper_page_links_versions_and_dates_the_withdrawal(client, db):
    paper = make.paper(version=3)
    Recall.objects.create(paper=paper, reason="x", is_withdrawal=True)

    page = body(client.get(f"/papers/{paper.identifier}"))

    assert [f"/abs/{paper.identifier}v{n}" in page for n in (1, 2, 3, 4)] == [
        *(True, True, True),
        False,
    ]
    assert "withdrawn on arXiv (noticed on" in page


@pytest.mark.parametrize(
    ("style", "content_type", "start"),
    [
        ("bib", "application/x-bibtex", "@misc{"),
        ("ris", "application/x-research-info-systems", "TY  - UNPB"),
    ],
)
def test_citations_are_files_to_save(client, db, style, content_type, start):
    make.paper(identifier="hep-th/9901001")

    response = client.get(f"/papers/hep-th/9901001.{style}")

    assert body(response).startswith(start)
    assert response["Content-Type"] == f"{content_type}; charset=utf-8"
    disposition = f'attachment; filename="hep-th-9901001.{style}"'
    assert response["Content-Disposition"] == disposition
    assert client.get(f"/papers/2611.00009.{style}").status_code == 404


def test_share_links_encode_the_title(client, db):
    paper = make.paper('Maps & "tides" #1')

    page = body(client.get(f"/papers/{paper.identifier}"))

    assert "mailto:?subject=Maps%20%26%20%22tides%22%20%231&amp;body=http" in page


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
    assert (
        page.index("3,283 more authors")
        < page.index("Author 3302")
        < page.index("Abstract")
    )


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


def test_page_of_a_merged_duplicate_links_to_the_kept_paper(client, db):
    kept = make.paper("First <title>", corrected_title="Corrected & kept")
    duplicate = make.paper("The same work", duplicate_of=kept)
    kept_path = kept.get_absolute_url()

    page = client.get(duplicate.get_absolute_url()).content.decode()

    assert f'<a href="{kept_path}">Corrected &amp; kept</a>' in page
    canonical = re.search('<link rel="canonical" href="([^"]+)"', page)[1]
    assert canonical.endswith(kept_path)
    assert "This is the same work" not in client.get(kept_path).content.decode()
