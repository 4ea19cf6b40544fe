"""Pages as axe-core sees them, in light and dark, and at the narrowest width."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone

from digest.models import AttentionSample, Paper
from tests import make

pytestmark = pytest.mark.browser

NARROWEST_PX = 320


@pytest.fixture
def paths(digest, key, settings):
    """Every kind of page."""
    settings.OPERATOR = "A Lab"
    paper = Paper.objects.order_by("pk").first()
    Paper.objects.filter(pk=paper.pk).update(
        ai_summary="A model maps tides.",
        ai_keywords=["tides"],
        organization="Northern Lab",
        title_raw=r"Maps of $\mathbb{R}^n$ and $\sum_{i=0}^{n} x_i^{\alpha+\beta} = \frac{a}{b}$",
        code_url="https://example.org/" + "long/" * 30,
        stars=3,
        comments=2,
    )
    paper.topics.add(make.topic("Oceans"))
    for hours in range(3):
        AttentionSample.objects.create(
            paper=paper,
            source="huggingface",
            kind="upvotes",
            value=hours,
            at=timezone.now() + make.hours(hours),
        )
    return [
        *(
            "/",
            "/papers/date/2026-11-20",
            "/papers/date/2026-11-21",
            "/papers/trending",
        ),
        *("/papers?q=quantization", f"/papers/{paper.identifier}", "/topics"),
        *("/topics/robots", "/authors/Ada%20Okafor", "/about", "/privacy", "/imprint"),
        *("/missing", "/subscribe", f"/preferences/{key}"),
        *(f"/preferences/{key}/papers", f"/digests/{digest.key}", f"/d/{digest.key}"),
    ]


def test_axe_has_no_finding_and_nothing_overflows(live_server, paths, page):
    page.set_viewport_size({"width": NARROWEST_PX, "height": 800})
    problems = []
    for path in paths:
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


def test_keys_go_from_paper_to_paper_and_to_the_search(live_server, paths, page):
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
