"""Fresh links, and moving to another address."""

from datetime import timedelta

import pytest
from django.core import mail
from django.utils import timezone

from accounts import links
from accounts.models import Link, Subscriber, Suppression
from tests import make
from tests.accounts.conftest import but_for, last_path

pytestmark = pytest.mark.django_db


@pytest.fixture
def ask_move(django_capture_on_commit_callbacks):
    def ask(reader, email):
        with django_capture_on_commit_callbacks(execute=True):
            return links.ask_new_address(reader, email, timezone.now())

    return ask


def test_a_fresh_link_is_mailed_to_who_is_known_and_the_answer_is_one(
    visitor, ada, cleo
):
    asked = [ada.email, cleo.email, "nobody@example.org"]

    answers = [visitor.post("/preferences-link", {"email": email}) for email in asked]

    assert {answer.status_code for answer in answers} == {200}
    assert len(set(map(but_for, asked, answers))) == 1
    assert [letter.to for letter in mail.outbox] == [[ada.email], [cleo.email]]
    assert set(Link.objects.values_list("purpose", flat=True)) == {"preferences"}


def test_asking_for_a_fresh_link_asks_the_database_nothing(
    visitor, ada, django_assert_num_queries
):
    with django_assert_num_queries(0):
        visitor.client.post("/preferences-link", {"email": ada.email})


def test_asking_again_and_again_mails_three_times_and_the_answer_stays(visitor, ada):
    answers = [
        visitor.post("/preferences-link", {"email": ada.email}) for _ in range(5)
    ]

    assert len(mail.outbox) == 3
    assert len({answer.content for answer in answers}) == 1


def test_only_an_installation_that_mails_into_files_shows_its_mailbox(
    visitor, settings
):
    files = visitor.post("/preferences-link", {"email": "ada@example.org"})
    settings.MAIL_TRANSPORT = "smtp"
    smtp = visitor.post("/preferences-link", {"email": "ada@example.org"})

    assert 'href="/mailbox"' in files.text
    assert 'href="/mailbox"' not in smtp.text


def test_who_never_confirmed_gets_the_confirmation_again_wishes_and_all(visitor, bob):
    Link.issue(
        bob, "confirm", timezone.now(), requested_interests=["topic:robots"], zone="UTC"
    )

    visitor.post("/preferences-link", {"email": bob.email})

    again = Link.objects.latest("pk")
    assert (again.purpose, again.payload["requested_interests"]) == (
        "confirm",
        ["topic:robots"],
    )
    assert last_path() == f"/confirm/{again.key}"


def test_who_complained_gets_no_link_either(visitor, ada):
    Suppression.add(ada.email, Suppression.Reason.COMPLAINT)

    visitor.post("/preferences-link", {"email": ada.email})

    assert mail.outbox == []


def test_a_wrong_address_is_shown_again(visitor):
    answer = visitor.post("/preferences-link", {"email": "<b>ada"})

    assert answer.status_code == 400
    assert 'value="&lt;b&gt;ada"' in answer.text
    assert visitor.get("/preferences-link").status_code == 200


@pytest.mark.both
def test_a_reader_moves_when_the_new_address_confirms(visitor, ada, ask_move):
    assert ask_move(ada, " Ada@New.example")
    path, (letter,) = last_path(), mail.outbox
    visitor.get(path)
    ada.refresh_from_db()
    assert (letter.to, ada.email) == (["ada@new.example"], "ada@example.org")

    answer = visitor.post(path)

    moved = Subscriber.objects.get(pk=ada.pk)
    assert "Moved" in answer.text
    assert (moved.email, moved.state) == ("ada@new.example", "active")
    assert moved.address_hash != ada.address_hash
    assert "Already moved" in visitor.post(path).text


@pytest.mark.both
def test_the_old_address_is_told_and_opens_nothing_any_more(visitor, ada, ask_move):
    for purpose in (Link.Purpose.PREFERENCES, Link.Purpose.CONFIRM):
        Link.issue(ada, purpose, timezone.now())
    ask_move(ada, "ada@new.example")

    visitor.post(last_path())

    told = mail.outbox[-1]
    assert told.to == ["ada@example.org"]
    assert told.subject == "Your digests from Paper Round have moved"
    for body in (told.body, told.alternatives[0][0]):
        assert "http://testserver/subscribe" in body
        assert "new.example" not in body
    assert [link.purpose for link in Link.objects.all()] == ["address"]


def test_an_old_address_that_bounced_is_not_told(visitor, ada, ask_move):
    Suppression.add(ada.email, Suppression.Reason.BOUNCE)
    ask_move(ada, "ada@new.example")

    visitor.post(last_path())

    assert Subscriber.objects.get().email == "ada@new.example"
    assert [letter.to for letter in mail.outbox] == [["ada@new.example"]]


def test_moving_keeps_what_the_reader_follows(visitor, ada, ask_move):
    quantization = make.interest("keyword", "quantization")
    ada.follows.create(interest=quantization)
    ask_move(ada, "ada@new.example")

    visitor.post(last_path())

    moved = Subscriber.objects.get(email="ada@new.example")
    assert [follow.interest for follow in moved.follows.all()] == [quantization]


@pytest.mark.parametrize("who", ["cleo@example.org", "other@example.org"])
def test_an_address_of_another_reader_is_not_taken(visitor, ada, cleo, ask_move, who):
    make.subscriber("other@example.org")
    assert ask_move(ada, who)

    answer = visitor.post(last_path())

    ada.refresh_from_db()
    assert "Nothing was changed" in answer.text
    assert ada.email == "ada@example.org"
    assert Subscriber.objects.filter(email=who).exists()


def test_a_sign_up_that_nobody_confirmed_gives_way(visitor, ada, bob, ask_move):
    ask_move(ada, bob.email)

    visitor.post(last_path())

    assert Subscriber.objects.get().pk == ada.pk
    assert Subscriber.objects.get().email == bob.email


def test_an_address_that_may_not_be_mailed_gets_nothing_and_the_answer_is_one(
    ada, ask_move
):
    Suppression.add("dora@example.org", Suppression.Reason.COMPLAINT)

    assert ask_move(ada, "dora@example.org")
    assert mail.outbox == []


def test_a_complaint_between_asking_and_moving_counts(visitor, ada, ask_move):
    ask_move(ada, "dora@example.org")
    Suppression.add("dora@example.org", Suppression.Reason.COMPLAINT)

    answer = visitor.post(last_path())

    ada.refresh_from_db()
    assert "Nothing was changed" in answer.text
    assert ada.email == "ada@example.org"


def test_what_is_no_address_is_not_moved_to(ada, ask_move):
    assert not ask_move(ada, "nowhere")
    assert mail.outbox == []


def test_a_reader_cannot_make_us_write_to_strangers(ada, ask_move):
    for number in range(5):
        assert ask_move(ada, f"stranger{number}@d{number}.example")

    assert len(mail.outbox) == 3


def test_a_late_link_moves_nobody(visitor, ada, ask_move):
    ask_move(ada, "ada@new.example")
    Link.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    answer = visitor.post(last_path())

    ada.refresh_from_db()
    assert "has closed" in answer.text
    assert ada.email == "ada@example.org"


def test_pages_behind_keys_are_neither_stored_nor_listed(visitor, ada):
    answer = visitor.get(f"/unsubscribe/{ada.unsubscribe_key}")

    assert "no-store" in answer.headers["Cache-Control"]
    assert answer.headers["X-Robots-Tag"] == "noindex"
