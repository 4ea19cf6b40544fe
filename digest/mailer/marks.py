"""Render the mail templates with marks in place of what differs between readers.

A mark is a character of Unicode's private use area, or a run of them as long as the value
it stands for. No text of a mail contains such characters, because `sanitize` removes
them; escaping, wrapping and inlining of styles leave them alone. What a template cannot
do with a mark (compare its length, count papers) raises `NotExpressible`.

    template:  <p class="w">{{ paper.reason }}</p><h2>{{ paper.number }}. <a href="{{ paper.url }}">
    rendered:  <p style="…">      R      </p><h2>       N      . <a href="https://…/d/KKKKKKKKKKKKKKKKKKKKKK/N/paper">

Loops over a section's papers leave a mark before each paper and at their end, so that the
text of one paper can be cut out: once for each loop of the template.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.template.loader import get_template
from jinja2 import nodes

from accounts.models import KEY_BYTES
from digest.mailer import compose
from digest.mailer.compose import PaperContext

KEY_CHARS = (KEY_BYTES * 8 + 5) // 6  # of new_key()
# Marks of fixed width. A number is as wide as its digits: one, or two from ten on.
KEY = "".join(chr(0xE100 + i) for i in range(KEY_CHARS))
UNSUBSCRIBE_KEY = "".join(chr(0xE140 + i) for i in range(KEY_CHARS))
NUMBER, WIDE_NUMBER = "\ue000", "\ue000\ue001"
PADDED_NUMBER = "\ue002\ue003"
# Marks of texts.
REASON, SUBJECT = "\ue010", "\ue011"
# Texts of `compose.reader_context` that differ from mail to mail; every other value there
# is a variant, for which the templates are rendered anew.
TEXTS = {
    "preheader": "\ue012",
    "recipient_reason": "\ue013",
    "suggested_topics": "\ue014",
}
FIRST_NUMBERS = [chr(0xE020 + i) for i in range(8)]  # of each section
WRAPPED = [chr(0xE400 + i) for i in range(5_000)]  # results of wrap()
TEXT_MARK = re.compile("[\ue010-\ue0ff\ue400-\uf8ff]")
ANY_MARK = re.compile("([\ue000-\uf8ff]+)")
LOOP_MARKS = 0xF0000
LOOP_MARK = re.compile("(?:<!--)?([\U000f0000-\U000fffff])(?:-->)?")


class NotExpressible(Exception):
    """A template uses something of a reader that its pieces cannot express."""


class MarkedNumber(str):
    """The mark of a number: printed as it is, or padded to two characters."""

    padded = ""

    def __format__(self, spec: str) -> str:
        if spec == "2d" and self.padded:
            return self.padded
        if spec:
            raise NotExpressible(f"a number is formatted as {spec!r}")
        return str(self)

    def __mod__(self, _: object) -> str:
        raise NotExpressible("a number is formatted with %")


class PaperNumber(MarkedNumber):
    padded = PADDED_NUMBER


@dataclass(frozen=True)
class LoopEvent:
    """A place in a rendered body: before paper `position` of a section's loop, or at its end."""

    section: int
    loop: int
    position: int | None


@dataclass(frozen=True)
class Wrapped:
    """A call of wrap() whose text or first line has marks."""

    text: str
    indent: int
    first: str


class Recorder:
    """Renders one body and records where its loops over papers begin and end."""

    def __init__(self, template: str) -> None:
        self.template = template
        self.is_html = template.endswith(".html")
        self.chunks: list[str] = []
        self.events: list[LoopEvent] = []

    def add(self, event: LoopEvent) -> None:
        mark = chr(LOOP_MARKS + len(self.events))
        self.events.append(event)
        self.chunks.append(f"<!--{mark}-->" if self.is_html else mark)

    def render(self, context: Mapping[str, Any]) -> str:
        template: Any = get_template(f"emails/{self.template}")
        for chunk in template.template.generate(context):
            self.chunks.append(chunk)
        body = "".join(self.chunks)
        return compose.inline_styles(body) if self.is_html else body


class MarkedPapers:
    """A section's papers: a template may loop over them and print the first one's number."""

    def __init__(
        self,
        recorder: Recorder,
        section: int,
        papers: Sequence[PaperContext],
        first_loop: int,
    ) -> None:
        self.recorder, self.section, self.papers = recorder, section, papers
        self.first = FirstPaper(MarkedNumber(FIRST_NUMBERS[section]))
        self.loops = first_loop

    def __iter__(self) -> Iterator[PaperContext]:
        loop, self.loops = self.loops, self.loops + 1
        for position, paper in enumerate(self.papers):
            self.recorder.add(LoopEvent(self.section, loop, position))
            yield paper
        self.recorder.add(LoopEvent(self.section, loop, None))

    def __getitem__(self, index: int) -> "FirstPaper":
        if index:
            raise NotExpressible(f"section.papers[{index}]")
        return self.first

    def __bool__(self) -> bool:
        return True

    def __len__(self) -> int:
        raise NotExpressible("the papers of a section are counted")


@dataclass(frozen=True)
class FirstPaper:
    number: MarkedNumber

    def __getattr__(self, name: str) -> Any:
        raise NotExpressible(f"section.papers[0].{name}")


@dataclass(frozen=True)
class MarkedSection:
    heading: str
    papers: MarkedPapers


class MarkedSections:
    """The sections, or all papers: a template may loop over sections and test either."""

    def __init__(self, sections: Sequence[MarkedSection] | None) -> None:
        self.sections = sections

    def __iter__(self) -> Iterator[MarkedSection]:
        if self.sections is None:
            raise NotExpressible("a loop over `papers` instead of `section.papers`")
        return iter(self.sections)

    def __bool__(self) -> bool:
        return self.sections is None or bool(self.sections)

    def __len__(self) -> int:
        raise NotExpressible("papers or sections are counted")


@dataclass(frozen=True)
class MarkedBody:
    """A rendered body, cut at its loop marks: each stretch with the event that precedes it."""

    stretches: list[tuple[str, LoopEvent | None]]
    wrapped: dict[str, Wrapped]
    is_html: bool
    loops: int  # of each section, with those of the bodies before

    def texts_by_position(self, papers: int) -> list[list[str]]:
        """Return for each of the papers what each loop writes for it."""
        texts = [list[str]() for _ in range(papers)]
        for text, event in self.stretches:
            if event and event.position is not None:
                texts[event.position].append(text)
        return texts


class Wrapping:
    """The wrap() of templates that are rendered with marks."""

    def __init__(self) -> None:
        self.marks: dict[Wrapped, str] = {}

    def __call__(self, text: str, indent: int = 0, first: str = "") -> str:
        if not TEXT_MARK.search(text + first):
            return compose.wrap_text(text, indent, first)
        call = Wrapped(text, indent, first)
        if call not in self.marks:
            if len(self.marks) == len(WRAPPED):
                raise NotExpressible("too many different texts are wrapped")
            self.marks[call] = WRAPPED[len(self.marks)]
        return self.marks[call]


def render_marked(
    template: str,
    context: Mapping[str, Any],
    sections: Sequence[tuple[str, Sequence[PaperContext]]],
    first_loop: int = 0,
) -> MarkedBody:
    """Render one body for sections of these headings and papers."""
    recorder, wrapping = Recorder(template), Wrapping()
    marked = [
        MarkedSection(heading, MarkedPapers(recorder, i, papers, first_loop))
        for i, (heading, papers) in enumerate(sections)
    ]
    marked_context = {
        **context,
        "sections": MarkedSections(marked),
        "papers": MarkedSections(None) if marked else [],
        "wrap": wrapping,
    }
    try:
        text = recorder.render(marked_context)
    except NotExpressible:
        raise
    except Exception as error:  # a template treats a mark as a number, a list, …
        raise NotExpressible(f"{type(error).__name__}: {error}") from error
    return MarkedBody(
        cut_at_loops(text, recorder.events),
        {mark: call for call, mark in wrapping.marks.items()},
        recorder.is_html,
        max((section.papers.loops for section in marked), default=first_loop),
    )


# With these a name in a loop may stand for others that are read elsewhere.
INDIRECT_NODES = (
    *(nodes.Assign, nodes.AssignBlock, nodes.With, nodes.Macro, nodes.CallBlock),
    *(nodes.Include, nodes.Import, nodes.FromImport),
)


def names_in_loops(template: str) -> frozenset[str] | None:
    """Return the names that decide what a body's loops over papers write, parents included.

    None for a template whose names cannot be followed.
    """
    engine_template: Any = get_template(f"emails/{template}")
    environment = engine_template.template.environment
    names: set[str] = set()
    waiting = [f"emails/{template}"]
    while waiting:
        source, *_ = environment.loader.get_source(environment, waiting.pop())
        tree = environment.parse(source)
        parents = [parent.template for parent in tree.find_all(nodes.Extends)]
        if not all(isinstance(parent, nodes.Const) for parent in parents):
            return None
        waiting += [parent.value for parent in parents]
        if any(tree.find_all(INDIRECT_NODES)) or not add_loop_names(tree, names):
            return None
    return frozenset(names)


def add_loop_names(
    node: nodes.Node, names: set[str], outer: frozenset[str] = frozenset()
) -> bool:
    """Add the names read by the loops below a node and by the tests around them, `outer`.

    False if a block, which another template may replace, is within a test or a loop.
    """
    if isinstance(node, nodes.If):
        outer |= names_of_nodes([node.test, *[each.test for each in node.elif_]])
    elif isinstance(node, nodes.For):
        outer |= names_of_nodes([node.test] if node.test else [])
        if any(attribute.attr == "papers" for attribute in find_attributes(node.iter)):
            names |= outer | names_of_nodes([*node.body, *node.else_])
        outer |= names_of_nodes([node.iter])
    children = list(node.iter_child_nodes())
    if outer and any(isinstance(child, nodes.Block) for child in children):
        return False
    return all(add_loop_names(child, names, outer) for child in children)


def find_attributes(node: nodes.Node) -> Iterator[nodes.Getattr]:
    if isinstance(node, nodes.Getattr):
        yield node
    yield from node.find_all(nodes.Getattr)


def names_of_nodes(expressions: Sequence[nodes.Node]) -> frozenset[str]:
    names = [each.name for each in expressions if isinstance(each, nodes.Name)]
    nested = [name for each in expressions for name in each.find_all(nodes.Name)]
    return frozenset([*names, *[name.name for name in nested]])


def cut_at_loops(
    text: str, events: Sequence[LoopEvent]
) -> list[tuple[str, LoopEvent | None]]:
    first, *rest = LOOP_MARK.split(text)
    following = zip(rest[::2], rest[1::2], strict=True)
    stretches = [(part, events[ord(mark) - LOOP_MARKS]) for mark, part in following]
    if len(stretches) != len(events):
        raise NotExpressible("styles or filters moved the papers of a loop")
    return [(first, None), *stretches]


def fill_marks(
    template: str,
    texts: Mapping[str, str],
    wrapped: Mapping[str, Wrapped],
    escape: Callable[[str], str],
) -> str:
    """Replace the marks of texts in a stretch of a body by a reader's texts."""

    def replace(match: re.Match[str]) -> str:
        call = wrapped.get(match[0])
        if call is None:
            return escape(texts[match[0]])
        text, first = (
            fill_marks(part, texts, wrapped, escape) for part in (call.text, call.first)
        )
        return compose.wrap_text(text, call.indent, first)

    return TEXT_MARK.sub(replace, template)


def names_of(template: str, wrapped: Mapping[str, Wrapped]) -> list[str]:
    """Return the marks of texts that a stretch needs, those of its wrapped texts included."""
    names: dict[str, None] = {}
    for mark in TEXT_MARK.findall(template):
        if call := wrapped.get(mark):
            names |= dict.fromkeys(names_of(call.text + call.first, wrapped))
        else:
            names[mark] = None
    return list(names)
