"""The house itself: what DESIGN and STYLE ask of the repository, not of its behaviour."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from django.core.management import call_command, get_commands, load_command_class

from tests.conftest import ROOT
from tests.environment import ENVIRONMENT

TOP = {
    *("manage.py", "pyproject.toml", "README.md", "digest", "accounts", "templates"),
    *("tests", "docker-compose.yml", "Makefile", "Dockerfile", "LICENSE", "docs"),
    *("requirements.lock", "requirements-dev.lock", ".ci", "benchmarks", ".gitignore"),
}
ALSO_AT_TOP = {".dockerignore"}
SENDGRID = {
    "digest/mailer/transports/sendgrid.py",
    "digest/feedback/sendgrid_webhook.py",
}
# Read as env("NAME"), env.bool("NAME"), kept_secret("NAME") or os.environ.get("NAME").
READ = re.compile(
    r"\b(?:env(?:\.\w+)?|environ\.get|kept_secret)\(\s*\"([A-Z][A-Z_]+)\""
)
# Set by tests/environment.py to what it has just started or made.
MADE = {"DATABASE_URL", "REDIS_URL", "VAR_DIR", "MAIL_DIR"}
# Traces of a developer's machine. Written in parts, or this file would hold them.
TRACES = re.compile(
    "|".join(
        [
            r"(?<![\w.])/" + r"(?:root|work|home/\w+)/",
            "py" + r"pi\.org",
            "python" + r"hosted\.org",
            r"--(?:extra-)?index" + r"-url\s+\w+:",
            r"--find" + r"-links",
        ]
    )
)


def tracked():
    """Every file that git knows, relative to the checkout."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout")
    said = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [Path(name) for name in said.stdout.split("\0") if name]


def product():
    """Path and text of every module of the product."""
    for package in ("accounts", "digest"):
        for path in sorted((ROOT / package).rglob("*.py")):
            yield str(path.relative_to(ROOT)), path.read_text()


def settings_read():
    """Names that the product reads; ours alone begin with PAPER_ROUND_."""
    read = {name for _, text in product() for name in READ.findall(text)}
    return {name for name in read if not name.startswith("PAPER_ROUND_")}


def imported(text):
    """The top-level packages that a module imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


def test_imports_go_down():
    said = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert said.returncode == 0, said.stdout + said.stderr


def test_sendgrid_is_imported_in_two_modules():
    importing = {path for path, text in product() if "sendgrid" in imported(text)}

    assert importing == SENDGRID


@pytest.mark.django_db
def test_no_migration_is_missing():
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_every_setting_has_a_row_in_the_readme():
    readme = (ROOT / "README.md").read_text()
    rows = set(
        re.findall(r"`([A-Z][A-Z_]+)`", "".join(re.findall(r"^\|.*", readme, re.M)))
    )

    assert settings_read() - rows == set()


def test_no_test_depends_on_what_a_shell_has_set():
    read = settings_read()

    assert {"SECRET_KEY", "DATABASE_URL", "MAIL_TRANSPORT"} <= read
    assert read - set(ENVIRONMENT) - MADE == set()


def test_every_command_says_what_it_does():
    own = {
        name: app
        for name, app in get_commands().items()
        if app in ("accounts", "digest")
    }

    mute = [
        name
        for name, app in own.items()
        if not load_command_class(app, name).help.strip()
    ]

    assert {"ingest", "rank", "freeze", "send", "preview"} <= set(own)
    assert mute == []


def test_the_top_level_holds_what_the_design_names_and_nothing_else():
    top = {path.parts[0] for path in tracked()}

    assert top - ALSO_AT_TOP == TOP


def test_no_file_carries_a_trace_of_somebodys_machine():
    texts = {path: (ROOT / path).read_text(errors="replace") for path in tracked()}

    assert [
        f"{path}: {m[0]}" for path, text in texts.items() for m in TRACES.finditer(text)
    ] == []


def test_every_module_begins_by_saying_what_it_is_for():
    modules = [
        path
        for path in tracked()
        if path.suffix == ".py" and "migrations" not in path.parts
    ]

    silent = [
        str(path)
        for path in modules
        if (text := (ROOT / path).read_text())
        and not ast.get_docstring(ast.parse(text))
    ]

    assert modules
    assert silent == []


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_every_dependency_is_locked(lock):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = list(project["project"]["dependencies"])
    if lock == "requirements-dev.lock":
        asked += project["dependency-groups"]["dev"]

    locked = {
        name.lower()
        for name in re.findall(r"^([\w.-]+)==", (ROOT / lock).read_text(), re.M)
    }

    assert {re.match(r"[\w.-]+", one)[0].lower() for one in asked} - locked == set()
