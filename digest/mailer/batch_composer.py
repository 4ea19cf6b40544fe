"""Compose a batch's mails: joined from prepared pieces where that is possible, else plainly.

    digest ── picks ──► Lines (paper and reason) ──► reader_context ──► Frame
                          │                                               │
                          ▼                                               ▼
                        Cards, filled with reason and number        bodies · envelope
                          └──────────────► bytes.join, keys replaced ◄────┘

    MailJoiner      one process, one edition, one format: its pieces, and rows of picks
      lines         by pick, and
      filled cards  by pick and number, as long as they are used again and again
    BatchComposer   one batch: mails in the form that the transport sends

The first mail of each frame, and one each CHECK_INTERVAL_S, is compared with the plain
path. After a difference, or where a template does what marks cannot express, the edition's
mails are composed plainly: the reason is logged once.
"""

import re
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache

import structlog
from django.conf import settings

from digest.mailer import compose, marks, transports
from digest.mailer.compose import ExplainedPaper, RenderData
from digest.mailer.empty_digest import load_empty_digests
from digest.mailer.pieces import (
    BOUNDARY,
    DATE,
    HEADERS,
    HTML,
    KEY,
    TEXT,
    TO,
    UNSUBSCRIBE_KEY,
    Body,
    CardSet,
    EditionPieces,
    Frame,
    Loop,
    NotJoinable,
    break_line,
    json_bytes,
)
from digest.mailer.transports import EncodedMail, Transport
from digest.models import Candidate, Digest, Edition, Interest, Pick
from digest.models.digests import PICK, decode_picks
from digest.reasons import PickRows, display_name, explain_pick, load_names

log = structlog.get_logger(__name__)

# Editions whose pieces a process keeps: the one that is being sent, and one before it for
# digests that are sent again.
MAX_EDITIONS = 2
# Picks with their reasons, 1 KB each: those that readers share, and searches of single
# readers; and subjects.
MAX_LINES, MAX_SUBJECTS = 8_000, 1_000
# Headers: those that all mails share, and the subjects of the last ones.
MAX_HEADERS = 500
# Cards filled for the same pick at the same place, 5 KB each.
MAX_FILLED = 2_000
# How often one mail is composed both ways and compared, 10 ms of CPU time each.
CHECK_INTERVAL_S = 10.0

SETTINGS_IN_MAILS = (
    *("SITE_URL", "SITE_NAME", "POSTAL_ADDRESS", "MAIL_FROM"),
    *("CLICK_REDIRECT", "REPLIES_ARE_READ"),
)
URL_SAFE_KEY = re.compile(rf"[\w-]{{{marks.KEY_CHARS}}}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Line:
    """A pick, and its paper with the reason."""

    pick: Pick
    paper: ExplainedPaper


@dataclass(slots=True)
class BatchRows:
    """What picks of a batch name, beside candidates: read again for each batch.

    Interests are deleted with their last follower, and topics are renamed.
    """

    lines: dict[bytes, Line] = field(default_factory=dict)  # by packed pick
    interests: dict[int, Interest] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def add_interests(self, ids: set[int]) -> None:
        """Read interests without their vectors, and the names of topics and papers."""
        if ids:
            rows = Interest.objects.filter(pk__in=ids)
            new = [
                Interest(pk=pk, kind=kind, value=value)
                for pk, kind, value in rows.values_list("pk", "kind", "value")
            ]
            self.interests |= {interest.pk: interest for interest in new}
            self.names |= load_names(new)


class MailJoiner:
    """Joins the mails of one edition in one format from its pieces."""

    def __init__(self, edition: Edition, transport: Transport) -> None:
        self.edition, self.transport = edition, transport
        self.pieces = EditionPieces(edition, transport)
        # Candidates of a frozen edition never change.
        self.candidates: dict[int, Candidate] = {}
        self.lines: dict[tuple[bytes, str | None], Line] = {}
        # Of the digests that were read last: their cards are made together.
        self.papers: list[ExplainedPaper] = []
        self.find_subject = lru_cache(MAX_SUBJECTS)(Frame.render_subject)
        self.find_filled = lru_cache(MAX_FILLED)(self.fill_card)
        encode = encode_json_header if transport.FORMAT == "json" else fold_header
        self.encode_header = lru_cache(MAX_HEADERS)(encode)
        self.is_usable = True
        self.checked_at = 0.0

    # Rows

    def load_rows(self, digests: Sequence[Digest], rows: "BatchRows") -> PickRows:
        """Read what these digests name and no digest of their batch named before."""
        chunks = {c for d in digests for c in split_picks(bytes(d.packed_picks))}
        chunks -= rows.lines.keys()
        picks = dict(zip(chunks, decode_picks(b"".join(chunks)), strict=True))
        missing = {pick.candidate for pick in picks.values()} - self.candidates.keys()
        if missing:
            self.candidates |= Candidate.objects.in_bulk(missing)
        interests = {pick.interest for pick in picks.values()} - rows.interests.keys()
        rows.add_interests(interests - {0})
        pick_rows = PickRows(self.candidates, rows.interests, rows.names)
        # Picks of the same paper one after the other, whose text is then folded once.
        for chunk in sorted(chunks):
            with suppress(Exception):  # the plain path reports what is damaged
                rows.lines[chunk] = self.find_line(chunk, picks[chunk], pick_rows)
        self.papers = [line.paper for line in rows.lines.values()]
        return pick_rows

    def find_line(self, chunk: bytes, pick: Pick, rows: PickRows) -> Line:
        """Return the line of a pick whose interest still has the same name."""
        interest = rows.interests.get(pick.interest)
        key = chunk, display_name(interest, rows.names) if interest else None
        line = self.lines.get(key)
        if line is None:
            if len(self.lines) >= MAX_LINES:
                self.lines.clear()
            explained = explain_pick(1, pick, rows)
            paper = compose.explain_paper(explained.candidate, explained.reason)
            if not paper.reason:
                raise NotJoinable
            line = self.lines[key] = Line(pick, paper)
        return line

    # Joining

    def join_mail(
        self, digest: Digest, lines: Mapping[bytes, Line], render_data: RenderData
    ) -> tuple[bytes, Frame]:
        """Compose one mail in its encoded form; return also its frame."""
        key, unsubscribe_key = digest.key, digest.subscriber.unsubscribe_key
        if not (
            URL_SAFE_KEY.fullmatch(key) and URL_SAFE_KEY.fullmatch(unsubscribe_key)
        ):
            raise NotJoinable
        own = [lines.get(chunk) for chunk in split_picks(bytes(digest.packed_picks))]
        papers = [line.paper for line in own if line]
        if len(papers) < len(own):
            raise NotJoinable
        picks = [line.pick for line in own if line]
        sections = compose.group_sections(tuple([paper.kind for paper in papers]))
        context = compose.reader_context(digest, picks, papers, render_data)
        frame = self.pieces.find_frame(context, sections, papers)
        subject = self.find_subject(frame, context["subject_text"])
        texts = {mark: context[name] for name, mark in marks.TEXTS.items()}
        texts[marks.SUBJECT] = subject
        for mark, (_, indexes) in zip(marks.FIRST_NUMBERS, sections, strict=False):
            texts[mark] = str(indexes[0] + 1)
        cards = [
            [self.find_filled(frame.cards, heading, papers[i], i + 1) for i in indexes]
            for heading, indexes in sections
        ]
        unsubscribe_url = compose.key_url("unsubscribe", unsubscribe_key)
        headers = compose.mail_headers(digest, unsubscribe_url)
        fields = self.encode_fields(digest, subject, headers)
        parts: list[bytes] = []
        for part in self.pieces.find_envelope(headers):
            if isinstance(part, bytes):
                parts.append(part)
            elif part == TEXT:
                join_body(frame.text, texts, cards, parts)
            elif part == HTML:
                join_body(frame.html, texts, cards, parts)
            else:
                parts.append(fields[part])
        mail = b"".join(parts).replace(KEY, key.encode())
        mail = mail.replace(UNSUBSCRIBE_KEY, unsubscribe_key.encode())
        for placeholder, (broken, at) in self.pieces.encoding.broken_keys.items():
            value = key if broken == KEY else unsubscribe_key
            mail = mail.replace(placeholder, break_line(value, at).encode())
        return mail, frame

    def fill_card(
        self, card_set: CardSet, heading: str, paper: ExplainedPaper, number: int
    ) -> list[bytes]:
        """Return what each loop writes for a paper at this place of a mail."""
        card = self.pieces.find_card(card_set, heading, paper, self.papers)
        is_narrow = number < 10
        pieces = card.narrow if is_narrow else card.wide or self.pieces.widen_card(card)
        texts = {marks.REASON: paper.reason}
        return [piece.fill(texts, str(number).encode()) for piece in pieces]

    def encode_fields(
        self, digest: Digest, subject: str, headers: Mapping[str, str]
    ) -> dict[str, bytes]:
        """Encode the fields of the envelope, by their marks."""
        encode = self.encode_header
        items = zip(HEADERS, headers.items(), strict=False)
        fields = {mark: encode(name, value) for mark, (name, value) in items}
        fields[TO] = encode("To", digest.subscriber.email)
        fields[marks.SUBJECT] = encode("Subject", subject)
        if self.transport.FORMAT == "mime":
            fields[DATE] = encode("Date", digest.created_at)
            fields[BOUNDARY] = transports.boundary_of(digest.key).encode("ascii")
        return fields


def encode_json_header(name: str, value: str) -> bytes:
    return json_bytes(value)


def fold_header(name: str, value: object) -> bytes:
    return transports.fold_header(name, value).encode("ascii")


def split_picks(packed_picks: bytes) -> list[bytes]:
    size = PICK.size
    return [packed_picks[i : i + size] for i in range(0, len(packed_picks), size)]


def join_body(
    body: Body,
    texts: Mapping[str, str],
    cards: Sequence[Sequence[Sequence[bytes]]],
    parts: list[bytes],
) -> None:
    """Append a body to `parts`; `cards` are by section, paper and loop."""
    for part in body:
        if isinstance(part, bytes):
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
        self.joiner = find_joiner(edition, transport)
        self.batch_rows = BatchRows()
        self.render_data: dict[int, RenderData] = {}  # by digest

    def load_digests(self, digests: Sequence[Digest]) -> None:
        """Read the rows that these digests of the batch name."""
        if not digests:
            return
        rows = None
        if self.joiner:
            rows = self.joiner.load_rows(digests, self.batch_rows)
        render_data = compose.load_render_data(digests, rows)
        self.render_data |= dict.fromkeys([d.pk for d in digests], render_data)

    def encode_digest(self, digest: Digest) -> EncodedMail:
        """Compose one digest; what fails concerns this digest only."""
        readers_notes = self.render_data[digest.pk].empty_digests
        if not digest.packed_picks and digest.subscriber_id not in readers_notes:
            # Emptied by a recall a moment ago.
            readers_notes |= load_empty_digests([digest])
        content = (
            self.join_mail(digest) if self.joiner and self.joiner.is_usable else None
        )
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

    def join_mail(self, digest: Digest) -> bytes | None:
        """Join a mail from pieces; None if it must be composed plainly."""
        assert self.joiner
        joiner = self.joiner
        try:
            content, frame = joiner.join_mail(
                digest, self.batch_rows.lines, self.render_data[digest.pk]
            )
        except NotJoinable:
            return None
        except Exception as error:  # whatever the plain path may still do well
            joiner.is_usable = False
            log.exception(
                "mails of this edition are composed plainly", error=str(error)
            )
            return None
        now = time.monotonic()
        if frame.is_checked and now - joiner.checked_at < CHECK_INTERVAL_S:
            return content
        frame.is_checked, joiner.checked_at = True, now
        plain = self.encode_plainly(digest)
        if content != plain:
            joiner.is_usable = False
            log.error(
                "mails of this edition are composed plainly",
                error="a mail differs from its templates",
                digest=digest.pk,
                position=first_difference(content, plain),
            )
        return plain


def first_difference(first: bytes, second: bytes) -> int:
    pairs = enumerate(zip(first, second, strict=False))
    shorter = min(len(first), len(second))
    return next((i for i, (byte, other) in pairs if byte != other), shorter)


def find_joiner(edition: Edition, transport: Transport) -> MailJoiner | None:
    """Return the joiner of a frozen edition under the present settings; None if it may still change."""
    if edition.is_open:
        return None
    values = tuple([getattr(settings, name) for name in SETTINGS_IN_MAILS])
    key = edition.pk, edition.frozen_at, edition.note, transport, values
    if key in JOINERS:
        JOINERS.move_to_end(key)
    else:
        JOINERS[key] = MailJoiner(edition, transport)
        if len(JOINERS) > MAX_EDITIONS:
            JOINERS.popitem(last=False)
    return JOINERS[key]


JOINERS: OrderedDict[tuple[object, ...], MailJoiner] = OrderedDict()
