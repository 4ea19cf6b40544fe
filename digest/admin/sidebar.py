"""The control room's doors, the daily ones first."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

# Title, symbol, the name of its address, and the model it shows.
Door = tuple[str, str, str, str | None]
DOORS: dict[str, list[Door]] = {
    "": [
        ("Today", "today", "index", None),
        ("The day's list", "format_list_numbered", "digest_candidate", "candidate"),
        ("Editions", "calendar_month", "digest_edition", "edition"),
        ("Papers", "description", "digest_paper", "paper"),
        ("Topics", "sell", "digest_topic", "topic"),
        ("Submissions", "outgoing_mail", "digest_submission", "submission"),
        ("Recalls", "block", "digest_recall", "recall"),
    ],
    "Readers": [
        ("Readers", "group", "accounts_subscriber", "subscriber"),
        ("Follows", "bookmark", "digest_follow", "follow"),
        ("Interests", "interests", "digest_interest", "interest"),
        ("Suppressed addresses", "unsubscribe", "accounts_suppression", "suppression"),
    ],
    "Ledgers": [
        ("Ingest", "download", "digest_ingestrun", "ingestrun"),
        ("Digests", "mail", "digest_digest", "digest"),
        ("Brakes", "front_hand", "digest_sendingpause", "sendingpause"),
        ("Batches", "stacks", "digest_batch", "batch"),
        ("Slots", "schedule", "digest_slot", "slot"),
        ("Events", "notifications", "digest_event", "event"),
        ("Vector models", "scatter_plot", "digest_embeddingmodel", "embeddingmodel"),
    ],
    "Editors": [
        ("Editors", "badge", "accounts_user", "user"),
        ("Groups", "groups", "auth_group", "group"),
    ],
}


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The theme's sidebar; a door shows only to those who may open it."""
    return [
        {"title": title, "separator": bool(title), "items": shown}
        for title, doors in DOORS.items()
        if (shown := [door(*row) for row in doors if may_open(request, row[2], row[3])])
    ]


def may_open(request: HttpRequest, name: str, model: str | None) -> bool:
    app = name.partition("_")[0]
    return model is None or request.user.has_perm(f"{app}.view_{model}")


def door(title: str, icon: str, name: str, model: str | None) -> dict[str, Any]:
    address = reverse(f"admin:{name}_changelist" if model else f"admin:{name}")
    return {"title": title, "icon": icon, "link": address}
