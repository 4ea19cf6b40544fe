"""Topic admin: lists edited line by line, validation, deletion."""

import pytest
from django.urls import reverse

from accounts.models import User
from digest.admin.topics import LinesField
from digest.models import Follow, Topic
from tests import make


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
