"""Lists of papers as readers paste them: arXiv ids in any text, BibTeX, or a library's CSV.

Pure and tolerant: whatever somebody pastes, the papers that can be told in it are told,
in a time linear in its length.
"""

import csv
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice

from digest.text.arxiv_ids import find_arxiv_ids, find_marked_arxiv_ids

# A library of more papers says nothing more of its reader's taste, and three questions
# to arXiv fetch this many.
MAX_PAPERS = 300  # papers, and titles
# A megabyte of BibTeX holds two thousand records; of more, most is not papers.
MAX_LINES = 10_000  # lines or records that are looked at
MAX_SHOWN_LINES = 5  # lines that are named; the others are only counted
MAX_SHOWN_LINE_CHARS = 80  # characters of such a line

_ENTRY = re.compile(r"(?<![\w.])@\s*([A-Za-z]{3,30})\s*[{(]")
_NO_PAPER = {"comment", "string", "preamble"}
_FIELD = re.compile(r"[,{(\s]([A-Za-z][A-Za-z_-]{1,30})\s*=\s*")
_BARE_VALUE = re.compile(r"[^,}\n]*")
_BRACES, _QUOTES = re.compile(r"\\.|[{}()]", re.S), re.compile(r'\\.|[{}"]', re.S)
# Where BibTeX tells of arXiv by number alone, and where only marked. DBLP writes the
# volume abs/2401.01234, Scholar the journal "arXiv preprint arXiv:2401.01234".
_OWN_FIELDS = ("eprint", "arxivid", "arxiv")
_FIELDS = (
    *("url", "doi", "ee", "link", "journal", "journaltitle", "volume", "number"),
    *("howpublished", "note", "publisher"),
)
# The same of Zotero's columns, and of what others call them.
_OWN_COLUMNS = ("archive id", "arxiv id", "arxiv_id", "arxiv", "eprint", "id")
_COLUMNS = (
    *("url", "doi", "extra", "number", "report number", "archive location"),
    "publication title",
)
# BibTeX's accents: \\"{U} is a letter and a sign above it.
_ACCENT = re.compile(r"""\\(["'`^~=.])\s*\{?([A-Za-z])\}?""")
_ABOVE = dict(
    zip("\"'`^~=.", "\u0308\u0301\u0300\u0302\u0303\u0304\u0307", strict=True)
)
_TAGS = re.compile(r"</?(?:i|b|em|sub|sup)>")


@dataclass(frozen=True)
class Bibliography:
    """What a text told: identifiers and titles, each once, in its order, MAX_PAPERS in all.

    `titles` are of papers without an identifier. `unread` counts lines and records that
    told nothing, `named` holds the first of them, `left` counts papers over MAX_PAPERS.
    `is_cut`: there were more than MAX_LINES, and the rest was not looked at.
    """

    identifiers: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()
    unrecognized_count: int = 0
    unrecognized: tuple[str, ...] = ()
    over_limit: int = 0
    is_truncated: bool = False


# What one line or record told: its identifiers, else its title, else only itself.
Told = tuple[list[str], str, str]


def parse_bibliography(*texts: str) -> Bibliography:
    """The papers of pasted texts and files, each told apart by its content."""
    return _found(chain.from_iterable(map(_told, texts)))


def _told(text: str) -> Iterator[Told]:
    clean = text.removeprefix("\ufeff").replace("\x00", " ")
    rows = _records(clean)
    if rows is not None:
        return _of_records(rows)
    if _ENTRY.search(clean):
        return _of_bibtex(clean)
    return ((find_arxiv_ids(line), "", line) for line in clean.splitlines())


def normalize_title(title: str) -> str:
    """A title as it is compared: letters and digits of any script, without accents."""
    folded = unicodedata.normalize("NFKD", title.casefold())
    return "".join(sign for sign in folded if sign.isalnum())


def _found(every: Iterator[Told]) -> Bibliography:
    numbers: dict[str, None] = {}
    titles: dict[str, str] = {}
    unread: list[str] = []
    for told, title, line in islice(every, MAX_LINES):
        if told:
            numbers.update(dict.fromkeys(told))
        elif normalize_title(title):
            titles.setdefault(normalize_title(title), title)
        elif line.strip():
            unread.append(line)
    kept = tuple(numbers)[:MAX_PAPERS]
    room = MAX_PAPERS - len(kept)
    return Bibliography(
        identifiers=kept,
        titles=tuple(titles.values())[:room],
        unrecognized_count=len(unread),
        unrecognized=tuple(map(_short, unread[:MAX_SHOWN_LINES])),
        over_limit=max(len(numbers) + len(titles) - MAX_PAPERS, 0),
        is_truncated=next(every, None) is not None,
    )


def _short(line: str) -> str:
    bare = " ".join(line[: 4 * MAX_SHOWN_LINE_CHARS].split())
    return (
        bare
        if len(bare) <= MAX_SHOWN_LINE_CHARS
        else f"{bare[: MAX_SHOWN_LINE_CHARS - 1]}…"
    )


# BibTeX, read tolerantly: what is broken in one record does not reach the next.


def _of_bibtex(text: str) -> Iterator[Told]:
    """Text around the records is comment: an id in it counts, a line without is no loss."""
    starts = list(_ENTRY.finditer(text))
    ends = [start.start() for start in starts[1:]] + [len(text)]
    yield find_arxiv_ids(text[: starts[0].start()]), "", ""
    for start, end in zip(starts, ends, strict=True):
        if start[1].lower() not in _NO_PAPER:
            body = text[start.end() - 1 : end]
            size = _closed(body, 0)
            fields = dict(_fields(body[:size]))
            title = _plain(fields.get("title", ""))
            yield _number_of(fields), title, start[0] + body[1:size]
            yield find_arxiv_ids(body[size:]), "", ""


def _number_of(fields: Mapping[str, str]) -> list[str]:
    """The one paper of a record; an eprint may be another archive's than arXiv."""
    archive = fields.get("archiveprefix") or fields.get("eprinttype") or "arxiv"
    own = _OWN_FIELDS if archive.lower() == "arxiv" else ()
    return _first(fields, own, _FIELDS)


def _first(
    values: Mapping[str, str], own: tuple[str, ...], others: tuple[str, ...]
) -> list[str]:
    """The first id in these fields: in its `own` ones bare, in others only marked."""
    for name in own:
        if told := find_arxiv_ids(values.get(name, "")):
            return told[:1]
    for name in others:
        if told := find_marked_arxiv_ids(values.get(name, "")):
            return told[:1]
    return []


def _fields(body: str) -> Iterator[tuple[str, str]]:
    """Names in lower case and values of a record, without what encloses them."""
    at = 1
    while name := _FIELD.search(body, at - 1):
        at, value = _value(body, name.end())
        yield name[1].lower(), " ".join(value.split())


def _value(body: str, at: int) -> tuple[int, str]:
    """Where the value that begins at `at` ends, and what it is."""
    if body[at : at + 1] in ("{", '"'):
        end = _closed(body, at) if body[at] == "{" else _quoted(body, at)
        return end, body[at + 1 : end - 1]
    bare = _BARE_VALUE.match(body, at)
    return (bare.end(), bare[0]) if bare else (len(body), "")


def _closed(body: str, at: int) -> int:
    """The place after the brace or parenthesis that closes the one at `at`, else the end."""
    opening, closing = ("(", ")") if body[at] == "(" else ("{", "}")
    depth = 0
    for sign in _BRACES.finditer(body, at):
        depth += (sign[0] == opening) - (sign[0] == closing)
        if depth == 0 and sign[0] == closing:
            return sign.end()
    return len(body)


def _quoted(body: str, at: int) -> int:
    """The place after the quote that closes the one at `at`; within braces quotes are text."""
    depth = 0
    for sign in _QUOTES.finditer(body, at + 1):
        depth += (sign[0] == "{") - (sign[0] == "}")
        if sign[0] == '"' and depth <= 0:
            return sign.end()
    return len(body)


def _plain(title: str) -> str:
    """A title without BibTeX's braces and commands: good enough to compare and to show."""
    accented = _ACCENT.sub(lambda found: found[2] + _ABOVE[found[1]], title)
    bare = re.sub(r"\\[a-zA-Z]+\s*|\\.", "", unicodedata.normalize("NFC", accented))
    return " ".join(re.sub(r"[{}$]", "", bare).replace("~", " ").split())


# A library's CSV: one record a paper, the columns found by their names.


def _records(text: str) -> list[dict[str, str]] | None:
    """The records of a CSV by the lower-case names of its first line; None for other text."""
    lines = text.lstrip().splitlines(keepends=True)
    comma = max(",;\t", key=lines[0].count) if lines else ","
    try:
        rows = csv.reader(lines, delimiter=comma)
        names = [name.strip().lower() for name in next(rows, [])]
        if "title" not in names or not {*_OWN_COLUMNS, *_COLUMNS} & set(names):
            return None
        return [dict(zip(names, row, strict=False)) for row in rows if any(row)]
    except csv.Error:  # a cell of more than 128 KB: no list of papers
        return None


def _of_records(rows: list[dict[str, str]]) -> Iterator[Told]:
    for row in rows:
        title = " ".join(_TAGS.sub("", row.get("title", "")).split())
        yield _first(row, _OWN_COLUMNS, _COLUMNS), title, " ".join(row.values())
