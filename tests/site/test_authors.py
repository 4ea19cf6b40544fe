"""Pages of authors."""

from urllib.parse import unquote

import pytest

from digest.models import Paper
from digest.ranking import embeddings
from digest.site.paper_lists import PAPERS_PER_PAGE
from tests import make
from tests.site.conftest import HOSTILE, body


@pytest.mark.both
@pytest.mark.parametrize(
    "name", ["Ada Okafor", "José O'Neil", 'A "B" \\ C', "王伟", "%_"]
)
def test_papers_by_author_have_exactly_this_name(db, name):
    paper = make.paper(authors=["Bo Berg", name])
    make.paper(authors=[name + "a", name[:-1], name.upper() + "x"])

    assert list(Paper.objects.by_author(name)) == [paper]


def test_author_page_lists_papers_and_frequent_coauthors(client, db):
    make.paper(
        "Old", authors=["Ada Okafor", "Bo Berg"], announced_on=make.DAY.replace(day=2)
    )
    make.paper("New", authors=["Cy Chen", "Bo Berg", "Ada Okafor"])
    make.paper("Other", authors=["Ada Okafor-Berg"])
    make.paper("Private", authors=["Ada Okafor"], announce_type="added")

    page = body(client.get("/authors/Ada%20Okafor"))

    assert "<h1>Ada Okafor</h1>" in page
    assert page.index("New</a>") < page.index("Old</a>")
    assert "Other</a>" not in page
    assert "Private</a>" not in page
    often = page.partition("Often with: ")[2].partition("</p>")[0]
    assert often.index("Bo Berg") < often.index("Cy Chen")
    assert 'name="requested_interests" value="author:Ada Okafor"' in page


@pytest.mark.parametrize("name", ["Unknown", "A" * 81, "%00", "a%0Ab", "<b>"])
def test_unknown_author_is_not_found(client, db, name):
    make.paper()

    response = client.get(f"/authors/{name}")

    assert response.status_code == 404
    assert "<b>" not in body(response)


def test_name_of_an_author_is_escaped(client, db):
    name = HOSTILE.replace("\n", " ")
    make.paper(authors=[name])

    page = body(client.get("/authors/" + name))

    assert "<h1>&lt;img src=x" in page
    assert "<img" not in page


def test_author_with_many_papers_has_pages(client, db):
    for _ in range(PAPERS_PER_PAGE + 1):
        make.paper(authors=["Ada Okafor"])

    first = body(client.get("/authors/Ada Okafor"))
    second = body(client.get("/authors/Ada Okafor?page=2"))

    assert 'href="?page=2" rel="next"' in first
    assert second.count("<article") == 1


def test_author_page_needs_ten_queries(client, db, django_assert_max_num_queries):
    for _ in range(PAPERS_PER_PAGE):
        make.paper(authors=["Ada Okafor"])

    with django_assert_max_num_queries(10):
        client.get("/authors/Ada Okafor")


@pytest.fixture
def indexed(db):
    """Papers of authors with similar names, in the search index."""
    make.paper("One", authors=["José Álvarez Müller", "Kim Ng"])
    make.paper("Two", authors=["Ada Okafor"])
    make.paper("Three", authors=["Amara Okafor"])
    make.paper("Private", authors=["Adam Okafor"], announce_type="added")
    embeddings.refresh()


@pytest.mark.parametrize(
    "name", ["Jose Alvarez Muller", "Müller, José Álvarez", "josé Álvarez müller"]
)
def test_other_spelling_of_one_author_redirects(client, indexed, name):
    response = client.get(f"/authors/{name}")

    assert response.status_code == 302
    assert unquote(response["Location"]) == "/authors/José Álvarez Müller"


@pytest.mark.parametrize("name", ["A. Okafor", "Ada Okafro", "Okafor"])
def test_ambiguous_or_misspelt_name_lists_similar_ones(client, indexed, name):
    response = client.get(f"/authors/{name}")
    page = body(response)

    assert response.status_code == 404
    assert "Did you mean" in page
    assert ">Ada Okafor</a>" in page
    assert "Adam Okafor" not in page
