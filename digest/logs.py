"""Keeps readers' keys out of the log: Django names the path of every page that fails."""

import logging
import re
from typing import Any

# Whoever reads the log must not be able to open anybody's preferences with it.
KEYS = re.compile(r"(/(?:preferences|digests|d|confirm|unsubscribe|address)/)[\w-]{8,}")


def hidden(told: Any) -> Any:
    """Text, also of an exception, with the keys in its paths blotted out; anything else as it is."""
    return KEYS.sub(r"\1…", told) if isinstance(told, str) else told


class Discreet(logging.Filter):
    """Lets every line pass, without keys."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = hidden(record.msg)
        if isinstance(record.args, tuple):
            record.args = tuple(hidden(one) for one in record.args)
        return True
