"""Pages as axe-core sees them, in light and dark, and at the narrowest width."""

import pytest
from axe_playwright_python.sync_playwright import Axe

pytestmark = pytest.mark.browser

NARROWEST_PX = 320


def test_axe_has_no_finding_and_nothing_overflows(live_server, every_page, page):
    page.set_viewport_size({"width": NARROWEST_PX, "height": 800})
    problems = []
    for path in every_page:
        page.emulate_media(color_scheme="light")
        page.goto(f"{live_server.url}{path}")
        page.evaluate(
            "document.querySelectorAll('details').forEach(d => d.open = true)"
        )
        problems += find_violations(page, path, {})
        # Only colours differ in the dark.
        page.emulate_media(color_scheme="dark")
        problems += find_violations(page, path, {"runOnly": ["color-contrast"]})
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > NARROWEST_PX:
            problems.append((path, "overflow", width))

    assert problems == []


def find_violations(page, path, options):
    violations = Axe().run(page, options=options).response["violations"]
    return [
        (path, violation["id"], [node["target"] for node in violation["nodes"][:2]])
        for violation in violations
    ]


def test_keys_go_from_paper_to_paper_and_to_the_search(live_server, every_page, page):
    page.goto(f"{live_server.url}/papers/date/2026-11-20")
    titles = page.locator(".paper-link").all_text_contents()

    def focused():
        return page.evaluate("document.activeElement.textContent")

    page.keyboard.press("j")
    assert focused() == titles[0]
    page.keyboard.press("j")
    assert focused() == titles[1]
    page.keyboard.press("k")
    assert focused() == titles[0]
    page.keyboard.press("/")
    page.keyboard.type("jk?")
    assert page.locator("#search").input_value() == "jk?"
    page.locator("#search").blur()
    page.keyboard.press("?")
    assert page.locator("dialog").is_visible()
    page.keyboard.press("?")
    assert not page.locator("dialog").is_visible()
