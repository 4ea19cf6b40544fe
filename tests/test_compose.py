"""docker-compose.yml, Dockerfile and .dockerignore: valid, and their commands run on real servers."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.resources import files

import jsonschema
import pytest
import yaml
from aiosmtpd.handlers import Sink

from accounts.models import User
from digest.models import Heartbeat, Topic
from digest.models.operations import worker_heartbeat
from tests import processes
from tests.conftest import ROOT
from tests.smtp_server import SmtpServer


class UniqueKeyLoader(yaml.SafeLoader):
    """Refuses a key that a mapping has twice, as Docker Compose does and PyYAML does not."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value if key.value != "<<"]
        duplicates = {key for key in keys if keys.count(key) > 1}
        assert not duplicates, f"{node.start_mark}: duplicate keys {duplicates}"
        return super().construct_mapping(node, deep)


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


OVERRIDES = sorted((ROOT / "deploy").glob("compose.*.yml"))


@pytest.mark.parametrize(
    "path", [ROOT / "docker-compose.yml", *OVERRIDES], ids=lambda path: path.stem
)
def test_compose_files_have_no_key_twice(path):
    yaml.load(path.read_text(), UniqueKeyLoader)


@pytest.mark.parametrize("path", OVERRIDES, ids=lambda path: path.stem)
def test_overrides_are_valid_and_change_services_that_exist(path):
    override = yaml.safe_load(path.read_text())
    vendored = files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json"

    jsonschema.validate(override, json.loads(vendored.read_text()))
    assert set(override["services"]) <= {*COMPOSE["services"], "bounces"}


def test_sendgrid_override_concerns_every_process():
    override = yaml.safe_load((ROOT / "deploy/compose.sendgrid.yml").read_text())

    for name in ("setup", "web", "worker", "worker-urgent", "beat"):
        assert override["services"][name]["environment"]["MAIL_TRANSPORT"] == "sendgrid"


@pytest.mark.parametrize("name", ["setup", "web", "worker", "worker-urgent", "beat"])
def test_processes_run_without_privileges(name):
    service = COMPOSE["services"][name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service["pids_limit"]


UNITS = ROOT / "deploy" / "systemd"


def exec_start(unit):
    line = next(x for x in unit.read_text().splitlines() if x.startswith("ExecStart="))
    return line.removeprefix("ExecStart=").split()


@pytest.mark.parametrize("name", ["setup", "web", "worker", "worker-urgent", "beat"])
def test_units_of_systemd_run_the_commands_of_the_image(name):
    unit = UNITS / f"paper-round-{name}.service"
    command = COMPOSE["services"][name].get("command") or DOCKER_COMMAND

    program, *arguments = exec_start(unit)

    assert program.rpartition("/")[2] == command[0]
    own_arguments = {"--bind", "127.0.0.1:8000", "--hostname", "--schedule"}
    unit_only = {a for a in arguments if a in own_arguments or "@%%h" in a or "/" in a}
    assert set(arguments) - unit_only <= set(command)
    assert "EnvironmentFile=/etc/paper-round/env" in unit.read_text()
    assert "User=paper-round" in unit.read_text()


DOCKER_COMMAND = json.loads(
    (ROOT / "Dockerfile").read_text().rpartition("CMD ")[2].strip()
)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_units_are_valid_for_systemd():
    checked = subprocess.run(
        ["systemd-analyze", "verify", *map(str, sorted(UNITS.iterdir()))],
        capture_output=True,
        text=True,
        check=False,
    )
    complaints = [
        line
        for line in checked.stderr.splitlines()
        if "paper-round" in line and "is not executable" not in line
    ]

    assert complaints == []


MANIFESTS = list(
    yaml.safe_load_all((ROOT / "deploy/kubernetes/paper-round.yml").read_text())
)


def find_container(name):
    """The container of a Deployment or Job."""
    (manifest,) = [
        each
        for each in MANIFESTS
        if each["kind"] in ("Deployment", "Job")
        and each["metadata"]["name"] == f"paper-round-{name}"
    ]
    pod = manifest["spec"]["template"]["spec"]
    return pod, pod["containers"][0]


@pytest.mark.parametrize("name", ["setup", "web", "worker", "worker-urgent", "beat"])
def test_pods_run_the_commands_of_compose_without_privileges(name):
    pod, container = find_container(name)

    assert container.get("args") == COMPOSE["services"][name].get("command")
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 999
    assert "--uid 999" in (ROOT / "Dockerfile").read_text()
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_exactly_one_beat_is_deployed():
    (beat,) = [m for m in MANIFESTS if m["metadata"]["name"] == "paper-round-beat"]

    assert beat["spec"]["replicas"] == 1


def test_every_service_has_a_health_check():
    services = {n: s for n, s in COMPOSE["services"].items() if n != "setup"}

    assert set(services) == {
        *("db", "redis", "web", "proxy", "worker", "worker-urgent", "beat", "mailpit")
    }
    assert all("healthcheck" in service for service in services.values())


def test_docker_restarts_every_service_that_exits():
    policies = {n: s.get("restart") for n, s in COMPOSE["services"].items()}

    assert policies.pop("setup") == "no"
    assert set(policies.values()) == {"unless-stopped"}


def test_only_the_proxy_and_mailpit_are_published():
    published = {n: s["ports"] for n, s in COMPOSE["services"].items() if "ports" in s}

    assert published.pop("mailpit") == ["127.0.0.1:8025:8025"]
    assert published == {"proxy": ["127.0.0.1:8000:8000", "80:80", "443:443"]}


def test_web_trusts_exactly_the_proxy():
    environment = service_environment("web")

    assert environment["BEHIND_PROXY"] == "true"
    assert environment["TRUSTED_PROXIES"] == "1"


def test_the_proxy_image_is_pinned_and_keeps_its_certificates():
    proxy = COMPOSE["services"]["proxy"]

    assert re.fullmatch(r"caddy:2\.\d+(\.\d+)?", proxy["image"])
    assert "./deploy/Caddyfile:/etc/caddy/Caddyfile:ro" in proxy["volumes"]
    assert "certificates:/data" in proxy["volumes"]
    assert "certificates" in COMPOSE["volumes"]


def caddy_adapt(**environment):
    """The configuration that Caddy makes of deploy/Caddyfile, as JSON."""
    adapted = subprocess.run(
        [find_caddy(), "adapt", "--config", "deploy/Caddyfile", "--validate"],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert adapted.returncode == 0, adapted.stderr
    return json.loads(adapted.stdout)


def find_caddy():
    """Caddy of this environment or machine; skip the test if it is missing or too old."""
    caddy = shutil.which("caddy", path=processes.PROGRAM_PATH)
    if caddy is None:
        pytest.skip("Caddy is not installed: deploy/Caddyfile is not checked")
    output = subprocess.check_output([caddy, "version"], text=True)
    version = tuple(map(int, re.match(r"v?(\d+)\.(\d+)", output).groups()))
    if version < (2, 7):
        pytest.skip(f"deploy/Caddyfile needs Caddy 2.7 or newer, found {output}")
    return caddy


def proxied_server(adapted):
    (server,) = adapted["apps"]["http"]["servers"].values()
    return server


def test_the_proxy_serves_plain_http_on_port_8000_by_default():
    server = proxied_server(caddy_adapt(**service_environment("proxy")))

    assert server["listen"] == [":8000"]
    assert "localhost" in json.dumps(server["routes"])
    assert '"web:8000"' in json.dumps(server["routes"])


def test_the_proxy_serves_a_domain_over_tls():
    environment = service_environment("proxy", SITE_URL="https://papers.example.org")
    server = proxied_server(caddy_adapt(**environment))

    assert server["listen"] == [":443"]
    assert "automatic_https" not in server
    assert "tls_connection_policies" not in server


class EchoHandler(BaseHTTPRequestHandler):
    """Answers with the headers of the request."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps(dict(self.headers.items())).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@contextmanager
def run_proxy(folder):
    """Run the proxy's command before a server that answers with its headers; yield its URL."""
    find_caddy()
    shell = COMPOSE["services"]["proxy"]["command"]
    command = [word.replace("/etc/caddy/", "deploy/") for word in shell]
    command = [word.replace("$$", "$") for word in command]
    web = HTTPServer(("127.0.0.1", 0), EchoHandler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    url = f"http://localhost:{processes.free_port()}"
    environment = service_environment(
        "proxy",
        SITE_URL=f"{url}/",  # the slash is allowed in settings
        WEB_ADDRESS=f"127.0.0.1:{web.server_port}",
        CADDY_ADMIN=f"127.0.0.1:{processes.free_port()}",
        XDG_DATA_HOME=str(folder),
        XDG_CONFIG_HOME=str(folder),
    )
    log = folder / "caddy.log"
    with log.open("wb") as output:
        program = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | {"PATH": processes.PROGRAM_PATH} | environment,
            stdout=output,
            stderr=output,
        )
    try:
        processes.wait_until(lambda: processes.fetch(url), log)
        yield url
    finally:
        program.terminate()
        program.wait(processes.END_SECONDS)
        web.shutdown()
        web.server_close()


def test_the_proxy_replaces_forwarded_headers_and_limits_bodies(tmp_path):
    forged = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"}
    with run_proxy(tmp_path) as url:
        request = urllib.request.Request(f"{url}/subscribe", b"a=1", forged)
        with urllib.request.urlopen(request, timeout=5) as response:
            headers = json.load(response)
        request = urllib.request.Request(url, b"a" * 7_100_000)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=5)
        refused.value.close()

    assert headers["X-Forwarded-For"] in ("127.0.0.1", "::1")
    assert headers["X-Forwarded-Proto"] == "http"
    assert headers["Host"] == url.removeprefix("http://")
    assert refused.value.code == 413


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


ALLOWED_IN_IMAGE = {"requirements.lock", "requirements-minilm.lock", "manage.py"}
ALLOWED_IN_IMAGE |= {"pyproject.toml", "LICENSE"}
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
        # A worker records the heartbeat that beat enqueues.
        heartbeat = Heartbeat.objects.filter(name=worker_heartbeat("celery"))
        processes.wait_until(heartbeat.exists, log)

    assert health[0] == 200
    assert User.objects.get().email == "first@example.org"
    assert Topic.objects.count() >= 20
