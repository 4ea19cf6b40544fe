"""Mails from prepared pieces are those of the plain path, byte for byte."""

from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from django.test import override_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.models import Subscriber, new_key
from digest.mailer import batch_composer, compose, marks
from digest.mailer.compose import DigestLinks, RenderData
from digest.mailer.empty_digest import EmptyDigest
from digest.mailer.transports import files, sendgrid
from digest.models import Candidate, Digest, Edition, Interest, Pick, Topic
from digest.reasons import PickRows
from tests import make

TRANSPORTS = [files, sendgrid]
ODD_TEXTS = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        [
            "<b>bold</b> & “quoted” 'text' \"here\"",
            "שלום עולם \u202e\u0645\u0631\u062d\u0628\u0627\u202c 論文 👩\u200d🔬",
            "lone \ud800 surrogate\r\nBcc: x@example.org\x00",
            ".dot at the start",
            "a" * 200,
            "long words and a link https://example.org/" + "path/" * 30,
            "\ue000 private \ue100\ue101 use \U000f0000",
            "=3D %s {0} {{ braces }} \\u0041 \\n",
            "many words " * 40,
        ]
    ),
)
KINDS = ("topic", "category", "keyword", "author", "paper", "search")
URLS = st.sampled_from(["", "https://code.example/a?b=1&c=2", "javascript:alert(1)"])
ids = count(1)


@st.composite
def candidates(draw):
    title, summary = draw(ODD_TEXTS), draw(ODD_TEXTS)
    return Candidate(
        pk=next(ids),
        pin=draw(st.sampled_from([None, None, None, 1])),
        note=draw(st.one_of(st.just(""), ODD_TEXTS)),
        card={
            "identifier": "2611.90001",
            "title": title,
            "authors": draw(ODD_TEXTS),
            "organization": draw(st.sampled_from(["", "An <Institute>"])),
            "date": draw(st.sampled_from(["2026-11-20", "2025-12-31"])),
            "summary": summary,
            "one_line": draw(ODD_TEXTS),
            "one_line_is_generated": draw(st.booleans()),
            "abstract": f"{summary} {title}",
            "primary": draw(st.sampled_from(["", "cs.LG"])),
            "announce_type": draw(st.sampled_from(["new", "cross"])),
            "votes": draw(st.sampled_from([0, 1, 1204])),
            "comments": draw(st.sampled_from([0, 1])),
            "arxiv_url": "https://arxiv.org/abs/2611.90001",
            "pdf_url": draw(URLS),
            "code_url": draw(URLS),
            "project_url": draw(URLS),
        },
    )


@st.composite
def interests(draw):
    value = draw(ODD_TEXTS)
    return Interest(pk=next(ids), kind=draw(st.sampled_from(KINDS)), value=value)


@st.composite
def mailings(draw):
    """An edition, its rows, and digests of a few readers."""
    edition = Edition(
        pk=1, day=make.DAY, note=draw(ODD_TEXTS), state="frozen", frozen_at=make.NOW
    )
    papers = draw(st.lists(candidates(), min_size=1, max_size=6))
    followed = draw(st.lists(interests(), min_size=1, max_size=4))
    rows = PickRows(
        {paper.pk: paper for paper in papers},
        {interest.pk: interest for interest in followed},
        {interest.value: draw(ODD_TEXTS) for interest in followed[:2]},
    )
    pick = st.builds(
        Pick,
        st.sampled_from(sorted(rows.candidates)),
        st.sampled_from([0, 0, 999_999, *sorted(rows.interests)]),
        st.booleans(),
        st.booleans(),
        st.sampled_from([0, 0, 1, 2]),
    )
    empty = EmptyDigest(make.DAY, 1_204, None, None)
    digests, empty_digests, new_readers = [], {}, set()
    for length in draw(
        st.lists(st.sampled_from([0, 1, 2, 4, 5, 11, 13, 30]), max_size=4)
    ):
        reader = Subscriber(
            pk=next(ids),
            email=draw(st.sampled_from(["ada@example.org", f"{'a' * 64}@example.org"])),
            unsubscribe_key=new_key(),
            confirmed_at=draw(st.sampled_from([None, make.NOW])),
            short_mails=draw(st.booleans()),
        )
        digest = Digest(
            pk=next(ids), subscriber=reader, edition=edition, created_at=make.NOW
        )
        digest.key = new_key()
        digest.suggested_topics = draw(
            st.one_of(st.none(), st.lists(ODD_TEXTS, max_size=3))
        )
        digest.picks = draw(st.lists(pick, min_size=length, max_size=length))
        digests.append(digest)
        if draw(st.booleans()):
            new_readers.add(reader.pk)
        if not length:
            empty_digests[reader.pk] = empty
    return edition, RenderData(rows, empty_digests, frozenset(new_readers)), digests


def join(joiner, digest, render_data):
    rows = render_data.pick_rows
    lines = {
        chunk: joiner.find_line(chunk, pick, rows)
        for chunk, pick in zip(
            batch_composer.split_picks(digest.packed_picks), digest.picks, strict=True
        )
    }
    mail, _ = joiner.join_mail(digest, lines, render_data)
    return mail


def compose_plainly(digest, render_data, transport):
    links = DigestLinks(digest.key, True)
    unsubscribe_url = compose.key_url("unsubscribe", digest.subscriber.unsubscribe_key)
    mail = compose.render_mail(digest, render_data, links, unsubscribe_url)
    return transport.encode_mail(mail)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    "site_url",
    ["https://papers.example.org", f"https://{'long-name.' * 4}papers.example.org"],
)
@settings(max_examples=25)
@given(mailing=mailings())
def test_joined_mails_have_the_bytes_of_plain_ones(transport, site_url, mailing):
    edition, render_data, digests = mailing

    with override_settings(SITE_URL=site_url):
        joiner = batch_composer.MailJoiner(edition, transport)
        for digest in digests:
            plain = compose_plainly(digest, render_data, transport)
            assert join(joiner, digest, render_data) == plain


# From stored rows


pytestmark = [pytest.mark.django_db, pytest.mark.both]


@pytest.fixture(autouse=True)
def no_pieces():
    """Ids of editions may be used again by the next test."""
    batch_composer.JOINERS.clear()


def stored_digests(readers=4, papers=12):
    """Digests of a frozen edition: each reader's first papers match a topic, the others are trending."""
    edition = make.edition(papers=0)
    rows = [
        make.candidate(edition, make.paper(f"Paper {n} of & <all>", votes=n % 3))
        for n in range(papers)
    ]
    interest = make.interest("topic", make.topic("Quantization").slug)
    edition = make.frozen(edition)
    batch = make.batch(edition, people := [make.subscriber() for _ in range(readers)])
    for n, reader in enumerate(people):
        picks = [
            (row.pk, interest.pk if place <= n else 0)
            for place, row in enumerate(rows[: 5 + 2 * n])
        ]
        make.digest(batch, reader, picks)
    return load_digests(), interest


def load_digests():
    return list(Digest.objects.select_related("subscriber", "edition").order_by("pk"))


def plain_mails(digests, transport=files):
    return [transport.encode_mail(compose.compose_digest(d)) for d in digests]


def load_composer(digests, transport):
    composer = batch_composer.BatchComposer(digests[0].edition, transport)
    composer.load_digests(digests)
    return composer


def composed_mails(digests, transport=files):
    composer = load_composer(digests, transport)
    return [composer.encode_digest(digest).content for digest in digests]


def are_pieces_used():
    return [joiner.is_usable for joiner in batch_composer.JOINERS.values()]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_batch_is_composed_from_pieces(transport):
    digests, _ = stored_digests()

    mails = composed_mails(digests, transport)

    assert mails == plain_mails(digests, transport)
    assert are_pieces_used() == [True]


def test_an_encoded_mail_names_its_recipient():
    (digest, *_), _ = stored_digests(readers=1)

    mail = load_composer([digest], sendgrid).encode_digest(digest)

    assert (mail.key, mail.to, mail.day) == (
        digest.key,
        digest.subscriber.email,
        make.DAY,
    )


def test_a_deleted_interest_and_a_renamed_topic_show_in_the_next_batch():
    digests, interest = stored_digests()
    composed_mails(digests)

    Topic.objects.update(name="Rounding")
    renamed = composed_mails(digests)
    assert renamed == plain_mails(digests)
    assert b"Matches your topic Rounding" in renamed[0]

    Interest.objects.filter(pk=interest.pk).delete()
    forgotten = composed_mails(digests)
    assert forgotten == plain_mails(digests)
    assert b"Matched what you followed then" in forgotten[0]
    assert are_pieces_used() == [True]


def test_a_digest_emptied_by_a_recall_becomes_a_note():
    digests, _ = stored_digests()
    composer = load_composer(digests, files)
    digests[1].picks = []

    mail = composer.encode_digest(digests[1])

    assert [mail.content] == plain_mails([digests[1]])


def test_a_deleted_candidate_leaves_its_number_out():
    digests, _ = stored_digests()
    Candidate.objects.filter(pk=digests[0].picks[1].candidate).delete()

    assert composed_mails(digests) == plain_mails(digests)
    assert are_pieces_used() == [True]


def test_an_open_edition_has_no_pieces():
    digests, _ = stored_digests()
    Edition.objects.update(state="open", frozen_at=None)

    assert composed_mails(load_digests()) == plain_mails(digests)
    assert are_pieces_used() == []


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_values_of_readers_that_templates_test_make_variants(transport):
    digests, _ = stored_digests()
    for n, digest in enumerate(digests):
        digest.subscriber.confirmed_at = [None, datetime(2026, 1, n + 1, tzinfo=UTC)][
            n % 2
        ]
        digest.created_at = make.NOW + timedelta(seconds=n)

    assert composed_mails(digests, transport) == plain_mails(digests, transport)
    assert are_pieces_used() == [True]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_questions_for_better_interests_are_joined_from_pieces(transport):
    digests, _ = stored_digests()
    for digest, names in zip(
        digests, [None, [], ["Rounding"], ["Rounding & more", "Graphs"]], strict=True
    ):
        digest.suggested_topics = names

    mails = composed_mails(digests, transport)

    assert mails == plain_mails(digests, transport)
    assert [b"Topics to consider" in mail for mail in mails] == [0, 0, 1, 1]
    assert are_pieces_used() == [True]


# Changes of a template that marks cannot express
CHANGES = {
    "counts the papers": ("{% if papers %}", "{% if papers|length > 6 %}"),
    "tests a number": ("{{ paper.reason }}", "{% if paper.number == 1 %}!{% endif %}{{ paper.reason }}"),
    "measures a text": ("{{ paper.reason }}", "{{ paper.reason|length }}"),
    "uses a text in an attribute": ("{{ paper.reason }}", '<i title="{{ paper.reason }}">i</i>'),
    "styles by position": (".f { padding", ".p:nth-of-type(even) { color: red; }\n.f { padding"),
    "looks at the end of a loop": ("{{ paper.byline }}", "{{ paper.byline }}{% if loop.last %}!{% endif %}"),
    "shows a paper outside of its loop": ("<ol start", "{{ section.papers[0].title }}<ol start"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_pieces_cannot_express_is_composed_plainly(
    change, transport, tmp_path, settings, caplog
):
    digests, _ = stored_digests()
    change_template(settings, tmp_path, *change)

    mails = composed_mails(digests, transport)

    assert mails == plain_mails(digests, transport)
    assert are_pieces_used() == [False]
    assert "mails of this edition are composed plainly" in caplog.text


def change_template(settings, folder, old, new):
    """Put a changed digest.html before the real one."""
    template = (settings.ROOT / "templates" / "emails" / "digest.html").read_text()
    assert old in template
    (folder / "emails").mkdir()
    (folder / "emails" / "digest.html").write_text(template.replace(old, new))
    jinja, django = settings.TEMPLATES
    settings.TEMPLATES = [{**jinja, "DIRS": [folder, *jinja["DIRS"]]}, django]


# Changes that they can
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{{ paper.title }}</a></h2>", "{{ paper.title }} ({{ paper.number }})</a></h2>\n<p>{{ paper.reason }}, {{ paper.title }}</p>"),
        ("{% block footer %}", "{% block footer %}\n<p>{{ preheader }} {{ recipient_reason }}</p>\n"),
        ("{{ paper.summary }}", "{% if section.heading %}{{ section.heading }}{% else %}{{ paper.summary }}{% endif %}"),
        ("<h1>", '<p><a href="{{ links.action_url(1, "save") }}">Save</a></p>\n<h1>'),
    ],
)  # fmt: skip
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_ordinary_changes_of_a_template_stay_fast(
    old, new, transport, tmp_path, settings
):
    digests, _ = stored_digests()
    change_template(settings, tmp_path, old, new)

    assert composed_mails(digests, transport) == plain_mails(digests, transport)
    assert are_pieces_used() == [True]


def test_further_digests_of_a_batch_are_joined_from_the_same_pieces():
    digests, _ = stored_digests()

    composer = load_composer(digests[:1], files)
    composer.load_digests(digests[1:])

    mails = [composer.encode_digest(digest).content for digest in digests]
    assert mails == plain_mails(digests)
    assert are_pieces_used() == [True]


def test_frames_share_the_cards_that_look_the_same_in_them():
    digests, _ = stored_digests()
    digests[0].suggested_topics = ["Rounding"]

    composed_mails(digests)

    (joiner,) = batch_composer.JOINERS.values()
    assert len(joiner.pieces.frames) > len(joiner.pieces.card_sets) == 1


def test_a_template_that_changes_while_mails_are_sent_is_noticed(
    tmp_path, settings, caplog, monkeypatch
):
    digests, _ = stored_digests()
    composer = load_composer(digests, files)
    composer.encode_digest(digests[0])
    monkeypatch.setattr(batch_composer, "CHECK_INTERVAL_S", 0.0)

    change_template(settings, tmp_path, "View in browser", "Open in a browser")
    mails = [composer.encode_digest(digest).content for digest in digests]

    assert mails == plain_mails(digests)
    assert "a mail differs from its templates" in caplog.text


# What decides the text of a card in a template
@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("{% if a %}{{ b }}{% endif %}{% for paper in section.papers %}{{ c }}{% endfor %}", {"c"}),
        ("{% if a %}{% elif b %}{% else %}{% for paper in section.papers %}{% endfor %}{% endif %}", {"a", "b"}),
        ("{% for paper in section.papers if a %}{{ b if c }}{% else %}{{ d }}{% endfor %}", {"a", "b", "c", "d"}),
        ("{% for section in a %}{% for paper in section.papers %}{% endfor %}{% endfor %}", {"a"}),
        ("{% for each in a %}{{ b }}{% endfor %}", set()),
        ("{% block x %}{% for paper in section.papers %}{{ a }}{% endfor %}{% endblock %}", {"a"}),
        ("{% if a %}{% block x %}{% endblock %}{% endif %}", None),
        ("{% for paper in section.papers %}{% block x %}{% endblock %}{% endfor %}", None),
        ("{% set b = a %}{% for paper in section.papers %}{{ b }}{% endfor %}", None),
        ('{% include "emails/layout.html" %}', None),
        ("{% extends a %}", None),
    ],
)  # fmt: skip
def test_names_that_decide_what_loops_over_papers_write(
    source, names, tmp_path, settings
):
    (tmp_path / "emails").mkdir()
    (tmp_path / "emails" / "card.html").write_text(source)
    jinja, django = settings.TEMPLATES
    settings.TEMPLATES = [{**jinja, "DIRS": [tmp_path, *jinja["DIRS"]]}, django]

    result = marks.names_in_loops("card.html")

    assert result is None if names is None else result - {"paper", "section"} == names
