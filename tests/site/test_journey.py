"""A reader's whole way in a browser, with and without JavaScript, and the accessibility of its pages."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.core import mail
from django.utils import timezone

from accounts.models import AccessKey, Link, Subscriber
from digest import follows
from digest.models import Digest, Edition, Follow
from tests import make

pytestmark = [pytest.mark.browser, pytest.mark.slow]

READER = "researcher@example.edu"


@pytest.fixture
def site(live_server, settings, eager, edition):
    """A running site with a frozen edition, whose mails link to it."""
    settings.SITE_URL = live_server.url
    settings.CSRF_TRUSTED_ORIGINS = [live_server.url]
    make.frozen(edition, timezone.now())
    return live_server.url


@pytest.fixture(params=[True, False], ids=["javascript", "no javascript"])
def page(browser, request):
    context = browser.new_context(
        java_script_enabled=request.param, accept_downloads=True
    )
    yield context.new_page()
    context.close()


def press(page, name, exact=True):
    page.get_by_role("button", name=name, exact=exact).first.click()
    page.wait_for_load_state("networkidle")


def test_from_the_first_visit_to_the_erasure_of_all_data(site, page):
    liked = tune(page, site)
    key = sign_up_and_confirm(page)
    digest = read_digest(page, site)
    save_and_export(page, site, digest, key)
    reader = Subscriber.objects.get()
    assert liked in reader.follows.values_list("interest__value", flat=True)

    pause(page, site, key, reader)
    unsubscribe(page, site, reader)
    erase(page, site, key)

    assert not Subscriber.objects.exists()
    assert not Follow.objects.exists()


def tune(page, site):
    """Enter an interest and mark one paper; the list answers."""
    page.goto(site)
    assert page.get_by_label("Your email address").bounding_box()["y"] < 640
    page.get_by_label("What do you work on?").fill("protein design")
    press(page, "Show papers")
    page.get_by_label("Your email address").fill(READER)
    button = page.get_by_role("button", name=re.compile("d read this")).first
    liked = button.get_attribute("value").removeprefix("yes:")
    button.click()
    page.get_by_text("Your marks").wait_for()
    assert page.locator(f'button[value="yes:{liked}"]').count() == 0
    assert "papers like the one you" in page.locator("#subscribe").inner_text()
    return liked


def sign_up_and_confirm(page):
    """Subscribe with what was tuned; the mailed link opens a page with a button."""
    page.get_by_label("Your email address").fill(READER)
    press(page, "Subscribe")
    (message,) = mail.outbox
    page.goto(re.search(r"http://\S+/confirm/\S+", message.body)[0])
    press(page, "Confirm my address")
    page.get_by_role("heading", name=re.compile("re subscribed")).wait_for()
    return page.url.rpartition("/")[2].partition("?")[0]


def read_digest(page, site):
    """Read the first digest in the browser and ask for less like its second paper."""
    digest = Digest.objects.get()
    page.goto(f"{site}/d/{digest.key}")
    assert "Welcome. These are the new papers" in page.content()
    page.get_by_role("link", name="Less like this").nth(1).click()
    press(page, "Less like this")
    page.get_by_role("button", name="Undo").wait_for()
    return digest


def save_and_export(page, site, digest, key):
    """Save from the mail, open the list from the preferences, save on the site, export."""
    page.goto(f"{site}/d/{digest.key}")
    page.get_by_role("link", name="Save").first.click()
    press(page, "Save")
    page.get_by_text("Saved to your reading list.").wait_for()
    page.goto(f"{site}/preferences/{key}/papers")
    press(page, "Open my reading list")
    assert page.locator("article").count() == 1
    page.get_by_role("textbox", name="Note on").fill("for the seminar")
    press(page, re.compile("^Save note"), exact=False)
    assert (
        page.get_by_role("textbox", name="Note on").input_value() == "for the seminar"
    )
    list_url = page.url
    page.goto(f"{site}/papers/date/2026-11-20")
    press(page, re.compile("^Save Study 1"), exact=False)
    page.get_by_text("Saved to your reading list.").wait_for()
    page.goto(list_url)
    assert page.locator("article").count() == 2
    with page.expect_download() as download:
        page.get_by_role("link", name="BibTeX").click()
    assert download.value.path().read_text().count("@misc{") == 2


def pause(page, site, key, reader):
    page.goto(f"{site}/preferences/{key}/delivery")
    page.locator("select[name=hour]").select_option("21")
    press(page, "Save")
    press(page, "Pause for 2 weeks")
    page.get_by_text("Paused until").wait_for()
    reader.refresh_from_db()
    assert reader.hour == 21
    assert reader.paused_until


def unsubscribe(page, site, reader):
    page.goto(f"{site}/unsubscribe/{reader.unsubscribe_key}")
    press(page, "Unsubscribe")
    page.get_by_role("heading", name=re.compile("re unsubscribed")).wait_for()
    reader.refresh_from_db()
    assert not reader.is_active


def erase(page, site, key):
    page.goto(f"{site}/preferences/{key}/data")
    page.get_by_role("link", name="Delete my data").click()
    press(page, re.compile("^Delete"), exact=False)
    page.get_by_text("Your data was deleted").wait_for()


@pytest.fixture
def addresses(site, ada):
    """Pages that readers use, with something on each."""
    edition = Edition.objects.get()
    for kind, value in (
        ("topic", "robots"),
        ("keyword", "quantization"),
        ("author", "Ada Okafor"),
    ):
        follows.follow(ada, kind, value)
    follows.follow(ada, "keyword", "survey", -1.0)
    first = edition.candidates.first()
    paper = first.paper
    follows.follow(ada, "paper", paper.identifier)
    ada.saved_papers.create(paper=paper, saved_at=timezone.now(), note="read p. 3")
    digest_row = make.digest(make.batch(edition, [ada]), ada, [(first.pk, 0)])
    Digest.objects.update(created_at=timezone.now())
    key = Link.issue(ada, Link.Purpose.PREFERENCES, timezone.now()).key
    list_key = AccessKey.issue(ada, AccessKey.Kind.READING_LIST, timezone.now()).key
    return [
        *("/", "/?q=protein+design", "/papers?q=quantizaton", "/papers?q=zzzz"),
        *("/subscribe", "/preferences-link", f"/unsubscribe/{ada.unsubscribe_key}"),
        *(
            f"/preferences/{key}{page}"
            for page in ("", "/papers", "/delivery", "/data")
        ),
        *(f"/saved/{list_key}", f"/papers/{paper.identifier}/save"),
        *(f"/d/{digest_row.key}/1/save", f"/d/{digest_row.key}/1/less"),
    ]


def test_pages_of_readers_are_accessible_and_fit_every_screen(site, addresses, browser):
    context = browser.new_context(viewport={"width": 320, "height": 640})
    page, problems = context.new_page(), []
    for path in addresses:
        page.emulate_media(color_scheme="light")
        page.goto(site + path)
        page.evaluate(
            "document.querySelectorAll('details').forEach(d => d.open = true)"
        )
        ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
        problems += [(path, "id", name) for name in set(ids) if ids.count(name) > 1]
        if page.evaluate("document.documentElement.scrollWidth") > 320:
            problems.append((path, "wider than 320 pixels"))
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            for violation in Axe().run(page).response["violations"]:
                nodes = [node["html"][:120] for node in violation["nodes"][:2]]
                problems.append((path, scheme, violation["id"], nodes))
    context.close()

    assert problems == [], "\n".join(map(str, problems))
