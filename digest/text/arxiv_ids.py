"""The grammar of arXiv identifiers, in every spelling that readers and sources use.

arXiv's help page on identifiers: YYMM.NNNN from April 2007 to 2014, YYMM.NNNNN since
2015, and archive/YYMMNNN before, with an optional subject class that is not part of the
number (math.GT/0309136 is math/0309136).
"""

import re
from datetime import date

_MONTH = r"(?:0[1-9]|1[0-2])"
_NEW = rf"(?:(?:0[7-9]|1[0-4]){_MONTH}\.\d{{4}}|(?:1[5-9]|[2-9]\d){_MONTH}\.\d{{5}})"
# The archives of arXiv's taxonomy, the closed ones included.
_ARCHIVES = (
    *("acc-phys", "adap-org", "alg-geom", "ao-sci", "astro-ph", "atom-ph"),
    *("bayes-an", "chao-dyn", "chem-ph", "cmp-lg", "comp-gas", "cond-mat", "cs"),
    *("dg-ga", "funct-an", "gr-qc", "hep-ex", "hep-lat", "hep-ph", "hep-th"),
    *("math-ph", "math", "mtrl-th", "nlin", "nucl-ex", "nucl-th", "patt-sol"),
    *("physics", "plasm-ph", "q-alg", "q-bio", "quant-ph", "solv-int", "supr-con"),
)
_OLD = (
    rf"(?P<archive>{'|'.join(_ARCHIVES)})(?:\.[a-z]{{2}})?"
    rf"/(?P<old>(?:9[1-9]|0[0-7]){_MONTH}\d{{3}})"
)
_END = r"(?:v(?P<version>[1-9]\d{0,3}))?(?!\.?\d|v\d)"
# What makes the number after it surely arXiv's: an address of a site that uses arXiv's
# numbers, a DOI, an OAI identifier or the word. DBLP writes "abs/" alone.
_MARK = (
    r"(?:(?<![\w-])(?:arxiv\.org|alphaxiv\.org|ar5iv\.org|huggingface\.co|hf\.co|lanl\.gov)"
    r"/(?:abs|pdf|html|format|ps|src|e-print|papers?|overview|forum/abs)/"
    r"|(?<![\w./-])(?:abs|pdf)/|arxiv/|10\.48550/arxiv\."
    r"|arxiv(?:\.org)?[:._\s-]\s{0,3})"
)
# Keys of DBLP (journals/corr/abs-2401-01234) and ADS (2024arXiv240101234B). arXiv's own
# OAI identifiers also hold numbers of the wrong length.
_KEYS = (
    rf"oai:arxiv\.org:(?P<oai>\d\d{_MONTH}\.\d{{4,5}})(?:v(?P<oai_version>[1-9]\d{{0,3}}))?(?!\w)"
    rf"|abs-(?P<dblp>\d\d{_MONTH}-\d{{4,5}})(?!\d)"
    rf"|(?:19|20)\d\darxiv(?P<ads>\d\d{_MONTH}\.?\d{{4,5}})[a-z]\b"
)
# A bare number must not be the tail of another address, DOI, word or number.
_ALONE = r"(?<![\w./-])"
_MARKED = re.compile(rf"{_MARK}(?:{_OLD}|(?P<new>{_NEW})){_END}|{_KEYS}", re.IGNORECASE)
_ANY = re.compile(
    rf"(?:{_MARK}|{_ALONE})(?:{_OLD}|(?P<new>{_NEW})){_END}|{_KEYS}", re.IGNORECASE
)
# Redirects of search engines and mail scanners hold the address percent-encoded.
_ENCODED_SLASH = re.compile(r"%(?:25){0,3}2f", re.IGNORECASE)
_ENCODED_COLON = re.compile(r"%(?:25){0,3}3a", re.IGNORECASE)


def parse_arxiv_id(text: str) -> tuple[str, int]:
    """Return the identifier and version of the one paper that a text names.

    An identifier without a version is version 1. Raises ValueError where the text
    names no paper or more than one.
    """
    matches = list(_ANY.finditer(_decode_redirects(text)))
    if len({_identifier_of(match) for match in matches}) != 1:
        raise ValueError(f"{text.strip()[:60]!r} is not an arXiv identifier")
    version = matches[0]["version"] or matches[0]["oai_version"] or 1
    return _identifier_of(matches[0]), int(version)


def find_arxiv_ids(text: str) -> list[str]:
    """Return every identifier in a text once, in order, without its version."""
    return _find_all(_ANY, text)


def find_marked_arxiv_ids(text: str) -> list[str]:
    """Return the identifiers that an address, a DOI or a key marks as arXiv's."""
    return _find_all(_MARKED, text)


def month_of(identifier: str) -> date:
    """Return the first day of the month in which arXiv gave out an identifier."""
    digits = identifier.rpartition("/")[2]
    year, month = int(digits[:2]), int(digits[2:4])
    return date(year + (1900 if year > 90 and "/" in identifier else 2000), month, 1)


def _find_all(pattern: re.Pattern[str], text: str) -> list[str]:
    matches = pattern.finditer(_decode_redirects(text))
    return list(dict.fromkeys(map(_identifier_of, matches)))


def _identifier_of(match: re.Match[str]) -> str:
    if match["old"]:
        return f"{match['archive'].lower()}/{match['old']}"
    number = match["new"] or match["oai"] or match["dblp"] or match["ads"]
    digits = number.replace("-", "").replace(".", "")
    return f"{digits[:4]}.{digits[4:]}"


def _decode_redirects(text: str) -> str:
    if "%" not in text:
        return text
    return _ENCODED_COLON.sub(":", _ENCODED_SLASH.sub("/", text))
