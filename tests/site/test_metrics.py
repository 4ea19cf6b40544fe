"""Metrics for Prometheus."""

import contextlib
import json
import re
import urllib.request

import pytest
import yaml
from django.core.cache import cache
from prometheus_client.parser import text_string_to_metric_families

from digest.models import Heartbeat, SendingPause
from tests import make, processes
from tests.conftest import ROOT

pytestmark = pytest.mark.django_db

TOKEN = "a-token-of-the-tests"


@pytest.fixture(autouse=True)
def clock(time_machine, settings):
    settings.METRICS_TOKEN = TOKEN
    time_machine.move_to(make.NOW, tick=False)


def scrape(client):
    cache.clear()
    response = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert response.status_code == 200
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(response.content.decode())
        for sample in family.samples
    }


@pytest.mark.parametrize(
    "header", ["", "Bearer ", "Bearer wrong", "Basic x", TOKEN[:-1]]
)
def test_metrics_are_hidden_without_the_token(client, header):
    assert client.get("/metrics", headers={"Authorization": header}).status_code == 404


def test_metrics_are_off_without_a_token(client, settings):
    settings.METRICS_TOKEN = ""

    assert (
        client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 404
    )


@pytest.mark.both
def test_state_of_the_pipeline_is_reported(client, ada, bob):
    edition = make.frozen(make.edition(), make.NOW - make.hours(1))
    due = make.NOW - make.hours(0.5)
    batch = make.batch(edition, [ada, bob], at=due)
    make.digest(batch, ada, outcome="accepted", outcome_at=make.NOW - make.hours(0.01))
    make.digest(batch, bob, outcome="unknown")
    SendingPause.objects.trigger("broken", make.NOW)
    Heartbeat.objects.record("beat", make.NOW - make.hours(0.1))

    values = scrape(client)

    assert values["paper_round_digests", "2026-11-20", "accepted"] == 1
    assert values["paper_round_digests", "2026-11-20", "unknown"] == 1
    assert values["paper_round_batches", "planned"] == 1
    assert values["paper_round_sending_lag_seconds",] == 1800
    assert values["paper_round_sending_rate",] == pytest.approx(1 / 300)
    assert values["paper_round_pauses", "automatic"] == 1
    assert values["paper_round_heartbeat_age_seconds", "beat"] == 360
    assert values["paper_round_alarms", "beat"] == 1
    assert values["paper_round_readers", "active"] == 1
    assert values["paper_round_editions", "frozen"] == 1


def test_metrics_are_served_while_redis_is_down(client, settings):
    settings.CACHES = settings.CACHES | {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:9/0",
        }
    }

    response = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})

    assert response.status_code == 200
    assert b"paper_round_alarms" in response.content


def test_requests_are_counted_by_page_without_keys(client):
    key = "AbCdEfGhIjKlMnOpQrStUv"
    client.get("/health")
    client.get(f"/preferences/{key}")
    client.get("/nowhere")

    values = scrape(client)

    assert values["paper_round_http_requests_total", "GET", "503", "health"] >= 1
    assert values["paper_round_http_requests_total", "GET", "404", "other"] >= 1
    assert not any(key in str(name) for name in values)


def test_all_processes_of_gunicorn_are_counted_together(tmp_path):
    port = processes.free_port()
    gunicorn = ["gunicorn", "--config", "python:digest.gunicorn_config"]
    with processes.run_program(
        *(*gunicorn, "--bind", f"127.0.0.1:{port}", "digest.wsgi"),
        log=tmp_path / "log",
        METRICS_TOKEN=TOKEN,
        PROMETHEUS_MULTIPROC_DIR=tmp_path,
    ):
        processes.wait_until(lambda: try_to_get(port, "/alive"), tmp_path / "log")
        for _ in range(20):
            get(port, "/robots.txt")
        text = get(port, "/metrics")

    (line,) = [
        line
        for line in text.splitlines()
        if line.startswith("paper_round_http_requests_total") and "robots" in line
    ]
    assert float(line.split()[-1]) == 20


def try_to_get(port, path):
    with contextlib.suppress(OSError):
        return get(port, path)


def get(port, path):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {TOKEN}"}
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return response.read().decode()


FOLDER = ROOT / "deploy" / "prometheus"


def test_board_and_rules_use_metrics_that_exist():
    expressions = re.findall(r"paper_round_\w+", (FOLDER / "grafana.json").read_text())
    expressions += re.findall(r"paper_round_\w+", (FOLDER / "alerts.yml").read_text())
    source = (ROOT / "digest" / "site" / "metrics.py").read_text()

    names = {
        name.removesuffix("_bucket").removeprefix("paper_round_")
        for name in expressions
    }
    defined = {
        name
        for name in names
        if f'"{name}"' in source or f'"paper_round_{name}"' in source
    }

    assert len(names) > 12
    assert names == defined
    assert json.loads((FOLDER / "grafana.json").read_text())["panels"]
    for rule in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0][
        "rules"
    ]:
        assert {"alert", "expr", "annotations"} <= set(rule)
