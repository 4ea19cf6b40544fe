"""accounts can be used without digest: it names no URL or template of the other app."""

import re

from accounts.urls import urlpatterns
from tests.conftest import ROOT

OWN_URL_NAMES = {pattern.name for pattern in urlpatterns}
# The frames that the project provides.
LAYOUTS = {"pages/layout.html", "emails/layout.html", "emails/action.html"}
URL_NAME = re.compile(r"""\b(?:url\(|reverse\(|reverse_lazy\(|url )["']([\w:]+)["']""")
PARENT = re.compile(r'\{% extends "((?:pages|emails)/[^"]+)" %\}')


def sources():
    yield from (ROOT / "accounts").rglob("*.py")
    yield from (ROOT / "accounts" / "templates").rglob("*.html")
    yield from (ROOT / "templates" / "pages" / "accounts").iterdir()
    for name in (
        "address",
        "confirm",
        "moved",
        "preferences_link",
        "staff_password",
        "staff_report",
    ):
        yield from (ROOT / "templates" / "emails").glob(f"{name}.*")


def test_accounts_names_only_its_own_urls_and_the_layouts():
    texts = [path.read_text() for path in sources()]

    url_names = {name for text in texts for name in URL_NAME.findall(text)}
    parents = {name for text in texts for name in PARENT.findall(text)}

    assert {n for n in url_names if not n.startswith("admin:")} <= OWN_URL_NAMES
    assert "request_link" in url_names
    assert parents == LAYOUTS - {"emails/layout.html"}
