"""Prepare the pieces of an edition's mails: rendered by the templates and encoded once.

What a digest is stays in the templates and in `compose.render_mail`, the plain path. The
templates are rendered with marks for what differs between readers (see `marks`), cut
there, and encoded for the transport: escaped for JSON, or quoted-printable.
`batch_composer` joins mails from the pieces.

    digest.html, digest.txt ──► MarkedBody ──► stretches of text ──► pieces of bytes

    Envelope    {"personalizations": … TO …  SUBJECT … "content": … TEXT … HTML … "headers": …}
                From: … To: … Subject: … --boundary … TEXT … --boundary … HTML … --boundary--
    TEXT, HTML  a Frame: bytes · Slot · bytes · Loop · bytes · Loop · Slot · bytes
    Loop        the place of the Cards of one section's papers
    Card        a Piece for each loop, with placeholders of the paper's number and reason
    Slot        a stretch that depends on a text of the reader (in quoted-printable: whole lines)

    EditionPieces   one edition, one format; each part is made when a mail first needs it
      frames        by the values that templates may test, and by the sections' headings
      CardSet       the cards under those of these values that loops over papers use

Bytes of pieces have placeholders where the keys of a digest and of its reader belong.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time
from itertools import zip_longest
from json.encoder import encode_basestring_ascii
from typing import Any, Protocol

from django.conf import settings

from digest.mailer import compose, marks, quoted_printable, transports
from digest.mailer.compose import DigestLinks, ExplainedPaper, PaperContext
from digest.mailer.marks import MarkedBody, NotExpressible, Wrapped
from digest.mailer.transports import Mail, Transport
from digest.models import Edition

# Encoded texts of readers that a slot keeps, about 300 bytes each.
MAX_SLOT_VALUES = 2_000
# A value that differs from reader to reader would make a frame for each.
MAX_FRAMES = 1_000
# Cards that are rendered at once.
MAX_CARDS = 500

# Placeholders in encoded pieces, which have no other control characters than CR and LF.
KEY, UNSUBSCRIBE_KEY, NUMBER, PADDED_NUMBER = b"\x01", b"\x02", b"\x03", b"\x04"
FIXED_MARKS = {
    marks.KEY: KEY,
    marks.UNSUBSCRIBE_KEY: UNSUBSCRIBE_KEY,
    marks.WIDE_NUMBER: NUMBER,
    marks.NUMBER: NUMBER,
    marks.PADDED_NUMBER: PADDED_NUMBER,
}
SLOTS = [bytes([code]) for code in b"\x05\x06\x07\x08\x0b\x0c\x0e\x0f"]
BROKEN_KEYS = [bytes([code]) for code in range(0x10, 0x20)]
# Marks of an envelope's fields, beside marks.SUBJECT. Boundary and bodies are words,
# because headers and quoted-printable would encode a mark.
TO, DATE, TEXT, HTML, BOUNDARY = "\ue020", "\ue021", "\ue022", "\ue023", "\ue024"
HEADERS = [chr(0xE030 + i) for i in range(32)]
FIELD = re.compile("([\ue011\ue020-\ue0ff])")
MARK_IN_TAG = re.compile("<[^<>]*[\ue010-\ue01f][^>]*>")


class NotJoinable(Exception):
    """This digest needs the plain path; others do not."""


# Encoding


class Encoding(Protocol):
    """A format of bodies."""

    #: Whether a piece must end with a line.
    has_lines: bool
    #: Which key is broken where, by the placeholder of the broken key.
    broken_keys: dict[bytes, tuple[bytes, int]]

    def encode(self, text: str) -> bytes:
        """Encode a text; its marks of fixed width become placeholders."""

    def split_slots(self, text: str) -> list[str]:
        """Split a text; every second part is a slot's template."""


class JsonEncoding:
    """Bodies within the strings of a JSON document."""

    has_lines = False
    broken_keys: dict[bytes, tuple[bytes, int]] = {}
    # Escaped characters of the private use area.
    remaining_mark = re.compile(rb"\\u(?:e|f[0-8])")

    def __init__(self) -> None:
        self.placeholders = {
            json_bytes(mark): placeholder for mark, placeholder in FIXED_MARKS.items()
        }

    def encode(self, text: str) -> bytes:
        # A backslash of the text is left out, so that what follows it is no escaped mark.
        return rb"\\".join([self.encode_part(part) for part in text.split("\\")])

    def encode_part(self, text: str) -> bytes:
        encoded = json_bytes(text)
        for mark, placeholder in self.placeholders.items():
            encoded = encoded.replace(mark, placeholder)
        if self.remaining_mark.search(encoded):
            raise NotExpressible("a mark was changed")
        return encoded

    def split_slots(self, text: str) -> list[str]:
        return re.split(f"({marks.TEXT_MARK.pattern})", text)


class MimeEncoding:
    """Bodies in quoted-printable. Where a line breaks depends on all of it: slots are whole lines."""

    has_lines = True
    unsafe = re.compile(r"[^\t\x20-\x3c\x3e-\x7e\ue000-\uf8ff]")

    def __init__(self) -> None:
        self.broken_keys: dict[bytes, tuple[bytes, int]] = {}

    def encode(self, text: str) -> bytes:
        encoded = quoted_printable.encode_body(text, self.unsafe)
        for mark, placeholder in FIXED_MARKS.items():
            encoded = encoded.replace(mark, placeholder.decode())
        if encoded.isascii():
            return encoded.encode()
        for mark in (marks.KEY, marks.UNSUBSCRIBE_KEY):
            for at in range(1, len(mark)):
                broken = break_line(mark, at)
                if broken in encoded:
                    placeholder = self.break_key(FIXED_MARKS[mark], at)
                    encoded = encoded.replace(broken, placeholder.decode())
        if not encoded.isascii():
            raise NotExpressible("a line breaks within a number")
        return encoded.encode()

    def break_key(self, key: bytes, at: int) -> bytes:
        """Return the placeholder of a key within which a line is broken."""
        for placeholder, broken in self.broken_keys.items():
            if broken == (key, at):
                return placeholder
        if len(self.broken_keys) == len(BROKEN_KEYS):
            raise NotExpressible("lines break within keys at too many places")
        placeholder = BROKEN_KEYS[len(self.broken_keys)]
        self.broken_keys[placeholder] = key, at
        return placeholder

    def split_slots(self, text: str) -> list[str]:
        parts = [""]
        for line in re.findall(r"[^\n]*\n|[^\n]+", text):
            if marks.TEXT_MARK.search(line):
                parts += [line, ""]
            else:
                parts[-1] += line
        return parts


ENCODINGS: dict[str, Callable[[], Encoding]] = {
    "json": JsonEncoding,
    "mime": MimeEncoding,
}


def json_bytes(text: str) -> bytes:
    """Encode what stands between the quotation marks of a JSON string."""
    return encode_basestring_ascii(text)[1:-1].encode("ascii")


def break_line(value: str, at: int) -> str:
    return f"{value[:at]}{quoted_printable.SOFT_BREAK}{value[at:]}"


def escape_html(text: str) -> str:
    """Escape a text node as the inliner of styles writes it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


# Parts of a mail


@dataclass(frozen=True)
class Stretch:
    """A part of a rendered body: its text with marks, and what these mean."""

    text: str
    wrapped: Mapping[str, Wrapped]
    is_html: bool


@dataclass(eq=False, slots=True)
class Slot:
    """A stretch of a body with texts of the reader, and its encoded values."""

    stretch: Stretch
    encode: Callable[[str], bytes]
    names: list[str]  # the marks whose texts it needs
    values: dict[tuple[str, ...], bytes] = field(default_factory=dict)

    def value(self, texts: Mapping[str, str]) -> bytes:
        key = tuple([texts[name] for name in self.names])
        value = self.values.get(key)
        if value is None:
            if len(self.values) >= MAX_SLOT_VALUES:
                self.values.clear()
            stretch = self.stretch
            escape = escape_html if stretch.is_html else str
            filled = marks.fill_marks(stretch.text, texts, stretch.wrapped, escape)
            value = self.values[key] = self.encode(filled)
        return value


@dataclass(frozen=True)
class Loop:
    """The place in a frame where a loop of the templates writes a section's papers."""

    section: int
    loop: int


@dataclass(frozen=True, slots=True)
class Piece:
    """What one loop writes for a paper."""

    content: bytes
    slots: tuple[tuple[bytes, Slot], ...]  # with their placeholders in the content

    def fill(self, texts: Mapping[str, str], number: bytes) -> bytes:
        content = self.content
        for placeholder, slot in self.slots:
            content = content.replace(placeholder, slot.value(texts))
        content = content.replace(PADDED_NUMBER, number.rjust(2))
        return content.replace(NUMBER, number)


@dataclass(eq=False, slots=True)
class Card:
    """A paper as each loop writes it, those of the text first: with numbers of one and of two digits."""

    narrow: tuple[Piece, ...]
    wide: tuple[Piece, ...] = ()
    # What `wide` is made from; as bytes, because marks double the size of a str.
    sources: tuple[tuple[bytes, Stretch], ...] = ()


# A candidate's id, the kind of its reason, and the heading of its section.
CardKey = tuple[int, str, str]


@dataclass(eq=False)
class CardSet:
    """The cards under one combination of the values that loops over papers use."""

    context: dict[str, Any]
    depends_on_section: bool
    cards: dict[CardKey, Card] = field(default_factory=dict)
    cards_by_paper: dict[tuple[PaperContext, str], Card] = field(default_factory=dict)


Body = list[bytes | Slot | Loop]


@dataclass(eq=False)
class Frame:
    """Both bodies around the cards, for sections of certain headings."""

    context: dict[str, Any]
    cards: CardSet
    text: Body
    html: Body
    is_checked: bool = False

    def render_subject(self, subject_text: str) -> str:
        context = {**self.context, "subject_text": subject_text}
        return compose.render_subject(compose.template_name(context), context)


Sections = Sequence[tuple[str, Sequence[int]]]


class EditionPieces:
    """The pieces of one edition in one format, each made when a mail first needs it."""

    def __init__(self, edition: Edition, transport: Transport) -> None:
        self.edition, self.transport = edition, transport
        self.encoding = ENCODINGS[transport.FORMAT]()
        self.context = compose.edition_context(edition)
        self.links = DigestLinks(marks.KEY, settings.CLICK_REDIRECT)
        self.papers: dict[tuple[int, str], PaperContext | None] = {}
        self.frames: dict[tuple[object, ...], Frame] = {}
        self.card_sets: dict[tuple[object, ...], CardSet] = {}
        self.slots: dict[tuple[object, ...], Slot] = {}
        self.envelope: list[bytes | str] = []
        self.test_names: list[str] = []

    # Frames

    def find_frame(
        self,
        context: Mapping[str, Any],
        sections: Sections,
        papers: Sequence[ExplainedPaper],
    ) -> Frame:
        """Return the frame for a reader's context; `sections` name their papers by index."""
        if not self.test_names:
            self.test_names = sorted(
                context.keys() - marks.TEXTS.keys() - {"subject_text"}
            )
        key = (
            *[context[name] for name in self.test_names],
            *[not context[name] for name in marks.TEXTS],
            *[heading for heading, _ in sections],
        )
        frame = self.frames.get(key)
        if frame is None:
            if len(self.frames) >= MAX_FRAMES:
                raise NotExpressible(f"more than {MAX_FRAMES} variants of the mail")
            firsts = [(heading, papers[indexes[0]]) for heading, indexes in sections]
            frame = self.frames[key] = self.make_frame(context, firsts)
        return frame

    def make_frame(
        self, context: Mapping[str, Any], firsts: Sequence[tuple[str, ExplainedPaper]]
    ) -> Frame:
        marked = self.marked_context(context)
        sections = []
        for heading, first in firsts:
            if (paper := self.find_paper(first)) is None:
                raise NotJoinable
            sections.append((heading, [paper]))
        text, html = render_bodies(marked, sections)
        return Frame(
            marked,
            self.find_card_set(marked),
            self.make_body(text),
            self.make_body(html),
        )

    def marked_context(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Return the context of the templates, with marks for the texts of a reader."""
        texts = {
            name: mark if context[name] else "" for name, mark in marks.TEXTS.items()
        }
        values = {name: context[name] for name in self.test_names}
        return {
            **self.context,
            **values,
            **texts,
            "links": self.links,
            "unsubscribe_url": compose.key_url("unsubscribe", marks.UNSUBSCRIBE_KEY),
        }

    def make_body(self, body: MarkedBody) -> Body:
        """Encode what is around the loops of a body, which has one paper a section."""
        parts: Body = []
        for number, (text, event) in enumerate(body.stretches, start=1):
            if event and event.position is not None:
                parts.append(Loop(event.section, event.loop))
                continue
            stretch = Stretch(text, body.wrapped, body.is_html)
            self.check_borders(stretch, is_last=number == len(body.stretches))
            for part, slot in self.encode_stretch(stretch):
                parts += [each for each in (part, slot) if each]
        return parts

    # Cards

    def find_card_set(self, marked: dict[str, Any]) -> CardSet:
        """Return the cards shared by all frames whose loops over papers read the same values."""
        name = compose.template_name(marked)
        names = loop_names(name)
        own = [*self.test_names, *marks.TEXTS]
        key = name, *[marked[each] for each in own if names is None or each in names]
        if key not in self.card_sets:
            self.card_sets[key] = CardSet(marked, names is None or "section" in names)
        return self.card_sets[key]

    def find_card(
        self,
        card_set: CardSet,
        heading: str,
        paper: ExplainedPaper,
        others: Iterable[ExplainedPaper],
    ) -> Card:
        """Return the card of a paper under a heading; make those of `others` with it, if it is missing."""
        if not card_set.depends_on_section:
            heading = ""
        key = paper.candidate.pk, paper.kind, heading
        if key not in card_set.cards:
            self.make_cards(card_set, heading, [paper, *others])
        if (card := card_set.cards.get(key)) is None:
            raise NotJoinable
        return card

    def make_cards(
        self, card_set: CardSet, heading: str, papers: Sequence[ExplainedPaper]
    ) -> None:
        """Make the cards of the first paper, and of those that can stand under the same heading."""
        group = heading_group(papers[0])
        missing: dict[PaperContext, list[CardKey]] = {}
        for paper in papers:
            key = paper.candidate.pk, paper.kind, heading
            if key in card_set.cards:
                continue
            if card_set.depends_on_section and heading_group(paper) != group:
                continue
            if (context := self.find_paper(paper)) and len(missing) < MAX_CARDS:
                missing.setdefault(context, []).append(key)
        for context in list(missing):
            if card := card_set.cards_by_paper.get((context, heading)):
                card_set.cards |= dict.fromkeys(missing.pop(context), card)
        if not missing:
            return
        bodies = render_bodies(card_set.context, [(heading, list(missing))])
        stretches = [body.texts_by_position(len(missing)) for body in bodies]
        for position, (context, keys) in enumerate(missing.items()):
            card = self.make_card(
                [
                    Stretch(text, body.wrapped, body.is_html)
                    for body, texts in zip(bodies, stretches, strict=True)
                    for text in texts[position]
                ]
            )
            card_set.cards_by_paper[context, heading] = card
            card_set.cards |= dict.fromkeys(keys, card)

    def find_paper(self, paper: ExplainedPaper) -> PaperContext | None:
        """Return a paper's context with marks; None for a card that cannot be shown."""
        key = paper.candidate.pk, paper.kind
        if key not in self.papers:
            number: Any = marks.PaperNumber(marks.NUMBER)
            marked = ExplainedPaper(
                paper.candidate, paper.kind, paper.title, marks.REASON
            )
            try:
                self.papers[key] = compose.paper_context(
                    number, marked, self.edition.day, self.links
                )
            except Exception:  # its digests are composed plainly, which reports it
                self.papers[key] = None
        return self.papers[key]

    def make_card(self, stretches: Sequence[Stretch]) -> Card:
        for stretch in stretches:
            self.check_borders(stretch)
        narrow = tuple(map(self.make_piece, stretches))
        if not self.encoding.has_lines:
            return Card(narrow, wide=narrow)
        sources = [(each.text.encode(), replace(each, text="")) for each in stretches]
        return Card(narrow, sources=tuple(sources))

    def widen_card(self, card: Card) -> tuple[Piece, ...]:
        """Make the pieces of a card for numbers of two digits, where lines may break elsewhere."""
        wide = [
            replace(each, text=text.decode().replace(marks.NUMBER, marks.WIDE_NUMBER))
            for text, each in card.sources
        ]
        card.wide, card.sources = tuple(map(self.make_piece, wide)), ()
        return card.wide

    def make_piece(self, stretch: Stretch) -> Piece:
        parts: list[bytes] = []
        slots: list[tuple[bytes, Slot]] = []
        for part, slot in self.encode_stretch(stretch):
            parts.append(part)
            if slot:
                if len(slots) == len(SLOTS):
                    raise NotExpressible("too many texts of a reader in one paper")
                placeholder = SLOTS[len(slots)]
                slots.append((placeholder, slot))
                parts.append(placeholder)
        return Piece(b"".join(parts), tuple(slots))

    def encode_stretch(self, stretch: Stretch) -> Iterator[tuple[bytes, Slot | None]]:
        """Yield encoded parts, each with the slot that follows it."""
        parts = self.encoding.split_slots(stretch.text)
        for text, template in zip_longest(parts[::2], parts[1::2]):
            slot = self.find_slot(replace(stretch, text=template)) if template else None
            yield self.encoding.encode(text), slot

    def find_slot(self, stretch: Stretch) -> Slot:
        names = marks.names_of(stretch.text, stretch.wrapped)
        calls = [
            stretch.wrapped[mark]
            for mark in marks.TEXT_MARK.findall(stretch.text)
            if mark in stretch.wrapped
        ]
        # The same call of wrap() may have another mark in another rendering.
        template = marks.TEXT_MARK.sub(
            lambda match: "W" if match[0] in stretch.wrapped else match[0], stretch.text
        )
        key = template, tuple(calls), stretch.is_html
        if key not in self.slots:
            self.slots[key] = Slot(stretch, self.encoding.encode, names)
        return self.slots[key]

    def check_borders(self, stretch: Stretch, is_last: bool = False) -> None:
        """Raise NotExpressible for a stretch whose encoding depends on what surrounds it."""
        text = stretch.text
        if self.encoding.has_lines and text and not (is_last or text.endswith("\n")):
            raise NotExpressible("a loop over papers begins or ends within a line")
        if stretch.is_html and MARK_IN_TAG.search(text):
            raise NotExpressible("a text of the reader is in an attribute")

    # The envelope

    def find_envelope(self, header_names: Iterable[str]) -> list[bytes | str]:
        """Return what surrounds the bodies, split at the marks of its fields."""
        if not self.envelope:
            headers = dict(zip(header_names, HEADERS, strict=False))
            if self.transport.FORMAT == "json":
                envelope = self.make_json_envelope(headers)
            else:
                envelope = self.make_mime_envelope(headers)
            self.envelope = [
                part if FIELD.fullmatch(part) else part.encode("ascii")
                for part in FIELD.split(envelope)
            ]
        return self.envelope

    def make_json_envelope(self, headers: dict[str, str]) -> str:
        mail = self.sample_mail(marks.KEY, TO, marks.SUBJECT, TEXT, HTML, headers)
        encoded = self.transport.encode_mail(mail).decode("ascii")
        marked = re.sub(
            r"\\u([ef][0-9a-f]{3})", lambda match: chr(int(match[1], 16)), encoded
        )
        return marked.replace(marks.KEY, KEY.decode())

    def make_mime_envelope(self, headers: dict[str, str]) -> str:
        """Take the headers in their order, each folded by itself, and the parts of the body."""
        sample_key = "k" * marks.KEY_CHARS
        plain_headers = dict.fromkeys(headers, "value")
        mail = self.sample_mail(
            sample_key, "a@example.org", "subject", "text", "html", plain_headers
        )
        message = transports.as_message(mail)
        fields = {"To": TO, "Subject": marks.SUBJECT, "Date": DATE, **headers}
        head = [
            fields.get(name) or message.policy.fold(name, value)
            for name, value in message.raw_items()
        ]
        encoded = message.as_bytes().decode("ascii")
        body = encoded[encoded.index("\r\n\r\n") :]
        body = body.replace("\r\n\r\ntext\r\n", f"\r\n\r\n{TEXT}")
        body = body.replace("\r\n\r\nhtml\r\n", f"\r\n\r\n{HTML}")
        boundary = transports.boundary_of(sample_key)
        return ("".join(head) + body[2:]).replace(boundary, BOUNDARY)

    def sample_mail(
        self,
        key: str,
        to: str,
        subject: str,
        text: str,
        html: str,
        headers: dict[str, str],
    ) -> Mail:
        sent_at = datetime.combine(self.edition.day, time(), UTC)
        day = self.edition.day
        return Mail(key, day, to, subject, text, html, headers, sent_at)


def heading_group(paper: ExplainedPaper) -> str:
    """Return a key of the papers that can stand under the same heading."""
    return paper.kind if paper.kind in ("near", "trend", "new") else ""


def loop_names(template: str) -> frozenset[str] | None:
    """Return the names that the loops over papers of both bodies read; None if that is unknown."""
    text = marks.names_in_loops(f"{template}.txt")
    html = marks.names_in_loops(f"{template}.html")
    return None if text is None or html is None else text | html


def render_bodies(
    context: Mapping[str, Any],
    sections: Sequence[tuple[str, Sequence[PaperContext]]],
) -> tuple[MarkedBody, MarkedBody]:
    """Render both bodies with marks; loops are numbered through both."""
    name = compose.template_name(context)
    text = marks.render_marked(f"{name}.txt", context, sections)
    context = {**context, "subject": marks.SUBJECT}
    html = marks.render_marked(f"{name}.html", context, sections, text.loops)
    return text, html
