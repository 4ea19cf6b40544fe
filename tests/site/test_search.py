"""The search page: pages of results, filters, corrections, highlights, and its sign-up form."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone
from markupsafe import Markup

from digest.ranking import embeddings
from digest.site.search import highlight
from tests import make
from tests.site.conftest import SUBJECTS, body


def titles(page):
    headings = re.findall(r"<h2>.*?</h2>", page, re.S)
    return [re.sub(r"<[^>]+>", "", heading).strip() for heading in headings]


def requested(page):
    return re.findall(r'name="requested_interests" value="([^"]*)"', page)


def test_search_finds_papers_by_meaning_and_keeps_the_query(client, edition):
    page = body(client.get("/papers?q=robot+control"))

    assert "policy gradients in robot control" in titles(page)[0]
    assert 'value="robot control"' in page
    assert requested(page) == ["search:robot control"]
    assert 'href="#subscribe">Mail me this search' in page


def test_search_without_results_suggests_other_terms(client, edition):
    page = body(client.get("/papers?q=zzzzqqq"))

    assert "<article" not in page
    assert "Try fewer or more common English terms" in page


def test_search_shows_twenty_a_page_of_at_most_120(client, db):
    for number in range(125):
        make.paper(f"Long one {number}", abstract=f"{SUBJECTS[0]} {number}. " * 20)
    embeddings.refresh()
    pages = [
        client.get("/papers", {"q": SUBJECTS[0], "page": page})
        for page in ("1", "2", "6", "99", "x")
    ]

    assert [body(page).count("<article") for page in pages] == [20] * 5
    assert "Top 120 papers, best match first, page 2 of 6" in body(pages[1])
    assert not set(titles(body(pages[0]))) & set(titles(body(pages[1])))
    assert titles(body(pages[2])) == titles(body(pages[3]))
    assert 'rel="next"' not in body(pages[2])
    assert f"?q={SUBJECTS[0].replace(' ', '+')}&amp;page=3" in body(pages[1])
    assert len(pages[0].content) < 200_000


def test_filters_narrow_the_results_and_stay_chosen(client, db):
    today = timezone.localdate()
    make.paper("Terns today", announced_on=today, categories=["cs.CL"])
    make.paper("Terns elsewhere", announced_on=today, categories=["cs.LG"])
    old = today - timedelta(days=90)
    make.paper("Terns before", announced_on=old, categories=["cs.CL"])
    embeddings.refresh()

    page = body(client.get("/papers?q=terns&category=cs.CL&period=month"))

    assert titles(page)[:1] == ["Terns today"]
    assert page.count("<article") == 1
    assert "<option selected>cs.CL</option>" in page
    assert '<option value="month" selected>' in page
    empty = body(client.get("/papers?q=terns&category=cs.AI"))
    assert "Remove the filters" in empty
    assert client.get("/papers?q=terns&category=%00'&period=aeon").status_code == 200


def test_misspelt_words_are_corrected_with_a_way_back(client, edition):
    page = body(client.get("/papers?q=quantizaton"))
    exact = body(client.get("/papers?q=quantizaton&exact=1"))

    assert "Showing results for" in page
    assert "<strong>quantization</strong>" in page
    assert requested(page) == ["search:quantization"]
    assert "?q=quantizaton&amp;exact=1" in page
    assert page.count("<article") >= 2
    assert "<article" not in exact


def test_operators_are_explained_and_their_errors_named(client, edition):
    page = body(client.get('/papers?q=quantization+after:soon+author:"Ada+Okafor"'))

    assert "“after:soon” was ignored: write a date as 2026-03-06" in page
    assert requested(page) == ["search:quantization", "author:Ada Okafor"]
    assert page.count("<article") >= 2
    assert "<summary>Search operators</summary>" in page


def test_matching_words_are_highlighted(client, edition):
    page = body(client.get("/papers?q=quantisation"))

    assert "<mark>quantization</mark> of language models" in page
    assert "/papers?q=<mark>" not in page


@pytest.mark.parametrize(
    ("html", "marked"),
    [
        ("Nets &amp; amp", "Nets &amp; <mark>amp</mark>"),
        ('<a href="/nets">Nets</a>', '<a href="/nets"><mark>Nets</mark></a>'),
        ("<math><mi>net</mi></math> net", "<math><mi>net</mi></math> <mark>net</mark>"),
        ("&lt;net&gt;", "&lt;<mark>net</mark>&gt;"),
        ("<ul><li>net</li></ul>", "<ul><li>net</li></ul>"),
        ("internet", "internet"),
        ("na\u00efve n\u0115t", "na\u00efve <mark>n\u0115t</mark>"),
    ],
)
def test_highlights_keep_the_markup(html, marked):
    words = frozenset({"net", "amp"}) if "Nets" in html[:4] else frozenset({"net"})
    words = words - {"net"} if "&amp;" in html else words

    assert highlight(Markup(html), words) == Markup(marked)


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/search", "/papers"),
        (
            "/search?q=robot+%26+arm&category=cs.RO",
            "/papers?q=robot+%26+arm&category=cs.RO",
        ),
    ],
)
def test_address_of_other_searches_redirects(client, db, path, target):
    response = client.get(path)

    assert (response.status_code, response["Location"]) == (302, target)
