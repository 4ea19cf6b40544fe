"""A reader's own papers: pasted or uploaded, followed or fetched, and removed."""

from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from accounts.models import Link
from digest import follows
from digest.models import Follow, Paper, PendingPaper
from digest.ranking import embeddings
from tests import make
from tests.ingest.fake_sources import Sources, paper
from tests.make import DAY
from tests.site.conftest import HOSTILE, text

OLD = paper(1, DAY - timedelta(days=400))


@pytest.fixture
def door(client, key):
    return f"/preferences/{key}/papers"


def paste(client, door, papers="", **more):
    return client.post(door, {"do": "paste", "papers": papers, **more})


def said(response):
    return text(response).partition('role="status">')[2].partition("</div>")[0]


def liked(reader):
    rows = reader.follows.filter(interest__kind="paper", weight__gt=0)
    return set(rows.values_list("interest__value", flat=True))


def file(content, name="library.bib"):
    return SimpleUploadedFile(name, content)


def test_known_papers_are_followed_others_fetched_and_the_page_says_so(
    client, door, ada
):
    known = make.paper(HOSTILE).identifier

    page = paste(client, door, f"{known}\n2401.00001 2401.00002\nwho knows\n<b>x</b>")

    assert "1 paper followed, 2 are being fetched from arXiv, 2 lines had no arXiv" in (
        said(page)
    )
    assert liked(ada) == {known}
    shown = text(page)
    assert "<code>&lt;b&gt;x&lt;/b&gt;</code>" in shown
    assert "<img" not in shown
    assert "2401.00001, 2401.00002" in shown


def test_what_is_fetched_is_followed_when_the_page_is_opened_again(
    client, door, ada, httpserver, settings, eager, monkeypatch
):
    monkeypatch.setattr("digest.ingest.sources.throttle.MIN_REQUEST_GAP_S", 0.0)
    Sources(httpserver, settings).known = [OLD]

    paste(client, door, f"{OLD.identifier} 2401.99999")

    page = text(client.get(door))
    assert liked(ada) == {OLD.identifier}
    assert OLD.title_raw in page
    assert "Unknown to arXiv" in page
    assert "2401.99999" in page

    client.post(door, {"paper": "unknown"})
    assert not PendingPaper.objects.exists()


def test_nothing_is_fetched_while_all_is_known(client, door, eager):
    known = make.paper().identifier

    # Without arXiv: a fetch would fail loudly in the eager task.
    assert "1 paper followed." in said(paste(client, door, known))


@pytest.mark.parametrize(
    "content",
    [
        b"@misc{a, eprint={2401.00001}}",
        b'\xef\xbb\xbf"Title","Url"\n"X","http://arxiv.org/abs/2401.00001"',
        "\ufeffsee 2401.00001".encode("utf-16"),
        "Schr\u00f6dinger 2401.00001".encode("cp1252"),
    ],
)
def test_a_file_is_read_whatever_wrote_it(client, door, ada, content):
    make.paper(identifier="2401.00001")

    paste(client, door, file=file(content))

    assert liked(ada) == {"2401.00001"}


def test_a_file_and_a_text_together_are_both_read(client, door, ada):
    for identifier in ("2401.00001", "2401.00002"):
        make.paper(identifier=identifier)

    paste(client, door, "2401.00002", file=file(b"@misc{a, eprint={2401.00001}}"))

    assert liked(ada) == {"2401.00001", "2401.00002"}


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ({"papers": " \n"}, "nothing in it"),
        ({}, "nothing in it"),
        ({"papers": "2401.00001 " * 100_000}, "more than a megabyte"),
        ({"papers": "", "file": b"x" * 1_000_001}, "more than a megabyte"),
        ({"papers": "", "file": b"%PDF-1.7 2401.00001"}, "not a text file"),
        ({"papers": "", "file": b"PK\x03\x04\x00 2401.00001"}, "not a text file"),
        ({"papers": "no papers at all"}, "1 line had no arXiv id"),
        ({"papers": "% only a comment\n@comment{x}"}, "No paper was found"),
    ],
)
def test_what_cannot_be_taken_is_refused_in_words(client, door, ada, form, why):
    if content := form.get("file"):
        form = form | {"file": file(content)}

    page = client.post(door, {"do": "paste", **form})

    assert why in said(page)
    assert 'class="error" role="status"' in text(page)
    assert not ada.follows.exists()
    assert not PendingPaper.objects.exists()


def test_one_network_sends_a_bounded_number_of_lists_an_hour(client, door, ada):
    statuses = [paste(client, door, "x").status_code for _ in range(61)]

    assert statuses == [200] * 60 + [429]
    assert client.post(door, {"paper": "unknown"}).status_code == 302


def test_titles_without_an_id_are_named_where_they_are_not_found(client, door, ada):
    known = make.paper("A Deep Look at Floods").identifier
    records = "@misc{a, title={A {Deep} look at floods}} @misc{b, title={%s}}"

    page = paste(client, door, records % "<i>Nowhere</i> at all")

    assert "1 paper followed, 1 title was not found." in said(page)
    assert "&lt;i&gt;Nowhere&lt;/i&gt; at all" in text(page)
    assert liked(ada) == {known}


def test_papers_are_removed_one_by_one_or_all_at_once(client, door, ada):
    papers = [make.paper().identifier for _ in range(3)]
    disliked = make.paper().identifier
    follows.follow_papers(ada, papers)
    follows.follow(ada, "paper", disliked, -1.0)
    follows.follow(ada, "keyword", "floods")
    PendingPaper.objects.create(subscriber=ada, identifier="2401.1", at=timezone.now())

    answer = client.post(door, {"paper": papers[0]}, follow=True)
    assert "Removed." in said(answer)
    assert liked(ada) == set(papers[1:])

    client.post(door, {"paper": "all"})
    assert liked(ada) == set()
    assert not PendingPaper.objects.exists()
    assert ada.follows.count() == 2


@pytest.mark.parametrize("asked", ["", "2401.00001", "x\x00", "'--", "ALL"])
def test_what_cannot_be_removed_changes_nothing(client, door, ada, asked):
    follows.follow_papers(ada, [make.paper().identifier])

    page = client.post(door, {"paper": asked}, follow=True)

    assert "nothing was changed" in said(page)
    assert len(liked(ada)) == 1


def test_nobody_else_s_papers_are_shown_or_removed(client, door, ada):
    dora = make.subscriber("dora@example.org")
    theirs = make.paper("Dora's paper").identifier
    follows.follow_papers(dora, [theirs])

    assert "Dora" not in text(client.get(door))
    client.post(door, {"paper": theirs})

    assert liked(dora) == {theirs}


def test_three_hundred_papers_are_shown_folded_with_few_queries(
    client, door, ada, django_assert_max_num_queries
):
    papers = [make.paper().identifier for _ in range(follows.MAX_EXAMPLE_PAPERS)]
    follows.follow_papers(ada, papers)

    with django_assert_max_num_queries(8):
        page = text(client.get(door))

    assert page.count('aria-label="Remove Invented') == follows.MAX_EXAMPLE_PAPERS
    assert "<h2>300 papers</h2>" in page
    assert "<details>\n    <summary>Show all" in page
    assert len(page) < 200_000


def test_opening_the_page_changes_nothing_and_old_keys_open_nothing(client, door, ada):
    old = Link.issue(ada, Link.Purpose.PREFERENCES, timezone.now() - timedelta(days=31))

    assert client.get(door).status_code == 200
    assert client.get(f"/preferences/{old.key}/papers").status_code == 404
    answer = paste(client, f"/preferences/{old.key}/papers", "2401.00001")

    assert answer.status_code == 404
    assert not PendingPaper.objects.exists()
    assert not Follow.objects.exists()


def test_a_list_from_another_site_is_refused(door, ada):
    strict = Client(enforce_csrf_checks=True)

    assert paste(strict, door, make.paper().identifier).status_code == 403
    assert not ada.follows.exists()


def test_the_page_is_neither_indexed_nor_cached(client, door):
    response = client.get(door)

    assert response["X-Robots-Tag"] == "noindex, nofollow"
    assert response["Cache-Control"] == "private, no-store"


def test_only_what_the_reader_opened_is_not_among_their_papers(client, door, ada):
    opened = make.paper("Merely opened")
    ada.follows.create(
        interest=make.interest("paper", opened.identifier), weight=0.25, source="opened"
    )

    assert "Merely opened" not in text(client.get(door))
    assert Paper.objects.count() == 1


@pytest.fixture
def liked_together(ada):
    """Ada follows one of two papers that twenty others follow together; the other."""
    hers, theirs = make.paper("On storks"), make.paper(HOSTILE)
    for _ in range(20):
        reader = make.subscriber()
        follows.follow_papers(reader, [hers.identifier, theirs.identifier])
    follows.follow_papers(ada, [hers.identifier])
    embeddings.refresh()
    return theirs


def related(page):
    return page.partition("that you do not follow yet")[2].partition("</section>")[0]


def test_papers_that_readers_of_the_same_follow_are_offered(
    client, door, liked_together
):
    offered = related(text(client.get(door)))

    assert offered.count("<li>") == 1
    assert "Readers of your papers follow it too" in offered
    assert f'name="paper" value="{liked_together.identifier}"' in offered
    assert "&lt;img src=x" in offered
    assert "<img" not in offered


def test_one_press_follows_what_is_offered(client, door, ada, liked_together):
    form = {"do": "follow", "paper": liked_together.identifier}

    answer = client.post(door, form, follow=True)

    assert "Followed." in said(answer)
    assert 'class="success" role="status"' in text(answer)
    assert liked_together.identifier in liked(ada)
    assert related(text(answer)) == ""


@pytest.mark.parametrize("asked", ["", "2401.00001", "x\x00", "all", "unknown"])
def test_what_is_no_paper_cannot_be_followed(client, door, ada, asked):
    answer = client.post(door, {"do": "follow", "paper": asked}, follow=True)

    assert "nothing was changed" in said(answer)
    assert not ada.follows.exists()


def test_there_is_room_for_so_many_papers_and_no_more(
    client, door, ada, liked_together, monkeypatch
):
    monkeypatch.setattr(follows, "EXAMPLES", 1)
    form = {"do": "follow", "paper": liked_together.identifier}

    answer = client.post(door, form, follow=True)

    assert "remove some to make room" in said(answer)
    assert liked_together.identifier not in liked(ada)


def test_nothing_is_offered_of_what_was_disliked_nor_for_who_has_no_papers(
    client, door, ada, liked_together
):
    follows.follow(ada, "paper", liked_together.identifier, -1.0)
    assert related(text(client.get(door))) == ""

    follows.unfollow_papers(ada)
    assert related(text(client.get(door))) == ""


def test_offering_takes_few_queries_for_many_papers(
    client, door, ada, liked_together, django_assert_max_num_queries
):
    papers = [make.paper().identifier for _ in range(50)]
    follows.follow_papers(ada, papers)
    embeddings.refresh()

    with django_assert_max_num_queries(15):
        page = text(client.get(door))

    assert "Readers of your papers" in related(page)
