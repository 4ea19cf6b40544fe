"""Curation of an open edition: each step is a list of field changes, stored so that it can be undone."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.formats import date_format

from accounts.models import User
from digest.cards import card
from digest.models import Candidate, CurationStep, Edition, Paper, Topic
from digest.models.editions import refuse_if_frozen
from digest.text.arxiv_ids import parse_arxiv_id

# The pks of the candidates pinned first, second and third.
Pins = list[int | None]

PIN_PLACES = (1, 2, 3)
BOOST_LEVELS = range(-2, 3)
MAX_NOTE_CHARS = 300
MAX_TITLE_CHARS = 500
MAX_SUMMARY_CHARS = 1_500
MAX_BULK_PAPERS = 200
MAX_NAMED_CHARS = 90  # of a title in the message of a step


class Conflict(Exception):
    """The row has changed since the editor's page was loaded."""


@dataclass(frozen=True)
class Change:
    """One field of one row; `model` is candidate, paper or edition."""

    model: str
    pk: int
    field: str
    before: Any
    after: Any

    def inverted(self) -> "Change":
        return Change(self.model, self.pk, self.field, self.after, self.before)


@dataclass(frozen=True)
class Draft:
    """A step that is not applied yet."""

    message: str
    changes: list[Change]


@dataclass(frozen=True)
class Request:
    """What an editor asked for: candidates of one edition, and the value of the action.

    `seen` is the text that a form showed before it was edited; None for other actions.
    """

    edition: Edition
    candidates: Sequence[Candidate]
    value: str = ""
    seen: str | None = None

    @property
    def subject(self) -> str:
        """The paper's title in quotation marks, or the number of papers."""
        if len(self.candidates) != 1:
            return f"{len(self.candidates)} papers"
        return quote_title(self.candidates[0])


MODELS: dict[str, type[Candidate] | type[Paper] | type[Edition]] = {
    "candidate": Candidate,
    "paper": Paper,
    "edition": Edition,
}


def quote_title(candidate: Candidate) -> str:
    title = str(candidate.card.get("title") or candidate.paper.title)
    if len(title) > MAX_NAMED_CHARS:
        title = f"{title[: MAX_NAMED_CHARS - 1].rstrip()}…"
    return f"“{title}”"


# Pins.


def insert_pin(pins: Pins, pk: int, place: int) -> Pins:
    """Put `pk` at `place` (from 1) and keep the order of the other pins.

    They shift towards the nearest free place, first downwards, then upwards. Without a
    free place the last pin is dropped.
    """
    pins = [None if pinned == pk else pinned for pinned in pins]
    places_below = range(place - 1, len(pins))
    places_above = reversed(range(place - 1))
    free = (index for index in (*places_below, *places_above) if pins[index] is None)
    pins.pop(next(free, len(pins) - 1))
    pins.insert(place - 1, pk)
    return pins


def load_pins(edition_id: int) -> Pins:
    pinned = Candidate.objects.filter(edition_id=edition_id, pin__isnull=False)
    by_place = dict(pinned.values_list("pin", "pk"))
    return [by_place.get(place) for place in PIN_PLACES]


def pin_changes(before: Pins, after: Pins) -> list[Change]:
    """The changes of `pin` that turn one order of pins into another."""
    places = {
        pk: (
            before.index(pk) + 1 if pk in before else None,
            after.index(pk) + 1 if pk in after else None,
        )
        for pk in [*before, *after]
        if pk
    }
    return [Change("candidate", pk, "pin", *pair) for pk, pair in places.items()]


def pin(request: Request) -> Draft:
    """Pin at a place, or at the first free one ("next"), else at the last."""
    (candidate,) = request.candidates
    before = load_pins(request.edition.pk)
    if request.value == "next":
        free = before.index(None) if None in before else len(before) - 1
        place = free + 1
    else:
        place = PIN_PLACES[PIN_PLACES.index(int(request.value))]
    after = insert_pin(before, candidate.pk, place)
    message = f"Pinned {request.subject} at place {place}"
    return Draft(message, pin_changes(before, after))


def unpin(request: Request) -> Draft:
    before = load_pins(request.edition.pk)
    removed = {candidate.pk for candidate in request.candidates}
    after = [None if pk in removed else pk for pk in before]
    return Draft(f"Unpinned {request.subject}", pin_changes(before, after))


# Candidates.


def candidate_changes(request: Request, field: str, value: Any) -> list[Change]:
    return [
        Change("candidate", row.pk, field, getattr(row, field), value)
        for row in request.candidates
    ]


def boost(request: Request) -> Draft:
    """Set a level, or change it by one ("up", "down")."""
    steps = {"up": 1, "down": -1}
    changes = []
    for row in request.candidates:
        if request.value in steps:
            level = row.boost + steps[request.value]
            level = min(max(level, BOOST_LEVELS[0]), BOOST_LEVELS[-1])
        else:
            level = BOOST_LEVELS[BOOST_LEVELS.index(int(request.value))]
        changes.append(Change("candidate", row.pk, "boost", row.boost, level))
    levels = {change.after for change in changes}
    effect = f"to {levels.pop():+d}" if len(levels) == 1 else request.value
    return Draft(f"Set the boost of {request.subject} {effect}", changes)


def hide(request: Request) -> Draft:
    changes = candidate_changes(request, "is_hidden", True)
    return Draft(f"Hid {request.subject}", changes)


def show(request: Request) -> Draft:
    changes = candidate_changes(request, "is_hidden", False)
    return Draft(f"Showed {request.subject} again", changes)


def set_note(request: Request) -> Draft:
    note = read_text(request, "note", MAX_NOTE_CHARS)
    changes = candidate_changes(request, "note", note)
    verb = "Wrote a note for" if note else "Removed the note of"
    return Draft(with_text(f"{verb} {request.subject}", note), changes)


def reset(request: Request) -> Draft:
    """Remove pin, boost, hiding and note."""
    before = load_pins(request.edition.pk)
    removed = {candidate.pk for candidate in request.candidates}
    after = [None if pk in removed else pk for pk in before]
    changes = pin_changes(before, after)
    for field, value in (("boost", 0), ("is_hidden", False), ("note", "")):
        changes += candidate_changes(request, field, value)
    return Draft(f"Removed the curation of {request.subject}", changes)


# Papers: what mails and pages show of them, in this edition and the next ones.


def paper_changes(request: Request, field: str, value: Any) -> list[Change]:
    return [
        Change("paper", row.paper_id, field, getattr(row.paper, field), value)
        for row in request.candidates
    ]


def correct_title(request: Request) -> Draft:
    (candidate,) = request.candidates
    title = read_text(request, "title", MAX_TITLE_CHARS)
    if title == candidate.paper.title:
        title = ""
    changes = paper_changes(request, "corrected_title", title)
    verb = "Corrected the title of" if title else "Restored the title of"
    return Draft(with_text(f"{verb} {request.subject}", title), changes)


def correct_summary(request: Request) -> Draft:
    summary = read_text(request, "summary", MAX_SUMMARY_CHARS)
    changes = paper_changes(request, "corrected_summary", summary)
    verb = "Corrected the summary of" if summary else "Restored the summary of"
    return Draft(with_text(f"{verb} {request.subject}", summary), changes)


TOPIC_EFFECTS = {"add": True, "remove": False, "reset": None}


def correct_topic(request: Request) -> Draft:
    """Assign, remove or reset a topic; the value is `add:slug`, `remove:slug` or `reset:slug`."""
    effect, _, slug = request.value.partition(":")
    topic = Topic.objects.filter(slug=slug).first()
    if topic is None or effect not in TOPIC_EFFECTS:
        raise ValueError("Choose a topic of the list.")
    changes = []
    for row in request.candidates:
        before = row.paper.topic_corrections
        after = {name: is_of for name, is_of in (before or {}).items() if name != slug}
        if TOPIC_EFFECTS[effect] is not None:
            after[slug] = TOPIC_EFFECTS[effect]
        change = Change(
            "paper", row.paper_id, "topic_corrections", before, after or None
        )
        changes.append(change)
    verb = {"add": "Added", "remove": "Removed", "reset": "Reset"}[effect]
    return Draft(f"{verb} the topic {topic.name} of {request.subject}", changes)


def merge(request: Request) -> Draft:
    """Mail only one of these papers: that of the given arXiv ID, else the one with the best trend."""
    rows = sorted(request.candidates, key=lambda row: (-row.trend, row.pk))
    if request.value:
        target = find_candidate(request.edition, request.value)
        rows = [target, *(row for row in rows if row.pk != target.pk)]
    if len(rows) < 2:
        raise ValueError("Select at least two papers to merge.")
    target, *others = rows
    if target.paper.duplicate_of_id:
        raise ValueError(f"{quote_title(target)} is itself merged into another paper.")
    pins = load_pins(request.edition.pk)
    other_ids = {row.pk for row in others}
    remaining = [None if pk in other_ids else pk for pk in pins]
    changes = pin_changes(pins, remaining)
    for row in others:
        before = row.paper.duplicate_of_id
        changes += [
            Change("paper", row.paper_id, "duplicate_of_id", before, target.paper_id),
            Change("candidate", row.pk, "is_hidden", row.is_hidden, True),
        ]
    merged = quote_title(others[0]) if len(others) == 1 else f"{len(others)} papers"
    return Draft(f"Merged {merged} into {quote_title(target)}", changes)


def unmerge(request: Request) -> Draft:
    merged = [row for row in request.candidates if row.paper.duplicate_of_id]
    changes = paper_changes(request, "duplicate_of_id", None)
    changes += [
        Change("candidate", row.pk, "is_hidden", row.is_hidden, False) for row in merged
    ]
    return Draft(f"Separated {request.subject} from its duplicate", changes)


def find_candidate(edition: Edition, text: str) -> Candidate:
    identifier, _ = parse_arxiv_id(text)  # raises ValueError with the reason
    candidate = edition.candidates.select_related("paper").filter(
        paper__identifier=identifier
    )
    if row := candidate.first():
        return row
    raise ValueError(f"{identifier} is not in this edition.")


def set_edition_note(request: Request) -> Draft:
    max_chars = Edition._meta.get_field("note").max_length or 0
    before = request.edition.note
    note = read_value(request, before, max_chars)
    change = Change("edition", request.edition.pk, "note", before, note)
    verb = "Wrote the edition's note" if note else "Removed the edition's note"
    return Draft(with_text(verb, note), [change])


def current_texts(candidate: Candidate) -> dict[str, str]:
    """The texts that an editor can change, as forms show them."""
    return {
        "note": candidate.note,
        "title": str(candidate.card.get("title", "")),
        "summary": str(candidate.card.get("summary", "")),
    }


def read_text(request: Request, name: str, max_chars: int) -> str:
    (candidate,) = request.candidates
    return read_value(request, current_texts(candidate)[name], max_chars)


def read_value(request: Request, current: str, max_chars: int) -> str:
    """Return the typed text on one line; refuse one that replaces a text its form did not show."""
    text = " ".join(request.value.split())
    if len(text) > max_chars:
        raise ValueError(
            f"This text has {len(text):,} characters; at most {max_chars:,} fit."
        )
    if request.seen is not None and request.seen != current and text != current:
        shown = f"to “{current}”" if current else "and removed it"
        raise Conflict(
            f"Not saved: someone changed this text {shown} while you were typing. Save again to replace it."
        )
    return text


def with_text(message: str, text: str) -> str:
    return f"{message}: {text}" if text else message


ACTIONS: dict[str, Callable[[Request], Draft]] = {
    "pin": pin,
    "unpin": unpin,
    "boost": boost,
    "hide": hide,
    "show": show,
    "note": set_note,
    "title": correct_title,
    "summary": correct_summary,
    "topic": correct_topic,
    "merge": merge,
    "unmerge": unmerge,
    "reset": reset,
}
TEXT_ACTIONS = ("note", "title", "summary")
SINGLE_ACTIONS = ("pin", *TEXT_ACTIONS)


def apply_action(
    edition_id: int,
    candidate_ids: Iterable[int],
    action: str,
    value: str,
    user: User | None,
    now: datetime,
    seen: str | None = None,
) -> CurationStep | None:
    """Apply a curation action and store its step; None if everything was so already.

    Raises Frozen if the edition is frozen, Conflict if a text was changed meanwhile, and
    ValueError if the action or its value is invalid.
    """
    if action not in ACTIONS:
        raise ValueError(f"Unknown action {action!r}.")
    with transaction.atomic():
        edition = lock_open_edition(edition_id)
        rows = edition.candidates.select_related("paper").order_by("pk")
        candidates = list(rows.filter(pk__in=list(candidate_ids)))
        if not candidates:
            raise ValueError("Select at least one paper.")
        if action in SINGLE_ACTIONS and len(candidates) > 1:
            raise ValueError("Select one paper only.")
        draft = ACTIONS[action](Request(edition, candidates, value, seen))
        return store_step(edition, draft, user, now)


def write_edition_note(
    edition_id: int, text: str, user: User | None, now: datetime, seen: str | None
) -> CurationStep | None:
    with transaction.atomic():
        edition = lock_open_edition(edition_id)
        draft = set_edition_note(Request(edition, [], text, seen))
        return store_step(edition, draft, user, now)


def undo(step_id: int, user: User | None, now: datetime) -> CurationStep:
    """Restore the values from before a step; undoing an undo repeats the step.

    Raises Conflict where a value was changed again since, or the step is undone already.
    """
    with transaction.atomic():
        step = CurationStep.objects.get(pk=step_id)
        edition = lock_open_edition(step.edition_id)
        step.refresh_from_db()
        if CurationStep.objects.filter(undoes=step).exists():
            raise Conflict("This step is undone already.")
        changes = [Change(**change) for change in step.changes]
        refuse_changed_values(changes)
        refuse_occupied_places(edition, changes)
        inverted = [change.inverted() for change in changes]
        verb, subject = ("Repeated", step.undoes) if step.is_undo else ("Undid", step)
        message = f"{verb}: {subject.message if subject else step.message}"
        undoing = store_step(edition, Draft(message, inverted), user, now, step)
        if undoing is None:
            raise Conflict("This step changed nothing that can be undone.")
        return undoing


def last_undoable_step(edition: Edition, user: User) -> CurationStep | None:
    return edition.curation_steps.undoable().filter(user=user).first()


def refuse_changed_values(changes: Sequence[Change]) -> None:
    for change in changes:
        rows = MODELS[change.model].objects.filter(pk=change.pk)
        value = rows.values_list(change.field, flat=True).first()
        if value != change.after:
            raise Conflict("Not undone: this was changed again. Undo the later step.")


def refuse_occupied_places(edition: Edition, changes: Sequence[Change]) -> None:
    pins = [change for change in changes if change.field == "pin"]
    others = edition.candidates.exclude(pk__in=[change.pk for change in pins])
    places = [change.before for change in pins if change.before]
    if taken := others.select_related("paper").filter(pin__in=places).first():
        raise Conflict(f"Not undone: {quote_title(taken)} is now at place {taken.pin}.")


def lock_open_edition(edition_id: int) -> Edition:
    """Lock an edition against freezing and other editors; raise Frozen if it is frozen."""
    edition = Edition.objects.select_for_update().get(pk=edition_id)
    refuse_if_frozen(edition_id)
    return edition


def store_step(
    edition: Edition,
    draft: Draft,
    user: User | None,
    now: datetime,
    undoes: CurationStep | None = None,
) -> CurationStep | None:
    """Write the changes and the step; None if no value changes."""
    changes = [c for c in draft.changes if c.before != c.after]
    if not changes:
        return None
    write_changes(changes)
    return CurationStep.objects.create(
        edition=edition,
        user=user,
        at=now,
        message=draft.message,
        changes=[asdict(change) for change in changes],
        undoes=undoes,
        is_undo=undoes is not None and not undoes.is_undo,
    )


def write_changes(changes: Sequence[Change]) -> None:
    # A place is free before another paper takes it.
    pinned = [change.pk for change in changes if change.field == "pin"]
    Candidate.objects.filter(pk__in=pinned).update(pin=None)
    for change in changes:
        rows = MODELS[change.model].objects.filter(pk=change.pk)
        rows.update(**{change.field: change.after})
    refresh_cards({change.pk for change in changes if change.model == "paper"})


def refresh_cards(paper_ids: set[int]) -> None:
    """Show corrections in the open editions; frozen ones keep the card that is mailed."""
    candidates = Candidate.objects.filter(
        paper__in=paper_ids, edition__state=Edition.State.OPEN
    )
    for candidate in candidates.select_related("paper"):
        paper = candidate.paper
        Candidate.objects.filter(pk=candidate.pk).update(
            card=card(paper), topic_corrections=paper.topic_corrections
        )


def changed_candidates(step: CurationStep) -> list[int]:
    """The ids of the candidates whose rows show a change of this step."""
    ids = {c["pk"] for c in step.changes if c["model"] == "candidate"}
    papers = [c["pk"] for c in step.changes if c["model"] == "paper"]
    if papers:
        rows = Candidate.objects.filter(edition=step.edition_id, paper__in=papers)
        ids.update(rows.values_list("pk", flat=True))
    return sorted(ids)


def record_edition_event(
    edition: Edition, message: str, user: User | None, now: datetime
) -> CurationStep:
    """Record what cannot be undone as a step: freezing, reopening, another time."""
    return CurationStep.objects.create(
        edition=edition, user=user, at=now, message=message
    )


def parse_freeze_time(text: str, now: datetime) -> datetime:
    """Parse "17:30" as a later time of today in the site's time zone."""
    try:
        typed = datetime.strptime(text.strip(), "%H:%M").time()  # noqa: DTZ007
    except ValueError:
        raise ValueError("Enter a time such as 17:30.") from None
    local_now = timezone.localtime(now)
    at = local_now.replace(
        hour=typed.hour, minute=typed.minute, second=0, microsecond=0
    )
    if at <= now:
        raise ValueError(
            f"Choose a later time today: it is {date_format(local_now, 'H:i')} already."
        )
    return at
