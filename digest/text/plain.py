"""Raw titles, abstracts and names as the plain text that people read.

Every function here takes any text and never raises: a paper is shown with its raw
words rather than not at all. Nothing is escaped here; that is done at output.
"""

# The signs that look like others are meant.
# ruff: noqa: RUF002

import logging
import re
import unicodedata
from collections.abc import Iterable
from re import Match

from digest.text.latex import unicode_of

logger = logging.getLogger(__name__)

# Without one of these there is nothing to convert; 3 of 4 titles have none.
_SPECIAL = re.compile(r"[\\$~^_{}`]|--|\dD?times|&#")
_NUMBERED = re.compile(r"&#(\d{1,6}|[xX][0-9a-fA-F]{1,5});")
_URL = re.compile(
    r"(?:https?://|www\.|(?<![\w.@/-])(?:github|gitlab|huggingface|bitbucket)\."
    r"(?:com|org|co|io)/)(?:[^\s<>\"{}$\\|^`]|\\[_%&#~])+"
)
_AFTER_URL = ".,;:!?'*"
_HOSTS = ("github.", "gitlab.", "bitbucket.")
_CODE = re.compile(
    r"(?:^|[/.])(?:github|gitlab|bitbucket)\.(?:com|org)/[\w.-]+/[\w.-]+"
)
# Kept apart from the text while it is converted; such signs are dropped from it first.
_PLACE = re.compile("\ue000(\\d+)\ue001")
# What copies without backslashes leave of \\url{address} and \\href{address}{words}.
_WRAPPED = re.compile("(?<![\\w\\\\])url\\{(\ue000\\d+\ue001)\\}")
_LINKED = re.compile("(\ue000\\d+\ue001)\\{([^{}]{3,200})\\}")


def plain(raw: str) -> str:
    """One line of Unicode for LaTeX-ish text; the raw words where that fails."""
    text = _printable(raw)
    if _SPECIAL.search(text):
        try:
            text = _printable(_converted(text))
        except Exception:  # one bad macro must never hide a whole abstract
            logger.exception("text left raw: %.80r", raw)
    return " ".join(unicodedata.normalize("NFC", text).split())


def people(raw: Iterable[str]) -> list[str]:
    """Their plain names; what holds nothing to read is none."""
    return [name for name in map(plain, raw) if name]


def _printable(text: str) -> str:
    """Without control, direction, zero-width and private signs, or half characters."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_shown, text))


def _shown(sign: str) -> str:
    if sign.isspace():
        return " "
    dropped = unicodedata.category(sign) in {"Cc", "Cf", "Co", "Cs"}
    return "" if dropped or sign in "\ufffe\uffff" else sign


def _converted(text: str) -> str:
    addresses: list[str] = []

    def put_aside(found: Match[str]) -> str:
        address, rest = _without_tail(found[0])
        addresses.append(re.sub(r"\\([_%&#~])", r"\1", address))
        return f"\ue000{len(addresses) - 1}\ue001{rest}"

    def put_back(found: Match[str]) -> str:
        return addresses[int(found[1])]

    def once(found: Match[str]) -> str:
        place, words = found.groups()
        same = _PLACE.sub(put_back, words) == _PLACE.sub(put_back, place)
        return place if same else f"{words} ({place})"

    kept = _URL.sub(put_aside, _NUMBERED.sub(_numbered, text))
    kept = _LINKED.sub(once, _WRAPPED.sub(r"\1", kept))
    return _PLACE.sub(put_back, unicode_of(kept))


def _numbered(found: Match[str]) -> str:
    """&#945; as α; old records have them, and they hide no letters."""
    number = found[1]
    code = int(number[1:], 16) if number[0] in "xX" else int(number)
    return chr(code) if 31 < code <= 0xFFFFF else found[0]


def _without_tail(address: str) -> tuple[str, str]:
    """An address and the punctuation of the sentence around it."""
    bare = address.rstrip(_AFTER_URL)
    while bare.endswith((")", "]")) and not _closes(bare):
        bare = bare[:-1].rstrip(_AFTER_URL)
    return bare, address[len(bare) :]


def _closes(address: str) -> bool:
    """Whether its last bracket was opened in the address itself."""
    opening = {")": "(", "]": "["}[address[-1]]
    return address.count(opening) >= address.count(address[-1])


def code_url(raw: str) -> str:
    """The first repository that an abstract names, as a full address; or nothing."""
    places = [at for at in map(raw.find, _HOSTS) if at >= 0]
    if not places:  # nearly always, and soon seen
        return ""
    # Addresses hold no space, and those before the word with the first host name none.
    start = raw.rfind(" ", 0, min(places)) + 1
    for found in _URL.finditer(raw, start):
        address = re.sub(r"\\([_%&#~])", r"\1", _without_tail(found[0])[0])
        if _CODE.search(address) and address.isprintable():
            return address if address.startswith("http") else f"https://{address}"
    return ""
