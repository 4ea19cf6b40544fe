"""A day without matches: a short note for readers who want one, no mail for the others."""

import re
from datetime import timedelta
from email import message_from_bytes, policy

import pytest

from digest.mailer import compose, empty_digest
from digest.mailer.empty_digest import EmptyDigest
from digest.mailer.tally import count_outcomes
from digest.mailer.transports import as_bytes
from digest.models import Digest, Edition, Pick, Recall
from tests import make
from tests.mailer.sending import NOW, run_worker

pytestmark = [pytest.mark.both, pytest.mark.django_db]


@pytest.fixture
def ada():
    """Wants nothing but what she follows, and a word where there is nothing."""
    return make.subscriber(
        "ada@example.org",
        fill_mode="followed_only",
        note_when_empty=True,
        confirmed_at=make.NOW - timedelta(days=40),
    )


def edition(days_ago=0, papers=3, **fields):
    day = make.DAY - timedelta(days=days_ago)
    return make.frozen(make.edition(day, papers, **fields))


def make_digest(reader, papers, days_ago=0, **fields):
    """A digest with this number of papers for the edition of that day."""
    day = make.DAY - timedelta(days=days_ago)
    existing = Edition.objects.filter(day=day).first() or edition(days_ago)
    picks = [(row.pk, 0) for row in existing.candidates.all()[:papers]]
    return make.digest(make.batch(existing, [reader]), reader, picks, **fields)


def bodies(mail):
    shown = re.sub(r"<style>.*?</style>|<[^>]*>", "", mail.html, flags=re.S)
    return " ".join(mail.text.split()), " ".join(shown.split())


def test_a_note_states_what_was_checked_and_links_to_day_and_preferences(ada):
    edition(papers=3, note="Read <b>slowly</b>.")
    note = make_digest(ada, papers=0)

    mail = compose.compose_digest(note)

    assert mail.subject == "No matches today (20 Nov)"
    for body in bodies(mail):
        assert "Friday, 20 November 2026" in body
        assert "No matches today" in body
        assert "We checked 3 papers from the last two weeks." in body
        assert "You asked for a short note" in body
        assert "1 Press Lane, Example Town" in body
        assert "trending" not in body
        assert "like this" not in body
        assert "Votes" not in body
    assert "Read &lt;b&gt;slowly&lt;/b&gt;." in mail.html
    for link in (
        "http://testserver/papers/date/2026-11-20",
        f"http://testserver/preferences/{note.key}",
        f"http://testserver/d/{note.key}",
        f"http://testserver/unsubscribe/{ada.unsubscribe_key}",
    ):
        assert f"{link}\n" in mail.text
        assert f'href="{link}"' in mail.html


def test_a_note_has_bulk_mail_headers_and_reproducible_bytes(ada):
    key = make_digest(ada, papers=0).key

    first, second = (
        as_bytes(compose.compose_digest(Digest.objects.get(key=key))) for _ in range(2)
    )

    assert first == second
    message = message_from_bytes(first, policy=policy.default)
    assert ada.unsubscribe_key in message["List-Unsubscribe"]
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert key not in message["Message-ID"]
    lines = message.get_body("plain").get_content().splitlines()
    assert all(len(line) <= 72 or "http" in line for line in lines)
    assert not re.search(r"\n\n\n", "\n".join(lines))


def test_hidden_papers_are_not_counted_as_checked(ada):
    existing = edition(papers=2)
    existing.candidates.filter(pk=existing.candidates.first().pk).update(is_hidden=True)

    text, _ = bodies(compose.compose_digest(make_digest(ada, papers=0)))

    assert "We checked 1 paper from the last two weeks." in text


DAY = make.DAY


@pytest.mark.parametrize(
    ("previous", "unmatched_since", "period", "suggests_more"),
    [
        (None, None, "today", False),  # the first digest of all
        (1, 1, "today", False),
        (4, 4, "today", False),  # after a long weekend
        (1, 6, "today", False),
        (1, 7, "today", True),  # five working days of nothing
        (7, 7, "this week", True),  # weekly: one note is a week
    ],
)
def test_period_and_suggestion_follow_from_earlier_digests(
    previous, unmatched_since, period, suggests_more
):
    def ago(days):
        return None if days is None else DAY - timedelta(days=days)

    note = EmptyDigest(DAY, 3, ago(previous), ago(unmatched_since))

    assert (note.period, note.suggests_more) == (period, suggests_more)


def test_a_week_without_matches_suggests_trending_papers(ada):
    make_digest(ada, papers=2, days_ago=7)
    for days in (4, 3, 2, 1):
        make_digest(ada, papers=0, days_ago=days)
    note = make_digest(ada, papers=0)

    mail = compose.compose_digest(note)

    assert "a match for a week" in bodies(mail)[0]
    offer = f"http://testserver/preferences/{note.key}"
    assert f"follow a broader topic:\n{offer}\n" in mail.text
    assert f'href="{offer}"' in mail.html


def test_a_new_reader_is_not_said_to_be_a_week_without_a_match(ada):
    make_digest(ada, papers=0, days_ago=1)

    mail = compose.compose_digest(make_digest(ada, papers=0))

    assert "for a week" not in mail.text + mail.html


def test_a_week_of_notes_from_the_first_digest_on_suggests_trending_papers(ada):
    for days in (7, 4, 3, 2, 1):
        make_digest(ada, papers=0, days_ago=days)

    mail = compose.compose_digest(make_digest(ada, papers=0))

    assert "a match for a week" in mail.text


def test_a_weekly_readers_note_is_about_the_week(ada):
    make_digest(ada, papers=2, days_ago=7)

    mail = compose.compose_digest(make_digest(ada, papers=0))

    assert mail.subject == "No matches this week (20 Nov)"
    assert "No matches this week" in bodies(mail)[1]


def test_a_note_after_a_month_without_digests_is_about_today(ada):
    make_digest(ada, papers=2, days_ago=31)

    mail = compose.compose_digest(make_digest(ada, papers=0))

    assert mail.subject.startswith("No matches today")
    assert "trending" not in mail.text


def test_later_digests_and_other_readers_do_not_change_a_note(ada):
    note = make_digest(ada, papers=0)
    before = as_bytes(compose.compose_digest(note))
    make_digest(make.subscriber(), papers=2, days_ago=1)
    make_digest(ada, papers=0, days_ago=-1)
    ada.frequency, ada.length = "weekly", 3
    ada.save()

    again = compose.compose_digest(Digest.objects.get(pk=note.pk))

    assert as_bytes(again) == before


def test_notes_cost_the_same_queries_for_one_and_for_many(django_assert_num_queries):
    readers = [
        make.subscriber(fill_mode="followed_only", note_when_empty=True)
        for _ in range(9)
    ]
    existing = edition()
    batch = make.batch(existing, readers)
    for reader in readers:
        make.digest(batch, reader)
    rows = list(Digest.objects.select_related("edition", "subscriber"))

    with django_assert_num_queries(2):
        empty_digests = empty_digest.load_empty_digests(rows)

    assert set(empty_digests) == {reader.pk for reader in readers}
    with django_assert_num_queries(0):
        empty_digest.load_empty_digests([])


def test_a_preview_without_matches_is_the_note_with_inert_links(ada):
    mail = compose.compose_preview(edition(), ada, [], NOW)

    assert mail.subject.startswith("No matches today")
    assert ada.unsubscribe_key not in mail.text + mail.html + str(mail.headers)


@pytest.mark.parametrize(
    ("fill_mode", "wants_note", "outcome"),
    [
        ("followed_only", True, "sent"),
        ("followed_only", False, "nothing"),
        ("followed_first", True, "nothing"),
        ("half", True, "nothing"),
    ],
)
def test_the_wish_for_notes_is_read_again_before_sending(
    ada, mails, fill_mode, wants_note, outcome
):
    note = make_digest(ada, papers=0)
    ada.fill_mode, ada.note_when_empty = fill_mode, wants_note
    ada.save()

    done = run_worker()

    note.refresh_from_db()
    assert ("sent" if note.outcome == "accepted" else note.reason) == outcome
    assert len(list(mails.glob("*.eml"))) == done.accepted == (outcome == "sent")


@pytest.mark.parametrize(("wants_note", "reason"), [(True, ""), (False, "nothing")])
def test_a_digest_emptied_by_recalls_is_a_note_for_readers_who_want_one(
    ada, mails, wants_note, reason
):
    ada.note_when_empty = wants_note
    ada.save()
    digest = make_digest(ada, papers=1)
    paper = digest.edition.candidates.get(pk=digest.picks[0].candidate).paper
    Recall.objects.create(paper=paper, reason="withdrawn by its authors")

    run_worker()

    digest.refresh_from_db()
    assert (digest.picks, digest.reason) == ([], reason)
    assert [b"No matches today" in f.read_bytes() for f in mails.iterdir()] == [
        True
    ] * wants_note


def test_a_note_is_sent_once_however_often_its_batch_runs(ada, mails):
    note = make_digest(ada, papers=0)
    run_worker()

    again = make.batch(note.edition, [ada], kind="manual", at=NOW)
    Digest.objects.filter(pk=note.pk).update(batch=again)
    run_worker()

    assert len(list(mails.iterdir())) == 1
    assert count_outcomes(note.edition).is_balanced


def test_pinned_papers_are_not_described_as_most_discussed(ada):
    existing = make.edition(papers=1)
    existing.candidates.update(pin=1)
    make.frozen(existing)
    digest = make.digest(
        make.batch(existing, [ada]), ada, [Pick(existing.candidates.get().pk, 0)]
    )

    text, html = bodies(compose.compose_digest(digest))

    assert "The editors picked these papers for all readers." in text
    assert "The editors picked these papers for all readers." in html
    assert "most discussed" not in text + html
