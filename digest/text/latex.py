r"""LaTeX-ish text as plain Unicode, by passes that each work on any text.

A real TeX parser refuses half of what authors write, and one refusal must not
hide an abstract. So every pass is a bounded substitution that leaves alone what
it does not know: an unknown `\method` becomes its name, an argument of an unknown
command stays. Only pylatexenc's table of symbols is used, not its parser, which
fails on `\href` without arguments and mangles `$5 and $6`.
"""

# The signs that look like others are what this module is about.
# ruff: noqa: RUF001

import re
import unicodedata
from functools import cache
from re import Match

from pylatexenc.latex2text import get_default_latex_context_db

# Passes over innermost groups; deeper nesting than this was never seen.
DEPTH = 8
# A longer "formula" is two dollar signs of an account, not mathematics.
FORMULA = 600  # characters

# Signs of no script (private use; the caller drops them from its text first) stand
# for what a later pass must leave alone.
_END = "\ue002"  # of a command, where its brace was
_HIGH, _LOW, _OPEN, _CLOSE, _TWO = "\ue003", "\ue004", "\ue005", "\ue006", "\ue007"
_KEPT = str.maketrans(
    {_END: "", _HIGH: "^", _LOW: "_", _OPEN: "{", _CLOSE: "}", _TWO: "--"}
)

_ACCENTS = {
    "`": "\u0300",
    "'": "\u0301",
    "^": "\u0302",
    "~": "\u0303",
    "=": "\u0304",
    "u": "\u0306",
    ".": "\u0307",
    '"': "\u0308",
    "r": "\u030a",
    "H": "\u030b",
    "v": "\u030c",
    "d": "\u0323",
    "c": "\u0327",
    "k": "\u0328",
    "b": "\u0331",
}
# Letters that TeX spells as commands; the space after them only ends the command.
_LETTERS = {"o", "O", "l", "L", "ss", "ae", "AE", "oe", "OE", "aa", "AA", "i", "j"}
_LOOKS = (
    "text(?:it|bf|tt|sc|sf|rm|sl|normal|up|md)?|emph|underline|uline|mbox|hbox|"
    "math(?:rm|it|bf|cal|scr|frak|sf|tt|bb|bbm|op|bin|rel)|bm|boldsymbol|Bbb|"
    "operatorname\\*?|ensuremath|bar|hat|tilde|vec|dot|ddot|overline|widehat|"
    "widetilde|url|path|footnote"
)
_SWITCHES = (
    "it|bf|tt|sc|sf|rm|em|sl|cal|itshape|bfseries|ttfamily|scshape|boldmath|tiny|"
    "small|footnotesize|normalsize|large|Large|noindent|left|right|big|Big|bigg|"
    "Bigg|bigl|bigr|Bigl|Bigr|limits|displaystyle|textstyle|protect|centering"
)
_SPACES = {
    "quad",
    "qquad",
    "newline",
    "linebreak",
    "par",
    "hfill",
    "hspace",
    "vspace",
    "href",
    "url",
}
_OWN = {
    "dots": "…",
    "ldots": "…",
    "cdots": "⋯",
    "to": "→",
    "le": "≤",
    "ge": "≥",
    "ne": "≠",
    "eps": "ε",
    "cdot": "·",
    "ast": "*",
    "colon": ":",
    "prime": "′",
    "sqrt": "√",
    "textasciitilde": "~",
    "textasciicircum": "^",
    "LaTeX": "LaTeX",
    "TeX": "TeX",
    "sim": "∼",
    "mid": "|",
    "backslash": "\\",
    "varPhi": "Φ",
}
_DOUBLE = dict(zip("CHNPQRZE", "ℂℍℕℙℚℝℤ𝔼", strict=True))
_RAISED = dict(
    zip(
        "0123456789+-=()niaeTtkmjpdr*′",
        "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱᵃᵉᵀᵗᵏᵐʲᵖᵈʳ*′",
        strict=True,
    )
)
_LOWERED = dict(
    zip(
        "0123456789+-=()aehijklmnoprstuvxβγρφχ",
        "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓᵦᵧᵨᵩᵪ",
        strict=True,
    )
)
_DOTLESS = str.maketrans("ıȷ", "ij")

_QUOTED = re.compile(r'(?<!\w)\\"(?=\w)([^"\\]{1,200})\\"(?!\w)')
_ACCENT_BRACED = re.compile(
    r"""\\(?:([`'^~=."])\s*|([uvHcdbkr])\s*(?=\{))\{\s*(\\[ij]|[^\W\d_])\s*\}"""
)
_ACCENT_BARE = re.compile(
    r"""\\(?:([`'^~=."])\s?|([uvHcdbkr])\s+)(\\[ij](?![A-Za-z])|[^\W\d_])"""
    r"""(?:(?<=\\[ij])(?:\{\}|\s(?=[a-z])))?"""
)
_LOOK = re.compile(rf"\\(?:{_LOOKS})\s*\{{([^{{}}]*)\}}")
_COLOR = re.compile(r"\\(?:textcolor|color)\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_SWITCHED = re.compile(rf"\{{\s*\\(?:{_SWITCHES})(?![A-Za-z])\s*([^{{}}]*)\}}")
_SWITCH = re.compile(rf"\\(?:{_SWITCHES})(?![A-Za-z])[ ]?")
_DOUBLED = re.compile(
    r"\\(?:mathbb|Bbb|mathbbm)\s*(?:\{([A-Z])\}|\s([A-Z])(?![A-Za-z]))"
)
_HREF = re.compile(r"\\href\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_FRACTION = re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_ROOT = re.compile(r"\\sqrt\s*\{([^{}]*)\}")
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\s*\{[A-Za-z]{1,20}\*?\}")
_ARGUMENT = re.compile(r"\\([A-Za-z]+)\s*\{([^{}]*)\}")
_COMMAND = re.compile(r"([^\W_])?\\([A-Za-z]+)(\{\}|[ ]+(?=[^\W\d_]))?")
_SIGN = re.compile(r"\\([^A-Za-z])")
_DISPLAY = re.compile(rf"(?<!\\)\$\$([^$]{{1,{FORMULA}}})\$\$")
# Pandoc's rule tells formulas from prices: no space inside the dollar signs and no
# digit after them; a formula with spaces inside must look like one.
_TIGHT = re.compile(
    rf"(?<!\\)\$(?![\s$])((?:[^$\\]|\\.){{1,{FORMULA}}}?)(?<!\s)\$(?!\d)", re.DOTALL
)
_LOOSE = re.compile(rf"(?<!\\)\$((?=[^$]*[\\^_={{}}])(?:[^$\\]|\\.){{1,{FORMULA}}})\$")
_SCRIPT = re.compile(r"([\^_])(?:\{([^{}]*)\}|(\S))")
_SCRIPT_IN_PROSE = re.compile(
    r"(?<=[\w)\]])(?:(\^)(?:\{([^{}\s]{1,8})\}|([0-9]{1,3}(?![\w.])))"
    r"|(_)\{([\w+-]{1,40})\})"
)
_GLUED_TIMES = re.compile(r"(?:(?<=\d)|(?<=\dD))times(?![a-z])")
_PROTECTED = re.compile(r"\{([A-Z][\w-]*)\}")
_HELD_LETTER = re.compile(r"\{([^\W\d_])\}")
_TIE = re.compile(r"(?<=\S)(?<!\s)~(?=\S)")
_DASH = re.compile(r"(?<![-<!])(---?)(?![->])")
_QUOTES = re.compile(r"``([^`]{0,1000}?)(?:''|\")")
_QUOTE = re.compile(r"(?<!\w)`([^`'\n]{1,80})'(?!\w)")
_FLAG = re.compile(r"(?:^|(?<=\s))--(?=[a-z])")


@cache
def _symbols() -> dict[str, str]:
    """What one command without arguments looks like in Unicode."""
    known = dict(_OWN)
    table = get_default_latex_context_db()
    for category in table.categories():
        for spec in table.iter_macro_specs([category]):
            shown = spec.simplify_repl
            if isinstance(shown, str) and 0 < len(shown) <= 2 and "%" not in shown:
                known.setdefault(spec.macroname, shown)
    return known


def latex_to_unicode(text: str) -> str:
    """Commands, accents, formulas and TeX's punctuation as Unicode."""
    text = _QUOTED.sub(r'"\1"', text)
    text = _accents(text)
    text = _DISPLAY.sub(_formula, text)
    text = _TIGHT.sub(_formula, text)
    text = _LOOSE.sub(_formula, text)
    text = _commands(text)
    return _punctuation(_scripts_in_prose(text)).translate(_KEPT)


def _accents(text: str) -> str:
    for pattern in (_ACCENT_BRACED, _ACCENT_BARE):
        text = pattern.sub(_accented, text)
    return text


def _accented(found: Match[str]) -> str:
    mark = _ACCENTS[found[1] or found[2]]
    letter = found[3].removeprefix("\\").translate(_DOTLESS)
    return unicodedata.normalize("NFC", letter + mark)


def _if_accented(found: Match[str]) -> str:
    """Braces that only held an accented letter together, as in Fran{ç}ois."""
    return found[1] if ord(found[1]) > 127 else found[0]


def _formula(found: Match[str]) -> str:
    text = _commands(found[1])
    for _ in range(DEPTH):
        before = text
        text = _SCRIPT.sub(_script, text)
        if text == before:
            break
    # "&" aligns and "~" ties only here; braces that are left only group.
    return text.translate({ord("{"): "", ord("}"): "", ord("~"): " "})


def _commands(text: str) -> str:
    text = _ENVIRONMENT.sub(" ", text)
    text = _DOUBLED.sub(lambda m: _DOUBLE.get(m[1] or m[2], m[1] or m[2]), text)
    for _ in range(DEPTH):
        before = text
        text = _groups(text)
        if text == before:
            break
    text = _SWITCH.sub("", text)
    return _SIGN.sub(_sign, _COMMAND.sub(_command, text)).replace(_END, "")


def _groups(text: str) -> str:
    """One layer of innermost groups opened."""
    text = _LOOK.sub(_END + r"\1", text)
    text = _SWITCHED.sub(_END + r"\1", text)
    text = _HREF.sub(_END + r"\2 (\1)", text)
    text = _COLOR.sub(_END + r"\2", text)
    text = _FRACTION.sub(lambda m: f"{_END}{_grouped(m[1])}/{_grouped(m[2])}", text)
    text = _ROOT.sub(lambda m: f"√{_grouped(m[1])}", text)
    return _ARGUMENT.sub(_argument, text)


def _grouped(part: str) -> str:
    """In round brackets where a bare fraction or root would read differently."""
    part = part.replace(_END, "").strip()
    return part if re.fullmatch(r"[\w.]*|\\[A-Za-z]+", part) else f"({part})"


def _argument(found: Match[str]) -> str:
    name, held = found.groups()
    if name in _symbols() or name in _LETTERS or not held.strip():
        return f"{found[0][: found[0].index('{')]} {held}" if held else found[0]
    return _END + held  # \cite{key}, \method{x}: nobody's command, the author's words


def _command(found: Match[str]) -> str:
    before, name, after = found[1] or "", found[2], found[3] or ""
    space = " " if after.startswith(" ") else ""
    if name in _LETTERS:
        return before + _symbols().get(name, name)
    if name in _SPACES:
        return before + " "
    if name in _symbols():
        return before + _symbols()[name] + space
    gap = " " if before else ""  # n\log n is n log n
    return f"{before}{gap}{name}{space}"


def _sign(found: Match[str]) -> str:
    sign = found[1]
    if sign in "%&$#_{}":
        return {"{": _OPEN, "}": _CLOSE}.get(sign, sign)
    if sign in ",;: ~\n\\>":
        return " "
    return {"|": "‖"}.get(sign, "" if sign in "!/-()[]@" else found[0])


def _script(found: Match[str]) -> str:
    """Raised or lowered where Unicode has all the signs, else ^ or _ as written.

    Three letters or more are a word and stay one: x_max is found by who searches
    for max.
    """
    mark = found[1]
    held = (found[2] if found[2] is not None else found[3]).strip()
    table = _RAISED if mark == "^" else _LOWERED
    if held in {"∘", "circ"}:
        return "°"
    if held and all(c in table for c in held) and not re.search("[a-zA-Z]{3}", held):
        return "".join(table[c] for c in held)
    kept = _HIGH if mark == "^" else _LOW
    return f"{kept}{held}" if len(held) <= 1 or held.isalnum() else f"{kept}({held})"


def _scripts_in_prose(text: str) -> str:
    """Only what can be nothing else: 10^5, 10^{-3}, UNIT_{cut}; not plain_text."""
    return _SCRIPT_IN_PROSE.sub(_script_in_prose, text)


def _script_in_prose(found: Match[str]) -> str:
    if found[4]:
        return f"_{found[5]}"
    held = found[2] or found[3]
    if all(sign in _RAISED for sign in held) and not re.search("[a-zA-Z]{3}", held):
        return "".join(_RAISED[sign] for sign in held)
    return found[0]


def _punctuation(text: str) -> str:
    text = _GLUED_TIMES.sub("×", text)
    text = _PROTECTED.sub(r"\1", text)
    text = _HELD_LETTER.sub(_if_accented, text)
    text = _TIE.sub(" ", text)
    text = _QUOTES.sub(r"“\1”", text)
    text = _QUOTE.sub(r"‘\1’", text)
    text = _FLAG.sub(_TWO, text)  # --flag stays a flag
    return _DASH.sub(lambda m: "—" if len(m[1]) == 3 else "–", text)
