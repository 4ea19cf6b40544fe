"""Compose the mails of an edition from pieces that are rendered and encoded once.

What a digest is stays in the templates and in `compose.render_mail`, the plain path. Pieces
are cut from those templates, rendered with marks (see `marks`), and encoded for the
transport: escaped for JSON, or quoted-printable. A mail is a join of them:

    Envelope    {"personalizations": … TO …  SUBJECT … "content": … TEXT … HTML … "headers": …}
                From: … To: … Subject: … --boundary … TEXT … --boundary … HTML … --boundary--
    TEXT, HTML  a Frame: piece · Slot · piece · Loop · piece · Loop · Slot · piece
    Loop        the Cards of one section's papers, one after the other
    Card        a piece for each loop, in which a paper's reason and number are replaced
    Slot        a stretch that depends on a text of the reader (in quoted-printable: whole lines)

The keys of a digest and of its reader are replaced in the joined mail.

    EditionPieces   one process, one edition, one format
      variants      by the values that templates may test  ──► frames (by headings), cards
      lines         by pick: the paper and its reason

The first mail of each frame and of each batch is compared with the plain path. After a
difference, or where a template does what marks cannot express, the edition's mails are
composed plainly: the reason is logged once.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time
from itertools import zip_longest
from json.encoder import encode_basestring_ascii
from operator import itemgetter
from typing import Any, Protocol

import structlog
from django.conf import settings

from digest.mailer import compose, marks, quoted_printable, transports
from digest.mailer.compose import DigestLinks, ExplainedPaper, PaperContext, RenderData
from digest.mailer.empty_digest import load_empty_digests
from digest.mailer.marks import MarkedBody, NotExpressible, Wrapped
from digest.mailer.transports import EncodedMail, Mail, Transport
from digest.models import Candidate, Digest, Edition, Interest, Pick
from digest.models.digests import PICK, decode_picks
from digest.reasons import PickRows, explain_pick, load_names

log = structlog.get_logger(__name__)

# Editions whose pieces a process keeps: the one that is being sent, and one before it for
# digests that are sent again.
MAX_EDITIONS = 2
# Most lines and interests are of readers' own searches and used once; 1 KB each.
MAX_LINES = MAX_INTERESTS = 20_000
# Encoded texts of readers that a slot keeps, about 300 bytes each.
MAX_SLOT_VALUES = 5_000
# A value that differs from reader to reader would make a variant of each.
MAX_FRAMES = 1_000
# Cards that are rendered at once.
MAX_CARDS = 500
# Filled cards that are kept for other readers with the same pick at the same place, 5 KB each.
MAX_FILLED = 6_000

# Placeholders in encoded pieces, which have no other control characters than CR and LF.
KEY, UNSUBSCRIBE_KEY, NUMBER, PADDED_NUMBER = "\x01", "\x02", "\x03", "\x04"
FIXED_MARKS = {
    marks.KEY: KEY,
    marks.UNSUBSCRIBE_KEY: UNSUBSCRIBE_KEY,
    marks.WIDE_NUMBER: NUMBER,
    marks.NUMBER: NUMBER,
    marks.PADDED_NUMBER: PADDED_NUMBER,
}
SLOTS = "\x05\x06\x07\x08\x0b\x0c\x0e\x0f"
BROKEN = "".join(map(chr, range(0x10, 0x20)))  # keys within which a line was broken
# Marks of an envelope's fields, beside marks.SUBJECT. Boundary and bodies are words,
# because headers and quoted-printable would encode a mark.
TO, DATE, TEXT, HTML, BOUNDARY = "\ue020", "\ue021", "\ue022", "\ue023", "\ue024"
HEADERS = [chr(0xE030 + i) for i in range(32)]
FIELD = re.compile("([\ue011\ue020-\ue0ff])")
MARK_IN_TAG = re.compile("<[^>]*[\ue010-\ue01f][^>]*>")
URL_SAFE_KEY = re.compile(rf"[\w-]{{{marks.KEY_CHARS}}}", re.ASCII)


class NotJoinable(Exception):
    """This digest needs the plain path; others do not."""


# Encoding


class Encoding(Protocol):
    """A format of bodies. Both functions take texts with marks."""

    has_lines: bool  # whether a piece must end with a line

    def encode(self, text: str) -> str: ...

    def split_slots(self, text: str) -> list[str]:
        """Split a text; every second part is a slot's template."""


class JsonEncoding:
    """Bodies within the strings of a JSON document."""

    has_lines = False

    def encode(self, text: str) -> str:
        parts = marks.ANY_MARK.split(text)
        parts[::2] = map(json_text, parts[::2])
        return "".join(parts)

    def split_slots(self, text: str) -> list[str]:
        return re.split(f"({marks.TEXT_MARK.pattern})", text)


class MimeEncoding:
    """Bodies in quoted-printable. Where a line breaks depends on all of it: slots are whole lines."""

    has_lines = True
    unsafe = re.compile(r"[^\t\x20-\x3c\x3e-\x7e\ue000-\uf8ff]")

    def encode(self, text: str) -> str:
        return quoted_printable.encode_body(text, self.unsafe)

    def split_slots(self, text: str) -> list[str]:
        parts = [""]
        for line in re.findall(r"[^\n]*\n|[^\n]+", text):
            if marks.TEXT_MARK.search(line):
                parts += [line, ""]
            else:
                parts[-1] += line
        return parts


ENCODINGS: dict[str, Encoding] = {"json": JsonEncoding(), "mime": MimeEncoding()}


def json_text(text: str) -> str:
    return encode_basestring_ascii(text)[1:-1]


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


@dataclass(eq=False)
class Slot:
    """A stretch of a body with texts of the reader, and its encoded values."""

    stretch: Stretch
    encode: Callable[[str], str]
    names: list[str]  # the marks whose texts it needs
    values: dict[tuple[str, ...], str] = field(default_factory=dict)

    def value(self, texts: Mapping[str, str]) -> str:
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


@dataclass(frozen=True)
class Piece:
    """What one loop writes for a paper."""

    text: str
    slots: tuple[tuple[str, Slot], ...]  # with their placeholders in the text
    has_padded_number: bool

    def fill(self, texts: Mapping[str, str], number: str) -> str:
        text = self.text
        for placeholder, slot in self.slots:
            text = text.replace(placeholder, slot.value(texts))
        if self.has_padded_number:
            text = text.replace(PADDED_NUMBER, number.rjust(2))
        return text.replace(NUMBER, number)


@dataclass(eq=False)
class Card:
    """A paper as each loop writes it, those of the text first: with numbers of one and of two digits."""

    narrow: tuple[Piece, ...]
    wide: tuple[Piece, ...] = ()
    # What `wide` is made from; as bytes, because marks double the size of a str.
    sources: tuple[tuple[bytes, Stretch], ...] = ()


# A candidate's id, the kind of its reason, and the heading of its section.
CardKey = tuple[int, str, str]


@dataclass(eq=False)
class Variant:
    """One combination of the values that templates may test, and the cards under it."""

    context: dict[str, Any]
    cards: dict[CardKey, Card] = field(default_factory=dict)
    cards_by_paper: dict[tuple[PaperContext, str], Card] = field(default_factory=dict)
    subjects: dict[str, str] = field(default_factory=dict)
    # By pick, place and heading.
    filled: dict[tuple[bytes, int, str], list[str]] = field(default_factory=dict)

    @property
    def template(self) -> str:
        return compose.template_name(self.context)


@dataclass(eq=False)
class Frame:
    """Both bodies around the cards, for sections of certain headings."""

    variant: Variant
    text: list[str | Slot | Loop]
    html: list[str | Slot | Loop]
    is_checked: bool = False


@dataclass(frozen=True)
class Line(ExplainedPaper):
    """A pick with its paper and reason."""

    pick: Pick
    texts: dict[str, str]
    group: str  # which lines can stand under the same heading


Sections = Sequence[tuple[str, Sequence[int]]]


class EditionPieces:
    """The pieces of one edition in one format, each made when a mail first needs it."""

    def __init__(self, edition: Edition, transport: Transport) -> None:
        self.edition, self.transport = edition, transport
        self.encoding = ENCODINGS[transport.FORMAT]
        self.context = compose.edition_context(edition)
        self.links = DigestLinks(marks.KEY, settings.CLICK_REDIRECT)
        self.candidates: dict[int, Candidate] = {}
        self.interests: dict[int, Interest] = {}
        self.names: dict[str, str] = {}
        self.lines: dict[bytes, Line] = {}
        self.papers: dict[tuple[int, str], PaperContext] = {}
        self.variants: dict[tuple[object, ...], Variant] = {}
        self.frames: dict[tuple[object, ...], Frame] = {}
        self.slots: dict[tuple[object, ...], Slot] = {}
        self.broken: dict[tuple[str, int], str] = {}
        self.envelope: list[str] = []
        self.variant_key: Callable[[Mapping[str, Any]], object] | None = None
        self.is_usable = True

    # Rows

    def load_rows(self, digests: Sequence[Digest]) -> PickRows:
        """Read what these digests name, as `reasons.load_pick_rows` does.

        Candidates of a frozen edition never change and are kept. Interests are deleted with
        their last follower, and topics are renamed, so these are read again.
        """
        chunks = {c for d in digests for c in split_picks(bytes(d.packed_picks))}
        picks = decode_picks(b"".join(chunks))
        missing = {pick.candidate for pick in picks} - self.candidates.keys()
        self.candidates |= Candidate.objects.in_bulk(missing)
        self.load_interests({pick.interest for pick in picks if pick.interest})
        rows = PickRows(self.candidates, self.interests, self.names)
        for chunk in chunks:  # at once, so that their cards are rendered together
            with suppress(Exception):  # a damaged card fails its digests alone, later
                self.find_line(chunk, rows)
        return rows

    def load_interests(self, ids: set[int]) -> None:
        if len(self.interests) > MAX_INTERESTS:
            self.interests, self.names = {}, {}
        cached_ids = ids & self.interests.keys()
        stored = set(
            Interest.objects.filter(pk__in=cached_ids).values_list("pk", flat=True)
        )
        new = Interest.objects.in_bulk(ids - cached_ids)
        rows = [self.interests[pk] for pk in stored]
        topics = [row for row in rows if row.kind == Interest.Kind.TOPIC]
        names = load_names([*new.values(), *topics])
        renamed = any(self.names.get(key, name) != name for key, name in names.items())
        deleted = cached_ids - stored
        if renamed or deleted or len(self.lines) > MAX_LINES:
            self.lines = {}
            for variant in self.variants.values():
                variant.filled.clear()
        for pk in deleted:
            del self.interests[pk]
        self.interests |= new
        self.names |= names

    def find_line(self, chunk: bytes, rows: PickRows) -> Line:
        if line := self.lines.get(chunk):
            return line
        (pick,) = decode_picks(chunk)
        if pick.candidate not in rows.candidates:
            raise NotJoinable
        try:
            explained = explain_pick(1, pick, rows)
            paper = compose.explain_paper(explained.candidate, explained.reason)
        except Exception as error:  # a broken card: the plain path reports it
            raise NotJoinable from error
        if not paper.reason:
            raise NotJoinable
        line = self.lines[chunk] = Line(
            paper.candidate,
            paper.kind,
            paper.title,
            paper.reason,
            pick,
            {marks.REASON: paper.reason},
            paper.kind if paper.kind in ("near", "trend", "new") else "",
        )
        return line

    # Joining

    def join(self, digest: Digest, render_data: RenderData) -> tuple[str, Frame]:
        """Compose one mail in its encoded form; return also its frame."""
        key, unsubscribe_key = digest.key, digest.subscriber.unsubscribe_key
        if not (
            URL_SAFE_KEY.fullmatch(key) and URL_SAFE_KEY.fullmatch(unsubscribe_key)
        ):
            raise NotJoinable
        rows = render_data.pick_rows
        chunks = split_picks(bytes(digest.packed_picks))
        lines = [self.find_line(chunk, rows) for chunk in chunks]
        sections = compose.group_sections(tuple([line.kind for line in lines]))
        picks = [line.pick for line in lines]
        context = compose.reader_context(digest, picks, lines, render_data)
        frame = self.find_frame(context, sections, lines)
        subject = self.find_subject(frame.variant, context["subject_text"])
        texts = {mark: context[name] for name, mark in marks.TEXTS.items()}
        texts[marks.SUBJECT] = subject
        for mark, (_, indexes) in zip(marks.FIRST_NUMBERS, sections, strict=False):
            texts[mark] = str(indexes[0] + 1)
        loops = self.fill_cards(frame.variant, sections, lines, chunks)
        unsubscribe_url = compose.key_url("unsubscribe", unsubscribe_key)
        headers = compose.mail_headers(digest, unsubscribe_url)
        fields = self.encode_fields(digest, subject, headers)
        parts: list[str] = []
        for part in self.envelope or self.make_envelope(list(headers)):
            if part == TEXT:
                join_body(frame.text, texts, loops, parts)
            elif part == HTML:
                join_body(frame.html, texts, loops, parts)
            else:
                parts.append(fields.get(part, part))
        mail = "".join(parts).replace(KEY, key)
        mail = mail.replace(UNSUBSCRIBE_KEY, unsubscribe_key)
        for (run, at), placeholder in self.broken.items():
            value = key if run == marks.KEY else unsubscribe_key
            mail = mail.replace(placeholder, break_line(value, at))
        return mail, frame

    def find_subject(self, variant: Variant, subject_text: str) -> str:
        subject = variant.subjects.get(subject_text)
        if subject is None:
            context = {**variant.context, "subject_text": subject_text}
            subject = compose.render_subject(variant.template, context)
            variant.subjects[subject_text] = subject
        return subject

    def fill_cards(
        self,
        variant: Variant,
        sections: Sections,
        lines: Sequence[Line],
        chunks: Sequence[bytes],
    ) -> list[list[list[str]]]:
        """Return what the loops write, by section, paper and loop."""
        filled, loops = variant.filled, []
        for heading, indexes in sections:
            rows = []
            for i in indexes:
                key = chunks[i], i, heading
                if (texts := filled.get(key)) is None:
                    if len(filled) >= MAX_FILLED:
                        filled.clear()
                    texts = self.fill_card(variant, heading, lines[i], i + 1)
                    filled[key] = texts
                rows.append(texts)
            loops.append(rows)
        return loops

    def fill_card(
        self, variant: Variant, heading: str, line: Line, number: int
    ) -> list[str]:
        card = variant.cards.get((line.candidate.pk, line.kind, heading))
        if card is None:
            card = self.make_card_of(variant, heading, line)
        pieces = card.narrow if number < 10 else card.wide or self.widen(card)
        return [piece.fill(line.texts, str(number)) for piece in pieces]

    def encode_fields(
        self, digest: Digest, subject: str, headers: Mapping[str, str]
    ) -> dict[str, str]:
        """Encode the fields of the envelope, by their marks."""
        values = zip(HEADERS, headers.items(), strict=False)
        if self.transport.FORMAT == "json":
            fields = {mark: json_text(value) for mark, (_, value) in values}
            fields[TO] = json_text(digest.subscriber.email)
            fields[marks.SUBJECT] = json_text(subject)
            return fields
        fold = transports.fold_header
        fields = {mark: fold(name, value) for mark, (name, value) in values}
        fields[TO] = fold("To", digest.subscriber.email)
        fields[marks.SUBJECT] = fold("Subject", subject)
        fields[DATE] = fold("Date", digest.created_at)
        fields[BOUNDARY] = transports.boundary_of(digest.key)
        return fields

    # Making pieces

    def find_frame(
        self, context: dict[str, Any], sections: Sections, lines: Sequence[Line]
    ) -> Frame:
        if self.variant_key is None:
            names = sorted(context.keys() - marks.TEXTS.keys() - {"subject_text"})
            self.variant_key = itemgetter(*names)
        is_empty = tuple([not context[name] for name in marks.TEXTS])
        variant_key = self.variant_key(context), is_empty
        headings = tuple([heading for heading, _ in sections])
        frame = self.frames.get((variant_key, headings))
        if frame is None:
            if len(self.frames) >= MAX_FRAMES:
                raise NotExpressible(f"more than {MAX_FRAMES} variants of the mail")
            variant = self.variants.setdefault(
                variant_key, Variant(self.variant_context(context))
            )
            frame = self.make_frame(variant, sections, lines)
            self.frames[variant_key, headings] = frame
        return frame

    def variant_context(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Return the context of the templates, with marks for the texts of a reader."""
        texts = {
            name: mark if context[name] else "" for name, mark in marks.TEXTS.items()
        }
        values = {
            name: value for name, value in context.items() if name != "subject_text"
        }
        return {
            **self.context,
            **values,
            **texts,
            "links": self.links,
            "unsubscribe_url": compose.key_url("unsubscribe", marks.UNSUBSCRIBE_KEY),
        }

    def make_frame(
        self, variant: Variant, sections: Sections, lines: Sequence[Line]
    ) -> Frame:
        first_papers = []
        for heading, indexes in sections:
            if (paper := self.find_paper(lines[indexes[0]])) is None:
                raise NotJoinable
            first_papers.append((heading, [paper]))
        text, html = self.render_bodies(variant, first_papers)
        return Frame(variant, self.make_body_frame(text), self.make_body_frame(html))

    def render_bodies(
        self, variant: Variant, sections: Sequence[tuple[str, Sequence[PaperContext]]]
    ) -> tuple[MarkedBody, MarkedBody]:
        name, context = variant.template, variant.context
        text = marks.render_marked(f"{name}.txt", context, sections)
        context = {**context, "subject": marks.SUBJECT}
        html = marks.render_marked(f"{name}.html", context, sections, text.loops)
        return text, html

    def make_body_frame(self, body: MarkedBody) -> list[str | Slot | Loop]:
        """Encode what is around the loops of a body, which has one paper a section."""
        parts: list[str | Slot | Loop] = []
        for number, (text, event) in enumerate(body.stretches, start=1):
            if event and event.position is not None:
                parts.append(Loop(event.section, event.loop))
                continue
            stretch = Stretch(text, body.wrapped, body.is_html)
            self.check(stretch, is_last=number == len(body.stretches))
            for part, slot in self.encode_stretch(stretch):
                parts += [each for each in (part, slot) if each]
        return parts

    def make_card_of(self, variant: Variant, heading: str, line: Line) -> Card:
        """Make the cards of known lines that can stand under a heading; return that of one line."""
        missing: dict[PaperContext, list[CardKey]] = {}
        for each in (line, *self.lines.values()):
            key = (each.candidate.pk, each.kind, heading)
            if each.group != line.group or key in variant.cards:
                continue
            if (paper := self.find_paper(each)) and len(missing) < MAX_CARDS:
                missing.setdefault(paper, []).append(key)
        for paper in list(missing):
            if card := variant.cards_by_paper.get((paper, heading)):
                variant.cards |= dict.fromkeys(missing.pop(paper), card)
        if missing:
            bodies = self.render_bodies(variant, [(heading, list(missing))])
            for position, (paper, keys) in enumerate(missing.items()):
                card = self.make_card(bodies, position)
                variant.cards_by_paper[paper, heading] = card
                variant.cards |= dict.fromkeys(keys, card)
        card = variant.cards.get((line.candidate.pk, line.kind, heading))
        if card is None:
            raise NotJoinable
        return card

    def find_paper(self, line: Line) -> PaperContext | None:
        """Return a paper's context with marks; None for a card that cannot be shown."""
        key = line.candidate.pk, line.kind
        if key not in self.papers:
            paper = ExplainedPaper(line.candidate, line.kind, line.title, marks.REASON)
            number: Any = marks.PaperNumber(marks.NUMBER)
            try:
                context = compose.paper_context(
                    number, paper, self.edition.day, self.links
                )
            except (
                Exception
            ):  # its digests are composed plainly, which reports the error
                return None
            self.papers[key] = context
        return self.papers[key]

    def make_card(self, bodies: Sequence[MarkedBody], position: int) -> Card:
        stretches = [
            Stretch(text, body.wrapped, body.is_html)
            for body in bodies
            for text in body.texts_of(position)
        ]
        for stretch in stretches:
            self.check(stretch)
        narrow = tuple(map(self.make_piece, stretches))
        if not self.encoding.has_lines:
            return Card(narrow, wide=narrow)
        sources = [(each.text.encode(), replace(each, text="")) for each in stretches]
        return Card(narrow, sources=tuple(sources))

    def widen(self, card: Card) -> tuple[Piece, ...]:
        """Make the pieces of a card for numbers of two digits, where lines may break elsewhere."""
        wide = [
            replace(each, text=text.decode().replace(marks.NUMBER, marks.WIDE_NUMBER))
            for text, each in card.sources
        ]
        card.wide, card.sources = tuple(map(self.make_piece, wide)), ()
        return card.wide

    def make_piece(self, stretch: Stretch) -> Piece:
        texts: list[str] = []
        slots: list[tuple[str, Slot]] = []
        for text, slot in self.encode_stretch(stretch):
            texts.append(text)
            if slot:
                if len(slots) == len(SLOTS):
                    raise NotExpressible("too many texts of a reader in one paper")
                placeholder = SLOTS[len(slots)]
                slots.append((placeholder, slot))
                texts.append(placeholder)
        text = "".join(texts)
        return Piece(text, tuple(slots), PADDED_NUMBER in text)

    def encode_stretch(self, stretch: Stretch) -> Iterator[tuple[str, Slot | None]]:
        """Yield encoded texts, each with the slot that follows it."""
        parts = self.encoding.split_slots(stretch.text)
        for text, template in zip_longest(parts[::2], parts[1::2]):
            slot = self.find_slot(replace(stretch, text=template)) if template else None
            yield self.encode(text), slot

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
            self.slots[key] = Slot(stretch, self.encode, names)
        return self.slots[key]

    def encode(self, text: str) -> str:
        """Encode a text; marks of fixed width become placeholders."""
        encoded = self.encoding.encode(text)
        for run, placeholder in FIXED_MARKS.items():
            encoded = encoded.replace(run, placeholder)
        if marks.ANY_MARK.search(encoded):
            for run in (marks.KEY, marks.UNSUBSCRIBE_KEY):
                for at in range(1, len(run)):
                    broken = break_line(run, at)
                    if broken in encoded:
                        encoded = encoded.replace(broken, self.broken_key(run, at))
        if marks.ANY_MARK.search(encoded):
            raise NotExpressible("a line breaks within a number")
        return encoded

    def broken_key(self, run: str, at: int) -> str:
        if (run, at) not in self.broken:
            if len(self.broken) == len(BROKEN):
                raise NotExpressible("lines break within keys at too many places")
            self.broken[run, at] = BROKEN[len(self.broken)]
        return self.broken[run, at]

    def check(self, stretch: Stretch, is_last: bool = False) -> None:
        """Raise NotExpressible for a stretch whose encoding depends on what surrounds it."""
        text = stretch.text
        if self.encoding.has_lines and text and not (is_last or text.endswith("\n")):
            raise NotExpressible("a loop over papers begins or ends within a line")
        if stretch.is_html and MARK_IN_TAG.search(text):
            raise NotExpressible("a text of the reader is in an attribute")

    # The envelope

    def make_envelope(self, header_names: Sequence[str]) -> list[str]:
        """Split what surrounds the bodies at the marks of its fields."""
        headers = dict(zip(header_names, HEADERS, strict=False))
        if self.transport.FORMAT == "json":
            envelope = self.make_json_envelope(headers)
        else:
            envelope = self.make_mime_envelope(headers)
        self.envelope = FIELD.split(envelope)
        return self.envelope

    def make_json_envelope(self, headers: dict[str, str]) -> str:
        mail = self.sample_mail(marks.KEY, TO, marks.SUBJECT, TEXT, HTML, headers)
        encoded = self.transport.encode_mail(mail).decode("ascii")
        marked = re.sub(
            r"\\u([ef][0-9a-f]{3})", lambda match: chr(int(match[1], 16)), encoded
        )
        return marked.replace(marks.KEY, KEY)

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


def split_picks(packed_picks: bytes) -> list[bytes]:
    size = PICK.size
    return [packed_picks[i : i + size] for i in range(0, len(packed_picks), size)]


def break_line(value: str, at: int) -> str:
    return f"{value[:at]}{quoted_printable.SOFT_BREAK}{value[at:]}"


def join_body(
    frame: Sequence[str | Slot | Loop],
    texts: Mapping[str, str],
    cards: Sequence[Sequence[Sequence[str]]],
    parts: list[str],
) -> None:
    """Append a body to `parts`; `cards` are by section, paper and loop."""
    for part in frame:
        if isinstance(part, str):
            parts.append(part)
        elif isinstance(part, Loop):
            parts += [pieces[part.loop] for pieces in cards[part.section]]
        else:
            parts.append(part.value(texts))


# A batch


class BatchComposer:
    """Composes the digests of a batch, from pieces where that is possible."""

    def __init__(self, edition: Edition, transport: Transport) -> None:
        self.transport = transport
        self.pieces = find_pieces(edition, transport)
        self.is_checked = False
        self.render_data: dict[int, RenderData] = {}  # by digest

    def load(self, digests: Sequence[Digest]) -> None:
        """Read the rows that these digests name."""
        if digests:
            rows = self.pieces.load_rows(digests) if self.pieces else None
            render_data = compose.load_render_data(digests, rows)
            self.render_data |= dict.fromkeys([d.pk for d in digests], render_data)

    def encode(self, digest: Digest) -> EncodedMail:
        """Compose one digest; what fails concerns this digest only."""
        readers_notes = self.render_data[digest.pk].empty_digests
        if not digest.packed_picks and digest.subscriber_id not in readers_notes:
            # Emptied by a recall a moment ago.
            readers_notes |= load_empty_digests([digest])
        content = self.join(digest) if self.pieces and self.pieces.is_usable else None
        if content is None:
            content = self.encode_plainly(digest)
        return EncodedMail(
            key=digest.key,
            day=digest.edition.day,
            to=digest.subscriber.email,
            content=content,
            return_path=digest.return_path,
        )

    def encode_plainly(self, digest: Digest) -> bytes:
        mail = compose.compose_digest(digest, self.render_data[digest.pk])
        return self.transport.encode_mail(mail)

    def join(self, digest: Digest) -> bytes | None:
        """Join a mail from pieces; None if it must be composed plainly."""
        assert self.pieces
        try:
            mail, frame = self.pieces.join(digest, self.render_data[digest.pk])
            content = mail.encode("ascii")
        except NotJoinable:
            return None
        except Exception as error:  # whatever the plain path may still do well
            self.pieces.is_usable = False
            log.exception(
                "mails of this edition are composed plainly", error=str(error)
            )
            return None
        if self.is_checked and frame.is_checked:
            return content
        self.is_checked = frame.is_checked = True
        plain = self.encode_plainly(digest)
        if content != plain:
            self.pieces.is_usable = False
            log.error(
                "mails of this edition are composed plainly",
                error="the first mail of a kind differs from its templates",
                digest=digest.pk,
                position=first_difference(content, plain),
            )
        return plain


def first_difference(first: bytes, second: bytes) -> int:
    pairs = enumerate(zip(first, second, strict=False))
    shorter = min(len(first), len(second))
    return next((i for i, (byte, other) in pairs if byte != other), shorter)


def find_pieces(edition: Edition, transport: Transport) -> EditionPieces | None:
    """Return the pieces of a frozen edition under the present settings; None if it may still change."""
    if edition.is_open:
        return None
    names = ("SITE_URL", "SITE_NAME", "POSTAL_ADDRESS", "MAIL_FROM", "CLICK_REDIRECT")
    values = tuple([getattr(settings, name) for name in names])
    key = edition.pk, edition.frozen_at, edition.note, transport, values
    if key in PIECES:
        PIECES.move_to_end(key)
    else:
        PIECES[key] = EditionPieces(edition, transport)
        if len(PIECES) > MAX_EDITIONS:
            PIECES.popitem(last=False)
    return PIECES[key]


PIECES: OrderedDict[tuple[object, ...], EditionPieces] = OrderedDict()
