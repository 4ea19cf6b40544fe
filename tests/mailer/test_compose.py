"""A digest becomes a mail: both bodies, safe, and the same to the byte when built again."""

import re
from datetime import timedelta
from email import message_from_bytes, policy

import pytest

from accounts.models import Subscriber
from digest import cards
from digest.mailer import compose
from digest.mailer.mail import as_bytes
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
    picks = [(one.pk, interest.pk if interest else 0) for one in made]
    return make.digest(make.batch(edition, [reader]), reader, picks)


def read(mail):
    """The mail as another program reads its bytes."""
    return message_from_bytes(as_bytes(mail), policy=policy.default)


def bodies(mail):
    """Both bodies as a reader sees them: lines joined in the text, tags removed from the HTML."""
    shown = re.sub(r"<style>.*?</style>|<[^>]*>", "", mail.html, flags=re.S)
    return " ".join(mail.text.split()), " ".join(shown.split())


def test_both_bodies_say_what_a_paper_is_and_why_it_is_there(ada):
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

    text, html = bodies(compose.compose(digest))

    for said in (
        "Friday, 20 November 2026",
        "A quiet day.",
        "Rounding without regret",
        "Ada Okafor, Bruno Lindqvist",
        "20 November · cs.LG · 12 votes · 1 comment",
        "Because you follow Quantization",
        "It works well.",
        "More like this",
        "Less like this",
        "signed up at Paper Round on 20 November 2026",
        "This paper matches what you follow.",
        "Votes and comments come from Hugging Face.",
        "1 Press Lane, Example Town",
    ):
        assert said in text
        assert said in html


def test_every_link_is_in_both_bodies_and_carries_the_digests_key(ada):
    paper = make.paper(
        code_url="https://code.example/a", project_url="https://project.example"
    )
    digest = digest_of(ada, [paper])
    own = f"http://testserver/d/{digest.key}"

    mail = compose.compose(digest)

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


def test_links_lead_straight_to_their_targets_where_the_redirect_is_off(ada, settings):
    settings.CLICK_REDIRECT = False
    paper = make.paper(code_url="https://code.example/a")
    digest = digest_of(ada, [paper])

    mail = compose.compose(digest)

    for link in (paper.arxiv_url, paper.pdf_url, "https://code.example/a"):
        assert link in mail.text
        assert f'href="{link}"' in mail.html
    assert f"/papers/{paper.identifier}" in mail.html
    assert f"/d/{digest.key}/1/arxiv" not in mail.html
    assert f"/d/{digest.key}/1/more" in mail.html


def test_an_address_that_is_no_web_page_is_no_link(ada, settings):
    settings.CLICK_REDIRECT = False
    paper = make.paper()
    card = make.card(paper, code_url="javascript:alert(1)", project_url="")
    digest = digest_of(ada, [paper], card=card)

    mail = compose.compose(digest)

    assert "javascript:" not in mail.html + mail.text
    assert "Project" not in mail.html + mail.text


def test_a_hostile_title_stays_text_in_subject_and_bodies(ada):
    digest = digest_of(ada, [make.paper(HOSTILE)], note=HOSTILE)

    mail = compose.compose(digest)
    message = read(mail)

    plain = '<img src=x onerror=alert(1)> & "A Bcc: x@y" gpj.exe'
    assert mail.subject == f"20 Nov: {plain}"
    assert message["Subject"].strip() == mail.subject
    assert message["Bcc"] is None
    assert "<img" not in mail.html
    assert "&lt;img src=x onerror=alert(1)&gt; &amp; " in mail.html
    assert plain in bodies(mail)[0]
    assert not re.search("[\x07\u202e]", mail.text + mail.html + mail.subject)


def test_long_mathematics_and_thousands_of_authors_leave_a_readable_mail(ada):
    names = [f"Author Number{n}" for n in range(3303)]
    paper = make.paper("Everybody on everything", abstract=LATEX, authors=names)
    digest = digest_of(ada, [paper], card=cards.card(paper))

    mail = compose.compose(digest)
    text, html = bodies(mail)

    assert "Author Number2 + 3,300 more" in text
    assert "Author Number2 + 3,300 more" in html
    assert "Number4" not in html
    assert "<b>" not in mail.html
    assert len(mail.html) < 20_000


def test_a_summary_of_any_length_is_shown_whole(ada):
    paper = make.paper(abstract=LATEX)
    digest = digest_of(ada, [paper])

    mail = compose.compose(digest)

    assert " ".join(LATEX.split()) in bodies(mail)[0]
    assert mail.html.count("&lt;b&gt;") == LATEX.count("<b>")


def test_the_same_rows_make_the_same_bytes_whenever_they_are_composed(ada):
    digest = digest_of(ada, [make.paper(), make.paper("Zwölf Größen · ∑")])
    first = as_bytes(compose.compose(digest))

    again = Digest.objects.get(pk=digest.pk)
    render_data = compose.gather([again])

    assert as_bytes(compose.compose(again, render_data)) == first
    assert b"Date: Fri, 20 Nov 2026 09:00:00 +0000" in first


def test_the_headers_are_those_that_bulk_mail_must_have(ada):
    digest = digest_of(ada, [make.paper()])

    message = read(compose.compose(digest))

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
    assert message["Message-ID"] == f"<{digest.key}@testserver>"
    assert [part.get_content_type() for part in message.iter_parts()] == [
        "text/plain",
        "text/html",
    ]


def test_an_unsubscribe_address_of_any_length_stays_whole(ada, settings):
    settings.SITE_URL = f"https://{'very-' * 12}long.paper-round.example"
    digest = digest_of(ada, [make.paper()])

    lines = as_bytes(compose.compose(digest)).split(b"\r\n")

    key = ada.unsubscribe_key
    assert (
        f"List-Unsubscribe: <{settings.SITE_URL}/unsubscribe/{key}>".encode() in lines
    )


def test_no_line_of_the_mail_is_longer_than_mail_allows(ada):
    digest = digest_of(ada, [make.paper(abstract="ü" * 3000)])

    lines = as_bytes(compose.compose(digest)).split(b"\r\n")

    assert max(map(len, lines)) < 100
    assert all(byte < 128 for line in lines for byte in line)


def test_a_long_title_is_cut_at_a_word_in_the_subject(ada):
    digest = digest_of(ada, [make.paper("considerations " * 30)])

    subject = compose.compose(digest).subject

    assert len(subject) <= 110
    assert subject.endswith("considerations…")


def test_contents_come_first_only_where_there_are_more_than_four_papers(ada):
    papers = [make.paper(f"Paper called {n}", abstract="-") for n in "ABCDE"]
    five = compose.compose(digest_of(ada, papers))
    ben = make.subscriber()
    Edition.objects.all().update(day=make.DAY - timedelta(days=1))
    four = compose.compose(digest_of(ben, papers[:4]))

    assert five.text.count("Paper called E") == 2
    assert five.html.index("Paper called E") < five.html.index("More like this")
    assert ">5. <a" in five.html
    assert four.text.count("Paper called D") == 1
    assert "<ol" not in four.html
    assert "4. <a" not in four.html


@pytest.mark.parametrize(
    ("opened", "said"),
    [
        ([True, True], "All of these papers match papers you opened before."),
        ([True, False], "1 of these 2 papers matches what you follow."),
        ([False, False], "All of these papers match what you follow."),
    ],
)
def test_what_was_only_opened_is_not_said_to_be_followed(ada, opened, said):
    liked = [make.interest("paper", f"2611.0000{n}").pk for n in range(2)]
    digest = digest_of(ada, [make.paper(), make.paper()])
    digest.picks = [
        Pick(pick.candidate, interest, only_opened)
        for pick, interest, only_opened in zip(digest.picks, liked, opened, strict=True)
    ]

    text, html = bodies(compose.compose(digest))

    assert said in text
    assert said in html


def test_a_reason_whose_interest_is_deleted_is_not_said_to_be_the_trend(ada):
    interest = make.interest("search", "something personal")
    digest = digest_of(ada, [make.paper(votes=9)], interest)
    interest.delete()

    text, html = bodies(compose.compose(digest))

    for body in (text, html):
        assert "Matched what you followed then" in body
        assert "Trending" not in body


def test_a_pin_is_the_reason_whatever_became_of_the_interest(ada):
    interest = make.interest("search", "something personal")
    digest = digest_of(ada, [make.paper()], interest, pin=1)
    interest.delete()

    assert "Picked by the editors" in compose.compose(digest).text


def test_one_pin_does_not_make_the_others_the_editors_choice(ada):
    digest = digest_of(ada, [make.paper(), make.paper()])
    Candidate.objects.filter(pk=digest.picks[0].candidate).update(pin=1)

    text, _ = bodies(compose.compose(digest))

    assert "the day's most discussed ones" in text
    assert "for everybody" not in text


def test_what_only_trends_comes_under_a_heading_of_its_own(ada):
    papers = [make.paper(f"Paper called {n}", abstract="-") for n in "ABCDE"]
    digest = digest_of(ada, papers, make.interest("keyword", "paper"))
    digest.picks = [
        *digest.picks[:3],
        *(Pick(p.candidate, 0) for p in digest.picks[3:]),
    ]

    mail = compose.compose(digest)
    text, html = bodies(mail)

    contents, _, papers = text.partition("-----")
    assert "3. Paper called C Also trending: 4. Paper called D" in contents
    assert papers.index("called C") < papers.index("ALSO TRENDING")
    assert papers.index("ALSO TRENDING") < papers.index("called D")
    assert html.count("Also trending") == 2
    assert '<ol start="4"' in mail.html


@pytest.mark.parametrize("chosen", [0, 5])
def test_papers_of_one_sort_need_no_heading(ada, chosen):
    interest = make.interest("keyword", "paper") if chosen else None
    papers = [make.paper() for _ in range(5)]

    mail = compose.compose(digest_of(ada, papers, interest))

    assert "trending:" not in (mail.text + mail.html).lower()


def test_comments_are_told_where_no_votes_are(ada):
    text, html = bodies(compose.compose(digest_of(ada, [make.paper(comments=2)])))

    assert "· 2 comments" in text
    assert "· 2 comments" in html


def test_votes_that_are_the_reason_are_not_told_twice(ada):
    mail = compose.compose(digest_of(ada, [make.paper(votes=12, comments=1)]))

    text, html = bodies(mail)
    for body in (text, html):
        assert "Trending: 12 votes and 1 comment" in body
        assert "· 12 votes" not in body


def test_thirty_papers_with_long_texts_stay_under_eighty_kilobytes(ada, settings):
    settings.SITE_URL = "https://papers.a-rather-long-department.university.example"
    papers = [
        make.paper(
            f"{n}: {'A title as long as titles get, ' * 5}",
            abstract=f"{'A long sentence of a summary. ' * 14}",
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

    html = compose.compose(digest).html

    assert html.count("Less like this") == 30
    assert len(html.encode()) < 80_000


def test_text_lines_are_folded_and_addresses_are_not(ada):
    digest = digest_of(ada, [make.paper(abstract="Some words of a summary. " * 20)])

    lines = compose.compose(digest).text.splitlines()

    assert all(len(line) <= 72 or "http" in line for line in lines)


def test_the_editors_word_is_under_its_title_and_a_pin_is_its_reason(ada):
    digest = digest_of(ada, [make.paper()], pin=1, note="Read <this> one first.")

    mail = compose.compose(digest)
    text, html = bodies(mail)

    assert "Picked by the editors" in text
    assert "Picked by the editors" in html
    assert "Read <this> one first." in text
    assert "Read &lt;this&gt; one first." in mail.html


def test_the_preheader_names_the_papers_that_the_subject_does_not(ada):
    papers = [make.paper(title) for title in ("One", "Two", "Three", "Four")]

    html = compose.compose(digest_of(ada, papers)).html

    assert ">Then: Two; Three<" in html


def test_the_style_is_in_the_elements_and_the_dark_theme_in_the_head(ada):
    html = compose.compose(digest_of(ada, [make.paper()])).html

    head, body = html.split("<body", 1)
    assert "prefers-color-scheme: dark" in head
    assert "max-width: 480px" in head
    assert ".pre {" not in head.split("@media")[0]
    assert "Charter" in body
    assert "<script" not in html
    assert "<img" not in html
    assert '<html lang="en">' in html
    assert 'name="color-scheme" content="light dark"' in head


def test_a_preview_is_the_mail_but_none_of_its_links_acts(ada):
    edition = make.edition(papers=2)
    picks = [Pick(one.pk, 0) for one in Candidate.objects.all()]

    mail = compose.compose_preview(edition, ada, picks, make.NOW)

    assert mail.to == "ada@example.org"
    assert mail.text.count("More like this") == 2
    assert ada.unsubscribe_key not in mail.text + mail.html + str(mail.headers)
    assert Digest.objects.count() == 0


def test_many_digests_cost_the_queries_of_one(ada, django_assert_num_queries):
    topic = make.interest("topic", make.topic("Quantization").slug)
    digest = digest_of(ada, [make.paper() for _ in range(5)], topic)
    ready = Digest.objects.select_related("edition", "subscriber").get(pk=digest.pk)

    with django_assert_num_queries(3):  # four where papers are followed
        render_data = compose.gather([ready])
    with django_assert_num_queries(0):
        compose.compose(ready, render_data)


def test_a_topic_may_be_called_anything_and_a_reader_too():
    reader = make.subscriber("o'brien+x@example.org")
    Topic.objects.create(name="<i>R&D</i>", slug="rd", description="-")
    digest = digest_of(reader, [make.paper()], make.interest("topic", "rd"))

    mail = compose.compose(digest)

    assert "Because you follow &lt;i&gt;R&amp;D&lt;/i&gt;" in mail.html
    assert read(mail)["To"] == "o'brien+x@example.org"
    assert Subscriber.objects.get().email == mail.to
