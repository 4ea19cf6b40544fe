"""What an editor may do to a paper of an open edition: each verb says what it did, and how to undo it."""

from collections.abc import Callable
from typing import NamedTuple

from django.db import transaction

from digest.models import Candidate, Edition
from digest.models.editions import refuse_if_frozen

Places = list[int | None]

PINS = (1, 2, 3)
BOOSTS = range(-2, 3)


class Change(NamedTuple):
    """A sentence for the editor and the audit log; `undo` is the verb that takes it back."""

    sentence: str
    undo: str


def insert(places: Places, pk: int, place: int) -> Places:
    """The pins with `pk` at `place` (from 1), the others in their order.

    They close up towards a free place, below first; the last falls out only where all
    three are taken.
    """
    after = [None if held == pk else held for held in places]
    below = range(place - 1, len(after))
    above = reversed(range(place - 1))
    free = (index for index in (*below, *above) if after[index] is None)
    after.pop(next(free, len(after) - 1))
    after.insert(place - 1, pk)
    return after


def places(edition_id: int) -> Places:
    """Who is pinned first, second and third."""
    pinned = Candidate.objects.filter(edition_id=edition_id, pin__isnull=False)
    held = dict(pinned.values_list("pin", "pk"))
    return [held.get(pin) for pin in PINS]


def arrange(edition_id: int, wanted: Places) -> None:
    """Pin exactly these, each at its place."""
    rows = Candidate.objects.filter(edition_id=edition_id)
    rows.filter(pin__isnull=False).update(pin=None)
    for pin, pk in zip(PINS, wanted, strict=True):
        rows.filter(pk=pk or 0).update(pin=pin)


def spelled(wanted: Places) -> str:
    """The verb that restores this arrangement."""
    return "arrange:" + ",".join(str(pk or 0) for pk in wanted)


def rearrange(candidate: Candidate, after: Places, sentence: str) -> Change:
    before = places(candidate.edition_id)
    arrange(candidate.edition_id, after)
    return Change(sentence, spelled(before))


def pin(candidate: Candidate, value: str) -> Change:
    place = PINS[PINS.index(int(value))]
    after = insert(places(candidate.edition_id), candidate.pk, place)
    return rearrange(candidate, after, f"Pinned at place {place}.")


def unpin(candidate: Candidate, _: str) -> Change:
    held = places(candidate.edition_id)
    after = [None if pk == candidate.pk else pk for pk in held]
    return rearrange(candidate, after, "Unpinned.")


def restore(candidate: Candidate, value: str) -> Change:
    after: Places = [int(pk) or None for pk in value.split(",")]
    return rearrange(candidate, after, "Pins arranged as before.")


def boost(candidate: Candidate, value: str) -> Change:
    before, candidate.boost = candidate.boost, BOOSTS[BOOSTS.index(int(value))]
    candidate.save(update_fields=["boost"])
    return Change(f"Boost {candidate.boost:+d}.", f"boost:{before}")


def hide(candidate: Candidate, _: str) -> Change:
    candidate.is_hidden = True
    candidate.save(update_fields=["is_hidden"])
    return Change("Hidden: nobody gets it.", "show:")


def show(candidate: Candidate, _: str) -> Change:
    candidate.is_hidden = False
    candidate.save(update_fields=["is_hidden"])
    return Change("Shown again.", "hide:")


def note(candidate: Candidate, value: str) -> Change:
    longest = Candidate._meta.get_field("note").max_length or 0
    before, candidate.note = candidate.note, " ".join(value.split())[:longest]
    candidate.save(update_fields=["note"])
    said = "Note written." if candidate.note else "Note removed."
    return Change(said, f"note:{before}")


VERBS: dict[str, Callable[[Candidate, str], Change]] = {
    "pin": pin,
    "unpin": unpin,
    "arrange": restore,
    "boost": boost,
    "hide": hide,
    "show": show,
    "note": note,
}


def curate(candidate: Candidate, verb: str, value: str) -> Change:
    """Do `verb` while nobody else freezes or curates the edition.

    Raises Frozen after the freeze, ValueError where the verb or its value is none.
    """
    if verb not in VERBS:
        raise ValueError(f"{verb!r} is not a verb of curating")
    with transaction.atomic():
        Edition.objects.select_for_update().get(pk=candidate.edition_id)
        refuse_if_frozen(candidate.edition_id)
        candidate.refresh_from_db()
        return VERBS[verb](candidate, value)
