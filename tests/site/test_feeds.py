"""Atom feeds, as feedparser reads them."""

import feedparser
import pytest

from digest.models import Recall
from digest.ranking import embeddings
from digest.site.feeds import MAX_ENTRIES
from tests import make
from tests.make import DAY
from tests.site.conftest import HOSTILE, body


@pytest.fixture
def papers(db, time_machine):
    """Two papers on robots and one on tides of the day before; trends are descending."""
    time_machine.move_to(make.NOW)
    robots = make.topic("Robots")
    rows = [
        make.paper(
            "Robot maps", identifier="2611.00001", votes=3, ai_summary="It maps."
        ),
        make.paper("Robot arms", identifier="2611.00002", primary="cs.RO", votes=9),
        make.paper("Tides", announced_on=DAY.replace(day=19), authors=["Cy Chen"]),
    ]
    for row in rows[:2]:
        row.topics.add(robots)
    make.edition(papers=rows)
    embeddings.refresh()
    return rows


def read(client, path):
    response = client.get(path)
    assert response.status_code == 200
    assert response["Content-Type"] == "application/atom+xml; charset=utf-8"
    feed = feedparser.parse(response.content)
    assert not feed.bozo
    assert feed.version == "atom10"
    return feed


@pytest.mark.parametrize(
    ("path", "title", "entries", "page"),
    [
        ("papers", "New papers", ["Robot arms", "Robot maps", "Tides"], "/papers"),
        (
            "trending",
            "Trending papers",
            ["Robot maps", "Robot arms", "Tides"],
            "/papers/trending",
        ),
        (
            "week",
            "Most voted papers of the week",
            ["Robot arms", "Robot maps", "Tides"],
            "/papers/week/2026-W47",
        ),
        (
            "month",
            "Most voted papers of the month",
            ["Robot arms", "Robot maps", "Tides"],
            "/papers/month/2026-11",
        ),
        (
            "date/2026-11-20",
            "Friday, 20 November 2026",
            ["Robot arms", "Robot maps"],
            "/papers/date/2026-11-20",
        ),
        (
            "week/2026-W47",
            "Week of 16 November 2026",
            ["Robot arms", "Robot maps", "Tides"],
            "/papers/week/2026-W47",
        ),
        ("month/2026-10", "October 2026", [], "/papers/month/2026-10"),
        ("topics/robots", "Robots", ["Robot arms", "Robot maps"], "/topics/robots"),
        ("categories/cs.RO", "cs.RO", ["Robot arms"], "/papers?category=cs.RO"),
        (
            "categories/cs",
            "cs",
            ["Robot arms", "Robot maps", "Tides"],
            "/papers?category=cs",
        ),
        ("authors/Cy%20Chen", "Cy Chen", ["Tides"], "/authors/Cy%20Chen"),
    ],
)
def test_every_feed_is_valid_and_names_its_page(
    client, papers, path, title, entries, page
):
    feed = read(client, f"/feeds/{path}.atom")

    assert feed.feed.title == f"{title} · Paper Round"
    assert [entry.title for entry in feed.entries] == entries
    links = {link.rel: link.href for link in feed.feed.links}
    assert links["alternate"].endswith(page)
    assert links["self"].endswith(f"/feeds/{path}.atom")


def test_search_feed_has_the_matches_newest_first(client, papers):
    feed = read(client, "/feeds/search.atom?q=robot+maps")

    assert feed.feed.title == "“robot maps” · Paper Round"
    assert "Robot maps" in [entry.title for entry in feed.entries]
    assert read(client, "/feeds/search.atom").entries == []


def test_entry_has_authors_categories_summary_and_a_stable_date(client, papers):
    entry = next(
        entry
        for entry in read(client, "/feeds/papers.atom").entries
        if entry.title == "Robot maps"
    )

    assert [author.name for author in entry.authors] == [
        "Ada Okafor",
        "Bruno Lindqvist",
    ]
    assert [tag.term for tag in entry.tags] == ["cs.LG"]
    assert entry.id.endswith("/papers/2611.00001")
    assert entry.updated == entry.published == "2026-11-20T00:00:00+00:00"
    assert "<strong>It maps.</strong> (AI summary)" in entry.summary


def test_feed_leaves_out_withdrawn_papers_and_those_of_reading_lists(client, papers):
    Recall.objects.create(paper=papers[0], reason="x", is_withdrawal=True)
    make.paper("Private", announce_type="added", authors=["Cy Chen"])

    titles = {entry.title for entry in read(client, "/feeds/papers.atom").entries}
    own = [entry.title for entry in read(client, "/feeds/authors/Cy Chen.atom").entries]

    assert titles == {"Robot arms", "Tides"}
    assert own == ["Tides"]


def test_hostile_text_is_escaped_and_control_characters_are_dropped(client, db):
    make.paper(
        f"{HOSTILE}\x08\x0b\ufffe", abstract="<b>\x01</b> ]]>", authors=[HOSTILE]
    )

    feed = client.get("/feeds/papers.atom").content
    entry = feedparser.parse(feed, sanitize_html=False).entries[0]

    assert b"<img" not in feed
    assert "<img" not in entry.summary
    assert "<b>" not in entry.summary


def test_feed_has_a_bounded_number_of_entries(
    client, db, django_assert_max_num_queries
):
    for _ in range(MAX_ENTRIES + 1):
        make.paper()

    with django_assert_max_num_queries(5):
        assert len(read(client, "/feeds/papers.atom").entries) == MAX_ENTRIES


@pytest.mark.parametrize(
    "path",
    [
        *("/feeds/papers.atom", "/feeds/date/2026-11-20.atom", "/feeds/week.atom"),
        *("/feeds/topics/robots.atom", "/feeds/authors/Cy Chen.atom"),
        "/feeds/search.atom?q=robot",
    ],
)
def test_unchanged_feed_is_not_sent_again(client, papers, path):
    first = client.get(path)

    for header, value in (
        ("If-None-Match", first["ETag"]),
        ("If-Modified-Since", first["Last-Modified"]),
    ):
        again = client.get(path, headers={header: value})
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
        "topics/none",
        "categories/CS.lg",
        "categories/x",
        "authors/None",
        "other",
        "date/2026-11-31",
        "date/2026-W47",
        "month/2026-13",
    ],
)
def test_unknown_feeds_are_not_found(client, papers, path):
    assert client.get(f"/feeds/{path}.atom").status_code == 404


@pytest.mark.parametrize(
    ("page", "feed"),
    [
        ("/", "/feeds/papers.atom"),
        ("/papers/trending", "/feeds/trending.atom"),
        ("/papers/week/2026-W47", "/feeds/week.atom"),
        ("/papers/week/2026-W47", "/feeds/week/2026-W47.atom"),
        ("/papers/month/2026-11", "/feeds/month/2026-11.atom"),
        ("/papers", "/feeds/date/2026-11-20.atom"),
        ("/papers/date/2026-11-20?category=cs.LG", "/feeds/categories/cs.LG.atom"),
        ("/papers/date/2026-11-20?topic=robots", "/feeds/topics/robots.atom"),
        ("/topics/robots", "/feeds/topics/robots.atom"),
        ("/authors/Cy Chen", "/feeds/authors/Cy%20Chen.atom"),
        ("/papers?q=robot", "/feeds/search.atom?q=robot"),
        ("/papers/2611.00001", "/feeds/topics/robots.atom"),
    ],
)
def test_pages_announce_their_feed(client, papers, page, feed):
    assert f'type="application/atom+xml" href="{feed}"' in body(client.get(page))
    assert client.get(feed).status_code == 200
