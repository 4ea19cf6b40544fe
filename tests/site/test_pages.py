"""What holds for every page: escaping, caching, cookies, queries and error pages."""

import re

import pytest
from django.apps import apps
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from digest.models import Paper
from digest.ranking import rank_edition
from tests import make
from tests.site.conftest import HOSTILE, body

PUBLIC = [
    *("/", "/?q=quantization", "/?topic=quantization", "/papers", "/papers?q=robot"),
    *("/papers/date/2026-11-20", "/papers/date/2026-11-21", "/papers/{paper}"),
    *("/topics", "/topics/quantization", "/no/such/page", "/papers/9999.99999"),
]
PRIVATE = [
    *("/preferences/{key}", "/preferences/{key}/erase", "/preferences/{key}/papers"),
    *("/preferences/{key}/delivery", "/preferences/{key}/data", "/d/{digest}/1/save"),
    *("/digests/{key}", "/digests/{key}/2026-11-20", "/preferences/{digest}"),
    *("/d/{digest}", "/d/{digest}/1/more", "/d/{digest}/1/less"),
]
MAILS = ["/d/{digest}", "/digests/{key}/2026-11-20"]


@pytest.fixture
def fill(digest, key):
    """Fills keys and an identifier into a path."""
    identifier = Paper.objects.first().identifier
    return lambda path: path.format(paper=identifier, digest=digest.key, key=key)


def all_rows():
    models = [
        model
        for app in ("digest", "accounts")
        for model in apps.get_app_config(app).get_models()
    ]
    return {model: list(model.objects.order_by("pk").values()) for model in models}


@pytest.mark.parametrize("path", PUBLIC)
def test_public_page_has_a_sign_up_form_and_sets_no_cookie(client, fill, path):
    response = client.get(fill(path))

    form = re.search(
        r'<form method="post" action="/subscribe">.*?</form>', body(response), re.S
    )
    assert form
    assert 'name="email"' in form[0]
    assert not response.cookies


@pytest.mark.parametrize("path", PRIVATE)
def test_private_page_has_no_sign_up_form_and_is_not_cached_or_indexed(
    client, fill, path
):
    response = client.get(fill(path))

    assert "/subscribe" not in body(response).partition("<footer")[0]
    assert response["X-Robots-Tag"] == "noindex, nofollow"
    assert response["Cache-Control"] == "private, no-store"
    # Not no-referrer where there are forms: browsers would send "Origin: null".
    policy = "no-referrer" if path in MAILS else "same-origin"
    assert response["Referrer-Policy"] == policy


@pytest.mark.parametrize(
    "path", [*PUBLIC, "/subscribe", "/preferences-link", "/unsubscribe/x", "/confirm/x"]
)
def test_subscribe_link_leads_to_a_form(client, fill, path):
    page = body(client.get(fill(path)))

    assert ('href="#subscribe"' in page) == ('id="subscribe"' in page)


@pytest.mark.parametrize("path", PUBLIC + PRIVATE)
def test_get_and_head_change_no_row(client, fill, path):
    before = all_rows()

    client.get(fill(path))
    client.head(fill(path))

    assert all_rows() == before


@pytest.mark.parametrize("path", PUBLIC + PRIVATE)
def test_page_needs_at_most_25_queries(client, fill, path):
    client.get(fill(path))  # reads what is cached per process, such as the model

    with CaptureQueriesContext(connection) as queries:
        client.get(fill(path))

    assert len(queries) <= 25


@pytest.mark.parametrize("path", [p for p in PUBLIC + PRIVATE if p not in MAILS])
def test_page_has_no_inline_style_or_script(client, fill, path):
    response = client.get(fill(path))
    page = body(response)

    assert "<style" not in page
    assert " style=" not in page
    # The policy does not apply to data blocks, which are never run.
    assert not re.search(r'<script(?! src=| type="application/ld\+json")', page)
    assert "style-src 'self'" in response["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/?q=quantization", "/papers/date/2026-11-20", "/papers?q=quantization"),
        *("/topics", "/topics/quantization", "/papers/2611.00001"),
    ],
)
def test_text_of_sources_is_escaped(client, db, path):
    make.paper(
        f"{HOSTILE} quantization",
        identifier="2611.00001",
        abstract=f"{HOSTILE} quantization. https://example.org/{HOSTILE}",
        authors=[HOSTILE],
        organization=HOSTILE,
        primary="cs.LG",
        code_url="javascript:alert(1)",
        project_url='https://example.org/"><script>alert(1)</script>',
    )
    make.topic("Quantization", description=HOSTILE)
    edition = rank_edition.rank_edition(make.DAY, make.NOW)
    edition.candidates.update(note=HOSTILE)

    page = body(client.get(path))

    assert "onerror" in page
    assert "<img" not in page
    assert "<script>" not in page
    assert "javascript:" not in page


@pytest.mark.parametrize("path", ["/", "/papers"])
def test_query_is_escaped_and_kept_in_the_field(client, edition, path):
    page = body(client.get(path, {"q": '"><script>alert(1)</script>'}))

    assert "<script>alert" not in page
    assert 'value="&#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt;"' in page


def test_not_found_page_offers_a_search(client, db):
    response = client.get("/papers/2601.00001")

    assert response.status_code == 404
    assert "Page not found" in body(response)
    assert 'role="search"' in body(response)


@pytest.mark.parametrize(
    "path",
    [
        *("/papers/%00", "/papers/a%00b", "/papers/" + "x" * 500, "/papers/date/%00"),
        *("/topics/%00", "/d/%00", "/mailbox/%00"),
    ],
)
def test_characters_that_no_database_accepts_are_not_found(client, db, path):
    assert client.get(path).status_code == 404


def test_empty_site_says_so(client, db):
    assert "No papers yet" in body(client.get("/"))
    assert "No papers yet" in body(client.get("/papers"))
    assert "No topics yet" in body(client.get("/topics"))


def test_form_without_csrf_cookie_is_explained(key):
    strict_client = Client(enforce_csrf_checks=True)

    response = strict_client.post(
        f"/preferences/{key}", {"action": "pause", "weeks": "1"}
    )

    assert response.status_code == 403
    assert "Nothing was changed" in body(response)
    assert "allow cookies" in body(response)


def test_permission_denied_page_says_whom_to_ask(client, db):
    client.force_login(User.objects.create_user("e@example.org", is_staff=True))

    response = client.get("/admin/accounts/user/")

    assert response.status_code == 403
    assert "Ask an administrator" in body(response)


def test_server_error_page_needs_no_database(client, db):
    def fail(*_):
        raise OperationalError("connection lost")

    client.raise_request_exception = False
    with connection.execute_wrapper(fail):
        response = client.get("/")

    assert response.status_code == 500
    assert '<html lang="en">' in body(response)
    assert 'href="/"' in body(response)
    assert "connection lost" not in body(response)
