"""Diagnosis of an installation: each check yields findings with what to do about them.

`manage.py doctor` prints them, the admin shows them. A check that raises is a finding too.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import structlog

log = structlog.get_logger(__name__)


class State(StrEnum):
    OK = "ok"
    UNKNOWN = "unknown"  # could not be checked from this machine
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """The result of a check: `text` says what is, `fix` what to do unless it is ok."""

    name: str
    state: State
    text: str
    fix: str = ""


Check = Callable[[], Iterable[Finding]]


def ok(name: str, text: str) -> Finding:
    return Finding(name, State.OK, text)


def unknown(name: str, text: str, fix: str = "") -> Finding:
    return Finding(name, State.UNKNOWN, text, fix)


def warning(name: str, text: str, fix: str) -> Finding:
    return Finding(name, State.WARNING, text, fix)


def failed(name: str, text: str, fix: str) -> Finding:
    return Finding(name, State.FAILED, text, fix)


def diagnose() -> Iterator[Finding]:
    """Run every check; the database comes first, because many others need it."""
    from digest.doctor import delivery, services

    database = list(run_check(services.check_database))
    yield from database
    yield from run_check(services.check_settings)
    if any(finding.state == State.FAILED for finding in database):
        yield unknown("other checks", "Not run, because they need the database.")
        return
    for check in (*services.CHECKS, *delivery.CHECKS):
        yield from run_check(check)


def run_check(check: Check) -> Iterator[Finding]:
    try:
        yield from check()
    except Exception as error:
        name = check.__name__.removeprefix("check_").replace("_", " ")
        log.exception("check failed", check=name)
        text = f"The check ended with {type(error).__name__}: {error}"
        yield failed(name, text, "See the log of this process.")


def has_failed(findings: Iterable[Finding]) -> bool:
    return any(finding.state == State.FAILED for finding in findings)
