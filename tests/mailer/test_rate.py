"""One pace for all workers, in Redis or in a file."""

import threading
import time

import pytest

from digest.mailer import deliver, rate
from digest.mailer.transports import sendgrid


@pytest.fixture(params=["redis", "file"])
def clock(request, settings, tmp_path):
    """An empty clock of each kind."""
    settings.VAR = tmp_path
    settings.REDIS_URL = (
        request.getfixturevalue("redis_url") if request.param == "redis" else ""
    )
    return request.param


def test_without_a_limit_nobody_waits(clock, settings):
    settings.MAIL_RATE = 0

    assert [rate.turn() for _ in range(50)] == [0] * 50


class Watch:
    """Seconds since it was made: a wait is shorter by what a busy machine took to ask."""

    def __init__(self):
        self.begun = time.monotonic()

    def allows(self, wait, at_first):
        """Whether whoever had to wait so long at first may be told this by now."""
        took = time.monotonic() - self.begun
        return at_first - took - 0.01 <= wait <= at_first + 0.01


def test_a_burst_goes_at_once_and_then_each_waits_its_turn(clock, settings):
    settings.MAIL_RATE = 5
    watch = Watch()

    assert [rate.turn() for _ in range(5)] == [0] * 5
    for turn in (1, 2, 3):
        assert watch.allows(rate.turn(), (turn - 1) / 5)


def test_workers_share_the_pace(clock, settings):
    settings.MAIL_RATE = 10
    waits, watch = [], Watch()
    threads = [
        threading.Thread(target=lambda: waits.append(rate.turn())) for _ in range(30)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(waits) == 30
    assert watch.allows(max(waits), 1.9)


def test_a_provider_that_wants_no_mail_gets_none_until_then(clock, settings):
    settings.MAIL_RATE = 0
    watch = Watch()
    rate.block(3)

    assert watch.allows(rate.turn(), 3)
    rate.block(1)  # a shorter one does not undo it
    assert watch.allows(rate.turn(), 3)


def test_a_long_wait_takes_no_turn(clock, settings):
    settings.MAIL_RATE = 1
    watch = Watch()
    rate.block(60)

    assert all(watch.allows(rate.turn(), 60) for _ in range(3))
    with pytest.raises(deliver.Stopped) as stopped:
        deliver.wait_for_turn()
    assert watch.allows(stopped.value.wait, 60)


def test_nobody_is_blocked_for_hours_by_a_wrong_number(clock):
    rate.block(1e9)

    assert rate.turn() <= rate.LONGEST_BLOCK_SECONDS


def test_without_redis_the_machine_keeps_its_own_pace(settings, tmp_path, caplog):
    settings.VAR, settings.REDIS_URL = tmp_path, "redis://127.0.0.1:9/0"
    settings.MAIL_RATE = 2
    watch = Watch()

    waits = [rate.turn() for _ in range(4)]

    assert watch.allows(waits[-1], 0.5)
    assert "redis away" in caplog.text


def test_a_limit_that_is_used_up_says_until_when():
    reset, watch = str(time.time() + 30), Watch()

    none_left = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}
    assert watch.allows(sendgrid.asked_to_wait(none_left), 30)
    assert sendgrid.asked_to_wait(none_left | {"X-RateLimit-Remaining": "7"}) == 0
    assert sendgrid.asked_to_wait({}) == 0
    assert sendgrid.asked_to_wait(none_left | {"X-RateLimit-Reset": "soon"}) == 0
    assert sendgrid.asked_to_wait(none_left | {"X-RateLimit-Reset": "12"}) == 0
