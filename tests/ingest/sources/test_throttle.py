"""The arXiv lock: one request at a time and one in three seconds, in all processes."""

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

GAP_S = 0.2


@pytest.fixture(params=["redis", "file"])
def backend(request, settings, tmp_path, monkeypatch):
    settings.VAR = tmp_path
    settings.REDIS_URL = ""
    if request.param == "redis":
        settings.REDIS_URL = request.getfixturevalue("redis_url")
        redis.Redis.from_url(settings.REDIS_URL).delete(
            "arxiv:lock", "arxiv:last-request"
        )
    monkeypatch.setattr(throttle, "MIN_REQUEST_GAP_S", GAP_S)
    return request.param


def test_requests_are_exclusive_and_apart_by_the_gap(backend):
    spans = []

    def request():
        with throttle.arxiv_lock():
            start = time.monotonic()
            time.sleep(0.02)
            spans.append((start, time.monotonic()))

    threads = [Thread(target=request) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    spans.sort()
    gaps = [later[0] - earlier[1] for earlier, later in pairwise(spans)]
    assert len(gaps) == 3
    assert min(gaps) >= GAP_S * 0.95


def test_failed_request_counts_for_the_gap(backend):
    with pytest.raises(ZeroDivisionError), throttle.arxiv_lock():
        1 / 0  # noqa: B018
    start = time.monotonic()

    with throttle.arxiv_lock():
        waited = time.monotonic() - start

    assert waited >= GAP_S * 0.9


def test_lock_timeout_raises_a_source_error(backend, monkeypatch):
    monkeypatch.setattr(throttle, "LOCK_TIMEOUT_S", 0.1)

    with (
        throttle.arxiv_lock(),
        pytest.raises(SourceError, match="other workers used arXiv"),
        throttle.arxiv_lock(),
    ):
        pass


def test_lock_of_a_killed_process_is_released(settings, tmp_path, monkeypatch):
    settings.VAR, settings.REDIS_URL = tmp_path, ""
    monkeypatch.setattr(throttle, "MIN_REQUEST_GAP_S", 0.0)
    monkeypatch.setattr(throttle, "LOCK_TIMEOUT_S", 5.0)

    def hold_lock(ready):
        with throttle.arxiv_lock():
            ready.set()
            time.sleep(60)

    context = multiprocessing.get_context("fork")
    ready = context.Event()
    holder = context.Process(target=hold_lock, args=(ready,))
    holder.start()
    assert ready.wait(10)
    holder.kill()
    holder.join()

    with throttle.arxiv_lock():
        pass


def test_file_lock_creates_its_folder(settings, tmp_path):
    settings.VAR, settings.REDIS_URL = tmp_path / "not" / "yet", ""

    with throttle.arxiv_lock():
        assert (settings.VAR / "arxiv.lock").exists()


def test_expired_lease_lets_the_next_one_in(settings, redis_url, monkeypatch):
    settings.REDIS_URL = redis_url
    monkeypatch.setattr(throttle, "MIN_REQUEST_GAP_S", 0.0)
    monkeypatch.setattr(throttle, "LOCK_LEASE_S", 0.05)
    redis.Redis.from_url(redis_url).delete("arxiv:lock", "arxiv:last-request")

    with throttle.arxiv_lock():
        time.sleep(0.1)
        monkeypatch.setattr(throttle, "LOCK_LEASE_S", 60.0)
        with throttle.arxiv_lock():
            is_locked = redis.Redis.from_url(redis_url).exists("arxiv:lock")

    assert is_locked


def test_unreachable_redis_blocks_requests(settings):
    settings.REDIS_URL = "redis://127.0.0.1:9/0"

    with (
        pytest.raises(SourceError, match="Redis did not answer"),
        throttle.arxiv_lock(),
    ):
        pass


def test_hanging_redis_times_out(settings, monkeypatch):
    monkeypatch.setattr(throttle, "REDIS_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.REDIS_URL = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"

        with (
            pytest.raises(SourceError, match="Redis did not answer"),
            throttle.arxiv_lock(),
        ):
            pass


def test_redis_failure_at_release_keeps_the_result(settings, redis_url, monkeypatch):
    settings.REDIS_URL = redis_url
    monkeypatch.setattr(throttle, "MIN_REQUEST_GAP_S", 0.0)
    redis.Redis.from_url(redis_url).delete("arxiv:lock", "arxiv:last-request")

    def fail(*_):
        raise redis.ConnectionError

    with throttle.arxiv_lock():
        monkeypatch.setattr(redis.Redis, "set", fail)
        fetched = True
    monkeypatch.undo()

    assert fetched
    redis.Redis.from_url(redis_url).delete("arxiv:lock")


@pytest.mark.parametrize("content", [b"\x00" * 18, b"\xff\xfe", b"yesterday"])
def test_corrupt_lock_file_is_rewritten(settings, tmp_path, monkeypatch, content):
    settings.VAR, settings.REDIS_URL = tmp_path, ""
    monkeypatch.setattr(throttle, "MIN_REQUEST_GAP_S", 0.01)
    (tmp_path / "arxiv.lock").write_bytes(content)

    with throttle.arxiv_lock():
        pass

    assert time.time() - float((tmp_path / "arxiv.lock").read_text()) < 60


def test_clock_ahead_waits_one_gap_at_most(backend, settings, monkeypatch):
    pauses = []
    clock = SimpleNamespace(
        time=time.time, monotonic=time.monotonic, sleep=pauses.append
    )
    monkeypatch.setattr(throttle, "time", clock)
    if backend == "redis":
        redis.Redis.from_url(settings.REDIS_URL).set(
            "arxiv:last-request", time.time() + 9999
        )
    else:
        (settings.VAR / "arxiv.lock").write_text(str(time.time() + 9999))

    with throttle.arxiv_lock():
        assert pauses == [GAP_S]


def test_every_attempt_takes_the_lock_again(sources, settings, monkeypatch):
    gaps = []
    monkeypatch.setattr(throttle, "_wait_for_gap", gaps.append)
    sources.faults["feed"] = [busy(), busy(429)]

    with http.open_client() as client:
        arxiv_feed.fetch(client, ["cs.LG"], settings.ARXIV_FEED_URL)

    assert len(gaps) == 3
