"""Rules about the repository itself: imports, files, settings, dependencies."""

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

TOP_LEVEL = {
    *("manage.py", "pyproject.toml", "README.md", "digest", "accounts", "templates"),
    *("tests", "docker-compose.yml", "Makefile", "Dockerfile", "LICENSE", "docs"),
    *("requirements.lock", "requirements-dev.lock", "requirements-minilm.lock"),
    *(".ci", "benchmarks", "deploy"),
    *(".gitignore", ".dockerignore", ".github", ".pre-commit-config.yaml"),
    *("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"),
}
SENDGRID_MODULES = {
    "digest/mailer/transports/sendgrid.py",
    "digest/feedback/sendgrid_webhook.py",
}
# env.text("NAME"), load_secret(env, "NAME") or os.environ.get("NAME").
SETTING_READ = re.compile(
    r"\b(?:env(?:\.\w+)?\(|environ\.get\(|load_secret\(env,)\s*\"([A-Z][A-Z_]+)\""
)
# Set by tests/environment.py to servers and folders that it creates.
CREATED = {"DATABASE_URL", "REDIS_URL", "VAR_DIR", "MAIL_DIR"}
# Traces of a developer's machine, written in parts so that this file does not match.
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


def tracked_files():
    """Every file in git, relative to the repository."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout")
    result = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [Path(name) for name in result.stdout.split("\0") if name]


def product_modules():
    """Path and source of every module of the product."""
    for package in ("accounts", "digest"):
        for path in sorted((ROOT / package).rglob("*.py")):
            yield str(path.relative_to(ROOT)), path.read_text()


def settings_read():
    """Settings that the product reads. PAPER_ROUND_* is internal."""
    read = {
        name for _, text in product_modules() for name in SETTING_READ.findall(text)
    }
    return {name for name in read if not name.startswith("PAPER_ROUND_")}


def imported_packages(text):
    """Top-level packages imported anywhere in a module."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


def test_import_contracts_hold():
    result = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stdout + result.stderr


def test_sendgrid_is_imported_in_two_modules():
    importing = {
        path
        for path, text in product_modules()
        if "sendgrid" in imported_packages(text)
    }

    assert importing == SENDGRID_MODULES


@pytest.mark.parametrize(
    "modules",
    [
        "digest.urls",
        "digest.tasks, digest.celery",
        "django.core.management.commands.check",
    ],
    ids=["web", "worker", "command"],
)
def test_processes_start_without_numerical_libraries(modules):
    """They take most of the start-up time, and only ranking and searching need them."""
    script = (
        f"import sys, django; django.setup(); import {modules}; print(*sys.modules)"
    )
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "digest.settings"}

    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    loaded = set(result.stdout.split())
    assert "digest.models" in loaded
    assert loaded & {"numpy", "scipy", "sklearn"} == set()


@pytest.mark.django_db
def test_migrations_match_models():
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_readme_documents_every_setting():
    readme = (ROOT / "README.md").read_text()
    rows = set(
        re.findall(r"`([A-Z][A-Z_]+)`", "".join(re.findall(r"^\|.*", readme, re.M)))
    )

    assert settings_read() - rows == set()


def test_test_environment_sets_every_setting():
    read = settings_read()

    assert {"SECRET_KEY", "DATABASE_URL", "MAIL_TRANSPORT"} <= read
    assert read - set(ENVIRONMENT) - CREATED == set()


def test_every_command_has_a_help_text():
    commands = {
        name: app
        for name, app in get_commands().items()
        if app in ("accounts", "digest")
    }

    undocumented = [
        name
        for name, app in commands.items()
        if not load_command_class(app, name).help.strip()
    ]

    assert {"ingest", "rank", "freeze", "send", "preview"} <= set(commands)
    assert undocumented == []


def test_top_level_of_the_repository_is_fixed():
    top = {path.parts[0] for path in tracked_files()}

    assert top == TOP_LEVEL


def test_no_file_names_a_developers_machine():
    texts = {
        path: (ROOT / path).read_text(errors="replace") for path in tracked_files()
    }

    assert [
        f"{path}: {m[0]}" for path, text in texts.items() for m in TRACES.finditer(text)
    ] == []


def test_every_module_has_a_docstring():
    modules = [
        path
        for path in tracked_files()
        if path.suffix == ".py" and "migrations" not in path.parts
    ]

    undocumented = [
        str(path)
        for path in modules
        if (text := (ROOT / path).read_text())
        and not ast.get_docstring(ast.parse(text))
    ]

    assert modules
    assert undocumented == []


@pytest.mark.parametrize(
    "lock",
    ["requirements.lock", "requirements-dev.lock", "requirements-minilm.lock"],
)
def test_every_dependency_is_locked(lock):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    required = list(project["project"]["dependencies"])
    if lock == "requirements-dev.lock":
        required += project["dependency-groups"]["dev"]
    if lock == "requirements-minilm.lock":
        extras = project["project"]["optional-dependencies"]
        required += extras["transformer"] + extras["minilm"][1:]

    locked = {
        name.lower()
        for name in re.findall(r"^([\w.-]+)==", (ROOT / lock).read_text(), re.M)
    }

    assert {
        re.match(r"[\w.-]+", name)[0].lower() for name in required
    } - locked == set()
