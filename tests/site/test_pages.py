"""Every public page: there, escaped, bounded, with a sign-up form, changing nothing."""

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
from tests.site.conftest import HOSTILE, text

PUBLIC = [
    *("/", "/?q=quantization", "/?topic=quantization", "/papers", "/papers?q=robot"),
    *("/papers/date/2026-11-20", "/papers/date/2026-11-21", "/papers/{paper}"),
    *("/topics", "/topics/quantization", "/d/{digest}/1/more", "/d/{digest}/1/less"),
    *("/digests/{key}", "/nowhere/known", "/papers/9999.99999"),
]
PRIVATE = ["/preferences/{key}", "/preferences/{key}/erase", "/d/{digest}"]


@pytest.fixture
def paths(hers, key):
    """Fills the keys into a path."""
    known = Paper.objects.first().identifier
    return lambda path: path.format(paper=known, digest=hers.key, key=key)


def rows():
    """Every row of ours, so that a change anywhere is seen."""
    ours = [*apps.get_app_config("digest").get_models()]
    ours += apps.get_app_config("accounts").get_models()
    return {model: list(model.objects.order_by("pk").values()) for model in ours}


def is_keyed(path):
    return "{digest}" in path or "{key}" in path


@pytest.mark.parametrize("path", [p for p in PUBLIC if not is_keyed(p)])
def test_every_public_page_asks_for_an_address(client, paths, path):
    page = text(client.get(paths(path)))

    form = re.search(r'<form method="post" action="/subscribe">.*?</form>', page, re.S)
    assert form
    assert 'name="email"' in form[0]


@pytest.mark.parametrize("path", [p for p in PUBLIC + PRIVATE if is_keyed(p)])
def test_who_is_a_reader_already_is_not_asked_for_an_address(client, paths, path):
    assert "/subscribe" not in text(client.get(paths(path))).partition("<footer")[0]


@pytest.mark.parametrize(
    "path", [*PUBLIC, "/subscribe", "/preferences-link", "/unsubscribe/x", "/confirm/x"]
)
def test_the_link_to_the_sign_up_leads_to_a_form(client, paths, path):
    page = text(client.get(paths(path)))

    assert ('href="#subscribe"' in page) == ('id="subscribe"' in page)


@pytest.mark.parametrize("path", [p for p in PUBLIC if "{digest}" not in p])
def test_no_public_page_sets_a_cookie(client, paths, path):
    assert not client.get(paths(path)).cookies


@pytest.mark.parametrize("path", PUBLIC + PRIVATE)
def test_get_and_head_change_nothing(client, paths, path):
    before = rows()

    client.get(paths(path))
    client.head(paths(path))

    assert rows() == before


@pytest.mark.parametrize("path", PUBLIC + PRIVATE)
def test_every_page_needs_a_bounded_number_of_queries(client, paths, path):
    client.get(paths(path))  # what is read once for all, such as the model

    with CaptureQueriesContext(
        connection,
    ) as made:
        client.get(paths(path))

    assert len(made) <= 25


@pytest.mark.parametrize("path", [p for p in PUBLIC if "nowhere" not in p])
def test_no_page_carries_inline_style_or_script(client, paths, path):
    response = client.get(paths(path))
    page = text(response)

    assert "<style" not in page
    assert " style=" not in page
    assert not re.search(r"<script(?! src=)", page)
    assert "style-src 'self'" in response["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/?q=quantization",
        "/papers/date/2026-11-20",
        "/papers?q=quantization",
        "/topics/quantization",
        "/papers/2611.00001",
        "/topics",
    ],
)
def test_the_words_of_strangers_are_escaped(client, db, path):
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
    made = rank_edition.rank_edition(make.DAY, make.NOW)
    made.candidates.update(note=HOSTILE)

    page = text(client.get(path))

    assert "onerror" in page
    assert "<img" not in page
    assert "<script>" not in page
    assert "javascript:" not in page


@pytest.mark.parametrize("path", ["/", "/papers"])
def test_a_question_is_escaped_and_kept(client, world, path):
    page = text(client.get(path, {"q": '"><script>alert(1)</script>'}))

    assert "<script>alert" not in page
    assert 'value="&#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt;"' in page


def test_a_page_of_another_kind_helps(client, db):
    response = client.get("/papers/2601.00001")

    assert response.status_code == 404
    assert "There is no such page" in text(response)
    assert 'role="search"' in text(response)


@pytest.mark.parametrize(
    "path",
    [
        "/papers/%00",
        "/papers/a%00b",
        "/papers/" + "x" * 500,
        "/papers/date/%00",
        "/topics/%00",
        "/d/%00",
        "/mailbox/%00",
    ],
)
def test_bytes_that_no_database_takes_are_not_found(client, db, path):
    assert client.get(path).status_code == 404


def test_a_new_site_says_that_it_is_new(client, db):
    assert "No papers have been read yet" in text(client.get("/"))
    assert "No papers have been read yet" in text(client.get("/papers"))
    assert "have not named any" in text(client.get("/topics"))


def test_a_form_without_its_cookie_is_told_what_to_do(key):
    strict = Client(enforce_csrf_checks=True)

    response = strict.post(f"/preferences/{key}", {"do": "pause", "weeks": "1"})

    assert response.status_code == 403
    assert "Nothing was changed" in text(response)
    assert "allow cookies" in text(response)


def test_an_editor_without_the_permission_is_told_so(client, db):
    client.force_login(User.objects.create_user("e@example.org", is_staff=True))

    response = client.get("/admin/accounts/user/")

    assert response.status_code == 403
    assert "needs a permission" in text(response)


def test_the_last_resort_is_a_page_that_needs_nothing(client, db, monkeypatch):
    def away(*_):
        raise OperationalError("no route")

    client.raise_request_exception = False
    with connection.execute_wrapper(away):
        response = client.get("/")

    assert response.status_code == 500
    assert '<html lang="en">' in text(response)
    assert 'href="/"' in text(response)
    assert "no route" not in text(response)
