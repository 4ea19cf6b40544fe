"""Lists, saving and opinions in a browser with JavaScript: the page is not loaded again."""

import pytest
from playwright.sync_api import expect

from accounts.models import AccessKey
from digest.models import Follow, SavedPaper
from tests import make
from tests.make import DAY

pytestmark = pytest.mark.browser


@pytest.fixture
def visit(live_server, page):
    """Opens a page and marks it, so that `is_same_page` can tell a reload."""

    def visit(path):
        page.goto(f"{live_server.url}{path}")
        page.evaluate("window.isMarked = true")
        return page

    return visit


def is_same_page(page):
    return page.evaluate("window.isMarked === true")


def test_more_papers_are_appended_and_focused(visit, db):
    for number in range(60):
        make.paper(f"Paper {number}", votes=100 - number)
    page = visit(f"/papers/week/{DAY:%G-W%V}")

    for shown in (50, 60):
        page.get_by_role("link", name="More papers").click()
        expect(page.locator("article")).to_have_count(shown)

    assert is_same_page(page)
    titles = page.locator("article h2").all_text_contents()
    assert titles == [f"Paper {number}" for number in range(60)]
    assert page.evaluate("document.activeElement.textContent") == "Paper 50"
    assert page.get_by_text("Page 3 of 3").is_visible()
    assert page.get_by_role("link", name="More papers").count() == 0


def test_filter_changes_the_list_and_its_address(visit, db):
    make.paper("Maps", primary="cs.RO", votes=1)
    make.paper("Tides", primary="cs.LG")
    page = visit(f"/papers/date/{DAY}")

    page.get_by_text("Filter and sort").click()
    page.get_by_label("Category").select_option("cs.RO")
    expect(page.locator("article")).to_have_count(1)

    assert is_same_page(page)
    assert page.locator("article h2").all_text_contents() == ["Maps"]
    assert "category=cs.RO" in page.url
    page.go_back()
    expect(page.locator("article")).to_have_count(2)
    assert "category" not in page.url


def test_paper_is_saved_in_its_place(visit, page, ada, db):
    paper = make.paper("Maps")
    list_key = AccessKey.issue(ada, AccessKey.Kind.READING_LIST, make.NOW).key

    page = visit(f"/papers/date/{DAY}")
    page.get_by_role("button", name="Save Maps").click()
    page.get_by_role("link", name="Open your reading list once").wait_for()
    visit(f"/saved/{list_key}")
    visit(f"/papers/date/{DAY}")
    page.get_by_role("button", name="Save Maps").click()
    page.get_by_text("Saved to your").wait_for()

    assert is_same_page(page)
    assert SavedPaper.objects.get().paper == paper
    page.get_by_role("link", name="reading list").click()
    page.evaluate("window.isMarked = true")
    page.get_by_role("textbox", name="Note on").fill("p. 3")
    page.get_by_role("button", name="Save note").click()
    # The attribute is what the server stored.
    page.locator('input[name=note][value="p. 3"]').wait_for()
    page.get_by_role("button", name="Done: Maps").click()
    page.get_by_text("Done (1)").wait_for()
    assert is_same_page(page)
    saved = SavedPaper.objects.get()
    assert (saved.note, saved.is_done) == ("p. 3", True)


def test_opinion_is_stored_and_undone(visit, digest, page):
    visit(f"/d/{digest.key}/1/less")

    page.get_by_role("button", name="Less like this").click()
    page.get_by_role("button", name="Undo").wait_for()
    assert Follow.objects.filter(weight__lt=0).exists()
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("heading", name="Less like this?").wait_for()

    assert is_same_page(page)
    assert not Follow.objects.filter(weight__lt=0).exists()


def test_refused_request_shows_its_page(visit, db, monkeypatch):
    make.paper("Maps")
    page = visit(f"/papers/date/{DAY}")
    page.route("**/save", lambda route: route.fulfill(status=429, body="Too many"))

    page.get_by_role("button", name="Save Maps").click()

    page.get_by_text("Too many").wait_for()
