"""Which key opens which page."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Link
from digest.models import Digest, Follow
from tests.site.conftest import body

KEYS = ["preferences", "expired_preferences", "confirm", "digest", "expired_digest"]
KEYS += ["digest_before_move", "skipped_digest", "unsubscribe", "unknown"]


@pytest.fixture
def make_key(ada, digest):
    """Creates a key of the named kind."""

    def make(kind):
        now = timezone.now()
        purpose, PREFERENCES = Link.Purpose, Link.Purpose.PREFERENCES
        month = timedelta(days=30)
        match kind:
            case "preferences":
                return Link.issue(ada, PREFERENCES, now).key
            case "expired_preferences":
                return Link.issue(ada, PREFERENCES, now - month).key
            case "confirm":
                return Link.issue(ada, purpose.CONFIRM, now).key
            case "expired_digest":
                Digest.objects.update(created_at=now - month)
            case "digest_before_move":
                move = Link.issue(ada, purpose.ADDRESS, now, email="a@new.example")
                Link.objects.filter(pk=move.pk).update(used_at=timezone.now())
            case "skipped_digest":
                Digest.objects.update(outcome="skipped", reason="left")
            case "unsubscribe":
                return ada.unsubscribe_key
            case "unknown":
                return "unknown"
        return digest.key

    return make


# Every page with a key: the kinds of key that open it, and those that get the page
# that mails a preferences link to the digest's reader. All others are not found.
READER_PAGES = [
    *("/preferences/{}", "/preferences/{}/erase", "/preferences/{}/data.json"),
    *("/preferences/{}/delivery", "/preferences/{}/data"),
    *("/preferences/{}/papers", "/digests/{}", "/digests/{}/2026-11-20", "/submit/{}"),
]
DIGEST_PAGES = ["/d/{}", "/d/{}/1/more", "/d/{}/1/less", "/d/{}/1/save"]


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("path", READER_PAGES)
def test_only_a_preferences_link_opens_pages_of_the_reader(
    client, make_key, settings, ada, path, kind
):
    settings.READER_SUBMISSIONS = True

    response = client.get(path.format(make_key(kind)))

    assert response.status_code == {"preferences": 200, "digest": 403}.get(kind, 404)
    if kind != "preferences":
        assert ada.email not in body(response)
    if kind == "digest":
        assert f'action="/unsubscribe/{ada.unsubscribe_key}/preferences-link"' in body(
            response
        )
    elif response.status_code == 404:
        assert 'action="/preferences-link"' in body(response)


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("path", DIGEST_PAGES)
def test_only_a_digest_key_opens_the_digest_and_feedback(client, make_key, path, kind):
    response = client.get(path.format(make_key(kind)))

    assert response.status_code == (200 if kind == "digest" else 404)


@pytest.mark.parametrize("kind", KEYS)
def test_paper_links_of_a_sent_digest_never_expire(client, make_key, kind):
    response = client.get(f"/d/{make_key(kind)}/1/arxiv")

    sent = kind in ("digest", "expired_digest", "digest_before_move")
    assert response.status_code == (302 if sent else 404)


FORMS = {
    "/preferences/{}": [
        {"action": "pause", "weeks": "1"},
        {"action": "resubscribe"},
        {"action": "save_follows", "follow_keyword": "int4"},
        {"action": "change_address", "email": "eve@example.org"},
        {"action": "save_delivery", "fill_mode": "half", "was_fill_mode": ""},
        {"action": "create_key", "kind": "list"},
    ],
    "/preferences/{}/erase": [{}],
    "/preferences/{}/papers": [{"action": "add", "papers": "2401.00001"}],
    "/submit/{}": [{"paper": "2611.95001"}],
}


@pytest.mark.parametrize("kind", [kind for kind in KEYS if kind != "preferences"])
@pytest.mark.parametrize("path", FORMS)
def test_no_other_key_changes_anything_of_the_reader(
    client, make_key, settings, ada, path, kind, django_capture_on_commit_callbacks
):
    settings.READER_SUBMISSIONS = True
    url = path.format(make_key(kind))
    before = type(ada).objects.values().get(pk=ada.pk)

    for form in FORMS[path]:
        with django_capture_on_commit_callbacks() as callbacks:
            response = client.post(url, form)
        assert response.status_code in (403, 404)
        assert not callbacks

    assert type(ada).objects.values().get(pk=ada.pk) == before
    assert ada.follows.count() == 1
    assert not ada.pending_papers.exists()


@pytest.mark.parametrize("kind", [kind for kind in KEYS if kind != "digest"])
def test_no_other_key_stores_feedback(client, make_key, kind):
    client.post(f"/d/{make_key(kind)}/2/less")

    assert not Follow.objects.filter(interest__kind="paper").exists()


@pytest.mark.parametrize(
    ("path", "form"),
    [(path, form) for path, forms in FORMS.items() for form in forms]
    + [("/d/{}/1/less", {}), ("/d/{}/1/arxiv", {})],
)
def test_forms_of_other_sites_are_refused(make_key, settings, path, form):
    settings.READER_SUBMISSIONS = True
    strict_client = Client(enforce_csrf_checks=True)
    kind = "digest" if path.startswith("/d/") else "preferences"

    assert strict_client.post(path.format(make_key(kind)), form).status_code == 403
