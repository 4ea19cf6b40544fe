"""Author names: lists of sources split into names, and names compared with names."""

import re
from enum import IntEnum

from digest.text.tokens import fold_text

SUFFIX = re.compile(r"(?:jr|sr|ii|iii|iv|2nd|3rd)\.?", re.IGNORECASE)
_BRACKETS = re.compile(r"[()]|[^()]+")
# A nickname, as in "Wei (Vivian) Zhang"; other brackets hold affiliations.
_NICKNAME = re.compile("[\"'\u201c\u2018]?([^\\W\\d_]{1,30})\\.?[\"'\u201d\u2019]?")
_NAME_FOLLOWS = re.compile(r"\s*(?!and\b|et\b)[^\W\d_]", re.IGNORECASE)
_COLLABORATION = re.compile(r"collaboration|consortium", re.IGNORECASE)
_AND = re.compile(r",?\s(?:and|&)\s", re.IGNORECASE)
_SEPARATOR = re.compile(r"[,:;]")
_ET_AL = re.compile(r"(?:(?:^|\s)et\.?\s+al\b\.?|^others\.?)$", re.IGNORECASE)
# A given name, or initials.
_GIVEN_ONLY = re.compile(r"[^\W\d_]+(?:[-'\u2019][^\W\d_]+)*\.?(?: [^\W\d_]\.?)*")
_INITIAL = re.compile(r"(?<=[^\W\d_]\.)(?=[^\W\d_])")


def split_authors(joined: str) -> list[str]:
    """Split the author list of a source into names, as arXiv does (arxiv-base, authors).

    Names are separated by commas, "and", "&", and the colon after a collaboration.
    Affiliations in brackets and "et al." are left out, nicknames in brackets stay.
    "Jr." and the like belong to the name before them.
    """
    text = _AND.sub(
        ", ", " ".join(_drop_affiliations(" ".join(joined.split())).split())
    )
    names: list[str] = []
    for part in _SEPARATOR.split(text):
        name = _INITIAL.sub(" ", _ET_AL.sub("", part.strip()).strip())
        if names and SUFFIX.fullmatch(name):
            names[-1] = f"{names[-1]}, {name}"
        elif name:
            names.append(name)
    return names


def split_entered_names(text: str) -> list[str]:
    """Split the names that a reader entered: by semicolons, or by commas.

    "Berg, Ola" and "Berg, Ola Kai" are one name with the family name first.
    """
    if ";" in text:
        return [name for part in text.split(";") if (name := " ".join(part.split()))]
    names = split_authors(text)
    is_reversed = len(names) == 2 and (
        _GIVEN_ONLY.fullmatch(names[1])
        or (" " not in names[0] and text.count(",") == 1 and not _AND.search(text))
    )
    return [" ".join(text.split())] if is_reversed else names


def _drop_affiliations(text: str) -> str:
    if "(" not in text:  # nearly always
        return text
    parts: list[str] = []
    content: list[str] = []
    depth = 0
    for match in _BRACKETS.finditer(text):
        token = match[0]
        if token == "(":
            depth += 1
        if depth:
            content.append(token)
        else:
            parts.append(token)
        if token == ")" and depth:
            depth -= 1
            if not depth:
                rest = text[match.end() : match.end() + 8]
                parts.append(_keep_bracket("".join(content), parts, rest))
                content = []
    return "".join(parts)


def _keep_bracket(bracket: str, before: list[str], rest: str) -> str:
    """Return what stays of a bracket: a nickname, a collaboration, or a separator."""
    is_first = not before or before[-1].rstrip()[-1:] in ("", ",")
    if is_first and _COLLABORATION.search(bracket) and bracket.count("(") == 1:
        return bracket.replace(",", " ")
    if not _NAME_FOLLOWS.match(rest):
        return ""
    nickname = _NICKNAME.fullmatch(bracket[1:-1])
    return bracket if nickname and not nickname[1].isupper() else ", "


class NameMatch(IntEnum):
    """How surely two names are of one person, from not at all to surely."""

    NONE = 0
    SURNAME = 1
    INITIALS = 2
    #: A middle name more or less, the other order of names, or another hyphenation.
    SAME = 3
    FULL = 4


def name_parts(name: str) -> tuple[str, ...]:
    """Return the folded parts of a name without its suffix, the surname last.

    "Müller, Jan-Erik" gives the same as "Jan-Erik Müller".
    """
    parts = [part.strip() for part in name.split(",")]
    if len(parts) > 1 and SUFFIX.fullmatch(parts[-1]):
        parts.pop()
    if len(parts) == 2:
        parts.reverse()
    folded = fold_text(" ".join(parts)).replace("'", "")
    words = folded.replace("-", " ").replace(".", " ").split()
    if len(words) > 2 and SUFFIX.fullmatch(words[-1]):
        words.pop()
    return tuple(words)


def match_names(first: tuple[str, ...], second: tuple[str, ...]) -> NameMatch:
    """Compare two names, given as `name_parts`."""
    if not first or not second:
        return NameMatch.NONE
    if first == second:
        return NameMatch.FULL
    if sorted(first) == sorted(second):
        return NameMatch.SAME
    if first[-1] != second[-1]:
        return NameMatch.NONE
    if 1 in (len(first), len(second)):
        return NameMatch.SURNAME
    if "".join(first) == "".join(second):
        return NameMatch.SAME
    is_same_given = first[0] == second[0] and len(first[0]) > 1
    if is_same_given and 2 in (len(first), len(second)):
        return NameMatch.SAME
    return (
        NameMatch.INITIALS if _abbreviates(first[:-1], second[:-1]) else NameMatch.NONE
    )


def _abbreviates(first: tuple[str, ...], second: tuple[str, ...]) -> bool:
    """Decide whether given names agree as far as initials tell."""
    return all(
        a == b or (1 in (len(a), len(b)) and a[0] == b[0])
        for a, b in zip(first, second, strict=False)
    )
