"""One pace for all workers, in Redis or in a file."""

import threading
import time

import pytest

from digest.mailer import deliver, rate, sendgrid


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


def test_a_burst_goes_at_once_and_then_each_waits_its_turn(clock, settings):
    settings.MAIL_RATE = 5

    waits = [rate.turn() for _ in range(9)]

    assert waits[:5] == [0] * 5
    assert waits[8] == pytest.approx(0.6, abs=0.15)
    assert waits[5:] == sorted(waits[5:])


def test_workers_share_the_pace(clock, settings):
    settings.MAIL_RATE = 10
    waits = []
    threads = [
        threading.Thread(target=lambda: waits.append(rate.turn())) for _ in range(30)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert max(waits) == pytest.approx(1.9, abs=0.4)
    assert len({round(wait, 3) for wait in waits if wait}) >= 15


def test_a_provider_that_wants_no_mail_gets_none_until_then(clock, settings):
    settings.MAIL_RATE = 0
    rate.block(3)

    assert rate.turn() == pytest.approx(3, abs=0.5)
    rate.block(1)  # a shorter one does not undo it
    assert rate.turn() == pytest.approx(3, abs=0.5)


def test_a_long_wait_takes_no_turn(clock, settings):
    settings.MAIL_RATE = 1
    rate.block(60)

    waits = [rate.turn() for _ in range(3)]

    assert max(waits) - min(waits) < 0.5
    with pytest.raises(deliver.Stopped) as stopped:
        deliver.wait_for_turn()
    assert stopped.value.wait == pytest.approx(60, abs=1)


def test_nobody_is_blocked_for_hours_by_a_wrong_number(clock):
    rate.block(1e9)

    assert rate.turn() <= rate.LONGEST_BLOCK_SECONDS


def test_without_redis_the_machine_keeps_its_own_pace(settings, tmp_path, caplog):
    settings.VAR, settings.REDIS_URL = tmp_path, "redis://127.0.0.1:9/0"
    settings.MAIL_RATE = 2

    waits = [rate.turn() for _ in range(4)]

    assert waits[-1] == pytest.approx(0.5, abs=0.3)
    assert "redis away" in caplog.text


def test_a_limit_that_is_used_up_says_until_when():
    reset = str(time.time() + 30)

    none_left = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}
    assert sendgrid.asked_to_wait(none_left) == pytest.approx(30, abs=1)
    assert sendgrid.asked_to_wait(none_left | {"X-RateLimit-Remaining": "7"}) == 0
    assert sendgrid.asked_to_wait({}) == 0
    assert sendgrid.asked_to_wait(none_left | {"X-RateLimit-Reset": "soon"}) == 0
    assert sendgrid.asked_to_wait(none_left | {"X-RateLimit-Reset": "12"}) == 0
