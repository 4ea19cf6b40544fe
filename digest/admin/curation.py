"""Curation actions on candidates of an open edition, each with the action that undoes it."""

from collections.abc import Callable
from typing import NamedTuple

from django.db import transaction

from digest.models import Candidate, Edition
from digest.models.editions import refuse_if_frozen

# The pks of the candidates pinned first, second and third.
Pins = list[int | None]

PIN_PLACES = (1, 2, 3)
BOOST_LEVELS = range(-2, 3)


class Change(NamedTuple):
    """A message for the editor and the history, and the action that undoes the change."""

    message: str
    undo: str


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


def store_pins(edition_id: int, pins: Pins) -> None:
    candidates = Candidate.objects.filter(edition_id=edition_id)
    candidates.filter(pin__isnull=False).update(pin=None)
    for place, pk in zip(PIN_PLACES, pins, strict=True):
        candidates.filter(pk=pk or 0).update(pin=place)


def change_pins(candidate: Candidate, pins: Pins, message: str) -> Change:
    before = load_pins(candidate.edition_id)
    store_pins(candidate.edition_id, pins)
    return Change(message, "arrange:" + ",".join(str(pk or 0) for pk in before))


def pin(candidate: Candidate, value: str) -> Change:
    place = PIN_PLACES[PIN_PLACES.index(int(value))]
    pins = insert_pin(load_pins(candidate.edition_id), candidate.pk, place)
    return change_pins(candidate, pins, f"Pinned at place {place}.")


def unpin(candidate: Candidate, _: str) -> Change:
    pins = load_pins(candidate.edition_id)
    remaining = [None if pk == candidate.pk else pk for pk in pins]
    return change_pins(candidate, remaining, "Unpinned.")


def restore_pins(candidate: Candidate, value: str) -> Change:
    pins: Pins = [int(pk) or None for pk in value.split(",")]
    return change_pins(candidate, pins, "Pins restored.")


def boost(candidate: Candidate, value: str) -> Change:
    before = candidate.boost
    candidate.boost = BOOST_LEVELS[BOOST_LEVELS.index(int(value))]
    candidate.save(update_fields=["boost"])
    return Change(f"Boost set to {candidate.boost:+d}.", f"boost:{before}")


def hide(candidate: Candidate, _: str) -> Change:
    candidate.is_hidden = True
    candidate.save(update_fields=["is_hidden"])
    return Change("Hidden from all digests.", "show:")


def show(candidate: Candidate, _: str) -> Change:
    candidate.is_hidden = False
    candidate.save(update_fields=["is_hidden"])
    return Change("No longer hidden.", "hide:")


def set_note(candidate: Candidate, value: str) -> Change:
    max_length = Candidate._meta.get_field("note").max_length or 0
    before, candidate.note = candidate.note, " ".join(value.split())[:max_length]
    candidate.save(update_fields=["note"])
    message = "Note saved." if candidate.note else "Note removed."
    return Change(message, f"note:{before}")


ACTIONS: dict[str, Callable[[Candidate, str], Change]] = {
    "pin": pin,
    "unpin": unpin,
    "arrange": restore_pins,
    "boost": boost,
    "hide": hide,
    "show": show,
    "note": set_note,
}


def apply_action(candidate: Candidate, action: str, value: str) -> Change:
    """Apply a curation action while the edition is locked against freezing.

    Raises Frozen if the edition is frozen, ValueError if the action or value is invalid.
    """
    if action not in ACTIONS:
        raise ValueError(f"Unknown action {action!r}.")
    with transaction.atomic():
        Edition.objects.select_for_update().get(pk=candidate.edition_id)
        refuse_if_frozen(candidate.edition_id)
        candidate.refresh_from_db()
        return ACTIONS[action](candidate, value)
