"""The front page answers at once, and carries what was asked into the sign-up."""

import pytest

from tests import make
from tests.site.conftest import text


def requested_interests(page):
    return [
        part.partition('"')[0]
        for part in page.split('name="requested_interests" value="')[1:]
    ]


def test_a_question_is_answered_with_papers_of_the_edition_and_reasons(client, world):
    page = text(client.get("/?q=post-training+quantization"))

    assert page.count("<article") == 10
    assert page.count('class="reason"') == 10
    first = page.partition("<article")[2].partition("</article>")[0]
    assert "quantization of language models" in first
    assert "Close to your search “post-training quantization”" in first


def test_what_fits_stands_apart_from_what_only_trends(client, world):
    page = text(client.get("/?q=post-training+quantization"))
    fits, also, trends = page.partition("Also trending")

    assert "New for you" in fits
    assert "Among the most promising" not in fits
    assert "Trending: " not in fits
    assert also
    only_trend = ("Trending: ", "Among the most promising")
    assert sum(map(trends.count, only_trend)) == trends.count("<article") > 0


def test_a_question_that_nothing_fits_is_told_so(client, world):
    page = text(client.get("/?q=medieval+sonnets"))

    assert "New for you" not in page
    assert "No paper of the last two weeks fits “medieval sonnets”." in page
    assert 'class="list-heading">Trending</h2>' in page


def test_the_sign_up_says_what_it_carries(client, world):
    page = text(client.get("/?q=a+%3Cb%3E&topic=robots"))

    assert "You will follow “a &lt;b&gt;”, Robots:" in page
    assert "You will follow" not in text(client.get("/"))
    assert "You will follow “speech”:" in text(client.get("/papers?q=speech"))


def test_votes_are_told_once(client, world):
    loud = world.candidates.last()
    loud.card |= {"votes": 62, "comments": 7}
    loud.trend = 9.0
    loud.save()

    page = text(client.get("/"))

    assert "Trending: 62 votes and 7 comments" in page
    assert page.count("62 votes") == 1
    assert page.count("7 comments") == 1


def test_without_a_question_the_trending_ones_are_shown(client, world):
    loud = world.candidates.last()
    world.candidates.exclude(pk=loud.pk).update(trend=0.1)

    page = text(client.get("/"))

    assert "Trending" in page
    assert (
        loud.card["title"] in page.partition("<article")[2].partition("</article>")[0]
    )


def test_the_sign_up_carries_the_question_and_the_topics(client, world):
    page = text(
        client.get("/?q=protein+design&topic=quantization&topic=robots&topic=gone")
    )

    assert requested_interests(page) == [
        "search:protein design",
        "topic:quantization",
        "topic:robots",
    ]
    assert requested_interests(text(client.get("/"))) == []


def test_a_question_without_a_word_asks_nothing(client, world):
    page = text(client.get("/?q=???"))

    assert requested_interests(page) == []
    assert "Trending" in page


def test_a_chosen_topic_is_ticked_and_finds_its_papers(client, world):
    page = text(client.get("/?topic=robots"))

    assert 'value="robots" checked' in page
    assert "<summary>Topics: Robots (change)</summary>" in page
    assert "<details open" not in page  # the papers are what was asked for
    assert "Because you follow Robots" in page


@pytest.mark.parametrize(
    "q", ["x" * 5000, "\x00\x07", " \n ", "🜁" * 300, "a" + "\u202e" * 9]
)
def test_no_question_breaks_the_page(client, world, q):
    assert client.get("/", {"q": q}).status_code == 200
    assert client.get("/papers", {"q": q}).status_code == 200


@pytest.mark.parametrize(
    ("q", "kept"),
    [("  low\tbit\x00 \u202eweights ", "low bit weights"), ("x" * 260, "x" * 250)],
)
def test_a_question_is_printable_and_of_bounded_length(client, world, q, kept):
    assert f'name="q" value="{kept}"' in text(client.get("/", {"q": q}))


def test_an_open_edition_answers_as_a_frozen_one_does(client, world):
    while_open = text(client.get("/?q=speech")).partition("<ol")[2]
    make.frozen(world)

    assert (
        text(client.get("/?q=speech")).partition("<ol")[2].partition("</ol>")[0]
        == while_open.partition("</ol>")[0]
    )


def test_an_editor_s_note_is_shown(client, world):
    one = world.candidates.first()
    one.pin, one.note = 1, "Read this one."
    one.save()

    page = text(client.get("/?q=speech"))

    assert "Picked by the editors" in page
    assert "Read this one." in page


def test_a_network_that_asks_too_often_waits_and_pages_stay_free(
    client, world, monkeypatch
):
    monkeypatch.setattr("digest.site.limits.SEARCHES_PER_NETWORK", "2/m")
    answers = [client.get("/?q=speech").status_code for _ in range(3)]

    assert answers == [200, 200, 429]
    assert client.get("/").status_code == 200
    assert client.get("/?q=speech", REMOTE_ADDR="198.51.100.9").status_code == 200
