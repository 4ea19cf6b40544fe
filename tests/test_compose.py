"""The real way to run it: the compose file is what it should be, and its commands work on real parts."""

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
GIVEN = {"SECRET_KEY": "x" * 50, "SUPPRESSION_KEY": "y" * 50, "POSTGRES_PASSWORD": "z"}


def interpolated(value):
    """A value as Compose would read it, with the three secrets given."""
    return re.sub(
        r"\$\{(\w+):([-?])([^}]*)\}",
        lambda m: GIVEN.get(m[1], m[3] if m[2] == "-" else ""),
        str(value),
    )


def settings_of(service, **own):
    given = COMPOSE["services"][service]["environment"]
    return {name: interpolated(value) for name, value in given.items()} | own


@pytest.fixture
def smtp():
    """What Mailpit is in the file: somewhere for mails to go."""
    server = SmtpServer(Sink())
    server.start()
    yield server.url
    server.stop()


def test_the_compose_file_is_valid():
    vendored = files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json"

    jsonschema.validate(COMPOSE, json.loads(vendored.read_text()))


def test_every_service_says_whether_it_is_well():
    lasting = {n: s for n, s in COMPOSE["services"].items() if n != "setup"}

    assert set(lasting) == {"db", "redis", "web", "worker", "beat", "mailpit"}
    assert all("healthcheck" in service for service in lasting.values())


def test_what_the_compose_file_sets_is_a_setting():
    settings = (ROOT / "digest" / "settings.py").read_text()
    setup = (ROOT / "digest/management/commands/setup.py").read_text()
    names = set(COMPOSE["services"]["web"]["environment"])

    assert {name for name in names if f'"{name}"' not in settings + setup} == set()


# What is the same in every container, or points at a test's own sources.
FIXED = {"DEBUG", "VAR_DIR", "MAIL_DIR"}
FIXED |= {"ARXIV_FEED_URL", "ARXIV_API_URL", "HUGGINGFACE_URL"}


def test_what_an_operator_writes_into_env_reaches_the_containers():
    readme = (ROOT / "README.md").read_text()
    told = set(re.findall(r"^\| `([A-Z_]+)` \|", readme, re.M))

    assert told - set(COMPOSE["services"]["web"]["environment"]) == FIXED


def test_no_log_grows_until_the_disk_is_full():
    drivers = {n: s.get("logging", {}) for n, s in COMPOSE["services"].items()}

    assert {n for n, s in drivers.items() if s.get("driver") != "local"} == set()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_its_commands_run_on_postgresql_and_redis(tmp_path, redis_url, smtp):
    settings = settings_of(
        "web",
        DATABASE_URL=processes.database_url(),
        REDIS_URL=redis_url,
        SMTP_URL=smtp,
        VAR_DIR=tmp_path,
        EDITOR_EMAIL="first@example.org",
        EDITOR_PASSWORD="a long enough password",
    )
    commands = {n: s.get("command") for n, s in COMPOSE["services"].items()}
    port, log = processes.free_port(), tmp_path / "log"
    web = ["gunicorn", "digest.wsgi", "--bind", f"127.0.0.1:{port}", "--workers", "1"]

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
