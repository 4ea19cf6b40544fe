"""A reader's preferences: GET shows the page, POST makes one change and reports it."""

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
from accounts.models import Link, Subscriber, Suppression
from digest import follows
from digest.feedback.implicit_follows import forget_opened
from digest.ingest import monitoring
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
MAX_EFFECTS = 5  # interests whose matches are shown after a form
CONTINENTS = {
    *("Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia"),
    *("Europe", "Indian", "Pacific"),
}
ENTERED_KINDS = {Kind.KEYWORD, Kind.AUTHOR, Kind.CATEGORY, Kind.SEARCH}
# Fields that take several entries, separated by commas.
LIST_KINDS = {Kind.KEYWORD, Kind.CATEGORY}
MESSAGES = {
    "saved": "Saved. Changes apply from your next digest.",
    "paused": "Digests paused. They restart automatically.",
    "resumed": "Digests resumed.",
    "address_requested": "Check the inbox of the new address. If we can use it, we sent it a confirmation link. Until you confirm, nothing changes.",
    "not_saved": "Some entries were not saved. An entry may be empty, too long or unsupported, or you already have 60 interests.",
    "category": "Some entries were not saved. Write categories like cs.LG or stat.ML. You can have up to 60 interests.",
    "invalid": "Nothing was changed, because the form was incomplete. Reload the page and try again.",
    "suppressed": "We can't send email to this address: earlier email bounced, was reported as spam, or was blocked on request.",
}
ERRORS = {"not_saved", "category", "invalid", "suppressed"}
# Sections with forms of their own show the message beside the form that was sent.
SECTIONS = {"topics", "words", "mutes", "liked", "content-mix", "schedule", "address"}
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


class ScheduleForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    class Meta:
        model = Subscriber
        fields = ["length", "frequency", "weekday", "hour", "zone"]


class ContentForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    class Meta:
        model = Subscriber
        fields = ["fill_mode", "note_when_empty", "learns_from_clicks"]


@require_http_methods(["GET", "HEAD", "POST"])
@preferences_link_required
def preferences(request: HttpRequest, link: Link) -> HttpResponse:
    if request.method != "POST":
        return render(request, "pages/preferences.html", page_context(request, link))
    if followed := followed_mutes(link.subscriber, request.POST):
        context = page_context(request, link) | {
            "followed_mutes": [follow.interest.value for follow in followed],
            "mute_kind": request.POST.get("kind", ""),
            "mute_value": request.POST.get("value", ""),
        }
        return render(request, "pages/preferences.html", context)
    message = apply_action(link, request.POST, timezone.now())
    url = f"{reverse('preferences', args=[link.key])}?message={message}"
    if request.POST.get("action") == "follow":
        entered = followed_entries(link.subscriber, request.POST)[:MAX_EFFECTS]
        url += "".join(f"&interest={follow.interest_id}" for follow in entered)
    section = request.POST.get("section")
    if section in SECTIONS:
        url += f"&section={section}#{section}"
    return redirect(url)


def apply_action(link: Link, form: QueryDict, now: datetime) -> str:
    action = form.get("action", "")
    if action == "follow_requested":
        return follow_requested(link)
    if action not in ACTIONS:
        return "invalid"
    return ACTIONS[action](link.subscriber, form, now)


def page_context(request: HttpRequest, link: Link) -> dict[str, Any]:
    from digest.ranking import choose

    now, subscriber = timezone.now(), link.subscriber
    message, section = request.GET.get("message", ""), request.GET.get("section", "")
    return {
        "key": link.key,
        "subscriber": subscriber,
        "is_suppressed": Suppression.objects.blocks(subscriber.email, now),
        "is_paused": bool(subscriber.paused_until and subscriber.paused_until > now),
        "first_digest": first_digest_text(subscriber, now)
        if request.GET.get("welcome")
        else "",
        "message": MESSAGES.get(message, ""),
        "section": section if section in SECTIONS else "",
        "is_error": message in ERRORS,
        "followed_mutes": [],
        "effects": follow_effects(subscriber, request.GET.getlist("interest")),
        "requested": [name for _, name in requested_interests(link)],
        "follows": follows_by_section(subscriber),
        "unread_categories": unread_categories(subscriber),
        "topics": topic_choices(subscriber),
        "zones": sorted({*time_zones(), subscriber.zone}),
        "fill_modes": FILL_MODES,
        "follows_nothing": not choose.followers([subscriber]),
        "records_clicks": settings.CLICK_REDIRECT,
        "frequencies": Subscriber.Frequency.choices,
        "weekdays": Subscriber.Weekday.choices,
        "preview": preview_next_digest(subscriber, now),
    }


def unread_categories(subscriber: Subscriber) -> list[str]:
    categories = subscriber.follows.filter(
        weight__gt=0, interest__kind=Kind.CATEGORY
    ).values_list("interest__value", flat=True)
    return sorted(name for name in categories if not monitoring.is_read(name))


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
        groups[group].append({"id": interest.pk, "name": name})
    return groups


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


# Actions: each makes one change and returns the name of a message.


def save_schedule(subscriber: Subscriber, form: QueryDict, now: datetime) -> str:
    return save_form(ScheduleForm(form, instance=subscriber))


def save_content(subscriber: Subscriber, form: QueryDict, now: datetime) -> str:
    message = save_form(ContentForm(form, instance=subscriber))
    if message == "saved" and not subscriber.learns_from_clicks:
        forget_opened(subscriber)
    return message


def save_form(form: ScheduleForm | ContentForm) -> str:
    if not form.is_valid():
        return "invalid"
    form.instance.save(update_fields=form.fields.keys())
    return "saved"


def save_topics(subscriber: Subscriber, form: QueryDict, now: datetime) -> str:
    ticked = set(form.getlist("topic")[: follows.MAX_INTERESTS])
    choices = topic_choices(subscriber)
    removed = [t.slug for t, followed in choices if followed and t.slug not in ticked]
    added = [t.slug for t, followed in choices if not followed and t.slug in ticked]
    # Remove first, so that a swap at the limit is possible.
    topics = subscriber.follows.filter(interest__kind=Kind.TOPIC)
    topics.filter(interest__value__in=removed).delete()
    saved = [follows.follow(subscriber, Kind.TOPIC, slug) for slug in added]
    return "saved" if all(saved) else "not_saved"


def follow_entered(subscriber: Subscriber, form: QueryDict, now: datetime) -> str:
    return store_entered(subscriber, form, weight=1.0)


def mute_entered(subscriber: Subscriber, form: QueryDict, now: datetime) -> str:
    return store_entered(subscriber, form, weight=-1.0)


def store_entered(subscriber: Subscriber, form: QueryDict, weight: float) -> str:
    """Follow or mute what was entered; keywords and categories may be several."""
    kind = form.get("kind", "")
    if kind not in ENTERED_KINDS:
        return "invalid"
    saved = [
        not is_unknown_category(kind, value)
        and follows.follow(subscriber, kind, value, weight)
        for value in entered_values(form)
    ]
    if saved and all(saved):
        return "saved"
    return "category" if kind == Kind.CATEGORY else "not_saved"


def is_unknown_category(kind: str, value: str) -> bool:
    if kind != Kind.CATEGORY:
        return False
    return bool(unknown_categories([follows.clean_value(kind, value)]))


def entered_values(form: QueryDict) -> list[str]:
    kind, text = form.get("kind", ""), form.get("value", "")
    if kind == Kind.AUTHOR:
        values = split_entered_names(text)
    else:
        values = text.split(",") if kind in LIST_KINDS else [text]
    return [value for value in values if value.strip()][: follows.MAX_INTERESTS]


def followed_entries(subscriber: Subscriber, form: QueryDict) -> list[Follow]:
    kind = form.get("kind", "")
    values = [follows.clean_value(kind, value) for value in entered_values(form)]
    followed = subscriber.follows.filter(
        weight__gt=0, interest__kind=kind, interest__value__in=values
    )
    return list(followed.select_related("interest").order_by("pk"))


def followed_mutes(subscriber: Subscriber, form: QueryDict) -> list[Follow]:
    """Return the follows that an unconfirmed form would turn into mutes."""
    if form.get("action") != "mute" or form.get("confirmed"):
        return []
    return followed_entries(subscriber, form)


def follow_effects(subscriber: Subscriber, interest_ids: list[str]) -> list[str]:
    """Say what each of these followed interests matches in the newest edition."""
    ids = [int(text) for text in interest_ids[:MAX_EFFECTS] if is_id(text)]
    followed = subscriber.follows.filter(interest__in=ids, weight__gt=0)
    interests = [row.interest for row in followed.select_related("interest")]
    if not interests:
        return []
    from digest.ranking.follow_effects import follow_effect

    return [
        f"“{interest.value}”: {follow_effect(interest).text}" for interest in interests
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


ACTIONS: dict[str, Action] = {
    "save_schedule": save_schedule,
    "save_content": save_content,
    "save_topics": save_topics,
    "follow": follow_entered,
    "mute": mute_entered,
    "remove": remove_interest,
    "pause": pause,
    "resume": resume,
    "resubscribe": resubscribe,
    "change_address": change_address,
}
