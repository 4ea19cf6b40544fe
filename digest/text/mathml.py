"""Formulas of titles and abstracts as MathML for pages, with plain text around them."""

import html
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from latex2mathml.converter import convert_to_element

from digest.text.latex import MAX_FORMULA_CHARS, replace_formulas
from digest.text.plain import convert_markup, drop_unprintable

# latex2mathml copies words and addresses of its input into its output, so only these
# elements and attributes are written, and every text is escaped.
_ELEMENTS = frozenset(
    [
        "math",
        "mrow",
        "mi",
        "mo",
        "mn",
        "mtext",
        "mspace",
        "msup",
        "msub",
        "msubsup",
        "mover",
        "munder",
        "munderover",
        "mfrac",
        "msqrt",
        "mroot",
        "mtable",
        "mtr",
        "mtd",
        "mstyle",
        "mpadded",
        "mphantom",
        "menclose",
        "mmultiscripts",
    ]
)
_ATTRIBUTES = frozenset(
    [
        "display",
        "mathvariant",
        "stretchy",
        "fence",
        "form",
        "accent",
        "accentunder",
        "displaystyle",
        "scriptlevel",
        "linethickness",
        "width",
        "columnalign",
        "minsize",
        "maxsize",
        "notation",
    ]
)
_ATTRIBUTE_VALUE = re.compile(r"[\w.%+ -]{1,40}")
# A plain number or a single word is as readable without MathML.
_NEEDS_MATHML = re.compile(r"[\\^_{}=<>+]|[^\W\d_]")
_PLACEHOLDER = re.compile("\ue010(\\d+)\ue011")


@dataclass(frozen=True)
class Segment:
    """A piece of text: plain Unicode, and its MathML if it is a formula."""

    text: str
    mathml: str = ""


def split_formulas(raw: str) -> list[Segment]:
    """Split LaTeX-like text into plain text and formulas.

    `mathml` is safe to insert into HTML; `text` must be escaped. A formula that cannot be
    converted is part of the plain text. Joined, the texts are the plain text of `raw`.
    """
    formulas: list[Segment] = []

    def replace(formula: str) -> str | None:
        mathml = to_mathml(formula) if _NEEDS_MATHML.search(formula) else ""
        if not mathml:
            return None
        text = " ".join(
            drop_unprintable(convert_markup(f"${formula.strip()}$")).split()
        )
        formulas.append(Segment(text, mathml))
        return f"\ue010{len(formulas) - 1}\ue011"

    marked = convert_markup(replace_formulas(drop_unprintable(raw), replace))
    return list(_merge_segments(" ".join(marked.split()), formulas))


def _merge_segments(text: str, formulas: list[Segment]) -> Iterator[Segment]:
    position = 0
    for match in _PLACEHOLDER.finditer(text):
        if before := _clean(text[position : match.start()]):
            yield Segment(before)
        yield formulas[int(match[1])]
        position = match.end()
    if rest := _clean(text[position:]):
        yield Segment(rest)


def _clean(text: str) -> str:
    return unicodedata.normalize("NFC", drop_unprintable(text))


def to_mathml(formula: str) -> str:
    """Convert a formula to MathML, or return an empty string where that fails."""
    if len(formula) > MAX_FORMULA_CHARS:
        return ""
    try:
        return _serialize(convert_to_element(formula))
    except Exception:  # the parser raises many kinds on broken input
        return ""


def _serialize(element: Element) -> str:
    """Write an element with escaped texts; raise ValueError for an unknown command."""
    if element.tag not in _ELEMENTS:
        raise ValueError(f"unexpected element {element.tag}")
    text = html.unescape(element.text or "")
    if text.startswith("\\") and len(text) > 1:
        raise ValueError(f"unknown command {text}")
    attributes = "".join(
        f' {name}="{value}"'
        for name, value in element.attrib.items()
        if name in _ATTRIBUTES and _ATTRIBUTE_VALUE.fullmatch(value)
    )
    inside = html.escape(text) + "".join(map(_serialize, element))
    return f"<{element.tag}{attributes}>{inside}</{element.tag}>"
