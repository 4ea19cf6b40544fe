"""The two or three sentences of an abstract that a mail shows: those that say what was done."""

# The signs that look like others are meant.
# ruff: noqa: RUF001

import re

LONGEST = 420  # characters: two to three sentences, about six lines on a phone
MOST = 3  # sentences
ELLIPSIS = "… "

# How the sentence goes that says what authors did: "we propose", "in this paper", "is
# introduced". Of 721 recorded abstracts 99 % have one, and only 35 % among the two or
# three sentences that they begin with.
_ADVERBS = r"(?:(?:\w+ly|also|first|here|then|thus|therefore),? ){0,3}+"
# What "we" is followed by where it is everybody, what came of it, or a name for it.
_NOT_DONE = (
    "achieve|all|are|believe|call|can|cannot|could|denote|do|expect|gain|had|have|hope|"
    "know|lack|live|may|might|must|need|notice|obtain|often|reach|refer|require|see|should|"
    "still|term|think|want|were|will|would"
)
_DONE = re.compile(
    rf"\b[Ww]e,? {_ADVERBS}(?!(?:{_NOT_DONE})\b)[a-z]|"
    r"\b(?:[Tt]his|[Oo]ur) (?:\w+ )?(?:article|benchmark|dataset|note|paper|report|"
    r"research|review|study|survey|thesis|tutorial|work)\b|"
    r"\b(?:is|are) (?:introduced|presented|proposed)\b"
)
# Where it begins by pointing back at what is left out: "To address these issues, we".
_POINTS_BACK = re.compile(
    r"(?:(?:To|For|With|Given|Under|By|From|Inspired|Motivated|Based|Building|Towards?)\b"
    r"[^,.?]{0,50}\b(?:this|these|those|such)\b[^,.?]{0,40},|"
    r"In (?:this|the present) (?:\w+ )?\w+,?)\s+(?=we\b)"
)

_SENTENCE_END = re.compile(
    r"(?<!\b[Nn]o(?=\.\s\d))[.!?]['\"”’)\]]*(?=\s+['\"“‘(\[]?[^\sa-z])"
)
_ABBREVIATION = re.compile(
    r"(?:\b(?:et al|e\.g|i\.e|etc|vs|cf|resp|approx|w\.r\.t|a\.k\.a|incl|figs?|eqs?|"
    r"secs?|refs?|tabs?|nos|vol|pp?|dr|prof|mr|mrs|ms|st|jr|sr|phys|rev|lett|"
    r"proc|dept|univ|inc|ltd|corp|ca|viz|ph\.d|u\.s|u\.k|s\.t|i\.i\.d)|"
    r"\b[A-Z])$",
    re.IGNORECASE,
)


def summary(abstract: str, title: str = "", limit: int = LONGEST) -> str:
    """Two or three sentences of an abstract, those that say what was done in it.

    Its beginning where that says so. Two of three abstracts begin with why somebody
    should do something: there an ellipsis, and what follows from the first sentence
    that says what was done, without an opening that points back. Where little follows,
    what leads there too.
    """
    beginning, ends = sentences(abstract, limit), _ends(abstract)
    starts, room = [0, *ends[:-1]], limit - len(ELLIPSIS)
    cut = [abstract[start:end] for start, end in zip(starts, ends, strict=False)]
    name = _name(title)
    first = next((n for n, one in enumerate(cut) if _tells(one, name)), 0)
    if not first or ends[first] <= len(beginning):
        return beginning
    while len(cut) - first < MOST and len(abstract) - starts[first - 1] <= room:
        first -= 1
    rest = abstract[starts[first] :].lstrip()
    back = _POINTS_BACK.match(rest)
    return ELLIPSIS + sentences(rest[back.end() :] if back else rest, room)


def _tells(sentence: str, name: str) -> bool:
    """Whether it says what was done: in so many words, or by the name of what was made."""
    return bool(_DONE.search(sentence)) or (bool(name) and name in sentence)


def _name(title: str) -> str:
    """What a paper calls its work: "Maps" in "Maps: How to Find Them"; "" where that is no name."""
    name, colon, _ = title.partition(": ")
    return name if colon and len(name.split()) < 3 else ""


def sentences(text: str, limit: int = LONGEST) -> str:
    """The first two to three sentences of plain text, within `limit` characters.

    Never ends inside an abbreviation or a number; a first sentence that is too
    long ends at a word, with an ellipsis.
    """
    ends = _ends(text)[:MOST]
    fitting = [end for end in ends if end <= limit]
    if len(text) <= limit and len(ends) < MOST:
        return text
    # One short sentence says too little: rather the beginning of the second too.
    if fitting and (len(fitting) > 1 or fitting[0] > limit // 2):
        return text[: fitting[-1]]
    return _cut(text, limit)


def _ends(text: str) -> list[int]:
    """Where its sentences end."""
    ends = []
    for found in _SENTENCE_END.finditer(text):
        before = text[max(0, found.start() - 12) : found.start()]
        if text[found.start()] != "." or not _ABBREVIATION.search(before):
            ends.append(found.end())
    return ends if text[-1:].isspace() or not text else [*ends, len(text)]


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    head = text[: limit - 1]
    words = head.rpartition(" ")[0] if not text[limit - 1].isspace() else head
    return (words or head).rstrip(" ,;:–—-(") + "…"
