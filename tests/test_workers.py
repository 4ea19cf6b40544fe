"""Beat and worker processes on a real broker freeze and mail an edition."""

from datetime import UTC, datetime

import pytest

from digest.models import Digest, Edition
from digest.ranking import rank_edition
from tests import make, processes

WORKER = ("worker", "--pool", "threads", "--concurrency", "2", "--loglevel", "INFO")


@pytest.mark.both
@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("broker", ["redis", "filesystem"])
def test_beat_and_worker_freeze_and_mail_an_edition(broker, tmp_path, request):
    now = datetime.now(UTC)
    # FREEZE_AT is midnight, so the edition of today is due, and so is this reader.
    reader = make.subscriber("ada@example.org", zone="UTC", hour=now.hour)
    for _ in range(6):
        make.paper(announced_on=now.date())
    edition = rank_edition.rank_edition(now.date(), now)
    log = tmp_path / "log"
    settings = {
        "REDIS_URL": request.getfixturevalue("redis_url") if broker == "redis" else "",
        "VAR_DIR": tmp_path,
        "MAIL_DIR": tmp_path / "mail",
        "FREEZE_AT": "00:00",
    }

    celery = ("celery", "-A", "tests.celery_every_second")
    with (
        processes.run_program(*celery, *WORKER, log=log, **settings),
        processes.run_program(*celery, "beat", log=log, **settings),
    ):
        processes.wait_until(lambda: list((tmp_path / "mail").glob("*.eml")), log)

    edition.refresh_from_db()
    assert edition.state == Edition.State.FROZEN
    assert Digest.objects.get().subscriber == reader
    assert len(list((tmp_path / "mail").glob("*.eml"))) == 1
