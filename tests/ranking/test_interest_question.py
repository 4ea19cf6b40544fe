"""A reader whose digests are mostly filler is asked once for better interests."""

from datetime import timedelta

import pytest

from digest.mailer import compose
from digest.models import Candidate, Digest, Follow, Topic
from digest.ranking import interest_question
from digest.ranking.interest_question import rank_suggestions, should_ask
from digest.ranking.rank_edition import rank_edition
from tests import make
from tests.make import DAY, NOW

pytestmark = [pytest.mark.both, pytest.mark.django_db]


def fillers(number, of=10):
    return [n < number for n in range(of)]


@pytest.mark.parametrize(
    ("digests", "asks"),
    [
        ([fillers(7), fillers(7), fillers(7)], True),
        ([fillers(10), fillers(10), fillers(6)], False),
        ([fillers(6), fillers(10), fillers(10)], False),
        ([fillers(10), fillers(10), fillers(10), fillers(0)], True),
        ([fillers(10), fillers(10)], False),
        ([fillers(3, of=4), fillers(1, of=1), fillers(7)], True),
        ([fillers(7), [], fillers(7)], False),
        ([], False),
    ],
)
def test_three_digests_of_mostly_filler_make_a_question(digests, asks):
    assert should_ask(digests) == asks


def test_topics_of_opened_papers_are_suggested_before_those_of_matching_ones():
    names = ("Graphs", "Robots", "Rounding", "Speech", "Vision")
    graphs, robots, rounding, speech, vision = (
        Topic(pk=n, name=name, slug=name.lower())
        for n, name in enumerate(names, start=1)
    )

    suggested = rank_suggestions(
        [robots, graphs, rounding, rounding],
        [vision, vision, speech, rounding],
        ["graphs"],
    )

    assert suggested == ["Rounding", "Robots", "Vision"]


# From stored rows


@pytest.fixture
def edition():
    """Twelve papers that match nothing, ranked and frozen."""
    for _ in range(12):
        make.paper()
    return make.frozen(rank_edition(DAY, NOW))


@pytest.fixture
def earlier(ada):
    """Ada's two earlier digests, each of ten fillers."""
    return [earlier_digest(ada, days) for days in (1, 2)]


def earlier_digest(reader, days, interest=0, **fields):
    edition = make.edition(DAY - timedelta(days=days), papers=10)
    make.frozen(edition, NOW - timedelta(days=days))
    picks = [(row.pk, interest) for row in edition.candidates.all()]
    batch = make.batch(edition, [reader], at=NOW - timedelta(days=days))
    digest = make.digest(batch, reader, picks, outcome="accepted", **fields)
    Digest.objects.filter(pk=digest.pk).update(created_at=NOW - timedelta(days=days))
    return digest


def open_paper(reader, topics):
    paper = make.paper(announce_type="added")
    paper.topics.set(topics)
    interest = make.interest("paper", paper.identifier)
    Follow.objects.create(
        subscriber=reader, interest=interest, weight=0.25, source="opened"
    )


def assemble(edition, reader):
    (digest,) = make.assemble(make.batch(edition, [reader]), NOW)
    return digest


def test_the_third_digest_of_fillers_asks_and_suggests_topics(edition, ada, earlier):
    followed, muted = make.topic("Glaciers"), make.topic("Lagoons")
    hidden = make.topic("Deserts", is_listed=False)
    opened = make.topic("Harbours")
    for topic, weight in ((followed, 1), (muted, -1)):
        interest = make.interest("topic", topic.slug)
        Follow.objects.create(subscriber=ada, interest=interest, weight=weight)
    open_paper(ada, [followed, muted, hidden, opened])

    digest = assemble(edition, ada)

    assert digest.suggested_topics == ["Harbours"]
    ada.refresh_from_db()
    assert ada.interests_asked_on == NOW.date()


def test_a_reader_who_opened_nothing_is_asked_without_suggestions(
    edition, ada, earlier
):
    assert assemble(edition, ada).suggested_topics == []


def test_a_reader_is_asked_once(edition, ada, earlier):
    ada.interests_asked_on = DAY - timedelta(days=400)
    ada.save()

    assert assemble(edition, ada).suggested_topics is None
    ada.refresh_from_db()
    assert ada.interests_asked_on == DAY - timedelta(days=400)


def test_matching_pinned_and_skipped_papers_are_no_fillers(edition, ada):
    bea, cid = make.subscriber("bea@example.org"), make.subscriber("cid@example.org")
    interest = make.interest("keyword", "glaciers")
    earlier_digest(ada, 1)
    earlier_digest(ada, 2, interest.pk)  # matches
    earlier_digest(bea, 3)
    pinned = earlier_digest(bea, 4)  # one match, three pins, six fillers
    match, *others = pinned.picks
    pinned.picks = [match._replace(interest=interest.pk), *others]
    pinned.save(update_fields=["packed_picks"])
    for place, pick in enumerate(others[:3], start=1):
        Candidate.objects.filter(pk=pick.candidate).update(pin=place)
    earlier_digest(cid, 5)
    skipped = earlier_digest(cid, 6)
    Digest.objects.filter(pk=skipped.pk).update(outcome="skipped", reason="left")

    digests = make.assemble(make.batch(edition, [ada, bea, cid]), NOW)

    assert [digest.suggested_topics for digest in digests] == [None] * 3


def test_readers_of_matching_papers_cost_no_query(ada, django_assert_num_queries):
    digest = Digest(subscriber=ada)
    digest.picks = [(1, 7), (2, 7), (3, 0)]

    with django_assert_num_queries(0):
        interest_question.add_questions([digest], NOW)

    assert digest.suggested_topics is None


def test_the_question_is_in_both_bodies_and_links_to_the_preferences(
    edition, ada, earlier
):
    opened = make.topic("Harbours & <ports>")
    open_paper(ada, [opened])
    digest = assemble(edition, ada)

    mail = compose.compose_digest(digest)
    Topic.objects.update(name="Renamed")

    assert compose.compose_digest(digest) == mail  # also after a topic is renamed
    preferences = compose.key_url("preferences", digest.key)
    text = " ".join(mail.text.split())
    assert f"add keywords or papers in your preferences: {preferences}" in text
    assert "Topics to consider: Harbours & <ports>" in text
    assert "Topics to consider: Harbours &amp; &lt;ports&gt;" in mail.html
    question, _, _ = mail.html.partition("Topics to consider")
    assert preferences in question[question.index("Few papers in your recent") :]
