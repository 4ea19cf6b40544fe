"""Raw titles, abstracts and names as the plain text that people read.

Every function here takes any text and never raises: a paper is shown with its raw
words rather than not at all. Nothing is escaped here; that is done at output.
"""

# Look-alike characters are intended.

import logging
import re
import unicodedata
from collections.abc import Iterable
from html.entities import html5
from re import Match

from digest.text.latex import latex_to_unicode

logger = logging.getLogger(__name__)

# Text without one of these needs no conversion; 3 of 4 titles have none.
_SPECIAL = re.compile(r"[\\$~^_{}`]|--|\dD?times|&[#A-Za-z]")
_ENTITY = re.compile(r"&(?:#(\d{1,6}|[xX][0-9a-fA-F]{1,5})|([A-Za-z]\w{1,31}));")
_URL = re.compile(
    r"(?:https?://|www\.|(?<![\w.@/-])(?:github|gitlab|huggingface|bitbucket)\."
    r"(?:com|org|co|io)/)(?:[^\s<>\"{}$\\|^`]|\\[_%&#~]){1,2000}"
)
_TRAILING_PUNCTUATION = ".,;:!?'*"
_ESCAPED_IN_URL = re.compile(r"\\([_%&#~])")
_CODE_HOSTS = ("github.", "gitlab.", "bitbucket.")
_REPOSITORY = re.compile(
    r"(?:^|[/.])(?:github|gitlab|bitbucket)\.(?:com|org)/[\w.-]+/[\w.-]+"
)
# Placeholders of addresses during the conversion; private-use characters are dropped
# from the text first.
_PLACEHOLDER = re.compile("\ue000(\\d+)\ue001")
# What copies without backslashes keep of \\url{address} and \\href{address}{words}.
_BARE_URL_COMMAND = re.compile("(?<![\\w\\\\])url\\{(\ue000\\d+\ue001)\\}")
_BARE_HREF = re.compile("(\ue000\\d+\ue001)\\{([^{}]{3,200})\\}")


def to_plain_text(raw: str) -> str:
    """Convert LaTeX-like text to one line of Unicode; keep the raw words if that fails."""
    text = drop_unprintable(convert_markup(drop_unprintable(raw)))
    return " ".join(unicodedata.normalize("NFC", text).split())


def to_plain_names(raw_names: Iterable[str]) -> list[str]:
    return [name for name in map(to_plain_text, raw_names) if name]


def find_code_url(raw: str) -> str:
    """Return the first repository that a text names, as a full address, or an empty string."""
    positions = [raw.find(host) for host in _CODE_HOSTS if host in raw]
    if not positions:  # nearly always
        return ""
    # Addresses contain no space, so the words before the first host are skipped.
    start = raw.rfind(" ", 0, min(positions)) + 1
    for match in _URL.finditer(raw, start):
        url = _ESCAPED_IN_URL.sub(r"\1", _split_tail(match[0])[0])
        if _REPOSITORY.search(url) and url.isprintable():
            return url if url.startswith("http") else f"https://{url}"
    return ""


def drop_unprintable(text: str) -> str:
    """Drop control, direction, zero-width and private characters, and lone surrogates."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_printable, text))


def _printable(char: str) -> str:
    if char.isspace():
        return " "
    is_dropped = unicodedata.category(char) in {"Cc", "Cf", "Co", "Cs"}
    return "" if is_dropped or char in "\ufffe\uffff" else char


def convert_markup(text: str) -> str:
    """Convert entities, addresses and LaTeX of printable text; keep it if that fails."""
    if not _SPECIAL.search(text):
        return text
    try:
        return _convert_special(text)
    except Exception:  # one bad macro must never hide a whole abstract
        logger.exception("text left raw: %.80r", text)
        return text


def _convert_special(text: str) -> str:
    urls: list[str] = []

    def replace_url(match: Match[str]) -> str:
        url, tail = _split_tail(match[0])
        urls.append(_ESCAPED_IN_URL.sub(r"\1", url))
        return f"\ue000{len(urls) - 1}\ue001{tail}"

    def restore_url(match: Match[str]) -> str:
        return urls[int(match[1])]

    def label_url(match: Match[str]) -> str:
        placeholder, words = match.groups()
        url = _PLACEHOLDER.sub(restore_url, placeholder)
        is_same = _PLACEHOLDER.sub(restore_url, words) == url
        return placeholder if is_same else f"{words} ({placeholder})"

    text = _URL.sub(replace_url, _ENTITY.sub(_decode_entity, text))
    text = _BARE_HREF.sub(label_url, _BARE_URL_COMMAND.sub(r"\1", text))
    return _PLACEHOLDER.sub(restore_url, latex_to_unicode(text))


def _decode_entity(match: Match[str]) -> str:
    """Decode &#945; and &alpha;: old records and copies of web pages have entities."""
    number, name = match.groups()
    if name:
        return html5.get(f"{name};", match[0])
    code = int(number[1:], 16) if number[0] in "xX" else int(number)
    return chr(code) if 31 < code <= 0xFFFFF else match[0]


def _split_tail(text: str) -> tuple[str, str]:
    """Split an address from the punctuation of the sentence around it."""
    url = text.rstrip(_TRAILING_PUNCTUATION)
    while url.endswith((")", "]")) and not _closes_own_bracket(url):
        url = url[:-1].rstrip(_TRAILING_PUNCTUATION)
    return url, text[len(url) :]


def _closes_own_bracket(url: str) -> bool:
    opening = {")": "(", "]": "["}[url[-1]]
    return url.count(opening) >= url.count(url[-1])
