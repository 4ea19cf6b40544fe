"""The benchmark of sending attributes CPU time to stages by the names of functions."""

import time

import pytest

from benchmarks import stages


def work(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_each_stage_names_existing_functions():
    for functions in stages.stage_functions().values():
        assert all(callable(getattr(owner, name)) for owner, name in functions)


def test_a_stage_excludes_the_stages_within_it():
    timer = stages.StageTimer()
    inner = timer.timed("select", lambda: work(0.02))

    def outer_work():
        work(0.01)
        inner()

    timer.timed("load", outer_work)()

    assert timer.totals()["select"] == pytest.approx(0.02, abs=0.008)
    assert timer.totals()["load"] == pytest.approx(0.01, abs=0.008)


def test_a_failing_function_ends_its_stage():
    timer = stages.StageTimer()

    def fail():
        raise KeyError("reader")

    with pytest.raises(KeyError):
        timer.timed("load", fail)()

    assert timer.stack == ["rest"]
