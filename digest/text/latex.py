r"""LaTeX-like text as plain Unicode, by a parser that accepts any text.

A real TeX parser refuses half of what authors write, and one refusal must not hide an
abstract. This one reads tokens with their arguments, keeps the words of commands that
it does not know, and drops only braces that group. Of pylatexenc only the table of
symbols is used, not its parser, which fails on `\href` without arguments and mangles
`$5 and $6`. The time is linear in the length of the text.
"""

# Look-alike characters are what this module is about.
# ruff: noqa: RUF001

import re
import unicodedata
from collections.abc import Callable
from functools import cache
from re import Match

from pylatexenc.latex2text import get_default_latex_context_db

# Deeper groups are read without their structure; authors nest half as deep at most.
MAX_DEPTH = 30
# A longer "formula" is two dollar signs of prices.
MAX_FORMULA_CHARS = 600
# Optional arguments end within as many tokens, or they are text in brackets.
MAX_OPTION_TOKENS = 40
# A longer group in prose has no \over or \choose of its own.
MAX_INFIX_TOKENS = 60

# Private-use characters, which the caller drops from its text first, protect literal
# characters from later steps.
_HIGH, _LOW, _OPEN, _CLOSE, _TWO_HYPHENS = (
    *("\ue003", "\ue004", "\ue005", "\ue006", "\ue007"),
)
_PROTECTED = str.maketrans(
    {_HIGH: "^", _LOW: "_", _OPEN: "{", _CLOSE: "}", _TWO_HYPHENS: "--"}
)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|[{}^_~&]|[^\\{}^_~&]+|\\", re.DOTALL)

_TEXT_ACCENTS = {
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
_MATH_ACCENTS = {
    **dict.fromkeys(("bar", "overline"), "\u0304"),
    **dict.fromkeys(("hat", "widehat"), "\u0302"),
    **dict.fromkeys(("tilde", "widetilde"), "\u0303"),
    **dict.fromkeys(("vec", "overrightarrow"), "\u20d7"),
    **{"dot": "\u0307", "ddot": "\u0308", "check": "\u030c", "breve": "\u0306"},
    **{"acute": "\u0301", "grave": "\u0300", "mathring": "\u030a"},
    "underline": "\u0332",
}
_SLASH = "\u0338"
_DOTLESS = {"ı": "i", "ȷ": "j"}
# Letters that are spelt as commands; the space after them only ends the command.
_LETTERS = _names("o O l L ss ae AE oe OE aa AA i j")
_ALPHABETS = _names(
    "mathrm mathit mathbf mathcal mathscr mathfrak mathsf mathtt mathbb mathbbm mathds "
    "bm boldsymbol Bbb mathop mathbin mathrel mathord ensuremath smash boxed cancel "
    "underbrace overbrace overleftarrow pmb rm"
)
_TEXT_STYLES = _names(
    "text textit textbf texttt textsc textsf textrm textsl textnormal textup textmd "
    "emph uline mbox hbox fbox url path uppercase lowercase underline section "
    "subsection paragraph title textsuperscript textsubscript"
)
_DOUBLE_STRUCK_COMMANDS = frozenset({"mathbb", "Bbb", "mathbbm", "mathds"})
_DOUBLE_STRUCK = dict(zip("CHNPQRZE", "ℂℍℕℙℚℝℤ𝔼", strict=True))
_SWITCHES = _names(
    "it bf tt sc rm sf em sl cal itshape bfseries ttfamily scshape boldmath tiny small "
    "footnotesize scriptsize normalsize large Large LARGE huge Huge noindent indent "
    "left right middle big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr "
    "limits nolimits displaystyle textstyle scriptstyle protect centering relax null "
    "nonumber notag hline strut allowbreak xspace maketitle rm upshape mdseries "
    "nobreak leavevmode normalfont selectfont"
)
_DELIMITER_SIZES = frozenset({"left", "right", "middle"})
_SPACES = _names(
    "quad qquad newline linebreak par hfill vfill medskip bigskip smallskip enspace "
    "thinspace pagebreak newpage"
)
_DIMENSIONS = _names("kern hskip vskip hspace vspace raise lower mskip")
_DIMENSION = re.compile(
    r"\s{0,5}-?\d{0,5}\.?\d{0,5}\s?(?:pt|em|ex|cm|mm|in|mu|pc|sp)?\s?"
)
_DROPPED = _names("label phantom hphantom vphantom color")
_CITATIONS = _names("cite citep citet citealp citealt citeauthor")
_FUNCTIONS = _names(
    "log ln lg exp sin cos tan cot sec csc sinh cosh tanh coth arcsin arccos arctan "
    "max min sup inf lim arg deg det dim gcd hom ker Pr mod argmax argmin"
)
_FRACTIONS = _names("frac dfrac tfrac cfrac nicefrac sfrac textfrac")
_BINOMIALS = frozenset({"binom", "dbinom", "tbinom"})
_INFIX = frozenset({"over", "choose", "atop", "brace", "above"})
_STACKED = frozenset({"overset", "underset", "stackrel"})
_MATH_ENVIRONMENTS = _names(
    "equation align aligned gather gathered multline eqnarray displaymath math cases "
    "array matrix pmatrix bmatrix vmatrix split alignat subequations"
)
_SYMBOLS = {
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
    "textasciitilde": "~",
    "textasciicircum": _HIGH,
    "textless": "<",
    "textgreater": ">",
    "textbar": "|",
    "textunderscore": _LOW,
    "textbackslash": "\\",
    "LaTeX": "LaTeX",
    "TeX": "TeX",
    "sim": "∼",
    "mid": "|",
    "backslash": "\\",
    "varPhi": "Φ",
    "bmod": " mod ",
    "limsup": "lim sup",
    "liminf": "lim inf",
    "lbrace": _OPEN,
    "rbrace": _CLOSE,
    "xrightarrow": "→",
    "xleftarrow": "←",
    "item": "•",
    "vline": "|",
}
_SUPERSCRIPTS = dict(
    zip(
        "0123456789+-=()niaeTtkmjpdr*′",
        "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱᵃᵉᵀᵗᵏᵐʲᵖᵈʳ*′",
        strict=True,
    )
)
_SUBSCRIPTS = dict(
    zip(
        "0123456789+-=()aehijklmnoprstuvxβγρφχ",
        "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓᵦᵧᵨᵩᵪ",
        strict=True,
    )
)

_QUOTED = re.compile(r'(?<!\w)\\"(?=\w)([^"\\]{1,200})\\"(?!\w)')
# Commands that a copy without backslashes left in front of their braces.
_BARE_COMMAND = re.compile(
    r"(?:(?<![\\A-Za-z])|(?<=\\\\))(emph|textit|textbf|texttt|textsc|mathrm|mathbf|"
    r"mathcal|mathbb|frac|footnote|citep?|citet)(?=\{)"
)
_DISPLAY = re.compile(rf"(?<!\\)\$\$([^$]{{1,{4 * MAX_FORMULA_CHARS}}})\$\$")
# Pandoc's rule tells formulas from prices: no space inside the dollar signs and no
# digit after them; a formula with spaces inside must look like one.
_TIGHT = re.compile(
    rf"(?<!\\)\$(?![\s$])((?:[^$\\]|\\.){{1,{MAX_FORMULA_CHARS}}}?)(?<!\s)\$(?!\d)",
    re.DOTALL,
)
_LOOSE = re.compile(
    rf"(?<!\\)\$((?=[^$]*[\\^_={{}}])(?:[^$\\]|\\.){{1,{MAX_FORMULA_CHARS}}})\$",
    re.DOTALL,
)
_BRACKETED = re.compile(
    rf"\\\[((?:(?!\\[\[\]]).){{1,{4 * MAX_FORMULA_CHARS}}})\\\]", re.DOTALL
)
_PARENTHESIZED = re.compile(
    rf"\\\(((?:(?!\\[()]).){{1,{MAX_FORMULA_CHARS}}})\\\)", re.DOTALL
)
_FORMULAS = (_DISPLAY, _TIGHT, _LOOSE, _BRACKETED, _PARENTHESIZED)
_SCRIPT_IN_PROSE = re.compile(r"(?<=[\w)\]])\^([0-9]{1,3})(?![\w.])")
# The content of a script in prose; others, as in KV_{<=i}, stay as they are.
_SCRIPT_CONTENT = re.compile(r"[^<>{}\"@#%;:\s][^<>{}\"@#%;:]{0,39}")
# Groups in prose whose braces only protect: words, an address, or a whole sentence.
_WORD = r"(?:\d{1,3}-)?\(?[^\W\d_](?:[^\W_]|['’.-])*\)?"
_WORDS = re.compile(rf"\s?{_WORD}(?: {_WORD})*[.?!]?")
_URL_PLACEHOLDER = re.compile("\ue000\\d+\ue001")
_MAX_SET_CHARS = 80

_GLUED_TIMES = re.compile(r"(?:(?<=\d)|(?<=\dD))times(?![a-z])")
_TIE = re.compile(r"(?<=\S)~(?=\S)")
_DASH = re.compile(r"(?<![-<!])(---?)(?![->])")
_DOUBLE_QUOTES = re.compile(r"``([^`]{0,1000}?)(?:''|\")")
_SINGLE_QUOTES = re.compile(r"(?<!\w)`([^`'\n]{1,80})'(?!\w)")
_FLAG = re.compile(r"(?:^|(?<=\s))--(?=[a-z])")


def latex_to_unicode(text: str) -> str:
    """Convert commands, accents, formulas and TeX's punctuation to Unicode."""
    text = _BARE_COMMAND.sub(r"\\\1", _QUOTED.sub(r'"\1"', text))
    text = replace_formulas(
        text, lambda formula: _Parser(formula).convert(is_math=True)
    )
    text = _Parser(text).convert(is_math=False)
    text = _SCRIPT_IN_PROSE.sub(_raise_digits, text)
    return _convert_punctuation(text).translate(_PROTECTED)


def replace_formulas(text: str, replace: Callable[[str], str | None]) -> str:
    """Replace each formula by `replace` of its content; None leaves it as it is."""

    def replace_match(match: Match[str]) -> str:
        replacement = replace(match[1])
        return match[0] if replacement is None else replacement

    for formula in _FORMULAS:
        text = formula.sub(replace_match, text)
    return text


@cache
def _symbols() -> dict[str, str]:
    symbols = dict(_SYMBOLS)
    table = get_default_latex_context_db()
    for category in table.categories():
        for macro in table.iter_macro_specs([category]):
            text = macro.simplify_repl
            if isinstance(text, str) and 0 < len(text) <= 2 and "%" not in text:
                symbols.setdefault(macro.macroname, text)
    return symbols


class _Parser:
    """Converts the tokens of one text; a method returns Unicode and the next position.

    A token that is read in part is replaced by its rest.
    """

    def __init__(self, text: str) -> None:
        self.tokens = _TOKEN.findall(text)
        self.partners = _match_groups(self.tokens)
        self.depth = 0

    def convert(self, is_math: bool) -> str:
        return self._convert(0, len(self.tokens), is_math)

    def _convert(self, start: int, end: int, is_math: bool) -> str:
        if self.depth > MAX_DEPTH:
            return "".join(t.strip("\\{}") for t in self.tokens[start:end])
        self.depth += 1
        parts: list[str] = []
        position = start
        while position < end:
            if self._is_command(position, _INFIX):
                name = self.tokens[position][1:]
                rest = self._convert(position + 1, end, is_math=True)
                parts = [_combine(name, "".join(parts).strip(), rest.strip())]
                break
            part, position = self._convert_token(position, end, is_math, parts)
            parts.append(part)
        self.depth -= 1
        return "".join(parts)

    def _convert_token(
        self, position: int, end: int, is_math: bool, before: list[str]
    ) -> tuple[str, int]:
        token = self.tokens[position]
        if not token:
            return "", position + 1
        if token[:1] == "\\":
            return self._convert_command(position, end, is_math, before)
        if token in "^_" and (is_math or self._is_group(position + 1)):
            return self._convert_script(position, end, is_math, before)
        if token == "{":
            return self._convert_group(position, is_math, before)
        if token == "}":
            return "", position + 1
        if is_math and token in "~&":
            return " ", position + 1
        return token, position + 1

    def _is_command(self, position: int, names: frozenset[str]) -> bool:
        token = self.tokens[position]
        return token[:1] == "\\" and token[1:] in names

    def _is_group(self, position: int) -> bool:
        return position in self.partners and self.tokens[position] == "{"

    def _convert_script(
        self, position: int, end: int, is_math: bool, before: list[str]
    ) -> tuple[str, int]:
        mark = self.tokens[position]
        content, after = self._read_argument(position + 1, end, is_math=True)
        content = content.strip()
        previous = "".join(before[-2:])[-1:]
        is_attached = bool(previous.strip()) or content.isdigit()
        if is_math or (is_attached and _SCRIPT_CONTENT.fullmatch(content)):
            is_word = not is_math and mark == "_" and re.fullmatch(r"[\w+-]+", content)
            return f"_{content}" if is_word else _script(mark, content), after
        return f"{mark}{_OPEN}{content}{_CLOSE}", after

    def _convert_group(
        self, position: int, is_math: bool, before: list[str]
    ) -> tuple[str, int]:
        end = self.partners.get(position)
        if end is None:
            return "", position + 1
        starts_with_switch = self._is_command(position + 1, _SWITCHES)
        has_infix = end - position <= MAX_INFIX_TOKENS and any(
            self._is_command(inner, _INFIX) for inner in range(position + 1, end)
        )
        content = self._convert(position + 1, end, is_math or has_infix)
        is_after_command = position > 0 and re.fullmatch(
            r"\\[A-Za-z]+", self.tokens[position - 1]
        )
        if is_math or has_infix or starts_with_switch or is_after_command:
            return content, end + 1
        return _unwrap(content), end + 1

    def _read_argument(self, position: int, end: int, is_math: bool) -> tuple[str, int]:
        position = self._skip_space(position, end)
        if position >= end or self.tokens[position] in "}&~":
            return "", position
        token = self.tokens[position]
        if self._is_group(position):
            close = self.partners[position]
            return self._convert(position + 1, close, is_math), close + 1
        if token[:1] == "\\" and self.depth <= MAX_DEPTH:
            self.depth += 1
            argument = self._convert_command(position, end, is_math, [])
            self.depth -= 1
            return argument
        if token in "{^_":
            return "", position + (token == "{")
        return self._read_chars(position, 1)

    def _read_chars(self, position: int, count: int) -> tuple[str, int]:
        token = self.tokens[position]
        if len(token) > count:
            self.tokens[position] = token[count:]
            return token[:count], position
        return token, position + 1

    def _skip_space(self, position: int, end: int) -> int:
        if position < end and self.tokens[position][:1].isspace():
            rest = self.tokens[position].lstrip()
            if not rest:
                return position + 1
            self.tokens[position] = rest
        return position

    def _read_option(self, position: int, end: int) -> tuple[str, int]:
        if position >= end or self.tokens[position][:1] != "[":
            return "", position
        for last in range(position, min(end, position + MAX_OPTION_TOKENS)):
            content, bracket, rest = self.tokens[last].partition("]")
            if bracket:
                self.tokens[last] = content
                content = self._convert(position, last + 1, is_math=False)
                self.tokens[last] = rest
                return content[1:], last if rest else last + 1
        return "", position

    def _convert_command(
        self, position: int, end: int, is_math: bool, before: list[str]
    ) -> tuple[str, int]:
        name = self.tokens[position][1:]
        position += 1
        if name in _TEXT_ACCENTS and (not name.isalpha() or not is_math):
            return self._convert_accent(name, position, end)
        if not name.isalpha():
            return self._convert_escape(name, position, end)
        for names, convert in self._handlers():
            if name in names:
                return convert(self, name, position, end, is_math)
        if name == "operatorname":
            return self._convert_operator(position, end, before)
        gap = " " if "".join(before[-2:])[-1:].isalnum() else ""
        if name in _FUNCTIONS:
            space = " " if self._is_group(position) else ""
            return f"{gap}{name}{space}", position
        if name in _symbols():
            return _symbols()[name], self._skip_empty_group(position)
        if self._is_group(position) and self.partners[position] > position + 1:
            return self._read_argument(position, end, is_math)
        return f"{gap}{name}", self._skip_empty_group(position)

    def _convert_operator(
        self, position: int, end: int, before: list[str]
    ) -> tuple[str, int]:
        if position < end and self.tokens[position][:1] == "*":
            _, position = self._read_chars(position, 1)
        gap = " " if "".join(before[-2:])[-1:].isalnum() else ""
        content, position = self._read_argument(position, end, is_math=True)
        return f"{gap}{content}", position

    def _skip_empty_group(self, position: int) -> int:
        is_empty = self.partners.get(position) == position + 1
        return position + 2 if is_empty else position

    def _convert_accent(self, name: str, position: int, end: int) -> tuple[str, int]:
        is_spaced = position < end and self.tokens[position][:1].isspace()
        if name.isalpha() and not is_spaced and not self._is_group(position):
            is_command = position < end and self.tokens[position][:1] == "\\"
            if not is_command:
                return name, position
        base, after = self._read_argument(position, end, is_math=False)
        if base[:1].isalpha():
            if base in _DOTLESS:
                after = self._skip_space(self._skip_empty_group(after), end)
            return _add_accent(base, _TEXT_ACCENTS[name]), after
        sign = {"^": _HIGH, "=": "", ".": ""}.get(name, name)
        return (sign if not name.isalpha() else "") + base, after

    def _convert_escape(self, char: str, position: int, end: int) -> tuple[str, int]:
        if char in "([" and position - 1 in self.partners:
            close = self.partners[position - 1]
            return self._convert(position, close, is_math=True), close + 1
        if char == "\\":
            if position < end and self.tokens[position][:1] == "*":
                _, position = self._read_chars(position, 1)
            option, after = self._read_option(position, end)
            return " ", after if _DIMENSION.fullmatch(option) else position
        if char in "%&$#_":
            return char, position
        if char in "{}":
            return (_OPEN if char == "{" else _CLOSE), position
        if char in ",;: \n>":
            return " ", position
        return {"|": "‖", "": "\\"}.get(
            char, "" if char in "!/-()[]@" else char
        ), position

    # Handlers of commands by name

    def _style(
        self, name: str, position: int, end: int, is_math: bool
    ) -> tuple[str, int]:
        _, position = self._read_option(position, end)
        is_math = is_math or name in _ALPHABETS
        content, position = self._read_argument(
            position, end, is_math and name not in _TEXT_STYLES
        )
        if name in _DOUBLE_STRUCK_COMMANDS:
            content = _DOUBLE_STRUCK.get(content, content)
        return content, position

    def _switch(
        self, name: str, position: int, end: int, is_math: bool
    ) -> tuple[str, int]:
        if name in _DELIMITER_SIZES and is_math:
            position = self._skip_space(position, end)
            if position < end and self.tokens[position][:1] == ".":
                _, position = self._read_chars(position, 1)
            return "", position
        return "", self._skip_space(position, end)

    def _fraction(
        self, name: str, position: int, end: int, is_math: bool
    ) -> tuple[str, int]:
        upper, position = self._read_argument(position, end, is_math=True)
        lower, position = self._read_argument(position, end, is_math=True)
        kind = "choose" if name in _BINOMIALS else "over"
        return _combine(kind, upper.strip(), lower.strip()), position

    def _root(
        self, name: str, position: int, end: int, is_math: bool
    ) -> tuple[str, int]:
        degree, position = self._read_option(position, end)
        content, position = self._read_argument(position, end, is_math=True)
        raised = _script("^", degree) if degree else ""
        return f"{raised}√{_bracket(content.strip())}", position

    def _math_accent(
        self, name: str, position: int, end: int, is_math: bool
    ) -> tuple[str, int]:
        base, position = self._read_argument(position, end, is_math=True)
        base = base.strip()
        if name == "underline" and not is_math:
            return base, position
        # A word keeps its letters bare, so that a search finds it.
        is_letter = bool(base) and not base[1:2].isalpha()
        return _add_accent(base, _MATH_ACCENTS[name]) if is_letter else base, position

    def _negation(
        self, name: str, position: int, end: int, is_math: bool
    ) -> tuple[str, int]:
        base, position = self._read_argument(position, end, is_math=True)
        return _add_accent(base.strip(), _SLASH) if base.strip() else "", position

    def _stack(
        self, name: str, position: int, end: int, is_math: bool
    ) -> tuple[str, int]:
        extra, position = self._read_argument(position, end, is_math=True)
        base, position = self._read_argument(position, end, is_math=True)
        mark = "_" if name == "underset" else "^"
        return base + (_script(mark, extra.strip()) if extra.strip() else ""), position

    def _link(
        self, name: str, position: int, end: int, is_math: bool
    ) -> tuple[str, int]:
        if not self._is_group(position):
            return "" if name == "href" else name, position
        target, position = self._read_argument(position, end, is_math=False)
        words, position = self._read_argument(position, end, is_math=False)
        if name == "href" and target.strip() and words.strip() != target.strip():
            return f"{words} ({target})" if words.strip() else target, position
        return words, position

    def _note(
        self, name: str, position: int, end: int, is_math: bool
    ) -> tuple[str, int]:
        _, position = self._read_option(position, end)
        content, position = self._read_argument(position, end, is_math=False)
        if name == "keywords":
            return f" Keywords: {content}", position
        return f" ({content.strip()})" if content.strip() else "", position

    def _citation(
        self, name: str, position: int, end: int, is_math: bool
    ) -> tuple[str, int]:
        option, position = self._read_option(position, end)
        if not self._is_group(position):
            return f"[{option}]" if option else "", position
        keys, position = self._read_argument(position, end, is_math=False)
        return f"[{keys}, {option}]" if option else f"[{keys}]", position

    def _drop(
        self, name: str, position: int, end: int, is_math: bool
    ) -> tuple[str, int]:
        if self._is_group(position):
            _, position = self._read_argument(position, end, is_math)
        return "", position

    def _space(
        self, name: str, position: int, end: int, is_math: bool
    ) -> tuple[str, int]:
        return " ", position

    def _dimension(
        self, name: str, position: int, end: int, is_math: bool
    ) -> tuple[str, int]:
        if position < end and self.tokens[position][:1] == "*":
            _, position = self._read_chars(position, 1)
        if self._is_group(position):
            _, position = self._read_argument(position, end, is_math)
        elif position < end:
            length = _DIMENSION.match(self.tokens[position])
            if length and length.end():
                _, position = self._read_chars(position, length.end())
        return " ", position

    def _letter(
        self, name: str, position: int, end: int, is_math: bool
    ) -> tuple[str, int]:
        position = self._skip_space(self._skip_empty_group(position), end)
        return _symbols().get(name, name), position

    def _modulus(
        self, name: str, position: int, end: int, is_math: bool
    ) -> tuple[str, int]:
        content, position = self._read_argument(position, end, is_math=True)
        return f"(mod {content})", position

    def _environment(
        self, name: str, position: int, end: int, is_math: bool
    ) -> tuple[str, int]:
        begin = position - 1
        if not self._is_group(position):
            return " ", position
        environment = "".join(self.tokens[position + 1 : self.partners[position]])
        position = self.partners[position] + 1
        if name == "end":
            return " ", position
        _, position = self._read_option(position, end)
        if environment in ("array", "tabular") and self._is_group(position):
            position = self.partners[position] + 1
        if environment.rstrip("*") in _MATH_ENVIRONMENTS and begin in self.partners:
            close = self.partners[begin]
            return f" {self._convert(position, close, is_math=True)} ", close
        return " ", position

    @staticmethod
    @cache
    def _handlers() -> "tuple[tuple[frozenset[str], _Handler], ...]":
        return (
            (_ALPHABETS | _TEXT_STYLES - {"underline"}, _Parser._style),
            (_SWITCHES, _Parser._switch),
            (_FRACTIONS | _BINOMIALS, _Parser._fraction),
            (frozenset(_MATH_ACCENTS), _Parser._math_accent),
            (_SPACES, _Parser._space),
            (_DIMENSIONS, _Parser._dimension),
            (_DROPPED, _Parser._drop),
            (_CITATIONS, _Parser._citation),
            (_STACKED, _Parser._stack),
            (_LETTERS, _Parser._letter),
            (frozenset({"sqrt"}), _Parser._root),
            (frozenset({"not"}), _Parser._negation),
            (frozenset({"href", "textcolor", "colorbox"}), _Parser._link),
            (frozenset({"footnote", "thanks", "keywords"}), _Parser._note),
            (frozenset({"pmod"}), _Parser._modulus),
            (frozenset({"begin", "end"}), _Parser._environment),
        )


_Handler = Callable[[_Parser, str, int, int, bool], tuple[str, int]]


def _match_groups(tokens: list[str]) -> dict[int, int]:
    r"""Return the position of the end for each group, `\[`, `\(` and `\begin`."""
    partners: dict[int, int] = {}
    open_braces: list[int] = []
    environments: list[int] = []
    display: dict[str, int] = {}
    for position, token in enumerate(tokens):
        if token == "{":
            open_braces.append(position)
        elif token == "}" and open_braces:
            partners[open_braces.pop()] = position
        elif token in (r"\[", r"\("):
            display[token] = position
        elif token in (r"\]", r"\)"):
            start = display.pop(r"\[" if token == r"\]" else r"\(", None)
            if start is not None:
                partners[start] = position
        elif token == r"\begin":
            environments.append(position)
        elif token == r"\end" and environments:
            partners[environments.pop()] = position
    return partners


def _add_accent(base: str, mark: str) -> str:
    """Add a combining mark to the first letter, after the marks that it has."""
    length = 1
    while length < len(base) and unicodedata.combining(base[length]):
        length += 1
    first = _DOTLESS.get(base[0], base[0]) + base[1:length]
    return unicodedata.normalize("NFC", first + mark) + base[length:]


def _combine(name: str, upper: str, lower: str) -> str:
    if name in ("choose", "brace", "atop"):
        return f"C({upper}, {lower})" if name == "choose" else f"({upper}, {lower})"
    is_mixed = len(lower) > 1 and not lower.isdigit() and not lower.isalpha()
    return f"{_bracket(upper)}/{f'({lower})' if is_mixed and lower.isalnum() else _bracket(lower)}"


def _bracket(part: str) -> str:
    """Put round brackets around a part that would read differently without them."""
    is_simple = re.fullmatch(r"[\w.\u0300-\u036f\u20d7]*", part)
    is_bracketed = part[:1] == "(" and part.find(")") == len(part) - 1
    return part if is_simple or is_bracketed else f"({part})"


def _script(mark: str, content: str) -> str:
    """Raise or lower the content if Unicode has all its characters, else keep ^ or _.

    Three letters or more stay a word: x_max is found by a search for max.
    """
    table = _SUPERSCRIPTS if mark == "^" else _SUBSCRIPTS
    if content in {"∘", "circ"}:
        return "°"
    if all(char in table for char in content) and not re.search("[a-zA-Z]{3}", content):
        return "".join(table[char] for char in content)
    marker = _HIGH if mark == "^" else _LOW
    is_simple = len(content) <= 1 or content.isalnum()
    return f"{marker}{content}" if is_simple else f"{marker}({content})"


def _unwrap(content: str) -> str:
    """Drop the braces of a group in prose, unless it may be a set or a template."""
    if not content.strip():
        return content
    is_padded = content[0].isspace() and content[-1].isspace()
    is_grouping = (
        (_WORDS.fullmatch(content) and not is_padded)
        or _URL_PLACEHOLDER.fullmatch(content)
        or (len(content) == 1 and not content.isalnum())
        or len(content) > _MAX_SET_CHARS
    )
    return content if is_grouping else f"{_OPEN}{content}{_CLOSE}"


def _raise_digits(match: Match[str]) -> str:
    return "".join(_SUPERSCRIPTS[digit] for digit in match[1])


def _convert_punctuation(text: str) -> str:
    text = _GLUED_TIMES.sub("×", text)
    text = _TIE.sub(" ", text)
    text = _DOUBLE_QUOTES.sub(r"“\1”", text)
    text = _SINGLE_QUOTES.sub(r"‘\1’", text)
    text = _FLAG.sub(_TWO_HYPHENS, text)  # --flag stays a flag
    return _DASH.sub(lambda match: "—" if len(match[1]) == 3 else "–", text)
