"""Pages about the site, and the files for browsers and crawlers."""

from datetime import datetime
from xml.etree import ElementTree

import pytest

from accounts.models import Subscriber
from tests import make
from tests.site.conftest import body

pytestmark = pytest.mark.django_db


def test_privacy_page_states_the_periods_that_the_service_deletes_by(
    client, settings, monkeypatch
):
    settings.DIGESTS_KEPT = 77
    monkeypatch.setattr(Subscriber, "UNSUBSCRIBED_RETENTION", make.hours(24 * 123))

    page = body(client.get("/privacy"))

    assert "123 days after you unsubscribe" in page
    assert "<td>77 days</td>" in page


@pytest.mark.parametrize(("days", "text"), [(0, "Until you delete your data</td>")])
def test_privacy_page_of_a_site_that_keeps_digests(client, settings, days, text):
    settings.DIGESTS_KEPT = days

    assert text in body(client.get("/privacy"))


@pytest.mark.parametrize(("transport", "named"), [("sendgrid", True), ("smtp", False)])
def test_privacy_page_names_the_mail_provider(client, settings, transport, named):
    settings.MAIL_TRANSPORT = transport

    assert ("SendGrid" in body(client.get("/privacy"))) is named


def test_imprint_is_there_once_an_operator_is_set(client, settings):
    assert client.get("/imprint").status_code == 404
    assert "/imprint" not in body(client.get("/about"))

    settings.OPERATOR, settings.CONTACT_EMAIL = "Lab <1>", "lab@example.org"
    page = body(client.get("/imprint"))

    assert "operated by Lab &lt;1&gt;." in page
    assert "mailto:lab@example.org" in page
    assert 'href="/imprint"' in page


def test_about_page_names_the_categories_and_feeds(client):
    page = body(client.get("/about"))

    assert "This site reads cs.AI" in page
    assert 'href="/feeds/trending.atom"' in page


def test_robots_name_the_sitemap_and_private_addresses(client):
    text = body(client.get("/robots.txt"))

    assert "Disallow: /d/" in text
    assert "/sitemap.xml" in text.splitlines()[-1]


def test_security_txt_expires_within_a_year(client, settings, time_machine):
    time_machine.move_to(make.NOW)
    settings.CONTACT_EMAIL = "lab@example.org"

    fields = dict(
        line.split(": ", 1)
        for line in body(client.get("/.well-known/security.txt")).splitlines()
    )

    assert fields["Contact"] == "mailto:lab@example.org"
    expires = datetime.fromisoformat(fields["Expires"])
    assert 0 < (expires - make.NOW).days < 365


def test_icon_is_answered_at_the_address_that_browsers_ask_for(client):
    response = client.get("/favicon.ico")

    assert response["Content-Type"] == "image/x-icon"
    assert response.getvalue().startswith(b"\x00\x00\x01\x00")


def locations(response):
    root = ElementTree.fromstring(response.content)
    return [element.text for element in root.iter() if element.tag.endswith("}loc")]


def test_sitemap_lists_pages_and_papers_of_each_month(client, settings, time_machine):
    time_machine.move_to(make.NOW)
    make.topic("Robots")
    make.paper(identifier="2611.00001")
    make.paper(identifier="hep-th/9901001", announced_on=make.DAY.replace(month=10))
    make.paper(announce_type="added", announced_on=make.DAY.replace(month=9))

    parts = locations(client.get("/sitemap.xml"))
    entries = [
        address.removeprefix(settings.SITE_URL)
        for part in parts
        for address in locations(client.get(part.removeprefix(settings.SITE_URL)))
    ]

    assert [part.rpartition("/")[2] for part in parts] == [
        *("pages.xml", "2026-10.xml", "2026-11.xml")
    ]
    assert "/topics/robots" in entries
    assert entries[-4:] == [
        *("/papers/date/2026-10-20", "/papers/hep-th/9901001"),
        *("/papers/date/2026-11-20", "/papers/2611.00001"),
    ]
    for path in entries:
        assert client.get(path).status_code == 200
    assert client.get("/sitemaps/2026-13.xml").status_code == 404
