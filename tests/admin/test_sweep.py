"""Every page, form, action, filter and search of the admin, opened as each role.

The addresses come from the admin site, so a new page is tested without being named here.
"""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import urlencode

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import URLResolver, reverse

import digest.urls  # noqa: F401  (registers the admin)
from accounts.models import User
from digest.models import Edition
from tests import make
from tests.admin.test_pages import create_rows

pytestmark = pytest.mark.django_db

ROLES = ("Editors", "Operators", "administrator")
# The digests of ten typical readers take most. That lists take no more with each row is
# counted in test_pages.
MAX_QUERIES = 100
# Pages of every member of staff: their own account, and the dashboard without figures.
PAGES_OF_ALL_STAFF = re.compile(
    r"/admin/(|login/|logout/|password_change/.*|jsi18n/|search/|toggle-sidebar/"
    r"|accounts/user/(two-factor|weekly-report|password-reset|password-reset/done)/"
    r"|accounts/user/set-password/.*)"
)
# Connects to other servers.
NOT_POSTED = {"/admin/digest/sendingpause/checks/"}
ODD_SEARCH = "ada@ %_\\'\" \0 <b>"


@pytest.fixture
def rows(settings, tmp_path, time_machine):
    time_machine.move_to(make.NOW)
    settings.MAIL_DIR = tmp_path
    call_command("setup", verbosity=0)
    create_rows()
    author = User.objects.create_user("author@example.org", is_staff=True)
    LogEntry.objects.create(user=author, object_repr="A change", action_flag=2)


@pytest.fixture
def sign_in(client, rows):
    """Sign in as a member of staff with this role; no page may show a traceback instead."""

    def sign_in_as(role):
        user = User.objects.create_user(f"{role.lower()}@example.com", is_staff=True)
        user.is_superuser = role == "administrator"
        user.save()
        user.groups.set(Group.objects.filter(name=role))
        client.force_login(user)
        return client

    return sign_in_as


def routes(patterns, prefix: str = "") -> Iterator[str]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        # Not the lists of apps, the page not found, and links to pages of the site.
        elif not route.startswith(("^", "(", "r/")):
            yield route


def url_of(route: str) -> str:
    """The address of a route for the first row of its model, or for an open edition."""
    model = next(
        (m for m in admin.site._registry if route.startswith(prefix_of(m))), None
    )
    edition = Edition.objects.open().values_list("pk", flat=True).first()
    route = re.sub(r"edition-<int:pk>", f"edition-{edition}", route)
    row = model._default_manager.order_by("pk").first() if model else None
    return "/admin/" + re.sub(r"<[^>]+>", str(row.pk if row else 1), route)


def prefix_of(model) -> str:
    return f"{model._meta.app_label}/{model._meta.model_name}/"


def all_urls() -> list[str]:
    return sorted({url_of(route) for route in routes(admin.site.get_urls())})


def request_undone(client, method, url, data=None):
    """Send a request and undo what it wrote; return the response and its statements."""
    cookies = client.cookies.copy()
    with transaction.atomic(), CaptureQueriesContext(connection) as queries:
        response = getattr(client, method)(url, data or {})
        if response.streaming:
            b"".join(response.streaming_content)
        transaction.set_rollback(True)
    client.cookies = cookies  # of the session, which may have been rotated
    return response, [query["sql"] for query in queries]


@pytest.mark.parametrize("role", ROLES)
def test_each_page_opens_or_is_refused(sign_in, role):
    client = sign_in(role)
    statuses, many_queries = {}, {}
    for url in all_urls():
        response, statements = request_undone(client, "get", url)
        statuses[url] = response.status_code
        if len(statements) > MAX_QUERIES:
            many_queries[url] = len(statements)

    odd = {u: s for u, s in statuses.items() if s not in (200, 302, 403, 405)}
    assert odd == {}
    assert many_queries == {}
    opened = [url for url, status in statuses.items() if status == 200]
    assert len(opened) >= {"Editors": 25, "Operators": 45, "administrator": 80}[role]


def test_without_a_role_only_the_own_account_opens(sign_in):
    client = sign_in("none")

    opened = [
        url
        for url in all_urls()
        for method in ("get", "post")
        if request_undone(client, method, url)[0].status_code == 200
    ]

    assert [url for url in opened if not PAGES_OF_ALL_STAFF.fullmatch(url)] == []


def test_empty_forms_are_answered_on_each_page(sign_in):
    client = sign_in("administrator")

    statuses = {
        url: request_undone(client, "post", url)[0].status_code
        for url in all_urls()
        if url not in NOT_POSTED
    }

    odd = {u: s for u, s in statuses.items() if s not in (200, 302, 400, 403, 404, 405)}
    assert odd == {}


class FormParser(HTMLParser):
    """Reads what a browser posts of the form with this id if nobody changes it."""

    def __init__(self, form_id):
        super().__init__()
        self.form_id, self.data = form_id, {}
        self.is_inside, self.name, self.is_text = False, "", False

    def handle_starttag(self, tag, attributes):
        attrs = dict(attributes)
        if tag == "form":
            self.is_inside = attrs.get("id") == self.form_id
        elif not self.is_inside:
            return
        elif tag == "input" and attrs.get("name"):
            can_be_off = attrs.get("type") in ("checkbox", "radio")
            if not can_be_off or "checked" in attrs:
                self.add(attrs["name"], attrs.get("value", ""))
        elif tag in ("select", "textarea"):
            self.name, self.is_text = attrs["name"], tag == "textarea"
            if self.is_text:
                self.data[self.name] = [""]
        elif tag == "option" and "selected" in attrs:
            self.add(self.name, attrs.get("value", ""))

    def handle_endtag(self, tag):
        self.is_inside = self.is_inside and tag != "form"
        self.is_text = self.is_text and tag != "textarea"

    def handle_data(self, text):
        if self.is_inside and self.is_text:
            self.data[self.name][0] += text

    def add(self, name, value):
        self.data.setdefault(name, []).append(value or "")


def form_data(page, form_id):
    parser = FormParser(form_id)
    parser.feed(page)
    return parser.data


@pytest.mark.parametrize("role", ROLES)
def test_each_form_can_be_saved_unchanged(sign_in, role):
    client = sign_in(role)
    refused, saved = {}, 0
    for model, model_admin in admin.site._registry.items():
        row = model._default_manager.order_by("pk").first()
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
        url = reverse(name, args=[row.pk]) if row else ""
        response = client.get(url) if url else None
        if not response or response.status_code != 200:
            continue
        if not response.context.get("has_change_permission"):
            continue
        data = form_data(response.text, f"{model._meta.model_name}_form")
        answer, _ = request_undone(client, "post", url, data)
        saved += answer.status_code == 302
        if answer.status_code != 302:
            errors = answer.context and answer.context["adminform"].form.errors
            refused[model_admin] = (answer.status_code, errors)

    assert refused == {}
    assert saved >= {"Editors": 2, "Operators": 1, "administrator": 5}[role]


def changelists(client):
    """Each list that this client may open, with its page."""
    for model, model_admin in admin.site._registry.items():
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
        response = client.get(reverse(name))
        if response.status_code == 200:
            yield model, model_admin, reverse(name), response


@pytest.mark.parametrize("role", ROLES)
def test_each_filter_and_search_opens(sign_in, role):
    """The first choice of each filter; `make bench PART=admin` opens all of them."""
    client = sign_in(role)
    problems, opened = {}, 0
    for _, _, url, page in changelists(client):
        links = [f"{url}?{urlencode({'q': ODD_SEARCH, 'o': '-1.x', 'p': '2'})}"]
        change_list = page.context.get("cl")  # curation has a page of its own
        for spec in change_list.filter_specs if change_list else []:
            choices = [c["query_string"] for c in spec.choices(change_list)]
            links += [url + query for query in choices[1:2]]
        for link in links:
            response, statements = request_undone(client, "get", link)
            opened += response.status_code == 200
            if response.status_code not in (200, 302) or len(statements) > MAX_QUERIES:
                problems[link] = (response.status_code, len(statements))

    assert problems == {}
    assert opened >= {"Editors": 10, "Operators": 25, "administrator": 30}[role]


@pytest.mark.parametrize("role", ROLES)
def test_each_action_runs_and_is_recorded(sign_in, role):
    client = sign_in(role)
    problems, unrecorded = {}, []
    for model, model_admin, url, page in changelists(client):
        row = model._default_manager.order_by("-pk").first()
        has_list = "cl" in page.context  # curation has a page of its own
        for action in model_admin.get_actions(page.wsgi_request) if has_list else ():
            data = {"action": action, "_selected_action": [row.pk]}
            confirmed = data | {"sure": "1", "post": "yes"}
            for posted in (data, confirmed):
                response, statements = request_undone(client, "post", url, posted)
                number = len(statements)
                if response.status_code not in (200, 302) or number > MAX_QUERIES:
                    problems[url, action] = (response.status_code, number)
            if not any('INSERT INTO "django_admin_log"' in sql for sql in statements):
                unrecorded.append((url, action))

    assert problems == {}
    assert unrecorded == []


def test_every_model_that_staff_may_change_is_in_the_admin():
    """A new table that a role names must have its pages, or the sweep would not see it."""
    from digest.management.roles import ROLE_PERMISSIONS

    named = {model for role in ROLE_PERMISSIONS.values() for model in role}

    registered = {model._meta.label_lower for model in admin.site._registry}
    assert named <= registered
    assert all(apps.get_model(model) for model in named)
