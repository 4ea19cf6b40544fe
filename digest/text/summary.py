"""The two or three sentences of an abstract that a mail shows: those that say what was done."""

# Look-alike characters are intended.
# ruff: noqa: RUF001

import re

# Two to three sentences, about six lines on a phone.
MAX_SUMMARY_CHARS = 420
MAX_SENTENCES = 3
# Two lines of a list on a wide screen.
MAX_ONE_LINE_CHARS = 240
ELLIPSIS = "… "

# Sentences in which authors say what they did: "we propose", "in this paper", "is
# introduced". Of 721 recorded abstracts 99 % have one, and only 35 % have it among
# their first two or three sentences.
_ADVERBS = r"(?:(?:\w+ly|also|first|here|then|thus|therefore),? ){0,3}+"
# Verbs after "we" that do not say what was done.
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
# Openings that refer to sentences that are left out: "To address these issues, we".
_REFERS_BACK = re.compile(
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


def summarize(abstract: str, title: str = "", limit: int = MAX_SUMMARY_CHARS) -> str:
    """Select the two or three sentences of an abstract that say what was done.

    That is the beginning where it says so. Two of three abstracts begin with why
    something should be done: then the summary is an ellipsis and the sentences from the
    first one that says what was done, without an opening that refers back, or from
    earlier where few sentences follow.
    """
    beginning, ends = first_sentences(abstract, limit), _sentence_ends(abstract)
    starts, rest_limit = [0, *ends[:-1]], limit - len(ELLIPSIS)
    cut = [abstract[start:end] for start, end in zip(starts, ends, strict=False)]
    name = _name_in_title(title)
    first = next(
        (n for n, text in enumerate(cut) if _says_what_was_done(text, name)), 0
    )
    if not first or ends[first] <= len(beginning):
        return beginning
    while (
        len(cut) - first < MAX_SENTENCES
        and len(abstract) - starts[first - 1] <= rest_limit
    ):
        first -= 1
    rest = abstract[starts[first] :].lstrip()
    opening = _REFERS_BACK.match(rest)
    return ELLIPSIS + first_sentences(
        rest[opening.end() :] if opening else rest, rest_limit
    )


def summarize_in_one_line(abstract: str, title: str = "") -> str:
    """Select the one sentence of an abstract that says what was done, else the first one."""
    ends = _sentence_ends(abstract)
    cut = [
        abstract[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=False)
    ]
    name = _name_in_title(title)
    sentence = next(
        (text for text in cut if _says_what_was_done(text, name)), "".join(cut[:1])
    ).strip()
    opening = _REFERS_BACK.match(sentence)
    statement = sentence[opening.end() :] if opening else sentence
    return _cut_at_word(f"{statement[:1].upper()}{statement[1:]}", MAX_ONE_LINE_CHARS)


def first_sentences(text: str, limit: int = MAX_SUMMARY_CHARS) -> str:
    """Cut plain text after two to three sentences, within `limit` characters.

    Never ends inside an abbreviation or a number; a first sentence that is too long ends
    at a word, with an ellipsis.
    """
    ends = _sentence_ends(text)[:MAX_SENTENCES]
    fitting = [end for end in ends if end <= limit]
    if len(text) <= limit and len(ends) < MAX_SENTENCES:
        return text
    # One short sentence says too little: add the beginning of the second.
    if fitting and (len(fitting) > 1 or fitting[0] > limit // 2):
        return text[: fitting[-1]]
    return _cut_at_word(text, limit)


def _says_what_was_done(sentence: str, name: str) -> bool:
    return bool(_DONE.search(sentence)) or (bool(name) and name in sentence)


def _name_in_title(title: str) -> str:
    """Return the name that a title gives the work, as "Maps" in "Maps: How to Find Them"."""
    name, colon, _ = title.partition(": ")
    return name if colon and len(name.split()) < 3 else ""


def _sentence_ends(text: str) -> list[int]:
    ends = []
    for match in _SENTENCE_END.finditer(text):
        before = text[max(0, match.start() - 12) : match.start()]
        if text[match.start()] != "." or not _ABBREVIATION.search(before):
            ends.append(match.end())
    return ends if text[-1:].isspace() or not text else [*ends, len(text)]


def _cut_at_word(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    head = text[: limit - 1]
    words = head.rpartition(" ")[0] if not text[limit - 1].isspace() else head
    return (words or head).rstrip(" ,;:–—-(") + "…"
