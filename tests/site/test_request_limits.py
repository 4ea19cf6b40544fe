"""Bodies and request rates are bounded."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.files.uploadhandler import TemporaryFileUploadHandler

from tests.site.conftest import body

FORMS = ["/subscribe", "/preferences-link", "/preferences/{key}", "/submit/{key}"]
LARGE_BODIES = ["/preferences/{key}/papers", "/webhooks/sendgrid", "/admin/login/"]


@pytest.fixture
def unread(monkeypatch):
    """Fails a test that reads a body into a temporary file."""

    def fail(*_, **__):
        pytest.fail("the body was read")

    monkeypatch.setattr(TemporaryFileUploadHandler, "new_file", fail)


@pytest.mark.parametrize("path", FORMS)
def test_form_over_100_kb_is_refused_unread(client, db, key, unread, path):
    response = client.post(path.format(key=key), {"file": upload(100_000)})

    assert response.status_code == 413
    assert "up to 100 KB" in body(response)


@pytest.mark.parametrize("path", LARGE_BODIES)
def test_upload_over_2500_kb_is_refused_unread(client, db, key, unread, path):
    response = client.post(path.format(key=key), {"file": upload(3_000_000)})

    assert response.status_code == 413
    assert "up to 2.5 MB" in body(response)


def upload(size):
    return SimpleUploadedFile("library.bib", b"x" * size)


def test_list_within_the_limit_is_read(client, db, key):
    response = client.post(
        f"/preferences/{key}/papers", {"action": "add", "papers": "x " * 400_000}
    )

    assert response.status_code == 200
