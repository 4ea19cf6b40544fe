"""An editor curates in Chromium by keyboard alone; the mail shows what they curated."""

import re
import time

import pytest
from django.core import mail
from django.urls import reverse

from accounts.models import User
from digest import tasks
from digest.admin import curation
from digest.mailer import compose
from digest.models import Digest
from tests import make

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
]

MAX_SECONDS = 60


@pytest.fixture
def editor(live_server, page, client, monkeypatch):
    """A browser signed in as an editor."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # Playwright runs a loop
    user = User.objects.create_superuser("editor@example.org", "a long passphrase")
    client.force_login(user)
    page.context.add_cookies(
        [
            {
                "name": "sessionid",
                "value": client.cookies["sessionid"].value,
                "url": live_server.url,
            }
        ]
    )
    page.set_default_timeout(15_000)
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    assert errors == []


def press(page, key):
    """Press a key and wait until its request is answered and shown."""
    page.keyboard.press(key)
    page.wait_for_function("!document.querySelector('.htmx-request')")
    page.wait_for_timeout(60)  # htmx settles after 20 ms


def focused_title(page):
    return page.evaluate(
        "document.activeElement.closest('article')?.querySelector('.pr-title a').textContent"
    )


def test_ten_papers_are_curated_by_keyboard_and_mailed_so(
    editor, live_server, time_machine
):
    papers = [make.paper(f"Paper {letter}") for letter in "ABCDEFGHIJKL"]
    edition = make.edition(papers=papers)
    reader = make.subscriber(length=12)
    page = editor
    page.goto(live_server.url + reverse("admin:digest_candidate_changelist"))
    page.wait_for_selector("#typical details")
    start = time.monotonic()

    press(page, "j")  # A
    press(page, "p")
    press(page, "j")  # B
    press(page, "1")  # A moves to place 2
    press(page, "j")  # C
    press(page, "h")
    press(page, "j")  # D
    press(page, "b")
    press(page, "b")
    press(page, "j")  # E
    press(page, "n")
    page.keyboard.type("Read section 3")
    press(page, "Enter")
    press(page, "j")  # F
    press(page, "B")
    press(page, "j")  # G
    press(page, "h")
    press(page, "u")  # G is shown again
    press(page, "j")  # H
    press(page, "e")
    page.keyboard.press("Control+a")
    page.keyboard.type("A better title")
    press(page, "Enter")
    press(page, "j")  # I
    press(page, "3")
    press(page, "j")  # J
    press(page, "h")
    title = focused_title(page)
    seconds = time.monotonic() - start

    assert seconds < MAX_SECONDS
    assert title == "Paper J"
    curated = {row.paper.title: row for row in edition.candidates.all()}
    assert [curated[f"Paper {letter}"].pin for letter in "BAI"] == [1, 2, 3]
    hidden = {name for name, row in curated.items() if row.is_hidden}
    assert hidden == {"Paper C", "Paper J"}
    assert [curated[f"Paper {letter}"].boost for letter in "DF"] == [2, -1]
    page.goto(
        live_server.url + reverse("admin:digest_edition_preview", args=[edition.pk])
    )
    page.get_by_role("button", name="Send test to me").press("Enter")
    page.wait_for_selector("text=Test sent to")
    page.goto(
        live_server.url + reverse("admin:digest_edition_freeze", args=[edition.pk])
    )
    page.get_by_role("button", name="Freeze and send").press("Enter")
    page.wait_for_selector("text=Edition frozen")
    edition.refresh_from_db()
    tasks.send_edition(edition, None, edition.frozen_at)
    text = compose.compose_digest(Digest.objects.get(subscriber=reader)).text
    assert [test.subject.startswith("[Test] ") for test in mail.outbox] == [True]
    order = [text.index(name) for name in ("Paper B", "Paper A", "Paper I", "Paper D")]
    assert order == sorted(order)
    assert "Read section 3" in text
    assert "A better title" in text
    assert not any(name in text for name in ("Paper C", "Paper J"))


def test_typed_text_survives_a_reload_and_a_change_by_another_editor(
    editor, live_server
):
    edition = make.edition(papers=[make.paper("Paper A")])
    candidate = edition.candidates.get()
    other = User.objects.create_superuser("other@example.org", "a long passphrase")
    url = live_server.url + reverse("admin:digest_candidate_changelist")
    page = editor
    page.goto(url)
    press(page, "j")
    press(page, "n")
    page.keyboard.type("My own words")

    curation.apply_action(
        edition.pk, [candidate.pk], "note", "Other words", other, make.NOW
    )
    press(page, "Enter")
    refused = page.locator("#notice").inner_text()
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_selector("#stale .pr-stale")
    page.reload()
    kept = page.locator(f"#note-{candidate.pk}").input_value()
    page.locator(f"#note-{candidate.pk}").press("Enter")
    page.wait_for_selector("text=Wrote a note for")

    assert "Other words" in refused
    assert kept == "My own words"
    candidate.refresh_from_db()
    assert candidate.note == "My own words"
    press(page, "u")
    candidate.refresh_from_db()
    assert candidate.note == "Other words"


def test_open_note_survives_the_answer_to_an_earlier_step(editor, live_server):
    make.edition(papers=[make.paper("Paper A")])
    page, steps = editor, []
    page.goto(live_server.url + reverse("admin:digest_candidate_changelist"))
    page.route(re.compile(r"/curate"), lambda route: steps.append(route))

    page.keyboard.press("j")
    page.keyboard.press("p")
    page.wait_for_timeout(200)
    page.keyboard.press("n")
    page.keyboard.type("Read ")
    steps[0].continue_()
    page.wait_for_selector(".pr-row.pinned")
    page.wait_for_timeout(100)
    page.keyboard.type("this")

    assert page.get_by_label("Note, shown under the title").input_value() == "Read this"


def test_lists_stay_tables_on_tablets(editor, live_server):
    make.edition(papers=2)
    page = editor
    display = (
        "getComputedStyle(document.querySelector('#result_list tbody td')).display"
    )

    displays = {}
    for width in (390, 768, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(live_server.url + reverse("admin:digest_edition_changelist"))
        displays[width] = page.evaluate(display)
        overflow = "document.documentElement.scrollWidth - innerWidth"
        assert page.evaluate(overflow) <= 0

    assert displays == {390: "flex", 768: "table-cell", 1440: "table-cell"}
