"""What a mail and a page show of one paper, as plain values to be escaped there."""

# The signs that look like others are meant.
# ruff: noqa: RUF001

import re
from collections.abc import Sequence
from typing import Any

from digest.models import Paper

LONGEST = 420  # characters: two to three sentences, about six lines on a phone
MOST = 3  # sentences
ELLIPSIS = "… "

# How the sentence begins or goes that says what authors did: "we propose", "in this
# paper", "is introduced". Of 721 recorded abstracts 98 % have one, and only 33 % among
# the two or three sentences that they begin with.
_DOES = (
    "address|adapt|aim|analy[sz]e|apply|argue|ask|assess|benchmark|build|characteri[sz]e|"
    "collect|compare|conduct|consider|construct|contribute|create|curate|define|"
    "demonstrate|derive|describe|design|develop|devise|discover|establish|evaluate|"
    "examine|explore|extend|find|focus|formali[sz]e|formulate|found|give|identify|"
    "implement|improve|integrate|introduce|investigate|launch|leverage|look|measure|"
    "observe|offer|open-source|perform|present|probe|propose|prove|provide|quantify|"
    "reformulate|release|report|rethink|reveal|review|revisit|seek|show|solve|study|"
    "studied|suggest|survey|tackle|take|test|train|uncover|unify|unveil|use|utili[sz]e|"
    "validate"
)
_DONE = re.compile(
    rf"\b[Ww]e,? (?:(?:\w+ly|also|first|here|then|thus|therefore),? ){{0,3}}(?:{_DOES})(?:e?d)?\b|"
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


def authors_line(names: Sequence[str], first: int = 3) -> str:
    """The first names and how many more: "A, B, C + 12 more". One more is named: that takes no more room."""
    more = len(names) - first
    if more <= 1:
        return ", ".join(names)
    return f"{', '.join(names[:first])} + {more:,} more"


def card(paper: Paper) -> dict[str, Any]:
    """All of a paper that an edition keeps; plain text, addresses of the web only."""
    return {
        "identifier": paper.identifier,
        "title": paper.title,
        "authors": authors_line(paper.authors),
        "organization": paper.organization,
        "date": paper.announced_on.isoformat(),
        "published": paper.published_at.date().isoformat()
        if paper.published_at
        else None,
        "summary": summary(paper.abstract, paper.title),
        "abstract": paper.abstract,
        "primary": paper.primary,
        "categories": list(paper.categories),
        "announce_type": paper.announce_type,
        "votes": paper.votes,
        "comments": paper.comments,
        "stars": paper.stars,
        "arxiv_url": paper.arxiv_url,
        "pdf_url": paper.pdf_url,
        "code_url": _address(paper.code_url),
        "project_url": _address(paper.project_url),
    }


def _address(url: str) -> str:
    """Nothing for javascript: and the like; readers will be sent there."""
    return url if re.match(r"https?://[^\s/]", url) else ""
