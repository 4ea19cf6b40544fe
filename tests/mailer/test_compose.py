"""A digest becomes a mail: both bodies, safe, and the same to the byte when built again."""

import re
from datetime import timedelta
from email import message_from_bytes, policy

import pytest

from accounts.models import Subscriber
from digest import cards
from digest.mailer import compose
from digest.mailer.transports import as_bytes
from digest.models import Candidate, Digest, Edition, Pick, Topic
from tests import make

pytestmark = [pytest.mark.both, pytest.mark.django_db]

HOSTILE = '<img src=x onerror=alert(1)> & "A\nBcc: x@y" \u202egpj.exe\x07'
# Long words, braces and commands as authors write them: 1,920 characters.
LATEX = (
    r"$\mathcal{L}_{\theta}(x) = \sum_{i<n} \|W_i x_i\|_2^2$ & \textbf{so} <b> " * 40
)[:1920]


@pytest.fixture
def ada():
    return make.subscriber("ada@example.org", confirmed_at=make.NOW)


def digest_of(reader, papers, interest=None, note="", **candidate):
    """A digest of these papers in this order, all chosen by one interest."""
    edition = make.edition(papers=[], note=note)
    made = [make.candidate(edition, paper, **candidate) for paper in papers]
    make.frozen(edition)
    picks = [(row.pk, interest.pk if interest else 0) for row in made]
    return make.digest(make.batch(edition, [reader]), reader, picks)


def read(mail):
    """The mail as another program reads its bytes."""
    return message_from_bytes(as_bytes(mail), policy=policy.default)


def bodies(mail):
    """Both bodies as a reader sees them: lines joined in the text, tags removed from the HTML."""
    shown = re.sub(r"<style>.*?</style>|<[^>]*>", "", mail.html, flags=re.S)
    return " ".join(mail.text.split()), " ".join(shown.split())


def test_both_bodies_describe_each_paper_and_its_reason(ada):
    topic = make.topic("Quantization")
    paper = make.paper(
        "Rounding without regret",
        votes=12,
        comments=1,
        code_url="https://code.example/rounding",
    )
    digest = digest_of(
        ada,
        [paper],
        make.interest("topic", topic.slug),
        note="A quiet day.",
    )

    text, html = bodies(compose.compose_digest(digest))

    for expected in (
        "Friday, 20 November 2026",
        "A quiet day.",
        "Rounding without regret",
        "Ada Okafor, Bruno Lindqvist",
        "20 November · cs.LG · 12 votes · 1 comment",
        "Matches your topic Quantization",
        "It works well.",
        "More like this",
        "Less like this",
        "signed up at Paper Round on 20 November 2026",
        "This paper matches what you follow.",
        "Votes and comments come from Hugging Face.",
        "1 Press Lane, Example Town",
    ):
        assert expected in text
        assert expected in html


def test_both_bodies_have_every_link_with_the_digest_key(ada):
    paper = make.paper(
        code_url="https://code.example/a", project_url="https://project.example"
    )
    digest = digest_of(ada, [paper])
    own = f"http://testserver/d/{digest.key}"

    mail = compose.compose_digest(digest)

    links = [
        *(f"{own}/1/{verb}" for verb in ("paper", "arxiv", "pdf", "code", "project")),
        *(f"{own}/1/more", f"{own}/1/less", own),
        f"http://testserver/preferences/{digest.key}",
        f"http://testserver/unsubscribe/{ada.unsubscribe_key}",
    ]
    for link in links:
        assert f"{link}\n" in mail.text
        assert f'href="{link}"' in mail.html
    assert "code.example" not in mail.html


def test_links_are_direct_without_click_redirect(ada, settings):
    settings.CLICK_REDIRECT = False
    paper = make.paper(code_url="https://code.example/a")
    digest = digest_of(ada, [paper])

    mail = compose.compose_digest(digest)

    for link in (paper.arxiv_url, paper.pdf_url, "https://code.example/a"):
        assert link in mail.text
        assert f'href="{link}"' in mail.html
    assert f"/papers/{paper.identifier}" in mail.html
    assert f"/d/{digest.key}/1/arxiv" not in mail.html
    assert f"/d/{digest.key}/1/more" in mail.html


def test_only_http_urls_become_links(ada, settings):
    settings.CLICK_REDIRECT = False
    paper = make.paper()
    card = make.card(paper, code_url="javascript:alert(1)", project_url="")
    digest = digest_of(ada, [paper], card=card)

    mail = compose.compose_digest(digest)

    assert "javascript:" not in mail.html + mail.text
    assert "Project" not in mail.html + mail.text


def test_a_hostile_title_is_escaped_in_subject_and_bodies(ada):
    digest = digest_of(ada, [make.paper(HOSTILE)], note=HOSTILE)

    mail = compose.compose_digest(digest)
    message = read(mail)

    plain = '<img src=x onerror=alert(1)> & "A Bcc: x@y" gpj.exe'
    assert mail.subject == f"New: {plain} (20 Nov)"
    assert message["Subject"].strip() == mail.subject
    assert message["Bcc"] is None
    assert "<img" not in mail.html
    assert "&lt;img src=x onerror=alert(1)&gt; &amp; " in mail.html
    assert plain in bodies(mail)[0]
    assert not re.search("[\x07\u202e]", mail.text + mail.html + mail.subject)


def test_long_formulas_and_author_lists_stay_readable(ada):
    names = [f"Author Number{n}" for n in range(3303)]
    paper = make.paper("Everybody on everything", abstract=LATEX, authors=names)
    digest = digest_of(ada, [paper], card=cards.card(paper))

    mail = compose.compose_digest(digest)
    text, html = bodies(mail)

    assert "Author Number2 + 3,300 more" in text
    assert "Author Number2 + 3,300 more" in html
    assert "Number4" not in html
    assert "<b>" not in mail.html
    assert len(mail.html) < 20_000


def test_byline_names_authors_and_organization(ada):
    paper = make.paper("Levees", authors=["Ada Okafor"], organization="Northern Lab")
    digest = digest_of(ada, [paper], card=cards.card(paper))

    for body in bodies(compose.compose_digest(digest)):
        assert "Ada Okafor · Northern Lab" in body


def test_summaries_are_not_truncated(ada):
    paper = make.paper(abstract=LATEX)
    digest = digest_of(ada, [paper])

    mail = compose.compose_digest(digest)

    assert " ".join(LATEX.split()) in bodies(mail)[0]
    assert mail.html.count("&lt;b&gt;") == LATEX.count("<b>")


def test_composing_again_gives_the_same_bytes(ada):
    digest = digest_of(ada, [make.paper(), make.paper("Zwölf Größen · ∑")])
    first = as_bytes(compose.compose_digest(digest))

    again = Digest.objects.get(pk=digest.pk)
    render_data = compose.load_render_data([again])

    assert as_bytes(compose.compose_digest(again, render_data)) == first
    assert b"Date: Fri, 20 Nov 2026 09:00:00 +0000" in first


def test_bulk_mail_headers_are_present(ada):
    digest = digest_of(ada, [make.paper()])

    message = read(compose.compose_digest(digest))

    assert message["To"] == "ada@example.org"
    assert message["From"] == "Paper Round <round@paper-round.example>"
    assert message["List-Unsubscribe"] == (
        f"<http://testserver/unsubscribe/{ada.unsubscribe_key}>"
    )
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["List-Id"] == "<digest.testserver>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Precedence"] == "bulk"
    assert re.fullmatch(r"20261120:digest:reader:\w{5,15}", message["Feedback-ID"])
    assert re.fullmatch(r"<[0-9a-f]{32}@paper-round\.example>", message["Message-ID"])
    assert [part.get_content_type() for part in message.iter_parts()] == [
        "text/plain",
        "text/html",
    ]


@pytest.mark.parametrize(
    ("name", "sender_id"),
    [
        ("Paper Round", "paperround"),
        ("Lab", "labround"),
        ("論文", "round"),
        ("A Very Long Name of a Site", "averylongnameof"),
    ],
)
def test_feedback_sender_id_has_5_to_15_characters(name, sender_id):
    assert compose.feedback_sender_id(name) == sender_id


def test_reader_keys_are_in_no_header_but_list_unsubscribe(ada):
    digest = digest_of(ada, [make.paper()])

    message = read(compose.compose_digest(digest))

    keys = {digest.key, ada.unsubscribe_key}
    headers = [header for part in message.walk() for header in part._headers]
    with_key = {n: k for n, value in headers for k in keys if k in str(value)}
    assert with_key == {"List-Unsubscribe": ada.unsubscribe_key}


@pytest.mark.parametrize(
    ("sender", "site", "domain"),
    [
        ("Papers <p@mail.example.org>", "https://example.com", "mail.example.org"),
        ("Papers <p@bücher.example>", "https://example.com", "xn--bcher-kva.example"),
        ("Papers <papers@localhost>", "https://example.com", "example.com"),
        ("papers", "https://bücher.example:8443", "xn--bcher-kva.example"),
        ("papers@localhost", "http://127.0.0.1:8000", "localhost"),
    ],
)
def test_message_ids_have_the_domain_of_the_sender_or_the_site(
    ada, settings, sender, site, domain
):
    digest = digest_of(ada, [make.paper()])
    settings.MAIL_FROM, settings.SITE_URL = sender, site

    headers = compose.compose_digest(digest).headers

    assert headers["Message-ID"].endswith(f"@{domain}>")
    assert headers["List-Id"].isascii()


def test_long_unsubscribe_urls_are_not_folded(ada, settings):
    settings.SITE_URL = f"https://{'very-' * 12}long.paper-round.example"
    digest = digest_of(ada, [make.paper()])

    lines = as_bytes(compose.compose_digest(digest)).split(b"\r\n")

    key = ada.unsubscribe_key
    assert (
        f"List-Unsubscribe: <{settings.SITE_URL}/unsubscribe/{key}>".encode() in lines
    )


def test_mail_can_be_unsubscribed_by_mail_where_bounces_are_received(ada, settings):
    settings.BOUNCE_ADDRESS = "bounces@paper-round.example"
    digest = digest_of(ada, [make.paper()])

    mail = compose.compose_digest(digest)

    assert mail.headers["List-Unsubscribe"] == (
        f"<http://testserver/unsubscribe/{ada.unsubscribe_key}>, "
        f"<mailto:{ada.unsubscribe_address}?subject=unsubscribe>"
    )
    assert mail.return_path == digest.return_path != ""
    assert digest.return_path.encode() not in as_bytes(mail)


def test_lines_stay_within_the_smtp_limit(ada):
    digest = digest_of(ada, [make.paper(abstract="ü" * 3000)])

    lines = as_bytes(compose.compose_digest(digest)).split(b"\r\n")

    assert max(map(len, lines)) < 100
    assert all(byte < 128 for line in lines for byte in line)


def test_the_subject_is_truncated_at_a_word(ada):
    digest = digest_of(ada, [make.paper("considerations " * 30)])

    subject = compose.compose_digest(digest).subject

    assert len(subject) <= 110
    assert subject.endswith("considerations… (20 Nov)")


def test_more_than_four_papers_have_a_table_of_contents(ada):
    papers = [make.paper(f"Paper called {n}", abstract="-") for n in "ABCDE"]
    five = compose.compose_digest(digest_of(ada, papers))
    ben = make.subscriber()
    Edition.objects.all().update(day=make.DAY - timedelta(days=1))
    four = compose.compose_digest(digest_of(ben, papers[:4]))

    assert five.text.count("Paper called E") == 2
    assert five.html.index("Paper called E") < five.html.index("More like this")
    assert ">5. <a" in five.html
    assert four.text.count("Paper called D") == 1
    assert "<ol" not in four.html
    assert "4. <a" not in four.html


@pytest.mark.parametrize(
    ("opened", "expected"),
    [
        ([True, True], "All of these papers match papers you opened before."),
        ([True, False], "1 of these 2 papers matches what you follow."),
        ([False, False], "All of these papers match what you follow."),
    ],
)
def test_opened_papers_are_not_described_as_followed(ada, opened, expected):
    liked = [make.interest("paper", f"2611.0000{n}").pk for n in range(2)]
    digest = digest_of(ada, [make.paper(), make.paper()])
    digest.picks = [
        Pick(pick.candidate, interest, only_opened)
        for pick, interest, only_opened in zip(digest.picks, liked, opened, strict=True)
    ]

    text, html = bodies(compose.compose_digest(digest))

    assert expected in text
    assert expected in html


def test_a_deleted_interest_is_not_explained_as_trend(ada):
    interest = make.interest("search", "something personal")
    digest = digest_of(ada, [make.paper(votes=9)], interest)
    interest.delete()

    text, html = bodies(compose.compose_digest(digest))

    for body in (text, html):
        assert "Matched what you followed then" in body
        assert "Trending" not in body


def test_a_pin_is_the_reason_even_without_its_interest(ada):
    interest = make.interest("search", "something personal")
    digest = digest_of(ada, [make.paper()], interest, pin=1)
    interest.delete()

    assert "Picked by the editors" in compose.compose_digest(digest).text


def test_one_pin_does_not_mark_other_papers_as_pinned(ada):
    digest = digest_of(ada, [make.paper(), make.paper()])
    Candidate.objects.filter(pk=digest.picks[0].candidate).update(pin=1)

    text, _ = bodies(compose.compose_digest(digest))

    assert "new papers of the last two weeks" in text
    assert "for everybody" not in text


def test_trending_papers_have_their_own_heading(ada):
    papers = [make.paper(f"Paper called {n}", abstract="-") for n in "ABCDE"]
    digest = digest_of(ada, papers, make.interest("keyword", "paper"))
    digest.picks = [
        *digest.picks[:3],
        *(Pick(p.candidate, 0) for p in digest.picks[3:]),
    ]

    mail = compose.compose_digest(digest)
    text, html = bodies(mail)

    contents, _, papers = text.partition("-----")
    assert "3. Paper called C Also new: 4. Paper called D" in contents
    assert papers.index("called C") < papers.index("ALSO NEW")
    assert papers.index("ALSO NEW") < papers.index("called D")
    assert html.count("Also new") == 2
    assert '<ol start="4"' in mail.html


@pytest.mark.parametrize("chosen", [0, 5])
def test_a_single_section_has_no_heading(ada, chosen):
    interest = make.interest("keyword", "paper") if chosen else None
    papers = [make.paper() for _ in range(5)]

    mail = compose.compose_digest(digest_of(ada, papers, interest))

    assert "trending:" not in (mail.text + mail.html).lower()


def test_comments_are_shown_without_votes(ada):
    text, html = bodies(
        compose.compose_digest(digest_of(ada, [make.paper(comments=2)]))
    )

    assert "Trending: 2 comments" in text
    assert "Trending: 2 comments" in html


def test_votes_in_the_reason_are_not_repeated(ada):
    mail = compose.compose_digest(digest_of(ada, [make.paper(votes=12, comments=1)]))

    text, html = bodies(mail)
    for body in (text, html):
        assert "Trending: 12 votes and 1 comment" in body
        assert "· 12 votes" not in body


def test_generated_line_is_labelled_and_precedes_the_authors_own_sentences(ada):
    generated = make.paper("Maps", abstract="We map.", ai_summary="A model <maps>.")
    plain = make.paper("Tides", abstract="We measure tides.")

    for body in bodies(compose.compose_digest(digest_of(ada, [generated, plain]))):
        assert "A model" in body
        assert body.index("(AI summary)") < body.index("We map.")
        assert body.count("AI summary") == 1
        assert body.count("We measure tides.") == 1


def test_short_mail_has_title_reason_and_one_line(ada):
    ada.short_mails = True
    ada.save()
    papers = [
        make.paper(
            f"Title {n}",
            abstract="We map tides. It is good.",
            ai_summary="A model maps." if n else "",
            authors=["Cy Chen"],
            code_url="https://code.example/x",
        )
        for n in range(5)
    ]
    texts = [cards.card(paper) for paper in papers]
    topic = make.topic("Oceans")
    digest = digest_of(ada, papers, make.interest("topic", topic.slug))
    for row, shown in zip(digest.edition.candidates.order_by("pk"), texts, strict=True):
        Candidate.objects.filter(pk=row.pk).update(card=shown)

    for body in bodies(compose.compose_digest(digest)):
        assert body.count("We map tides.") == 1
        assert body.count("A model maps. (AI summary)") == 4
        assert body.count("Matches your topic Oceans") == 5
        assert body.count("Less like this") == 5
        for left_out in ("Cy Chen", "It is good.", "Code", "IN THIS DIGEST"):
            assert left_out not in body


def test_card_of_an_earlier_release_has_its_summary_as_the_one_line(ada):
    ada.short_mails = True
    ada.save()
    digest = digest_of(ada, [make.paper("Maps", abstract="We map tides.")])
    candidate = digest.edition.candidates.get()
    for name in ("one_line", "one_line_is_generated"):
        del candidate.card[name]
    Candidate.objects.filter(pk=candidate.pk).update(card=candidate.card)

    for body in bodies(compose.compose_digest(digest)):
        assert "We map tides." in body


def test_thirty_long_papers_stay_below_90_kilobytes(ada, settings):
    settings.SITE_URL = "https://papers.a-rather-long-department.university.example"
    papers = [
        make.paper(
            f"{n}: {'A title as long as titles get, ' * 5}",
            abstract=f"{'A long sentence of a summary. ' * 14}",
            ai_summary="A sentence as long as nearly all generated ones are. " * 5,
            authors=["Firstname Lastname-Doublename"] * 3,
            votes=1234,
            comments=56,
            code_url="https://code.example/a/repository/with/a/long/name",
            project_url="https://project.example/a/page/with/a/long/name",
        )
        for n in range(30)
    ]
    topic = make.topic("A topic with a rather long name")
    digest = digest_of(ada, papers, make.interest("topic", topic.slug), note="n" * 300)

    html = compose.compose_digest(digest).html

    assert html.count("Less like this") == 30
    assert len(html.encode()) < 90_000


def test_text_is_wrapped_and_urls_are_not(ada):
    digest = digest_of(ada, [make.paper(abstract="Some words of a summary. " * 20)])

    lines = compose.compose_digest(digest).text.splitlines()

    assert all(len(line) <= 72 or "http" in line for line in lines)


def test_editors_notes_follow_the_title_and_pins_are_reasons(ada):
    digest = digest_of(ada, [make.paper()], pin=1, note="Read <this> one first.")

    mail = compose.compose_digest(digest)
    text, html = bodies(mail)

    assert "Picked by the editors" in text
    assert "Picked by the editors" in html
    assert "Read <this> one first." in text
    assert "Read &lt;this&gt; one first." in mail.html


def test_the_preheader_names_papers_after_the_first(ada):
    papers = [make.paper(title) for title in ("One", "Two", "Three", "Four")]

    html = compose.compose_digest(digest_of(ada, papers)).html

    assert ">Then: Two; Three<" in html


def test_styles_are_inlined_and_the_dark_theme_is_in_the_head(ada):
    html = compose.compose_digest(digest_of(ada, [make.paper()])).html

    head, body = html.split("<body", 1)
    assert "prefers-color-scheme: dark" in head
    assert "max-width: 480px" in head
    assert ".pre {" not in head.split("@media")[0]
    assert "Charter" in body
    assert "<script" not in html
    assert "<img" not in html
    assert '<html lang="en">' in html
    assert 'name="color-scheme" content="light dark"' in head


def test_a_preview_is_the_mail_with_inert_links(ada):
    edition = make.edition(papers=2)
    picks = [Pick(row.pk, 0) for row in Candidate.objects.all()]

    mail = compose.compose_preview(edition, ada, picks, make.NOW)

    assert mail.to == "ada@example.org"
    assert mail.text.count("More like this") == 2
    assert ada.unsubscribe_key not in mail.text + mail.html + str(mail.headers)
    assert Digest.objects.count() == 0


def test_composing_costs_the_same_queries_for_one_and_for_many(
    ada, django_assert_num_queries
):
    topic = make.interest("topic", make.topic("Quantization").slug)
    digest = digest_of(ada, [make.paper() for _ in range(5)], topic)
    ready = Digest.objects.select_related("edition", "subscriber").get(pk=digest.pk)

    with django_assert_num_queries(4):  # one more where papers are followed
        render_data = compose.load_render_data([ready])
    with django_assert_num_queries(0):
        compose.compose_digest(ready, render_data)


def test_hostile_topic_and_reader_names_are_escaped():
    reader = make.subscriber("o'brien+x@example.org")
    Topic.objects.create(name="<i>R&D</i>", slug="rd", description="-")
    digest = digest_of(reader, [make.paper()], make.interest("topic", "rd"))

    mail = compose.compose_digest(digest)

    assert "Matches your topic &lt;i&gt;R&amp;D&lt;/i&gt;" in mail.html
    assert read(mail)["To"] == "o'brien+x@example.org"
    assert Subscriber.objects.get().email == mail.to


def test_only_the_first_digest_welcomes_the_reader(ada, settings):
    first = digest_of(ada, [make.paper()])
    edition = make.frozen(make.edition(make.DAY + timedelta(days=1)))
    picks = [(edition.candidates.first().pk, 0)]
    second = make.digest(make.batch(edition, [ada]), ada, picks)
    first_mail, second_mail = map(compose.compose_digest, (first, second))
    settings.REPLIES_ARE_READ = True
    read = compose.compose_digest(first)

    for body in (first_mail.text, first_mail.html):
        assert "Welcome. These are the new papers picked for you" in body
        assert "Replies to this email are not read." in " ".join(body.split())
    assert "we read every reply" in read.text
    assert "Welcome" not in second_mail.text + second_mail.html


def test_welcoming_costs_the_same_queries_for_one_and_for_many(
    ada, django_assert_num_queries
):
    new = [make.subscriber(f"{name}@example.org") for name in ("grace", "mary")]
    edition = make.frozen(make.edition(papers=[]))
    batch = make.batch(edition, [ada, *new])
    ada_digest = make.digest(batch, ada, [])
    for reader in new:
        make.digest(batch, reader, [])
    for reader, age in ((ada, timedelta(days=15)), *((r, timedelta()) for r in new)):
        Subscriber.objects.filter(pk=reader.pk).update(
            confirmed_at=ada_digest.created_at - age
        )
    digests = list(Digest.objects.all())  # without their readers, as a batch has them

    with django_assert_num_queries(2):
        welcomed = compose.load_new_readers(digests)
    assert welcomed == {reader.pk for reader in new}

    digests = list(Digest.objects.select_related("subscriber"))
    with django_assert_num_queries(0):
        assert compose.load_new_readers([digests[0]]) == frozenset()
    with django_assert_num_queries(1):
        assert compose.load_new_readers(digests) == welcomed


def test_every_digest_offers_saving_and_a_subscription(ada):
    digest = digest_of(ada, [make.paper()])

    mail = compose.compose_digest(digest)

    for body in (mail.text, mail.html):
        assert f"http://testserver/d/{digest.key}/1/save" in body
    assert "Forwarded to you? Subscribe: http://testserver/" in mail.text
    assert re.search('Forwarded to you\\? <a [^>]*href="http://testserver/"', mail.html)
