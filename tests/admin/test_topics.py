"""Topic admin: lists edited line by line, validation, deletion."""

import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import call_command
from django.urls import reverse

from accounts.models import User
from digest import follows, topic_figures
from digest.admin.topics import LinesField
from digest.feedback import clicks, paper_feedback
from digest.models import Follow, Interest, Topic, TopicFigures
from digest.ranking import rank_edition
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client, db):
    editor = User.objects.create_superuser("editor@example.org", "a long passphrase")
    client.force_login(editor)
    return client


def topic_form(**fields):
    return {
        "name": "Quantization",
        "slug": "quantization",
        "description": "Fewer bits.",
        "keywords": "",
        "categories": "",
        "position": "1",
        **fields,
    }


def test_lines_field_drops_blank_and_repeated_lines():
    field = LinesField()

    assert field.clean(" int4\r\n\r\nlow  bit\nint4\n") == ["int4", "low bit"]
    assert field.clean(None) == []


def test_lines_field_shows_one_item_per_line():
    field = LinesField()

    assert field.prepare_value(["int4", "low bit"]) == "int4\nlow bit"
    assert not field.has_changed(["int4"], "int4\n")
    assert field.has_changed(["int4"], "int8")


def test_topic_is_created_with_keywords_categories_and_examples(staff):
    paper = make.paper()

    staff.post(
        reverse("admin:digest_topic_add"),
        topic_form(keywords="int4\nlow bit", categories="cs.LG", examples=[paper.pk]),
    )

    topic = Topic.objects.get()
    assert (topic.keywords, topic.categories) == (["int4", "low bit"], ["cs.LG"])
    assert list(topic.examples.all()) == [paper]


def test_invalid_category_is_refused(staff):
    page = staff.post(
        reverse("admin:digest_topic_add"),
        topic_form(categories="cs.LG\nMachine Learning"),
    )

    assert "Not an arXiv category: Machine Learning." in page.content.decode()
    assert not Topic.objects.exists()


def test_slug_of_a_topic_cannot_be_changed(staff):
    topic = make.topic("Quantization")

    staff.post(
        reverse("admin:digest_topic_change", args=[topic.pk]),
        topic_form(name="Low precision", slug="low-precision"),
    )

    topic.refresh_from_db()
    assert (topic.name, topic.slug) == ("Low precision", "quantization")


@pytest.mark.parametrize("followed", [True, False])
def test_followed_topic_cannot_be_deleted(staff, followed):
    topic = make.topic("Quantization")
    if followed:
        interest = make.interest("topic", topic.slug)
        Follow.objects.create(subscriber=make.subscriber(), interest=interest)

    staff.post(reverse("admin:digest_topic_delete", args=[topic.pk]), {"post": "yes"})

    assert Topic.objects.exists() == followed


def test_examples_are_searched_by_title_words_or_identifier(staff):
    paper = make.paper("Sparse attention for robots")
    make.paper("Frozen soil")
    url = reverse("admin:autocomplete")
    query = {"app_label": "digest", "model_name": "topic", "field_name": "examples"}

    by_words = staff.get(url, {**query, "term": "robots sparse"}).json()
    by_identifier = staff.get(url, {**query, "term": paper.identifier[:8]}).json()

    assert [row["id"] for row in by_words["results"]] == [str(paper.pk)]
    assert str(paper.pk) in [row["id"] for row in by_identifier["results"]]


@pytest.mark.parametrize(
    ("entered", "stored"), [("cs.*\nmath", ["cs", "math"]), (" cs.LG ", ["cs.LG"])]
)
def test_topic_accepts_whole_archives(staff, entered, stored):
    staff.post(reverse("admin:digest_topic_add"), topic_form(categories=entered))

    assert Topic.objects.get().categories == stored


def test_topic_with_an_unknown_category_is_refused(staff):
    page = staff.post(
        reverse("admin:digest_topic_add"), topic_form(categories="cs.LG\ncs.XX")
    )

    assert "Not an arXiv category: cs.XX." in page.content.decode()
    assert not Topic.objects.exists()


@pytest.mark.parametrize("typed", ["", "Int4 weights."])
def test_topic_without_description_is_described_by_its_name(staff, typed):
    staff.post(reverse("admin:digest_topic_add"), topic_form(description=typed))

    assert Topic.objects.get().description == (typed or "Quantization")


@pytest.fixture
def ranked():
    """An open edition with one paper about quantization, one about speech and one about cells."""
    papers = [
        make.paper("Quantization of language models", abstract="Int4 quantization."),
        make.paper("Speech <b>synthesis</b>", abstract="We synthesise speech."),
        make.paper("Cell imaging", abstract="We image cells.", categories=["q-bio.CB"]),
    ]
    edition = make.edition(papers=0)
    rank_edition.rank_edition(edition.day, make.NOW)
    return papers


def matches(client, **typed):
    url = reverse("admin:digest_topic_matches")
    return client.post(url, typed).content.decode()


def test_matches_of_the_last_two_weeks_are_listed_while_typing(staff, ranked):
    by_name = matches(staff, name="Quantization")
    by_keyword = matches(staff, name="Voices", keywords="speech")
    by_example = matches(staff, name="Zz", examples=[ranked[2].pk])

    assert "Quantization of language models" in by_name
    assert "Cell imaging" not in by_name
    assert "Speech &lt;b&gt;synthesis&lt;/b&gt;" in by_keyword
    assert "Cell imaging" in by_example


def test_nothing_is_stored_by_typing(staff, ranked):
    matches(staff, name="Quantization", keywords="int4")

    assert not Topic.objects.exists()
    assert not Interest.objects.exists()


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ({}, "Type a name to see them."),
        ({"name": "Volcanoes"}, "No papers are stored yet."),
        ({"name": "A", "categories": "hep-th"}, "Not read: hep-th."),
        ({"name": "A", "examples": ["x", "9" * 30]}, "No papers are stored yet."),
    ],
    ids=["empty", "no papers", "unread category", "odd examples"],
)
def test_matches_explain_why_there_are_none(staff, typed, text, settings):
    settings.ARXIV_CATEGORIES = ["cs.LG"]

    assert text in matches(staff, **typed)


def test_list_and_page_warn_of_categories_that_are_not_read(staff, settings):
    settings.ARXIV_CATEGORIES = ["cs.LG"]
    topic = make.topic("Strings", categories=["cs.LG", "hep-th"])

    listed = staff.get(reverse("admin:digest_topic_changelist")).text
    page = staff.get(reverse("admin:digest_topic_change", args=[topic.pk])).text

    assert "Not read: hep-th" in listed
    assert "Not read: hep-th." in page


def follow(reader, topic, weight=1.0):
    interest = make.interest("topic", topic.slug)
    return Follow.objects.create(subscriber=reader, interest=interest, weight=weight)


def follows_of(reader):
    rows = reader.follows.values_list("interest__value", "weight")
    return dict(rows)


@pytest.fixture
def pair():
    """Two topics; the first has an example, a keyword and a category of its own."""
    first = make.topic("Int4", keywords=["int4", "both"], categories=["cs.AR"])
    first.examples.add(make.paper("Int4 weights"))
    return first, make.topic("Low precision", keywords=["both"], categories=["cs.LG"])


def merge(client, source, target, **fields):
    url = reverse("admin:digest_topic_merge", args=[source.pk])
    return client.post(url, {"target": target.pk, **fields}, follow=True).text


def test_merge_asks_before_anything_moves(staff, pair):
    source, target = pair
    both, only = make.subscriber(), make.subscriber()
    for reader, topic in ((both, source), (both, target), (only, source)):
        follow(reader, topic)

    page = merge(staff, source, target)

    assert "2 readers will follow or mute Low precision instead; 1 of them" in page
    assert "New keywords of Low precision: int4." in page
    assert follows_of(only) == {"int4": 1.0}


@pytest.mark.both
def test_merge_loses_no_follower_and_keeps_the_stronger_interest(pair):
    source, target = pair
    only, both, weak, muted = (make.subscriber() for _ in range(4))
    follow(only, source, 0.5)
    for reader, weights in ((both, (0.5, 1)), (weak, (1, 0.5)), (muted, (1, -1))):
        follow(reader, source, weights[0])
        follow(reader, target, weights[1])

    number = follows.merge_topics(source, target)

    assert number == 4
    assert follows_of(only) == {"low-precision": 0.5}
    assert [follows_of(r) for r in (both, weak, muted)] == [{"low-precision": 1.0}] * 3
    assert Interest.objects.filter(value="int4").exists()  # reasons of sent digests


@pytest.mark.both
def test_merge_moves_terms_examples_papers_and_corrections(pair):
    source, target = pair
    paper = make.paper(topic_corrections={"int4": True})
    paper.topics.add(source)
    edition = make.edition(papers=[paper])
    edition.candidates.update(topic_corrections={"int4": False, "low-precision": True})

    follows.merge_topics(source, target)

    paper.refresh_from_db()
    target.refresh_from_db()
    assert target.keywords == ["both", "int4"]
    assert target.categories == ["cs.LG", "cs.AR"]
    assert target.examples.count() == 1
    assert target in paper.topics.all()
    assert paper.topic_corrections == {"low-precision": True}
    assert edition.candidates.get().topic_corrections == {"low-precision": True}


def test_merged_topic_leads_to_the_other_one(staff, client, pair):
    source, target = pair
    reader = make.subscriber()

    page = merge(staff, source, target, sure="1")
    follows.follow_requested(reader, ["topic:int4"])

    assert "Int4 is merged into Low precision: 0 follows." in page
    assert client.get("/topics/int4")["Location"] == "/topics/low-precision"
    assert client.get("/topics/int4/feed").status_code in (200, 404)
    assert follows_of(reader) == {"low-precision": 1.0}
    left, taken = (entry.change_message for entry in LogEntry.objects.order_by("pk"))
    assert left == "Merged into Low precision: 0 follows."
    assert "→ “both, int4; cs.LG, cs.AR”" in taken


def test_topics_merged_earlier_follow_the_next_merge(pair):
    source, target = pair
    last = make.topic("Compression")

    follows.merge_topics(source, target)
    follows.merge_topics(target, last)

    assert Topic.objects.get(slug="int4").merged_into == last


def test_merged_topic_is_not_merged_again(staff, pair):
    source, target = pair
    follows.merge_topics(source, target)

    url = reverse("admin:digest_topic_merge", args=[source.pk])

    assert staff.get(url).status_code == 404


def run_action(client, name, topic, **fields):
    url = reverse("admin:digest_topic_changelist")
    form = {"action": name, "_selected_action": [topic.pk], **fields}
    return client.post(url, form, follow=True).text


def test_archived_topic_is_not_offered_and_keeps_its_followers(staff, client):
    topic, reader = make.topic("Quantization"), make.subscriber()
    follow(reader, topic)

    asked = run_action(staff, "archive", topic)
    still_listed = Topic.objects.get().is_listed
    run_action(staff, "archive", topic, sure="1")

    assert "Their followers keep them" in asked
    assert still_listed
    assert "Quantization" not in client.get("/topics").text
    assert follows_of(reader) == {"quantization": 1.0}
    run_action(staff, "restore", topic)
    assert Topic.objects.get().is_listed
    assert LogEntry.objects.count() == 2


@pytest.fixture
def sent(ada):
    """A digest with two picks for a topic and one for none."""
    topic = make.topic("Quantization")
    interest = make.interest("topic", topic.slug)
    edition = make.frozen(make.edition(papers=3))
    first, second, third = edition.candidates.order_by("-trend")
    picks = [(first.pk, interest.pk), (second.pk, interest.pk), (third.pk, 0)]
    batch = make.batch(edition, [ada], state="done")
    return topic, make.digest(batch, ada, picks, outcome="accepted")


@pytest.mark.both
def test_figures_count_picks_clicks_and_dislikes_of_a_topic(sent):
    topic, digest = sent
    for number, verb in ((1, "paper"), (1, "pdf"), (3, "paper")):
        clicks.record_click(digest, number, verb, make.NOW)
    paper_feedback.store_opinion(digest, 2, "less")

    for _ in range(2):  # counting again changes nothing
        topic_figures.count_topics(digest.edition)

    row = TopicFigures.objects.get()
    assert (row.topic, row.picks, row.clicks, row.disliked) == (topic, 2, 1, 1)


def test_scanner_that_opens_every_link_is_not_counted(sent):
    _, digest = sent
    for number in (1, 2, 3):
        for verb in ("paper", "pdf", "code", "project", "more", "less"):
            clicks.record_click(digest, number, verb, make.NOW)

    topic_figures.count_topics(digest.edition)

    assert TopicFigures.objects.get().clicks == 0


def test_list_shows_readers_clicks_and_dislikes(staff, sent, time_machine):
    topic, digest = sent
    time_machine.move_to(make.NOW)
    follow(digest.subscriber, topic)
    clicks.record_click(digest, 1, "paper", make.NOW)
    call_command("figures", since=make.DAY, verbosity=0)

    page = staff.get(reverse("admin:digest_topic_changelist")).text
    change = staff.get(reverse("admin:digest_topic_change", args=[topic.pk])).text

    assert ">50.0<" in "".join(page.split())
    assert "<b>50.0</b>clicks per 100 picks" in change
    assert "<b>1</b>reader" in change
