"""docker-compose.yml, Dockerfile and .dockerignore: valid, and their commands run on real servers."""

import json
import re
import subprocess
import sys
from importlib.resources import files

import jsonschema
import pytest
import yaml
from aiosmtpd.handlers import Sink

from accounts.models import User
from digest.models import Topic
from tests import processes
from tests.conftest import ROOT
from tests.smtp_server import SmtpServer

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SECRETS = {
    "SECRET_KEY": "x" * 50,
    "SUPPRESSION_KEY": "y" * 50,
    "POSTGRES_PASSWORD": "z",
}


def interpolate(value):
    """A value as Compose interpolates it, with the three secrets set."""
    return re.sub(
        r"\$\{(\w+):?([-?])([^}]*)\}",
        lambda m: SECRETS.get(m[1], m[3] if m[2] == "-" else ""),
        str(value),
    )


def service_environment(service, **overrides):
    environment = COMPOSE["services"][service]["environment"]
    return {name: interpolate(value) for name, value in environment.items()} | overrides


@pytest.fixture
def smtp():
    """An SMTP server in place of Mailpit."""
    server = SmtpServer(Sink())
    server.start()
    yield server.url
    server.stop()


def test_the_compose_file_is_valid():
    vendored = files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json"

    jsonschema.validate(COMPOSE, json.loads(vendored.read_text()))


def test_every_service_has_a_health_check():
    services = {n: s for n, s in COMPOSE["services"].items() if n != "setup"}

    assert set(services) == {
        *("db", "redis", "web", "worker", "worker-urgent", "beat", "mailpit")
    }
    assert all("healthcheck" in service for service in services.values())


def test_compose_sets_only_known_settings():
    settings = (ROOT / "digest" / "settings.py").read_text()
    setup = (ROOT / "digest/management/commands/setup.py").read_text()
    names = set(COMPOSE["services"]["setup"]["environment"])

    assert {name for name in names if f'"{name}"' not in settings + setup} == set()


# The same in every container, or only changed by tests.
NOT_IN_COMPOSE = {"DEBUG", "VAR_DIR", "MAIL_DIR"}
NOT_IN_COMPOSE |= {"ARXIV_FEED_URL", "ARXIV_API_URL", "HUGGINGFACE_URL"}


def test_compose_passes_every_documented_setting():
    readme = (ROOT / "README.md").read_text()
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", readme, re.M))

    assert (
        documented - set(COMPOSE["services"]["setup"]["environment"]) == NOT_IN_COMPOSE
    )


def test_only_setup_gets_the_editors_password():
    services = COMPOSE["services"].items()

    names = {
        name for name, s in services if "EDITOR_PASSWORD" in s.get("environment", {})
    }

    assert names == {"setup"}


ALLOWED_IN_IMAGE = {"requirements.lock", "manage.py", "pyproject.toml", "LICENSE"}
ALLOWED_IN_IMAGE |= {"accounts", "digest", "templates"}


def test_dockerignore_is_an_allow_list():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]

    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule[0] == "!"} == ALLOWED_IN_IMAGE
    assert all(rule.startswith(("!", "**/")) for rule in rules[1:])


def test_every_service_rotates_its_logs():
    drivers = {n: s.get("logging", {}) for n, s in COMPOSE["services"].items()}

    assert {n for n, s in drivers.items() if s.get("driver") != "local"} == set()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_commands_of_the_services_run_on_postgresql_and_redis(
    tmp_path, redis_url, smtp
):
    settings = service_environment(
        "setup",
        DATABASE_URL=processes.database_url(),
        REDIS_URL=redis_url,
        SMTP_URL=smtp,
        VAR_DIR=tmp_path,
        EDITOR_EMAIL="first@example.org",
        EDITOR_PASSWORD="a long enough password",
    )
    commands = {n: s.get("command") for n, s in COMPOSE["services"].items()}
    port, log = processes.free_port(), tmp_path / "log"
    dockerfile = (ROOT / "Dockerfile").read_text()
    web = json.loads(re.search(r"^CMD (\[.*\])$", dockerfile, re.M)[1])
    web += ["--bind", f"127.0.0.1:{port}", "--workers", "1"]

    subprocess.run(
        [sys.executable, *commands["setup"][1:]],
        cwd=ROOT,
        env=processes.child_environment(**settings),
        check=True,
    )
    with (
        processes.run_program(*web, log=log, **settings),
        processes.run_program(*commands["worker"], log=log, **settings),
        processes.run_program(
            *commands["beat"], log=log, **settings | {"HOME": tmp_path}
        ),
    ):
        health = processes.wait_until(
            lambda: processes.fetch(f"http://127.0.0.1:{port}/alive"), log
        )
        processes.wait_until(lambda: "ready." in log.read_text(), log)
        processes.wait_until(lambda: "beat: Starting" in log.read_text(), log)

    assert health[0] == 200
    assert User.objects.get().email == "first@example.org"
    assert Topic.objects.count() >= 20
