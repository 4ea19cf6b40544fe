"""`manage.py setup`: tables, topics, the group of editors and the first editor."""

import pytest
from django.core.management import CommandError, call_command

from accounts.models import User
from digest.management.commands.setup import README_PASSWORD
from digest.models import Topic
from tests.conftest import ROOT

pytestmark = pytest.mark.django_db


@pytest.fixture
def run_setup(monkeypatch):
    def run(email="first@example.org", password="a long enough password"):
        monkeypatch.setenv("EDITOR_EMAIL", email)
        monkeypatch.setenv("EDITOR_PASSWORD", password)
        call_command("setup")

    return run


def test_setup_loads_topics_and_creates_the_first_editor_once(run_setup):
    run_setup()
    run_setup("second@example.org")

    assert Topic.objects.count() >= 20
    assert [user.email for user in User.objects.all()] == ["first@example.org"]
    assert User.objects.get().check_password("a long enough password")


@pytest.mark.parametrize(
    ("password", "message"),
    [
        ("", "too short"),
        ("nine-long", "too short"),
        ("1029384756", "entirely numeric"),
        ("football12", "too common"),
        ("first@example.org", "too similar"),
        (README_PASSWORD, "sample of the README"),
    ],
)
def test_setup_refuses_a_weak_password(run_setup, password, message):
    with pytest.raises(CommandError, match=message):
        run_setup(password=password)

    assert not User.objects.exists()


def test_setup_refuses_an_invalid_address(run_setup):
    with pytest.raises(CommandError, match="EDITOR_EMAIL is not an email address"):
        run_setup("first")


def test_readme_shows_the_refused_sample_password():
    assert f"EDITOR_PASSWORD={README_PASSWORD}" in (ROOT / "README.md").read_text()
