"""The supervisor restarts programs that exit, also workers that a full Redis ended."""

import sys
from datetime import UTC, datetime

import pytest
from redis import Redis
from structlog.testing import capture_logs

from digest.management.supervisor import MAX_RESTART_SECONDS, Supervisor
from digest.models import Digest
from digest.ranking import rank_edition
from tests import make, processes, services
from tests.conftest import ROOT

CELERY = [sys.executable, "-m", "celery", "-A", "tests.celery_every_second"]
WORKER = [*CELERY, "worker", "--loglevel", "INFO", "--concurrency", "2"]


def test_restart_delays_double_and_are_logged(tmp_path):
    with capture_logs() as logs, Supervisor(tmp_path) as programs:
        programs.start("broken", [sys.executable, "-c", "raise SystemExit(3)"])
        now, delays = 0.0, []
        for _ in range(8):
            programs.programs["broken"].process.wait()
            programs.restart_exited(now)
            delays.append(programs.programs["broken"].restart_at - now)
            now = programs.programs["broken"].restart_at
            programs.restart_exited(now)

    assert delays == [1, 2, 4, 8, 16, 32, MAX_RESTART_SECONDS, MAX_RESTART_SECONDS]
    assert [(e["event"], e["program"], e["code"]) for e in logs] == [
        ("program exited", "broken", 3)
    ] * 8


def test_a_program_that_ran_for_a_while_restarts_without_its_old_delay(tmp_path):
    with Supervisor(tmp_path) as programs:
        programs.start("brief", [sys.executable, "-c", ""])
        program = programs.programs["brief"]
        program.process.wait()
        program.started_at, program.delay = 0.0, 32.0
        programs.restart_exited(1000.0)

        assert program.restart_at == 1001.0


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_workers_return_and_mail_everything_after_redis_was_full(
    tmp_path, redis_url, monkeypatch
):
    # A server of its own: its memory limit must not reach other tests.
    own_url = services.start(["REDIS_URL"])["REDIS_URL"]
    redis, mails = Redis.from_url(own_url), tmp_path / "mail"
    settings = {"REDIS_URL": own_url, "VAR_DIR": tmp_path, "MAIL_DIR": mails}
    environment = processes.child_environment(FREEZE_AT="00:00", **settings)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(ROOT)
    log = tmp_path / "worker.log"
    with Supervisor(tmp_path) as programs:
        programs.start("worker", WORKER)
        programs.start("beat", [*CELERY, "beat"])
        processes.wait_until(
            lambda: log.exists() and "freeze_and_plan" in log.read_text()
        )
        redis.config_set("maxmemory-policy", "noeviction")
        redis.config_set("maxmemory", "1mb")
        processes.wait_until(lambda: "worker" in programs.restart_exited(), log)

        now = datetime.now(UTC)
        reader = make.subscriber("ada@example.org", zone="UTC", hour=now.hour)
        for _ in range(6):
            make.paper(announced_on=now.date())
        rank_edition.rank_edition(now.date(), now)
        # The worker ends again while there is no memory.
        processes.wait_until(lambda: "worker" in programs.restart_exited(), log)
        assert list(mails.glob("*.eml")) == []

        redis.config_set("maxmemory", "0")
        processes.wait_until(
            lambda: (programs.restart_exited(), list(mails.glob("*.eml")))[1], log
        )

    assert Digest.objects.get().subscriber == reader
    assert len(list(mails.glob("*.eml"))) == 1
