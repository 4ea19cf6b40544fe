"""One request at a time, one in three seconds, whoever of us asks."""

import multiprocessing
import socket
import time
from itertools import pairwise
from threading import Thread
from types import SimpleNamespace

import pytest
import redis

from digest.ingest.sources import arxiv_feed, http, throttle
from digest.ingest.sources.listing import SourceError
from tests.ingest.fake_sources import busy

PAUSE = 0.2


@pytest.fixture(params=["redis", "file"])
def way(request, settings, tmp_path, monkeypatch):
    settings.VAR = tmp_path
    settings.REDIS_URL = ""
    if request.param == "redis":
        settings.REDIS_URL = request.getfixturevalue("redis_url")
        redis.Redis.from_url(settings.REDIS_URL).delete(
            "arxiv:lock", "arxiv:last-request"
        )
    monkeypatch.setattr(throttle, "MIN_REQUEST_GAP_S", PAUSE)
    return request.param


def test_turns_are_apart_by_the_pause_and_never_at_once(way):
    spans = []

    def ask():
        with throttle.arxiv_lock():
            begun = time.monotonic()
            time.sleep(0.02)
            spans.append((begun, time.monotonic()))

    askers = [Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()

    spans.sort()
    gaps = [later[0] - earlier[1] for earlier, later in pairwise(spans)]
    assert len(gaps) == 3
    assert min(gaps) >= PAUSE * 0.95


def test_a_turn_that_failed_counts_too(way):
    with pytest.raises(ZeroDivisionError), throttle.arxiv_lock():
        1 / 0  # noqa: B018
    begun = time.monotonic()

    with throttle.arxiv_lock():
        waited = time.monotonic() - begun

    assert waited >= PAUSE * 0.9


def test_who_waits_in_vain_is_told_so(way, monkeypatch):
    monkeypatch.setattr(throttle, "LOCK_TIMEOUT_S", 0.1)

    with (
        throttle.arxiv_lock(),
        pytest.raises(SourceError, match="other workers used arXiv"),
        throttle.arxiv_lock(),
    ):
        pass


def test_a_turn_that_died_is_free_again(settings, tmp_path, monkeypatch):
    settings.VAR, settings.REDIS_URL = tmp_path, ""
    monkeypatch.setattr(throttle, "MIN_REQUEST_GAP_S", 0.0)
    monkeypatch.setattr(throttle, "LOCK_TIMEOUT_S", 5.0)

    def hold(ready):
        with throttle.arxiv_lock():
            ready.set()
            time.sleep(60)

    context = multiprocessing.get_context("fork")
    ready = context.Event()
    holder = context.Process(target=hold, args=(ready,))
    holder.start()
    assert ready.wait(10)
    holder.kill()
    holder.join()

    with throttle.arxiv_lock():
        pass


def test_the_first_turn_of_all_makes_its_own_folder(settings, tmp_path):
    settings.VAR, settings.REDIS_URL = tmp_path / "not" / "yet", ""

    with throttle.arxiv_lock():
        assert (settings.VAR / "arxiv.lock").exists()


def test_a_turn_that_took_too_long_is_the_next_ones_and_breaks_nothing(
    settings, redis_url, monkeypatch
):
    settings.REDIS_URL = redis_url
    monkeypatch.setattr(throttle, "MIN_REQUEST_GAP_S", 0.0)
    monkeypatch.setattr(throttle, "LOCK_LEASE_S", 0.05)
    redis.Redis.from_url(redis_url).delete("arxiv:lock", "arxiv:last-request")

    with throttle.arxiv_lock():
        time.sleep(0.1)
        monkeypatch.setattr(throttle, "LOCK_LEASE_S", 60.0)
        with throttle.arxiv_lock():
            held = redis.Redis.from_url(redis_url).exists("arxiv:lock")

    assert held


def test_a_redis_that_is_away_lets_nobody_ask(settings):
    settings.REDIS_URL = "redis://127.0.0.1:9/0"

    with (
        pytest.raises(SourceError, match="Redis did not answer"),
        throttle.arxiv_lock(),
    ):
        pass


def test_a_redis_that_hangs_keeps_nobody(settings, monkeypatch):
    monkeypatch.setattr(throttle, "REDIS_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.REDIS_URL = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"

        with (
            pytest.raises(SourceError, match="Redis did not answer"),
            throttle.arxiv_lock(),
        ):
            pass


def test_what_was_fetched_while_redis_went_away_is_not_lost(
    settings, redis_url, monkeypatch
):
    settings.REDIS_URL = redis_url
    monkeypatch.setattr(throttle, "MIN_REQUEST_GAP_S", 0.0)
    redis.Redis.from_url(redis_url).delete("arxiv:lock", "arxiv:last-request")

    def away(*_):
        raise redis.ConnectionError

    with throttle.arxiv_lock():
        monkeypatch.setattr(redis.Redis, "set", away)
        fetched = True
    monkeypatch.undo()

    assert fetched
    redis.Redis.from_url(redis_url).delete("arxiv:lock")


@pytest.mark.parametrize("note", [b"\x00" * 18, b"\xff\xfe", b"yesterday"])
def test_a_note_that_a_power_cut_spoilt_is_written_anew(
    settings, tmp_path, monkeypatch, note
):
    settings.VAR, settings.REDIS_URL = tmp_path, ""
    monkeypatch.setattr(throttle, "MIN_REQUEST_GAP_S", 0.01)
    (tmp_path / "arxiv.lock").write_bytes(note)

    with throttle.arxiv_lock():
        pass

    assert time.time() - float((tmp_path / "arxiv.lock").read_text()) < 60


def test_a_clock_that_is_ahead_keeps_nobody_for_long(way, settings, monkeypatch):
    rests = []
    clock = SimpleNamespace(
        time=time.time, monotonic=time.monotonic, sleep=rests.append
    )
    monkeypatch.setattr(throttle, "time", clock)
    if way == "redis":
        redis.Redis.from_url(settings.REDIS_URL).set(
            "arxiv:last-request", time.time() + 9999
        )
    else:
        (settings.VAR / "arxiv.lock").write_text(str(time.time() + 9999))

    with throttle.arxiv_lock():
        assert rests == [PAUSE]


def test_every_attempt_takes_a_turn_of_its_own(sources, settings, monkeypatch):
    turns = []
    monkeypatch.setattr(throttle, "_wait_for_gap", turns.append)
    sources.faults["feed"] = [busy(), busy(429)]

    with http.open_client() as client:
        arxiv_feed.fetch(client, ["cs.LG"], settings.ARXIV_FEED_URL)

    assert len(turns) == 3
