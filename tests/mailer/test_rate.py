"""One pace for all workers, in Redis or in a file."""

import contextlib
import os
import threading
import time
from pathlib import Path

import pytest
from django.utils import timezone

from digest.mailer import claims, rate
from digest.mailer.transports import sendgrid
from tests.mailer.sending import deliver_batch, planned_batch


@pytest.fixture(params=["redis", "file"])
def clock(request, settings, tmp_path):
    """An empty clock of each kind."""
    settings.VAR = tmp_path
    settings.REDIS_URL = (
        request.getfixturevalue("redis_url") if request.param == "redis" else ""
    )
    return request.param


def test_without_a_limit_there_is_no_wait(clock, settings):
    settings.MAIL_RATE = 0

    assert [rate.acquire() for _ in range(50)] == [0] * 50


class Watch:
    """Seconds since it was made: a wait is shorter by what a busy machine took to ask."""

    def __init__(self):
        self.begun = time.monotonic()

    def allows(self, wait, at_first):
        """Whether a wait of `at_first` seconds at the start may be `wait` by now."""
        took = time.monotonic() - self.begun
        return at_first - took - 0.01 <= wait <= at_first + 0.01


def test_a_burst_is_immediate_and_later_mails_are_spaced(clock, settings):
    settings.MAIL_RATE = 5
    watch = Watch()

    assert [rate.acquire() for _ in range(5)] == [0] * 5
    for turn in (1, 2, 3):
        assert watch.allows(rate.acquire(), (turn - 1) / 5)


def test_workers_share_the_rate_limit(clock, settings):
    settings.MAIL_RATE = 10
    waits, watch = [], Watch()
    threads = [
        threading.Thread(target=lambda: waits.append(rate.acquire())) for _ in range(30)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(waits) == 30
    assert watch.allows(max(waits), 1.9)


def test_block_for_delays_all_mail(clock, settings):
    settings.MAIL_RATE = 0
    watch = Watch()
    rate.block_for(3)

    assert watch.allows(rate.acquire(), 3)
    rate.block_for(1)  # a shorter one does not undo it
    assert watch.allows(rate.acquire(), 3)


def test_a_long_wait_reserves_nothing(clock, settings):
    settings.MAIL_RATE = 1
    watch = Watch()
    rate.block_for(60)

    assert all(watch.allows(rate.acquire(), 60) for _ in range(3))


@pytest.mark.django_db
def test_a_batch_is_released_for_the_time_of_a_long_wait(settings, tmp_path, provider):
    settings.VAR, settings.REDIS_URL = tmp_path, ""
    sink, batch = provider(), planned_batch(kind="manual")
    rate.block_for(60)

    deliver_batch(claims.claim_next(), list(batch.digests.all()))

    batch.refresh_from_db()
    assert (sink.attempts, batch.state) == ([], "planned")
    assert 50 < (batch.lease_until - timezone.now()).total_seconds() <= 60


def test_mails_of_a_window_are_reserved_together(clock, settings):
    settings.MAIL_RATE = 10
    watch = Watch()

    waits = [rate.acquire(5), rate.acquire(5), rate.acquire(5), rate.acquire()]

    assert waits[:2] == [0, 0]
    assert watch.allows(waits[2], 0)
    assert watch.allows(waits[3], 0.5)


def test_a_block_has_a_maximum(clock):
    rate.block_for(1e9)

    assert rate.acquire() <= rate.MAX_BLOCK_S


def test_without_redis_the_rate_is_limited_per_machine(settings, tmp_path, caplog):
    settings.VAR, settings.REDIS_URL = tmp_path, "redis://127.0.0.1:9/0"
    settings.MAIL_RATE = 2
    watch = Watch()

    waits = [rate.acquire() for _ in range(4)]

    assert watch.allows(waits[-1], 0.5)
    assert "redis unavailable" in caplog.text


def test_an_exhausted_rate_limit_waits_until_its_reset():
    reset, watch = str(time.time() + 30), Watch()

    none_left = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": reset}
    assert watch.allows(sendgrid.rate_limit_wait(202, none_left), 30)
    assert (
        sendgrid.rate_limit_wait(202, none_left | {"x-ratelimit-remaining": "7"}) == 0
    )
    assert sendgrid.rate_limit_wait(202, {}) == 0
    assert sendgrid.rate_limit_wait(202, none_left | {"x-ratelimit-reset": "soon"}) == 0
    assert sendgrid.rate_limit_wait(202, none_left | {"x-ratelimit-reset": "12"}) == 0


TORN_CONTENTS = [
    b"\0" * 40,
    b"17951664",  # of 1795166400.000000: the beginning of a number
    b"\xff" * 40,
    b"17951\x00\x00\x00",
    b"nan",
    b"inf",
    b"-inf",
    b"1e300",
    b"",
    b"x" * 4000,
]


@pytest.mark.parametrize("content", TORN_CONTENTS, ids=range(len(TORN_CONTENTS)))
def test_a_torn_state_file_delays_no_mail(settings, tmp_path, content):
    settings.VAR, settings.REDIS_URL, settings.MAIL_RATE = tmp_path, "", 5
    (tmp_path / "next-mail").write_bytes(content)

    waits = [rate.acquire() for _ in range(7)]

    assert waits[:5] == [0] * 5
    assert 0 < waits[6] <= 0.2


def test_a_state_file_written_by_a_fast_clock_blocks_no_longer_than_the_maximum(
    settings, tmp_path
):
    settings.VAR, settings.REDIS_URL = tmp_path, ""
    (tmp_path / "next-mail").write_text(str(time.time() + 86_400))

    assert rate.acquire() <= rate.MAX_BLOCK_S


def test_the_state_file_is_closed_after_an_exception(settings, tmp_path):
    settings.VAR, settings.REDIS_URL = tmp_path, ""

    with contextlib.suppress(ValueError), rate.locked_state():
        raise ValueError

    assert not [
        descriptor
        for descriptor in Path("/proc/self/fd").iterdir()
        if os.path.realpath(descriptor) == str(tmp_path / "next-mail")
    ]
