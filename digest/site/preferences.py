"""A reader's preferences in four pages: GET shows one, POST saves its form.

A form changes only what its reader changed: beside each value it carries the one that was
shown, so that a page left open in another tab undoes nothing.
"""

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
from accounts.models import AccessKey, Link, Subscriber, Suppression
from digest import follows
from digest.feedback.implicit_follows import forget_opened
from digest.models import Digest, Edition, Follow, Interest, SendingPause, Topic
from digest.reasons import display_name, load_names
from digest.site import paper_rows
from digest.site.link_access import preferences_link_required
from digest.text.arxiv_categories import unknown_categories
from digest.text.authors import split_entered_names

Kind = Interest.Kind
FillMode = Subscriber.FillMode
Action = Callable[[Subscriber, QueryDict, datetime], str]

MAX_PAUSE_WEEKS = 4
CONTINENTS = {
    *("Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia"),
    *("Europe", "Indian", "Pacific"),
}
FOLLOWED_KINDS = (Kind.SEARCH, Kind.KEYWORD, Kind.AUTHOR, Kind.CATEGORY)
MUTED_KINDS = (Kind.KEYWORD, Kind.AUTHOR, Kind.CATEGORY)
# Fields that take several entries, separated by commas.
LIST_KINDS = {Kind.KEYWORD, Kind.CATEGORY}
DELIVERY_FIELDS = (
    *("length", "frequency", "weekday", "hour", "zone", "fill_mode"),
    *("short_mails", "note_when_empty", "learns_from_clicks", "saved_on_friday"),
)
MESSAGES = {
    "saved": "Saved. Changes apply from your next digest.",
    "unchanged": "Nothing was changed.",
    "paused": "Digests paused. They restart automatically.",
    "resumed": "Digests resumed.",
    "address_requested": "Check the inbox of the new address. If we can use it, we sent it a confirmation link. Until you confirm, nothing changes.",
    "key_created": "New address created. The previous one no longer works.",
    "key_revoked": "Revoked. The address no longer works.",
    "not_saved": "Some entries were not saved. An entry may be empty, too long or unsupported, or you already have 60 interests.",
    "category": "Some entries were not saved. Enter arXiv categories, such as cs.LG or stat.ML. If you already have 60 interests, remove one first.",
    "invalid": "Nothing was changed, because the form was incomplete. Reload the page and try again.",
    "zone": "Nothing was changed: choose a time zone from the list, such as Europe/Berlin.",
    "suppressed": "We can't send email to this address: earlier email bounced, was reported as spam, or was blocked on request.",
}
ERRORS = {"not_saved", "category", "invalid", "suppressed", "zone"}
FILL_MODES = [
    (
        FillMode.FOLLOWED_ONLY,
        "Only what I follow",
        "Papers that match or come close to what you follow, and editors' picks. Some digests are shorter, and on some days there is none.",
    ),
    (
        FillMode.FOLLOWED_FIRST,
        "What I follow first",
        "Trending and new papers fill the remaining places.",
    ),
    (
        FillMode.HALF,
        "Half and half",
        "Half of every digest is trending and new papers, whatever you follow.",
    ),
]


@require_http_methods(["GET", "HEAD", "POST"])
@preferences_link_required
def preferences(request: HttpRequest, link: Link) -> HttpResponse:
    """What I follow."""
    if request.method != "POST":
        context = page_context(request, link) | follows_context(request, link)
        return render(request, "pages/preferences.html", context)
    conflicts = followed_mutes(link.subscriber, request.POST)
    message = apply_action(link, request.POST, timezone.now())
    if conflicts:
        context = page_context(request, link) | follows_context(request, link)
        context |= {"followed_mutes": conflicts}
        return render(request, "pages/preferences.html", context)
    if message in ("category", "not_saved"):
        context = page_context(request, link) | follows_context(request, link)
        context |= {"message": MESSAGES[message], "is_error": True}
        context |= {"entered": refused_entries(link.subscriber, request.POST)}
        return render(request, "pages/preferences.html", context)
    return redirect(page_url(link, request.POST.get("action", ""), message))


@require_http_methods(["GET", "HEAD", "POST"])
@preferences_link_required
def delivery(request: HttpRequest, link: Link) -> HttpResponse:
    """When and how."""
    if request.method == "POST":
        message = apply_action(link, request.POST, timezone.now())
        return redirect(page_url(link, request.POST.get("action", ""), message))
    context = page_context(request, link) | delivery_context(link)
    return render(request, "pages/preferences_delivery.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@preferences_link_required
def my_data(request: HttpRequest, link: Link) -> HttpResponse:
    """My data."""
    if request.method == "POST":
        message = apply_action(link, request.POST, timezone.now())
        return redirect(page_url(link, request.POST.get("action", ""), message))
    keys = {row.kind: row.key for row in link.subscriber.access_keys.all()}
    context = page_context(request, link) | {"access_keys": keys}
    return render(request, "pages/preferences_data.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@preferences_link_required
def preview(request: HttpRequest, link: Link) -> HttpResponse:
    """Show the next digest for the values of a form that is not saved yet."""
    if request.method != "POST":
        return redirect("delivery", link.key)  # the page of the form
    reader, now = link.subscriber, timezone.now()
    form = changed_form(reader, request.POST)
    if form is not None:
        form.is_valid()  # sets the valid fields on the reader, who is not stored
    context = {"subscriber": reader, "preview": preview_next_digest(reader, now)}
    return render(request, "pages/preferences_preview.html", context)


def page_url(link: Link, action: str, message: str) -> str:
    """Return the page of an action's form, with the message that reports it."""
    page = PAGES.get(action, "preferences")
    return f"{reverse(page, args=[link.key])}?message={message}"


def apply_action(link: Link, form: QueryDict, now: datetime) -> str:
    action = form.get("action", "")
    if action == "follow_requested":
        return follow_requested(link)
    if action not in ACTIONS:
        return "invalid"
    return ACTIONS[action](link.subscriber, form, now)


def page_context(request: HttpRequest, link: Link) -> dict[str, Any]:
    """Return the context of all pages: the reader's state and the last message."""
    now, subscriber = timezone.now(), link.subscriber
    message = request.GET.get("message", "")
    return {
        "key": link.key,
        "subscriber": subscriber,
        "is_suppressed": Suppression.objects.blocks(subscriber.email, now),
        "is_paused": bool(subscriber.paused_until and subscriber.paused_until > now),
        "first_digest": first_digest_text(subscriber, now)
        if request.GET.get("welcome")
        else "",
        "message": MESSAGES.get(message, ""),
        "is_error": message in ERRORS,
    }


def follows_context(request: HttpRequest, link: Link) -> dict[str, Any]:
    groups = follows_by_section(link.subscriber)
    add_effects([row for kind in (Kind.TOPIC, *FOLLOWED_KINDS) for row in groups[kind]])
    return {
        "followed_mutes": [],
        "entered": {},
        "requested": [name for _, name in requested_interests(link)],
        "follows": groups,
        "topics": topic_choices(link.subscriber),
    }


def delivery_context(link: Link) -> dict[str, Any]:
    from digest.ranking import choose

    subscriber = link.subscriber
    return {
        "zones": sorted({*time_zones(), subscriber.zone}),
        "fill_modes": FILL_MODES,
        "follows_nothing": not choose.followers([subscriber]),
        "records_clicks": settings.CLICK_REDIRECT,
        "frequencies": Subscriber.Frequency.choices,
        "weekdays": Subscriber.Weekday.choices,
        "preview": preview_next_digest(subscriber, timezone.now()),
    }


def first_digest_text(subscriber: Subscriber, now: datetime) -> str:
    """Say when a new reader's first digest comes, from the rows that decide it."""
    edition = Edition.objects.frozen().order_by("day").last()
    digest = subscriber.digests.filter(edition=edition).first() if edition else None
    outcome = digest.outcome if digest else ""
    if outcome == Digest.Outcome.ACCEPTED:
        return "Your first digest was sent"
    if outcome in (Digest.Outcome.PENDING, Digest.Outcome.UNKNOWN) or (
        edition and not digest and is_welcome_due(edition, subscriber, now)
    ):
        return "Your first digest is on its way"
    return "Your first digest arrives when the next papers are announced"


def is_welcome_due(edition: Edition, subscriber: Subscriber, now: datetime) -> bool:
    """Whether the frozen edition is sent to a reader who has just confirmed."""
    from digest.ranking import choose

    reader = Subscriber.objects.mailable(now).not_suppressed().filter(pk=subscriber.pk)
    if SendingPause.objects.blocking(edition.pk).exists() or not reader.exists():
        return False
    return subscriber.wants_note or bool(choose.preview_for(edition, subscriber, now))


def requested_interests(link: Link) -> list[tuple[Interest, str]]:
    """Return interests, with names, that a second sign-up requested and the reader does not follow."""
    requested = follows.unsaved_interests(link.payload.get("requested_interests"))
    followed = set(
        link.subscriber.follows.values_list("interest__kind", "interest__value")
    )
    new = [
        interest
        for interest in requested
        if (interest.kind, interest.value) not in followed
    ]
    names = load_names(new)
    return [(interest, display_name(interest, names)) for interest in new]


@cache
def time_zones() -> list[str]:
    """List IANA zones of places; legacy names and "localtime" are left out."""
    names = zoneinfo.available_timezones()
    return sorted(
        name for name in names if name.partition("/")[0] in CONTINENTS or name == "UTC"
    )


def follows_by_section(subscriber: Subscriber) -> dict[str, list[dict[str, Any]]]:
    """Group follows by kind, with mutes, disliked and opened papers apart."""
    rows = list(subscriber.follows.select_related("interest").order_by("pk"))
    names = load_names([row.interest for row in rows])
    groups: dict[str, list[dict[str, Any]]] = {
        name: [] for name in (*Kind.values, "muted", "disliked", "opened")
    }
    for row in rows:
        interest = row.interest
        group = interest.kind
        if row.weight <= 0:
            group = "disliked" if interest.kind == Kind.PAPER else "muted"
        elif row.source == Follow.Source.OPENED:
            group = "opened"
        name = display_name(interest, names)
        groups[group].append({"id": interest.pk, "name": name, "interest": interest})
    return groups


def add_effects(rows: list[dict[str, Any]]) -> None:
    """Add to each follow what it matches in the newest edition."""
    if not rows:
        return
    from digest.ranking.follow_effects import summarize_effects

    texts = summarize_effects([row["interest"] for row in rows])
    for row, text in zip(rows, texts, strict=True):
        row["effect"] = text


def topic_choices(subscriber: Subscriber) -> list[tuple[Topic, bool]]:
    """Return listed topics, and followed ones that are no longer listed, with whether each is followed."""
    followed = subscriber.follows.filter(interest__kind=Kind.TOPIC, weight__gt=0)
    slugs = set(followed.values_list("interest__value", flat=True))
    return [
        (topic, topic.slug in slugs)
        for topic in Topic.objects.all()
        if topic.is_listed or topic.slug in slugs
    ]


def preview_next_digest(
    subscriber: Subscriber, now: datetime
) -> list[paper_rows.PaperRow]:
    from digest.ranking import choose

    edition = paper_rows.newest_edition()
    if edition is None:
        return []
    return paper_rows.pick_rows(choose.preview_for(edition, subscriber, now))


# Actions: each returns the name of a message.


def save_follows(subscriber: Subscriber, form: QueryDict, now: datetime) -> str:
    """Save the form of the first page: topics, new entries and mutes, and a removal."""
    removed = form.get("remove", "")
    if removed and not is_id(removed):
        return "invalid"
    if removed:
        follows.unfollow(subscriber, int(removed))
    messages = [save_topics(subscriber, form)]
    conflicts = {
        (follow.interest.kind, follow.interest.value.lower())
        for follow in followed_mutes(subscriber, form)
    }
    for verb, weight, kinds in (
        ("follow", 1.0, FOLLOWED_KINDS),
        ("mute", -1.0, MUTED_KINDS),
    ):
        for kind in kinds:
            values = entered_values(kind, form.get(f"{verb}_{kind}", ""))
            if verb == "mute":
                values = [
                    value
                    for value in values
                    if (kind, follows.clean_value(kind, value).lower()) not in conflicts
                ]
            messages.append(store_entered(subscriber, kind, values, weight))
    problems = [message for message in messages if message in ERRORS]
    return problems[0] if problems else "saved"


def save_topics(subscriber: Subscriber, form: QueryDict) -> str:
    """Follow newly ticked topics and unfollow cleared ones; others are left as they are."""
    ticked = set(form.getlist("topic")[: follows.MAX_INTERESTS])
    shown = set(form.getlist("shown_topic")[: follows.MAX_INTERESTS])
    # Remove first, so that a swap at the limit is possible.
    topics = subscriber.follows.filter(interest__kind=Kind.TOPIC, weight__gt=0)
    topics.filter(interest__value__in=shown - ticked).delete()
    listed = {topic.slug for topic, _ in topic_choices(subscriber)}
    added = sorted((ticked - shown) & listed)
    saved = [follows.follow(subscriber, Kind.TOPIC, slug) for slug in added]
    return "saved" if all(saved) else "not_saved"


def store_entered(
    subscriber: Subscriber, kind: str, values: list[str], weight: float
) -> str:
    saved = [
        not is_unknown_category(kind, value)
        and follows.follow(subscriber, kind, value, weight)
        for value in values
    ]
    if all(saved):
        return "saved"
    return "category" if kind == Kind.CATEGORY else "not_saved"


def refused_entries(subscriber: Subscriber, form: QueryDict) -> dict[str, str]:
    """Return the entered values that were not stored, by field, so that readers can correct them."""
    stored = set(subscriber.follows.values_list("interest__kind", "interest__value"))
    refused = {}
    for verb, kinds in (("follow", FOLLOWED_KINDS), ("mute", MUTED_KINDS)):
        for kind in kinds:
            field = f"{verb}_{kind}"
            values = entered_values(kind, form.get(field, ""))
            refused[field] = ", ".join(
                value.strip()
                for value in values
                if (kind, follows.clean_value(kind, value)) not in stored
            )
    return refused


def is_unknown_category(kind: str, value: str) -> bool:
    if kind != Kind.CATEGORY:
        return False
    return bool(unknown_categories([follows.clean_value(kind, value)]))


def entered_values(kind: str, text: str) -> list[str]:
    """Split an entry into values; authors, keywords and categories may be several."""
    if kind == Kind.AUTHOR:
        values = split_entered_names(text)
    else:
        values = text.split(",") if kind in LIST_KINDS else [text]
    return [value for value in values if value.strip()][: follows.MAX_INTERESTS]


def followed_mutes(subscriber: Subscriber, form: QueryDict) -> list[Follow]:
    """Return the follows that an unconfirmed form would turn into mutes."""
    if form.get("action") != "save_follows" or form.get("confirmed"):
        return []
    entered = {
        (kind, follows.clean_value(kind, value).lower())
        for kind in MUTED_KINDS
        for value in entered_values(kind, form.get(f"mute_{kind}", ""))
    }
    followed = subscriber.follows.filter(weight__gt=0, interest__kind__in=MUTED_KINDS)
    return [
        row
        for row in followed.select_related("interest").order_by("pk")
        if (row.interest.kind, row.interest.value.lower()) in entered
    ]


def is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


def remove_interest(subscriber: Subscriber, form: QueryDict, now: datetime) -> str:
    interest_id = form.get("interest", "")
    if not is_id(interest_id):
        return "invalid"
    follows.unfollow(subscriber, int(interest_id))
    return "saved"


def follow_requested(link: Link) -> str:
    """Follow the interests of a second sign-up, read from the link's row and never from the form."""
    if not requested_interests(link):
        return "invalid"
    follows.follow_requested(link.subscriber, link.payload["requested_interests"])
    return "not_saved" if requested_interests(link) else "saved"


def save_delivery(subscriber: Subscriber, form: QueryDict, now: datetime) -> str:
    """Save the fields of the second page that differ from what it had shown."""
    changed = changed_form(subscriber, form)
    if changed is None:
        return "unchanged"
    if not changed.is_valid():
        return "zone" if set(changed.errors) == {"zone"} else "invalid"
    subscriber.save(update_fields=list(changed.fields))
    if "learns_from_clicks" in changed.fields and not subscriber.learns_from_clicks:
        forget_opened(subscriber)
    return "saved"


def changed_form(
    subscriber: Subscriber, form: QueryDict
) -> "forms.ModelForm[Subscriber] | None":
    """Return a form of the fields whose value differs from `was_…`; None where none does."""
    names = [
        name
        for name in DELIVERY_FIELDS
        if f"was_{name}" in form and form.get(name, "") != form[f"was_{name}"]
    ]
    if not names:
        return None
    return forms.modelform_factory(Subscriber, fields=names)(form, instance=subscriber)


def pause(subscriber: Subscriber, form: QueryDict, now: datetime) -> str:
    weeks = form.get("weeks", "")
    if weeks not in {str(number + 1) for number in range(MAX_PAUSE_WEEKS)}:
        return "invalid"
    subscriber.paused_until = now + timedelta(weeks=int(weeks))
    subscriber.save(update_fields=["paused_until"])
    return "paused"


def resume(subscriber: Subscriber, form: QueryDict, now: datetime) -> str:
    subscriber.paused_until = None
    subscriber.save(update_fields=["paused_until"])
    return "resumed"


def resubscribe(subscriber: Subscriber, form: QueryDict, now: datetime) -> str:
    """Record the new consent of a reader who left."""
    return "resumed" if subscriber.confirm(now, "preferences page") else "suppressed"


def change_address(subscriber: Subscriber, form: QueryDict, now: datetime) -> str:
    is_valid = links.request_address_change(subscriber, form.get("email", ""))
    return "address_requested" if is_valid else "invalid"


def create_key(subscriber: Subscriber, form: QueryDict, now: datetime) -> str:
    kind = form.get("kind", "")
    if kind not in AccessKey.Kind.values:
        return "invalid"
    AccessKey.issue(subscriber, kind, now)
    return "key_created"


def revoke_key(subscriber: Subscriber, form: QueryDict, now: datetime) -> str:
    subscriber.access_keys.filter(kind=form.get("kind", "")).delete()
    return "key_revoked"


ACTIONS: dict[str, Action] = {
    "save_follows": save_follows,
    "remove": remove_interest,
    "save_delivery": save_delivery,
    "pause": pause,
    "resume": resume,
    "resubscribe": resubscribe,
    "change_address": change_address,
    "create_key": create_key,
    "revoke_key": revoke_key,
}
# The pages of the forms; all others are on the first.
PAGES = {
    "remove": "reading_list",
    "save_delivery": "delivery",
    "pause": "delivery",
    "resume": "delivery",
    "change_address": "my_data",
    "create_key": "my_data",
    "revoke_key": "my_data",
}
