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


def test_setup_asks_for_the_administrator_on_a_terminal(run_setup, monkeypatch, capsys):
    passwords = iter(
        [
            "short",
            "a long enough password",
            "another password",
            *["a long enough password"] * 2,
        ]
    )
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: "asked@example.org")
    monkeypatch.setattr("getpass.getpass", lambda _: next(passwords))

    run_setup(email="", password="")

    assert User.objects.get().check_password("a long enough password")
    output = capsys.readouterr().out
    assert "too short" in output
    assert "The passwords differ." in output


def test_setup_without_terminal_says_what_to_set(run_setup, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)

    run_setup(email="", password="")

    assert "set EDITOR_EMAIL and EDITOR_PASSWORD" in capsys.readouterr().out
    assert not User.objects.exists()


def test_setup_reads_the_password_from_a_file(run_setup, monkeypatch, tmp_path):
    path = tmp_path / "password"
    path.write_text("a password of a file\n")
    monkeypatch.setenv("EDITOR_PASSWORD_FILE", str(path))

    run_setup(password="")

    assert User.objects.get().check_password("a password of a file")
