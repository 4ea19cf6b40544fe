"""Author lists of sources, split into names."""

import re
from collections.abc import Iterable

_SUFFIXES = frozenset({"jr", "jr.", "sr", "sr.", "ii", "iii", "iv"})
_GROUPS = re.compile(r"collaboration|consortium|team|group", re.IGNORECASE)


def split_authors(joined: str) -> list[str]:
    """Split a comma-joined string into names.

    A comma inside brackets belongs to an affiliation, which is left out; "Jr." and the
    like belong to the name before them.
    """
    names: list[str] = []
    for part in _split_outside_brackets(joined):
        if names and part.casefold() in _SUFFIXES:
            names[-1] = f"{names[-1]}, {part}"
        elif part:
            names.append(part)
    return names


def _split_outside_brackets(joined: str) -> Iterable[str]:
    if "(" not in joined:  # nearly always
        yield from map(_drop_affiliation, joined.split(","))
        return
    depth, start = 0, 0
    for position, char in enumerate(joined):
        depth = max(0, depth + (char == "(") - (char == ")"))
        if char == "," and depth == 0:
            yield _drop_affiliation(joined[start:position])
            start = position + 1
    yield _drop_affiliation(joined[start:])


def _drop_affiliation(part: str) -> str:
    """Drop the affiliation of a person; the name of a group stays as it is."""
    brackets = re.search(r"\(.*\)?", part, re.DOTALL) if "(" in part else None
    if brackets and not _GROUPS.search(brackets[0]):
        part = part[: brackets.start()]
    return " ".join(part.split())
