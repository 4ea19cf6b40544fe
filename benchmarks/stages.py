"""Where a worker's CPU time goes: what the functions of each stage use in the main thread.

A function's time excludes that of timed functions it calls, so that the stages add up. The
threads that make calls are `call`; what no stage covers is `rest`.

    claim · choose: load · match · select ─► store ─► last_check · prepare · compose ─► mark · record
                                                          threads: call
"""

import functools
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any


def stage_functions() -> dict[str, list[tuple[Any, str]]]:
    """Return the functions of each stage, as their owners and names."""
    from digest.mailer import batch_composer, claims, deliver, last_check, recording
    from digest.models import bulk
    from digest.ranking import choose, edition_index, interest_question, reader_profiles

    return {
        "claim": [(claims, "claim_next"), (deliver, "release_batch")],
        "load": [
            (reader_profiles, "load_profiles"),
            (reader_profiles.ReaderProfiles, "build_queries"),
            (choose, "load_sent_candidates"),
            (choose, "exclude_columns"),
            (edition_index, "load_index"),
        ],
        "match": [(edition_index.EditionIndex, "match")],
        "select": [(choose, "select"), (choose, "choose")],
        "question": [
            (interest_question, "add_questions"),
            (interest_question, "record_questions"),
        ],
        "digests": [(choose, "_build_digests")],
        "store": [(bulk, "insert_digests")],
        "last_check": [(last_check, "filter_mailable")],
        "prepare": [(batch_composer.BatchComposer, "load_digests")],
        "compose": [(batch_composer.BatchComposer, "encode_digest")],
        "mark": [(deliver, "mark_sending")],
        "record": [(recording, "record_results")],
    }


class StageTimer:
    """Adds up the CPU time of the main thread by stage, each without the stages within it."""

    def __init__(self) -> None:
        self.seconds = defaultdict[str, float](float)
        self.stack = ["rest"]
        self.since = time.thread_time()
        self.threads_before = time.process_time() - self.since

    def start(self) -> None:
        """Time the functions of all stages from now on."""
        for stage, functions in stage_functions().items():
            for owner, name in functions:
                setattr(owner, name, self.timed(stage, getattr(owner, name)))
        self.since = time.thread_time()
        self.threads_before = time.process_time() - self.since

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(*arguments: Any, **options: Any) -> Any:
            self.switch()
            self.stack.append(stage)
            try:
                return function(*arguments, **options)
            finally:
                self.switch()
                self.stack.pop()

        return run

    def switch(self) -> None:
        """Count the time since the last change for the current stage."""
        now = time.thread_time()
        self.seconds[self.stack[-1]] += now - self.since
        self.since = now

    def totals(self) -> dict[str, float]:
        """Return the CPU seconds of every stage, with `call` and `rest`."""
        self.switch()
        calls = time.process_time() - self.since - self.threads_before
        return {
            **dict.fromkeys(stage_functions(), 0.0),
            **self.seconds,
            "call": calls,
        }
