"""The front page: matches, trending papers, and a sign-up that keeps the request."""

import re

import pytest

from digest import follows
from digest.models import Interest
from digest.reasons import filler_heading
from digest.site.home import group_rows
from digest.site.paper_rows import explain_rows
from tests import make
from tests.site.conftest import body


def carried_interests(page):
    return [
        part.partition('"')[0]
        for part in page.split('name="requested_interests" value="')[1:]
    ]


def first_article(page):
    return page.partition("<article")[2].partition("</article>")[0]


def test_search_lists_papers_of_the_edition_with_reasons(client, edition):
    page = body(client.get("/?q=post-training+quantization"))

    assert page.count("<article") == 10
    assert page.count('class="reason"') == 10
    assert "quantization of language models" in first_article(page)
    assert "Close to your search “post-training quantization”" in first_article(page)


def test_matches_and_trending_papers_have_separate_lists(client, edition):
    page = body(client.get("/?q=post-training+quantization"))
    matches, heading, trending = page.partition("Also trending")

    assert "New for you" in matches
    assert "New in" not in matches
    assert "Trending: " not in matches
    assert heading
    reasons = ("Trending: ", "New in ")
    assert sum(map(trending.count, reasons)) == trending.count("<article") > 0


def test_near_papers_are_listed_apart_from_matches(client, edition):
    candidates = list(edition.candidates.all()[:3])
    wanted = make.interest("search", "maps")
    kinds = [(wanted, False), (wanted, True), (None, False)]
    chosen = [(c, i, near) for c, (i, near) in zip(candidates, kinds, strict=True)]
    rows = group_rows(explain_rows(chosen))

    assert [len(group) for group in rows] == [1, 1, 1]
    assert rows[1][0].kind == "near"


@pytest.mark.parametrize(
    ("kinds", "has_matches", "heading"),
    [
        ({"trend"}, True, "Also trending"),
        ({"new"}, True, "Also new"),
        ({"trend", "new"}, True, "Also trending or new"),
        ({"trend"}, False, "Trending"),
        ({"new"}, False, "New"),
        ({"trend", "new"}, False, "Trending or new"),
    ],
)
def test_filler_heading_claims_trending_only_where_papers_trend(
    kinds, has_matches, heading
):
    assert filler_heading(kinds, has_matches) == heading


def test_search_without_a_match_says_so(client, edition):
    page = body(client.get("/?q=medieval+sonnets"))

    assert "New for you" not in page
    assert "No paper from the last two weeks matches “medieval sonnets”." in page
    assert 'class="list-heading">Trending or new</h2>' in page


def test_sign_up_form_names_what_it_follows(client, edition):
    page = body(client.get("/?q=a+%3Cb%3E&topic=robots"))

    assert "ll follow “a &lt;b&gt;”, Robots." in page
    assert "ll follow" not in body(client.get("/"))
    assert "ll follow “speech”." in body(client.get("/papers?q=speech"))


def test_votes_in_the_reason_are_not_repeated(client, edition):
    popular = edition.candidates.last()
    popular.card |= {"votes": 62, "comments": 7}
    popular.trend = 9.0
    popular.save()

    page = body(client.get("/"))

    assert "Trending: 62 votes and 7 comments" in page
    assert page.count("62 votes") == 1
    assert page.count("7 comments") == 1


def test_front_page_without_a_query_lists_trending_papers(client, edition):
    popular = edition.candidates.last()
    edition.candidates.exclude(pk=popular.pk).update(trend=0.1)

    page = body(client.get("/"))

    assert "Trending" in page
    assert popular.card["title"] in first_article(page)


def test_sign_up_form_carries_the_query_and_known_topics(client, edition):
    page = body(
        client.get("/?q=protein+design&topic=quantization&topic=robots&topic=gone")
    )

    assert carried_interests(page) == [
        "search:protein design",
        "topic:quantization",
        "topic:robots",
    ]
    assert carried_interests(body(client.get("/"))) == []


def test_query_without_a_letter_is_ignored(client, edition):
    page = body(client.get("/?q=???"))

    assert carried_interests(page) == []
    assert "Trending" in page


def test_chosen_topic_is_ticked_and_matched(client, edition):
    page = body(client.get("/?topic=robots"))

    assert 'value="robots" checked' in page
    assert "<summary>Topics: Robots (change)</summary>" in page
    assert "<details open" not in page
    assert "Matches your topic Robots" in page


@pytest.mark.parametrize(
    "q", ["x" * 5000, "\x00\x07", " \n ", "🜁" * 300, "a" + "\u202e" * 9]
)
def test_any_query_is_answered(client, edition, q):
    assert client.get("/", {"q": q}).status_code == 200
    assert client.get("/papers", {"q": q}).status_code == 200


@pytest.mark.parametrize(
    ("q", "cleaned"),
    [("  low\tbit\x00 \u202eweights ", "low bit weights"), ("x" * 260, "x" * 250)],
)
def test_query_is_printable_and_bounded(client, edition, q, cleaned):
    assert f'name="q" value="{cleaned}"' in body(client.get("/", {"q": q}))


def test_freezing_the_edition_does_not_change_results(client, edition):
    def results():
        page = body(client.get("/?q=speech"))
        return page.partition("<ol")[2].partition("</ol>")[0]

    before = results()
    make.frozen(edition)

    assert results() == before


def test_editors_note_is_shown(client, edition):
    candidate = edition.candidates.first()
    candidate.pin, candidate.note = 1, "Read this one."
    candidate.save()

    page = body(client.get("/?q=speech"))

    assert "Picked by the editors" in page
    assert "Read this one." in page


def test_searches_are_limited_per_network(client, edition, monkeypatch):
    monkeypatch.setattr("digest.site.request_limits.SEARCHES_PER_NETWORK", "2/m")
    responses = [client.get("/?q=speech") for _ in range(3)]

    assert [response.status_code for response in responses] == [200, 200, 429]
    assert 0 < int(responses[2]["Retry-After"]) <= 60
    assert "Try again in 1 minute." in body(responses[2])
    assert client.get("/").status_code == 200
    assert client.get("/?q=speech", REMOTE_ADDR="198.51.100.9").status_code == 200


def identifiers(edition, *subjects):
    return [
        edition.candidates.filter(paper__title__contains=subject)
        .first()
        .paper.identifier
        for subject in subjects
    ]


def test_marks_change_the_list_at_once_and_travel_in_the_forms(client, edition):
    protein, speech = identifiers(edition, "protein", "speech")
    form = {"q": "quantization", "no": [speech], "mark": f"yes:{protein}"}

    page = body(client.post("/", form))

    assert set(carried_interests(page)) == {
        "search:quantization",
        f"paper:{protein}",
        f"-paper:{speech}",
    }
    assert ", and papers like the one you" in page
    listed = page.partition("New for you")[2]
    assert ">Study 0 of diffusion models" not in listed
    assert ">Study 1 of diffusion models" in listed
    assert page.count(f'name="yes" value="{protein}"') == 2
    assert f'value="undo:{speech}"' in page


def test_a_mark_is_taken_back(client, edition):
    (protein,) = identifiers(edition, "protein")

    page = body(client.post("/", {"yes": [protein], "mark": f"undo:{protein}"}))

    assert carried_interests(page) == []
    assert "Your marks" not in page


def test_the_last_twenty_marks_count_and_unknown_ones_do_not(client, edition):
    marks = [make.paper().identifier for _ in range(25)]

    page = body(client.post("/", {"yes": [*marks, "9999.99999", "<b>", "x" * 99]}))

    assert carried_interests(page) == [f"paper:{name}" for name in marks[-19:]]


def test_marking_stores_nothing_and_sets_no_cookie(client, edition):
    (protein,) = identifiers(edition, "protein")

    response = client.post("/", {"mark": f"yes:{protein}", "name": "Ada Okafor"})

    assert response.status_code == 200
    assert not response.cookies
    assert not Interest.objects.exists()


def test_own_papers_are_found_by_name_and_become_examples(client, edition):
    named = body(client.post("/", {"name": "Okafor, Ada"}))
    own = re.findall(r'name="mine" id="mine-\d+" value="([^"]+)" checked', named)

    used = body(client.post("/", {"mine": own[:2], "use_mine": "1"}))
    unused = body(client.post("/", {"mine": own[:2]}))

    assert len(own) == 12
    assert carried_interests(used) == [f"paper:{name}" for name in own[:2]]
    assert carried_interests(unused) == []
    assert "no other papers by “Nobody Here”" in body(
        client.post("/", {"name": "Nobody Here"})
    )


def test_marks_become_examples_when_the_reader_confirms(edition, ada):
    protein, speech = identifiers(edition, "protein", "speech")

    follows.follow_requested(ada, [f"paper:{protein}", f"-paper:{speech}", "-topic:x"])

    rows = ada.follows.values_list("interest__value", "weight", "source")
    assert set(rows) == {(protein, 1.0, "chosen"), (speech, -1.0, "feedback")}
