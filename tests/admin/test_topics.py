"""Topics: lists are written one a line."""

import pytest
from django.urls import reverse

from accounts.models import User
from digest.admin.topics import Lines
from digest.models import Follow, Topic
from tests import make


@pytest.fixture
def room(client, db):
    editor = User.objects.create_superuser("editor@example.org", "a long passphrase")
    client.force_login(editor)
    return client


def form(**fields):
    return {
        "name": "Quantization",
        "slug": "quantization",
        "description": "Fewer bits.",
        "keywords": "",
        "categories": "",
        "position": "1",
        **fields,
    }


def test_lines_become_a_list_without_blanks_or_repeats():
    field = Lines()

    assert field.clean(" int4\r\n\r\nlow  bit\nint4\n") == ["int4", "low bit"]
    assert field.clean(None) == []


def test_a_list_is_shown_one_a_line_and_unchanged_is_unchanged():
    field = Lines()

    assert field.prepare_value(["int4", "low bit"]) == "int4\nlow bit"
    assert not field.has_changed(["int4"], "int4\n")
    assert field.has_changed(["int4"], "int8")


def test_a_topic_is_made_with_its_words_categories_and_examples(room):
    paper = make.paper()

    room.post(
        reverse("admin:digest_topic_add"),
        form(keywords="int4\nlow bit", categories="cs.LG", examples=[paper.pk]),
    )

    topic = Topic.objects.get()
    assert (topic.keywords, topic.categories) == (["int4", "low bit"], ["cs.LG"])
    assert list(topic.examples.all()) == [paper]


def test_what_is_no_category_is_refused_by_name(room):
    page = room.post(
        reverse("admin:digest_topic_add"), form(categories="cs.LG\nMachine Learning")
    )

    assert "Not an arXiv category: Machine Learning." in page.content.decode()
    assert not Topic.objects.exists()


def test_the_address_of_a_topic_stays(room):
    topic = make.topic("Quantization")

    room.post(
        reverse("admin:digest_topic_change", args=[topic.pk]),
        form(name="Low precision", slug="low-precision"),
    )

    topic.refresh_from_db()
    assert (topic.name, topic.slug) == ("Low precision", "quantization")


@pytest.mark.parametrize("followed", [True, False])
def test_a_followed_topic_is_not_deleted(room, followed):
    topic = make.topic("Quantization")
    if followed:
        interest = make.interest("topic", topic.slug)
        Follow.objects.create(subscriber=make.subscriber(), interest=interest)

    room.post(reverse("admin:digest_topic_delete", args=[topic.pk]), {"post": "yes"})

    assert Topic.objects.exists() == followed


def test_an_example_is_found_by_the_words_of_its_title_or_its_identifier(room):
    paper = make.paper("Sparse attention for robots")
    make.paper("Frozen soil")
    address = reverse("admin:autocomplete")
    asked = {"app_label": "digest", "model_name": "topic", "field_name": "examples"}

    by_words = room.get(address, {**asked, "term": "robots sparse"}).json()
    by_identifier = room.get(address, {**asked, "term": paper.identifier[:8]}).json()

    assert [row["id"] for row in by_words["results"]] == [str(paper.pk)]
    assert str(paper.pk) in [row["id"] for row in by_identifier["results"]]
