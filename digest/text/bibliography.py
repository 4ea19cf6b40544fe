"""Lists of papers as readers paste them: identifiers, titles, BibTeX, RIS, EndNote, PubMed, CSL-JSON, CSV.

Pure and tolerant: a broken record does not affect the next, and the time is linear in
the length of the text.
"""

import csv
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from digest.text.arxiv_ids import find_arxiv_ids, find_marked_arxiv_ids
from digest.text.plain import to_plain_text

# Identifiers and titles together. More papers add nothing to a reader's profile, and
# three requests to arXiv fetch this many.
MAX_PAPERS = 300
# A megabyte of BibTeX holds two thousand records; most of a longer text is not papers.
MAX_LINES = 10_000
# Lines that are listed back to the reader; more are only counted.
MAX_SHOWN_LINES = 50
MAX_SHOWN_LINE_CHARS = 80
# The longest title that is looked up; longer lines are prose.
MAX_TITLE_CHARS = 300


@dataclass(frozen=True)
class Bibliography:
    """The papers of a text: identifiers and titles, each once, in order, MAX_PAPERS in all.

    `titles` are of papers without an identifier. `unrecognized_count` counts lines and
    records without either, and `unrecognized` holds the first of them. `over_limit`
    counts papers beyond MAX_PAPERS. `is_truncated`: the text has more than MAX_LINES.
    """

    identifiers: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()
    unrecognized_count: int = 0
    unrecognized: tuple[str, ...] = ()
    over_limit: int = 0
    is_truncated: bool = False


@dataclass(frozen=True)
class _Entry:
    """One line or record: its identifiers, otherwise its title, and its text."""

    identifiers: list[str]
    title: str
    text: str


def parse_bibliography(*texts: str) -> Bibliography:
    """Collect the papers of pasted texts and files; each text is of any format."""
    return _collect(chain.from_iterable(map(_parse_text, texts)))


def normalize_title(title: str) -> str:
    """Reduce a title to letters and digits of any script, without accents, to compare it."""
    folded = unicodedata.normalize("NFKD", title.casefold())
    return "".join(char for char in folded if char.isalnum())


def _parse_text(text: str) -> Iterator[_Entry]:
    text = text.removeprefix("\ufeff").replace("\x00", " ")
    for parse_format in (_parse_csl, _parse_csv, _parse_tagged, _parse_bibtex):
        entries = parse_format(text)
        if entries is not None:
            return entries
    return _parse_lines(text)


def _collect(entries: Iterator[_Entry]) -> Bibliography:
    identifiers: dict[str, None] = {}
    titles: dict[str, str] = {}
    unrecognized: list[str] = []
    for entry in islice(entries, MAX_LINES):
        if entry.identifiers:
            identifiers.update(dict.fromkeys(entry.identifiers))
        elif key := normalize_title(entry.title):
            titles.setdefault(key, entry.title)
        elif entry.text.strip():
            unrecognized.append(entry.text)
    first_identifiers = tuple(identifiers)[:MAX_PAPERS]
    return Bibliography(
        identifiers=first_identifiers,
        titles=tuple(titles.values())[: MAX_PAPERS - len(first_identifiers)],
        unrecognized_count=len(unrecognized),
        unrecognized=tuple(map(_shorten, unrecognized[:MAX_SHOWN_LINES])),
        over_limit=max(len(identifiers) + len(titles) - MAX_PAPERS, 0),
        is_truncated=next(entries, None) is not None,
    )


def _shorten(line: str) -> str:
    text = " ".join(line[: 4 * MAX_SHOWN_LINE_CHARS].split())
    is_short = len(text) <= MAX_SHOWN_LINE_CHARS
    return text if is_short else f"{text[: MAX_SHOWN_LINE_CHARS - 1]}…"


_TAG = re.compile(r"</?(?:i|b|em|sub|sup|span|scp)\b[^<>]{0,200}>", re.IGNORECASE)


def _clean_title(raw: str) -> str:
    """Convert a title with braces, commands or formulas to plain text."""
    plain = to_plain_text(raw[: 4 * MAX_TITLE_CHARS])
    return " ".join(re.sub(r"[{}]", "", plain).split())


def _first_identifier(
    fields: Mapping[str, str], own: Iterable[str], others: Iterable[str]
) -> list[str]:
    """Return the first identifier: bare in the `own` fields, only marked in the others.

    Links may be wrapped, so their white space is ignored.
    """
    for name in own:
        if identifiers := find_arxiv_ids(fields.get(name, "")):
            return identifiers[:1]
    for name in others:
        value = fields.get(name, "")
        for text in (value, "".join(value.split())) if value else ():
            if identifiers := find_marked_arxiv_ids(text):
                return identifiers[:1]
    return []


# Plain lines

_BULLET = re.compile(r"\s{0,20}(?:[-*\u2022\u2013]|\[?\d{1,3}[.)\]])\s+")
_QUOTATION_MARKS = '"\u201c\u201d\u201e\u00ab\u00bb'
# An address that a mail program wrapped: after a slash, inside the number, or as
# quoted-printable.
_WRAPPED = re.compile(
    r"(?<=/abs/)\s{1,20}(?=\d)|(?<=/pdf/)\s{1,20}(?=\d)|(?<=/\d{4}\.)\s{1,20}(?=\d{4})"
    r"|=\r?\n"
)


def _parse_lines(text: str) -> Iterator[_Entry]:
    """Read identifiers from any line, and lines of several words as titles.

    In a text without identifiers two words are enough for a title.
    """
    lines = _WRAPPED.sub("", text).splitlines()
    min_words = 3 if any(map(find_arxiv_ids, lines[:MAX_LINES])) else 2
    for line in lines:
        identifiers = find_arxiv_ids(line)
        title = _BULLET.sub("", line, count=1).strip().strip(_QUOTATION_MARKS)
        is_title = (
            not identifiers
            and len(title) <= MAX_TITLE_CHARS
            and sum(any(map(str.isalpha, word)) for word in title.split()) >= min_words
        )
        yield _Entry(identifiers, _clean_title(title) if is_title else "", line)


# CSL-JSON

_CSL_FIELDS = (
    *("url", "doi", "number", "archive_location", "note", "container-title"),
    *("volume", "page", "publisher", "id", "citation-key"),
)


def _parse_csl(text: str) -> Iterator[_Entry] | None:
    if text.lstrip()[:1] not in ("[", "{"):
        return None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(document, dict):
        document = document.get("items", [document])
    if not isinstance(document, list):
        return None
    items = [item for item in document if isinstance(item, dict)]
    return map(_csl_entry, items) if items else None


def _csl_entry(item: Mapping[str, Any]) -> _Entry:
    fields = {
        str(name).lower(): " ".join(str(value).split())
        for name, value in item.items()
        if isinstance(value, str | int)
    }
    return _Entry(
        _first_identifier(fields, _OWN_FIELDS, _CSL_FIELDS),
        _clean_title(_TAG.sub("", fields.get("title", ""))),
        fields.get("title") or " ".join(fields.values()),
    )


# CSV of Zotero, Google Scholar and others: columns by name

_TITLE_COLUMNS = ("title", "item title", "article title", "document title")
_OWN_COLUMNS = ("archive id", "arxiv id", "arxiv_id", "arxiv", "eprint", "id")
_COLUMNS = (
    *("url", "doi", "link", "extra", "number", "report number", "archive location"),
    *("publication title", "publication", "journal", "venue", "volume", "pages"),
)


def _parse_csv(text: str) -> Iterator[_Entry] | None:
    lines = text.lstrip().splitlines(keepends=True)
    if lines and lines[0].lower().startswith("sep="):  # Excel's hint
        del lines[0]
    if not lines or "{" in lines[0]:  # the beginning of a BibTeX record
        return None
    delimiter = max(",;\t", key=lines[0].count)
    try:
        rows = csv.reader(lines, delimiter=delimiter)
        names = [name.strip().lower() for name in next(rows, [])]
        if len(names) < 2 or not set(_TITLE_COLUMNS) & set(names):
            return None
        records = [dict(zip(names, row, strict=False)) for row in rows if any(row)]
    except csv.Error:  # a cell of more than 128 KB: not a list of papers
        return None
    return map(_csv_entry, records)


def _csv_entry(record: Mapping[str, str]) -> _Entry:
    titles = (record.get(name, "") for name in _TITLE_COLUMNS)
    return _Entry(
        _first_identifier(record, _OWN_COLUMNS, _COLUMNS),
        _clean_title(_TAG.sub("", next(filter(None, titles), ""))),
        " ".join(record.values()),
    )


# Formats with one tag a line: RIS of Zotero, Mendeley, EndNote and publishers, EndNote's own
# (.enw, as Google Scholar exports it) and PubMed's (.nbib)


@dataclass(frozen=True)
class _TaggedFormat:
    """`start` finds the first record and `line` a tag with its value; upper-case names.

    `identifier_tags`: where a record names itself. An abstract may name other papers.
    """

    start: re.Pattern[str]
    line: re.Pattern[str]
    boundary_tags: tuple[str, ...]
    title_tags: tuple[str, ...]
    identifier_tags: tuple[str, ...]


_TAGGED_FORMATS = (
    _TaggedFormat(
        re.compile(r"^[ \t]{0,8}TY  ?-", re.MULTILINE | re.IGNORECASE),
        re.compile(r"[ \t]{0,8}([A-Z][A-Z0-9]) {1,2}-(.*)", re.DOTALL | re.IGNORECASE),
        ("TY", "ER"),
        ("TI", "T1", "CT", "BT"),
        (
            *("UR", "DO", "L1", "L2", "LK", "AN", "ID", "M1", "M3", "C1", "C7"),
            *("JO", "JF", "J2", "T2", "PB", "VL", "IS", "SP"),
        ),
    ),
    _TaggedFormat(
        re.compile(r"^%0 ", re.MULTILINE),
        re.compile(r"%([0-9A-Z@!])(?: (.*))?", re.DOTALL),
        ("0",),
        ("T",),
        ("U", "R", "J", "M"),
    ),
    _TaggedFormat(
        re.compile(r"^PMID ?-", re.MULTILINE),
        re.compile(r"([A-Z]{2,4}) {0,2}-(.*)", re.DOTALL),
        ("PMID",),
        ("TI",),
        ("LID", "AID", "SO"),
    ),
)


def _parse_tagged(text: str) -> Iterator[_Entry] | None:
    for tagged_format in _TAGGED_FORMATS:
        if start := tagged_format.start.search(text):
            lines = text[start.start() :].splitlines()
            before = _parse_lines(text[: start.start()])
            return chain(before, _tagged_entries(lines, tagged_format))
    return None


def _tagged_entries(lines: list[str], tagged_format: _TaggedFormat) -> Iterator[_Entry]:
    fields: dict[str, str] = {}
    name = ""
    for line in lines:
        match = tagged_format.line.fullmatch(line)
        if match and match[1].upper() in tagged_format.boundary_tags and fields:
            yield _tagged_entry(fields, tagged_format)
            fields = {}
        if match:
            name, value = match[1].upper(), (match[2] or "").strip()
            if name not in tagged_format.boundary_tags:
                fields[name] = f"{fields[name]} {value}" if name in fields else value
        elif name in fields:
            fields[name] += f" {line.strip()}"
    if fields:
        yield _tagged_entry(fields, tagged_format)


def _tagged_entry(fields: Mapping[str, str], tagged_format: _TaggedFormat) -> _Entry:
    titles = (fields.get(name, "") for name in tagged_format.title_tags)
    title = next(filter(None, titles), "")
    return _Entry(
        _first_identifier(fields, (), tagged_format.identifier_tags),
        _clean_title(_TAG.sub("", title)),
        title or " ".join(fields.values()),
    )


# BibTeX, of BibDesk, JabRef, DBLP, ADS and Overleaf too

_BIBTEX_START = re.compile(r"(?<![\w.])@\s*([A-Za-z]{3,30})\s*[{(]")
_NO_PAPER = {"comment", "string", "preamble"}
_KEY = re.compile(r"[{(]\s{0,20}([^\s,=]{1,200})\s{0,20},")
_FIELD = re.compile(r"[,{(\s]([A-Za-z][\w-]{1,30})\s*=\s*")
_BARE_VALUE = re.compile(r"[^,}\n#]*")
_CONCATENATION = re.compile(r"\s{0,50}#\s{0,50}")
_BRACES, _QUOTES = re.compile(r"\\.|[{}()]", re.S), re.compile(r'\\.|[{}"]', re.S)
# The fields of arXiv's number alone, and those where it must be marked: DBLP writes the
# volume abs/2401.01234, Scholar the journal "arXiv preprint arXiv:2401.01234".
_OWN_FIELDS = ("eprint", "arxivid", "arxiv_id", "arxiv")
_FIELDS = (
    *("url", "doi", "ee", "link", "eid", "journal", "journaltitle", "volume"),
    *("number", "pages", "howpublished", "note", "publisher", "adsurl", "biburl"),
    *("bdsk-url-1", "bdsk-url-2", "bdsk-url-3", "local-url", "key"),
)


def _parse_bibtex(text: str) -> Iterator[_Entry] | None:
    starts = list(_BIBTEX_START.finditer(text))
    return _bibtex_entries(text, starts) if starts else None


def _bibtex_entries(text: str, starts: list[re.Match[str]]) -> Iterator[_Entry]:
    """Yield the records, and the identifiers of the comments between them."""
    ends = [start.start() for start in starts[1:]] + [len(text)]
    macros: dict[str, str] = {}
    yield _Entry(find_arxiv_ids(text[: starts[0].start()]), "", "")
    for start, end in zip(starts, ends, strict=True):
        body = text[start.end() - 1 : end]
        size = _find_closing(body, 0)
        kind = start[1].lower()
        if kind == "string":
            macros |= dict(_parse_fields(body[:size], macros))
        elif kind not in _NO_PAPER:
            fields = dict(_parse_fields(body[:size], macros))
            if key := _KEY.match(body):
                fields["key"] = key[1]
            title = _clean_title(fields.get("title", ""))
            yield _Entry(_bibtex_identifier(fields), title, start[0] + body[1:size])
            yield _Entry(find_arxiv_ids(body[size:]), "", "")


def _bibtex_identifier(fields: Mapping[str, str]) -> list[str]:
    """Return the one paper of a record; its eprint may be another archive's."""
    archive = fields.get("archiveprefix") or fields.get("eprinttype") or "arxiv"
    own = _OWN_FIELDS if archive.lower() == "arxiv" else ()
    return _first_identifier(fields, own, _FIELDS)


def _parse_fields(body: str, macros: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield lower-case names and values of a record, without their delimiters."""
    position = 1
    while name := _FIELD.search(body, position - 1):
        position, value = _parse_value(body, name.end(), macros)
        yield name[1].lower(), " ".join(value.split())


def _parse_value(
    body: str, position: int, macros: Mapping[str, str]
) -> tuple[int, str]:
    """Return the end of the value at `position`, and the value with its `#` parts joined."""
    parts = []
    while True:
        position, part = _parse_part(body, position, macros)
        parts.append(part)
        joint = _CONCATENATION.match(body, position)
        if joint is None:
            return position, "".join(parts)
        position = joint.end()


def _parse_part(body: str, position: int, macros: Mapping[str, str]) -> tuple[int, str]:
    if body[position : position + 1] in ("{", '"'):
        is_braced = body[position] == "{"
        find_end = _find_closing if is_braced else _find_closing_quote
        end = find_end(body, position)
        return end, body[position + 1 : end - 1]
    bare = _BARE_VALUE.match(body, position)
    if bare is None:
        return len(body), ""
    return bare.end(), macros.get(bare[0].strip().lower(), bare[0])


def _find_closing(body: str, position: int) -> int:
    """Return the place after the bracket that closes the one at `position`, or the end."""
    opening, closing = ("(", ")") if body[position] == "(" else ("{", "}")
    depth = 0
    for match in _BRACES.finditer(body, position):
        depth += (match[0] == opening) - (match[0] == closing)
        if depth == 0 and match[0] == closing:
            return match.end()
    return len(body)


def _find_closing_quote(body: str, position: int) -> int:
    """Return the place after the closing quote; within braces quotes are text."""
    depth = 0
    for match in _QUOTES.finditer(body, position + 1):
        depth += (match[0] == "{") - (match[0] == "}")
        if match[0] == '"' and depth <= 0:
            return match.end()
    return len(body)
