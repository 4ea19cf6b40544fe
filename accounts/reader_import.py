"""Import of readers from CSV: a check of every line first, then the import, in chunks.

One row of ReaderImport is the job. Each chunk is one transaction that writes readers, queued
mails, the results of its lines and the new position, so that a worker that dies leaves
nothing half done and the next one continues at the stored position.
"""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple

from django.core.exceptions import ValidationError
from django.db import transaction
from email_validator import EmailNotValidError

from accounts.addresses import address_hash, parse_address
from accounts.models import (
    AccountMail,
    ReaderImport,
    ReaderImportChunk,
    Subscriber,
    Suppression,
)

State, Outcome = ReaderImport.State, ReaderImportChunk.Outcome

CHUNK_LINES = 500
MAX_LINES = 100_000
# 100,000 lines of 60 bytes, or of 30 characters in UTF-16.
MAX_FILE_BYTES = 6_000_000
MAX_LINE_CHARS = 5_000
MAX_REASON_CHARS = 160
# A job without progress for this long lost its worker; a chunk takes a second.
STALLED_AFTER = timedelta(minutes=2)
# Files that were checked but not imported are erased after this time.
UNFINISHED_RETENTION = timedelta(days=7)

SEPARATORS = ",;\t|"
ADDRESS_COLUMNS = {
    *("email", "e-mail", "mail", "address", "email address", "e-mail address"),
    *("email_address", "emailaddress", "subscriber", "recipient"),
}
# Excel, LibreOffice and Google Sheets run a cell that starts with one of these as a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
# UTF-16 without a mark is recognised by the zero bytes of its ASCII characters.
SAMPLE_BYTES, MIN_ZERO_SHARE = 1_000, 0.7
MIN_ADDRESS_CHARS = 6  # a@b.co


class Line(NamedTuple):
    """One line of the file: its address, or why it has none."""

    number: int
    email: str
    error: str


class LineResult(NamedTuple):
    """What a line leads to; stored without its address."""

    number: int
    outcome: str
    reason: str


def neutralise_formula(text: str) -> str:
    """Keep a spreadsheet from running a cell as a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def restore_formula(text: str) -> str:
    """Remove the apostrophe that neutralise_formula adds."""
    return text[1:] if text[:1] == "'" and text[1:].startswith(FORMULA_STARTS) else text


def decode_file(content: bytes) -> str:
    """Decode UTF-8, UTF-16 with or without a byte order mark, or Latin-1 as Windows writes it.

    Raises ValidationError for files that are not text.
    """
    encoding = "utf-16" if content.startswith(UTF16_MARKS) else guess_utf16(content)
    try:
        text = content.decode(encoding or "utf-8-sig")
    except UnicodeDecodeError as error:
        if encoding:
            raise ValidationError(
                "The file ends in the middle of a character. Export it again as UTF-8."
            ) from error
        text = content.decode("cp1252", errors="replace")
    if "\0" in text:
        raise ValidationError(
            "The file is not a text file. Export it as CSV and upload that."
        )
    return text


def guess_utf16(content: bytes) -> str:
    """Recognise UTF-16 without a byte order mark: every other byte of ASCII text is zero; else ""."""
    start = content[:SAMPLE_BYTES]
    even, odd = start[::2], start[1::2]
    if len(odd) < MIN_ADDRESS_CHARS:
        return ""
    if odd.count(0) > MIN_ZERO_SHARE * len(odd) and not even.count(0):
        return "utf-16-le"
    if even.count(0) > MIN_ZERO_SHARE * len(even) and not odd.count(0):
        return "utf-16-be"
    return ""


def split_lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def read_lines(text: str) -> Iterator[Line]:
    """Read the address of each line; blank lines and the header are left out.

    Every line of the file is read on its own: a quotation mark that is not closed spoils
    its own line only, and not the rest of the file.
    """
    lines = [
        (number, line)
        for number, line in enumerate(split_lines(text), start=1)
        if line.strip()
    ]
    if not lines:
        return
    first_line = lines[0][1][:MAX_LINE_CHARS]
    separator = max(SEPARATORS, key=first_line.count)
    header = [cell.strip().lower() for cell in first_cells(first_line, separator)]
    column = find_address_column(header)
    is_header = not any("@" in cell for cell in header)
    for number, line in lines[1:] if is_header else lines:
        yield read_line(number, line, separator, column)


def first_cells(line: str, separator: str) -> list[str]:
    return next(csv.reader([line], delimiter=separator), [])


def find_address_column(header: Sequence[str]) -> int:
    """The column named as an address, else the first that holds one, else the first."""
    for column, cell in enumerate(header):
        if cell in ADDRESS_COLUMNS:
            return column
    return next((i for i, cell in enumerate(header) if "@" in cell), 0)


def read_line(number: int, line: str, separator: str, column: int) -> Line:
    if len(line) > MAX_LINE_CHARS:
        return Line(number, "", "The line is too long.")
    try:
        cells = next(csv.reader([line], delimiter=separator, strict=True), [])
    except csv.Error:
        return Line(number, "", "A quotation mark is missing or misplaced.")
    raw = restore_formula(cells[column].strip()) if column < len(cells) else ""
    if not raw:
        return Line(number, "", "The line has no address.")
    try:
        return Line(number, parse_address(raw), "")
    except ValidationError as error:
        return Line(number, "", describe_invalid_address(error))


def describe_invalid_address(error: ValidationError) -> str:
    """The reason of the validator, which names characters but never the address."""
    cause = error.__cause__
    reason = str(cause) if isinstance(cause, EmailNotValidError) else error.messages[0]
    return reason[:MAX_REASON_CHARS]


def run_import(job_id: int, now: datetime) -> None:
    """Work on a job to the end of its stage; harmless if another worker does so too."""
    job = ReaderImport.objects.filter(pk=job_id, state__in=State.running()).first()
    if job is None:
        return
    lines = read_lines(job.content)
    position = job.position
    seen = {line.email for line in islice(lines, position)}
    while chunk := list(islice(lines, CHUNK_LINES)):
        if not work_on_chunk(job, position, chunk, seen, now):
            return
        position += len(chunk)
    finish_stage(job, position)


def work_on_chunk(
    job: ReaderImport, position: int, lines: list[Line], seen: set[str], now: datetime
) -> bool:
    """Process one chunk in one transaction; False if the job changed meanwhile."""
    with transaction.atomic():
        current = ReaderImport.objects.select_for_update().filter(
            pk=job.pk, state=job.state, position=position
        )
        if not current.values_list("pk").first():
            return False
        results = classify_lines(lines, seen)
        if job.state == State.IMPORTING:
            import_lines(job, lines, results, now)
        counts = Counter(result.outcome for result in results)
        job.chunks.create(first_line=lines[0].number, results=results, counts=counts)
        current.update(position=position + len(lines))
        ReaderImport.objects.filter(pk=job.pk).touch()
    seen.update(line.email for line in lines)
    return True


def classify_lines(lines: list[Line], seen: set[str]) -> list[LineResult]:
    """Compare a chunk with the earlier lines, readers and suppressions. Locks the readers."""
    emails = {line.email for line in lines if line.email}
    readers = Subscriber.objects.select_for_update().order_by("pk")
    states = dict(readers.filter(email__in=emails).values_list("email", "state"))
    hashes = {address_hash(email): email for email in emails}
    suppressions = Suppression.objects.filter(address_hash__in=hashes)
    suppressed = {
        hashes[hashed] for hashed in suppressions.values_list("address_hash", flat=True)
    }
    results, in_chunk = [], set[str]()
    for line in lines:
        if not line.email:
            outcome = Outcome.INVALID
        elif line.email in seen or line.email in in_chunk:
            outcome = Outcome.DUPLICATE
        elif line.email in suppressed:
            outcome = Outcome.SUPPRESSED
        else:
            outcome = OUTCOME_OF_STATE[states.get(line.email)]
        in_chunk.add(line.email)
        results.append(LineResult(line.number, outcome.value, line.error))
    return results


OUTCOME_OF_STATE = {
    None: Outcome.NEW,
    Subscriber.State.PENDING.value: Outcome.UNCONFIRMED,
    Subscriber.State.ACTIVE.value: Outcome.READER,
    Subscriber.State.LEFT.value: Outcome.LEFT,
}


def import_lines(
    job: ReaderImport, lines: list[Line], results: list[LineResult], now: datetime
) -> None:
    """Queue a confirmation mail for each importable line, or make its reader active."""
    emails = {
        outcome: [
            line.email
            for line, result in zip(lines, results, strict=True)
            if result.outcome == outcome
        ]
        for outcome in (Outcome.NEW, Outcome.UNCONFIRMED)
    }
    if job.sends_confirmation:
        payload = {"requested_interests": [], "zone": "UTC"}
        AccountMail.objects.bulk_create(
            AccountMail(kind=AccountMail.Kind.SIGN_UP, email=email, payload=payload)
            for group in emails.values()
            for email in group
        )
        return
    consent = {
        "state": Subscriber.State.ACTIVE,
        "confirmed_at": now,
        "consent_text": job.consent_source,
        "consent_how": f"imported by an operator (import {job.pk})",
    }
    Subscriber.objects.filter(email__in=emails[Outcome.UNCONFIRMED]).update(**consent)
    Subscriber.objects.bulk_create(
        Subscriber(email=email, address_hash=address_hash(email), **consent)
        for email in emails[Outcome.NEW]
    )


def finish_stage(job: ReaderImport, position: int) -> None:
    """End the check, or end the import and erase the file."""
    rows = ReaderImport.objects.filter(pk=job.pk, state=job.state, position=position)
    if job.state == State.CHECKING:
        rows.update(state=State.CHECKED, total=position)
    else:
        rows.update(state=State.DONE, content="")


def start_import(job: ReaderImport) -> bool:
    """Start importing a checked file; False if that was done, or it was cancelled."""
    with transaction.atomic():
        checked = ReaderImport.objects.filter(pk=job.pk, state=State.CHECKED)
        if not checked.update(state=State.IMPORTING, position=0):
            return False
        job.chunks.all().delete()
        ReaderImport.objects.filter(pk=job.pk).touch()
    return True


def cancel_import(job: ReaderImport) -> bool:
    """Stop a job and erase its file; readers of finished chunks stay."""
    unfinished = ReaderImport.objects.filter(pk=job.pk).unfinished()
    return bool(unfinished.update(state=State.CANCELLED, content=""))


def list_counts(job: ReaderImport) -> list[tuple[str, int]]:
    """The number of lines of each outcome, with its label."""
    counts: Counter[str] = Counter()
    for chunk_counts in job.chunks.values_list("counts", flat=True):
        counts.update(chunk_counts)
    return [(label, counts[value]) for value, label in Outcome.choices]


def iterate_results(job: ReaderImport) -> Iterator[LineResult]:
    for results in job.chunks.order_by("first_line").values_list("results", flat=True):
        yield from (LineResult(*result) for result in results)
