"""A reader's preferences, opened by a mailed key: GET shows, POST changes one thing and says so."""

import zoneinfo
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from accounts import links
from accounts.models import Subscriber, Suppression
from digest import follows
from digest.feedback.implicit_follows import forget
from digest.models import Edition, Follow, Interest, Topic
from digest.ranking import choose
from digest.reasons import load_names
from digest.site import paper_rows
from digest.site.link_access import Opened, expired, opened, private

Kind = Interest.Kind
FillMode = Subscriber.FillMode
Change = Callable[[Subscriber, QueryDict, datetime], str]

# Longer than a holiday is leaving, and the page offers that too.
LONGEST_PAUSE = 4  # weeks
CONTINENTS = {
    *("Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia"),
    *("Europe", "Indian", "Pacific"),
}
# What readers type into one field, several at once.
LISTS = {Kind.KEYWORD, Kind.CATEGORY}
TYPED = {Kind.KEYWORD, Kind.AUTHOR, Kind.CATEGORY, Kind.SEARCH}
SAYS = {
    "saved": "Saved. It holds from your next digest on.",
    "paused": "Paused. We start again by ourselves.",
    "resumed": "You get digests again.",
    "asked": "If that address can be used, a mail with a button is on its way to it. Until it is pressed, nothing changes.",
    "refused": "That was not kept, or not all of it: it was empty, too long, not something that can be followed, or more than sixty interests.",
    "category": "That was not kept, or not all of it: arXiv's categories are written like cs.LG or stat.ML, and sixty interests are the most.",
    "wrong": "That was not understood, and nothing was changed.",
    "forbidden": "Our mail to this address came back or was reported as spam, or we were asked to stop: we may not mail it.",
}
BAD = {"refused", "category", "wrong", "forbidden"}
# The parts of the page that have forms of their own: who presses a button there reads
# the answer there. What changes whether mail comes is told at the top.
PLACES = {"topics", "words", "mutes", "liked", "fill", "times", "address"}
# The three fill_modes as readers read them: a name, and what follows from it.
FILL_MODES = [
    (
        FillMode.FOLLOWED_ONLY,
        "Only what I follow",
        "Every paper matches something above, unless the editors picked it for everybody. Some days that is fewer than you asked for, or none.",
    ),
    (
        FillMode.FOLLOWED_FIRST,
        "What I follow first",
        "Trending papers fill the places that are left.",
    ),
    (
        FillMode.HALF,
        "Half and half",
        "Half of the places are for trending papers, whatever you follow.",
    ),
]


class Schedule(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """When and how much."""

    class Meta:
        model = Subscriber
        fields = ["length", "frequency", "weekday", "hour", "zone"]


class Filling(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """What fills the mail; a box that is not ticked is not sent, and means no."""

    class Meta:
        model = Subscriber
        fields = ["fill_mode", "note_when_empty", "learns_from_clicks"]


@require_http_methods(["GET", "HEAD", "POST"])
@private
def preferences(request: HttpRequest, key: str) -> HttpResponse:
    now = timezone.now()
    found = opened(key, now)
    if found is None:
        return expired(request)
    if request.method != "POST":
        return render(request, "pages/preferences.html", page(request, found, key))
    here = (
        f"{reverse('preferences', args=[key])}?said={change(found, request.POST, now)}"
    )
    place = request.POST.get("at")
    return redirect(f"{here}&at={place}#{place}" if place in PLACES else here)


def change(found: Opened, sent: QueryDict, now: datetime) -> str:
    """Do the one thing that the form asks for; returns the name of what to say."""
    asked = sent.get("do", "")
    if asked == "requested_interests":
        return follow_wishes(found)
    if asked not in CHANGES or (asked in OWN and found.link is None):
        return "wrong"
    return CHANGES[asked](found.subscriber, sent, now)


def page(request: HttpRequest, found: Opened, key: str) -> dict[str, Any]:
    """All that the page shows; reads only."""
    now, said, subscriber = (
        timezone.now(),
        request.GET.get("said", ""),
        found.subscriber,
    )
    return {
        "key": key,
        "own": found.link is not None,
        "wished": wished(found),
        "on_its_way": Edition.objects.frozen().exists(),
        "subscriber": subscriber,
        "forbidden": Suppression.objects.blocks(subscriber.email, now),
        "paused": bool(subscriber.paused_until and subscriber.paused_until > now),
        "welcome": bool(request.GET.get("welcome")),
        "said": SAYS.get(said, ""),
        "at": place if (place := request.GET.get("at")) in PLACES else "",
        "is_bad": said in BAD,
        "stances": stances(subscriber),
        "topics": offered(subscriber),
        "zones": sorted({*zones(), subscriber.zone}),
        "fill_modes": FILL_MODES,
        "follows_nothing": not choose.followers([subscriber]),
        "counts_clicks": settings.CLICK_REDIRECT,
        "frequencies": Subscriber.Frequency.choices,
        "weekdays": Subscriber.Weekday.choices,
        "preview": next_digest(subscriber, now),
    }


def wished(found: Opened) -> list[str]:
    """What was asked for when somebody signed this reader up again, and is not followed yet, in words."""
    asked = follows.unsaved_interests(
        found.link.payload.get("requested_interests") if found.link else []
    )
    mine = found.subscriber.follows.values_list("interest__kind", "interest__value")
    held = set(mine)
    new = [one for one in asked if (one.kind, one.value) not in held]
    names = load_names(new)
    return [names.get(one.value, one.value) for one in new]


@cache
def zones() -> list[str]:
    """Time zones to choose from: places, and none that depends on this machine or on old habits."""
    names = zoneinfo.available_timezones()
    return sorted(name for name in names if is_place(name) or name == "UTC")


def is_place(zone: str) -> bool:
    """Whether a zone is named for a continent or ocean and a place there, as IANA names them now."""
    return zone.partition("/")[0] in CONTINENTS


def stances(subscriber: Subscriber) -> dict[str, list[dict[str, Any]]]:
    """What the reader follows, mutes, likes, dislikes and opened, each with its words."""
    rows = list(subscriber.follows.select_related("interest").order_by("pk"))
    names = load_names([row.interest for row in rows])
    found: dict[str, list[dict[str, Any]]] = {
        name: [] for name in (*Kind.values, "muted", "disliked", "opened")
    }
    for row in rows:
        one = row.interest
        words = {"id": one.pk, "kind": one.kind, "value": one.value}
        place = one.kind
        if row.weight <= 0:
            place = "disliked" if one.kind == Kind.PAPER else "muted"
        elif row.source == Follow.Source.OPENED:
            place = "opened"
        found[place].append(words | {"name": names.get(one.value, one.value)})
    return found


def offered(subscriber: Subscriber) -> list[tuple[Topic, bool]]:
    """Topics to choose from and whether each is followed; one that is no longer listed stays for those who follow it."""
    mine = subscriber.follows.filter(interest__kind=Kind.TOPIC, weight__gt=0)
    slugs = set(mine.values_list("interest__value", flat=True))
    every = Topic.objects.all()
    return [(t, t.slug in slugs) for t in every if t.is_listed or t.slug in slugs]


def next_digest(subscriber: Subscriber, now: datetime) -> list[paper_rows.Shown]:
    """What the next digest would hold if it were chosen now from the newest edition."""
    edition = paper_rows.newest()
    if edition is None:
        return []
    return paper_rows.picked(choose.preview_for(edition, subscriber, now))


# What can be changed. Each returns the name of what to say.


def schedule(subscriber: Subscriber, sent: QueryDict, now: datetime) -> str:
    return keep(Schedule(sent, instance=subscriber))


def fill(subscriber: Subscriber, sent: QueryDict, now: datetime) -> str:
    said = keep(Filling(sent, instance=subscriber))
    if said == "saved" and not subscriber.learns_from_clicks:
        forget(subscriber)
    return said


def keep(form: Schedule | Filling) -> str:
    """Store what a form holds, and nothing else of its reader."""
    if not form.is_valid():
        return "wrong"
    form.instance.save(update_fields=form.fields.keys())
    return "saved"


def choose_topics(subscriber: Subscriber, sent: QueryDict, now: datetime) -> str:
    """The ticked topics and no others."""
    ticked = set(sent.getlist("topic")[: follows.MAX_INTERESTS])
    known = offered(subscriber)
    dropped = [topic.slug for topic, mine in known if mine and topic.slug not in ticked]
    added = [topic.slug for topic, mine in known if not mine and topic.slug in ticked]
    # First make room: who swaps one topic for another at the limit stays within it.
    mine = subscriber.follows.filter(interest__kind=Kind.TOPIC)
    mine.filter(interest__value__in=dropped).delete()
    kept = [follows.follow(subscriber, Kind.TOPIC, slug) for slug in added]
    return "saved" if all(kept) else "refused"


def follow(subscriber: Subscriber, sent: QueryDict, now: datetime) -> str:
    return take(subscriber, sent, 1.0)


def mute(subscriber: Subscriber, sent: QueryDict, now: datetime) -> str:
    return take(subscriber, sent, -1.0)


def take(subscriber: Subscriber, sent: QueryDict, weight: float) -> str:
    """Follow or mute what was typed; keywords and categories may be several, with commas."""
    kind, typed = sent.get("kind", ""), sent.get("value", "")
    if kind not in TYPED:
        return "wrong"
    values = typed.split(",")[: follows.MAX_INTERESTS] if kind in LISTS else [typed]
    kept = [
        follows.follow(subscriber, kind, value, weight)
        for value in values
        if value.strip()
    ]
    if kept and all(kept):
        return "saved"
    return "category" if kind == Kind.CATEGORY else "refused"


def unfollow(subscriber: Subscriber, sent: QueryDict, now: datetime) -> str:
    interest = sent.get("interest", "")
    if not interest.isascii() or not interest.isdigit() or len(interest) > 18:
        return "wrong"
    follows.unfollow(subscriber, int(interest))
    return "saved"


def follow_wishes(found: Opened) -> str:
    """Follow what the link was asked with; read from its row, never from the form."""
    if not wished(found) or found.link is None:
        return "wrong"
    follows.follow_requested(
        found.subscriber, found.link.payload["requested_interests"]
    )
    return "refused" if wished(found) else "saved"


def pause(subscriber: Subscriber, sent: QueryDict, now: datetime) -> str:
    weeks = sent.get("weeks", "")
    if weeks not in {str(number + 1) for number in range(LONGEST_PAUSE)}:
        return "wrong"
    subscriber.paused_until = now + timedelta(weeks=int(weeks))
    subscriber.save(update_fields=["paused_until"])
    return "paused"


def resume(subscriber: Subscriber, sent: QueryDict, now: datetime) -> str:
    subscriber.paused_until = None
    subscriber.save(update_fields=["paused_until"])
    return "resumed"


def come_back(subscriber: Subscriber, sent: QueryDict, now: datetime) -> str:
    """Somebody who left and holds a key from their inbox agrees anew."""
    return "resumed" if subscriber.confirm(now, "preferences page") else "forbidden"


def change_address(subscriber: Subscriber, sent: QueryDict, now: datetime) -> str:
    asked = links.request_address_change(subscriber, sent.get("email", ""))
    return "asked" if asked else "wrong"


CHANGES: dict[str, Change] = {
    "schedule": schedule,
    "fill": fill,
    "topics": choose_topics,
    "follow": follow,
    "mute": mute,
    "unfollow": unfollow,
    "pause": pause,
    "resume": resume,
    "return": come_back,
    "address": change_address,
}
# What somebody with a forwarded digest must not do for its reader.
OWN = {"return", "address"}
