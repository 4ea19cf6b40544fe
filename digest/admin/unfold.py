"""What the admin theme unfold needs: its sidebar, and a content security policy of its own."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

# Title, icon, URL name, and the model whose list it opens (None: a page without a model).
Entry = tuple[str, str, str, str | None]
# What editors use every day comes first.
SECTIONS: dict[str, list[Entry]] = {
    "": [
        ("Today", "today", "index", None),
        ("Candidates", "format_list_numbered", "digest_candidate", "candidate"),
        ("Editions", "calendar_month", "digest_edition", "edition"),
        ("Papers", "description", "digest_paper", "paper"),
        ("Topics", "sell", "digest_topic", "topic"),
        ("Experiments", "science", "digest_experiment", "experiment"),
        ("Ranking settings", "tune", "digest_rankingsetting", "rankingsetting"),
        ("Submissions", "outgoing_mail", "digest_submission", "submission"),
        ("Recalls", "block", "digest_recall", "recall"),
    ],
    "Readers": [
        ("Readers", "group", "accounts_subscriber", "subscriber"),
        ("Invite a reader", "person_add", "accounts_subscriber_invite", None),
        ("Imports", "upload_file", "accounts_readerimport", "readerimport"),
        ("Follows", "bookmark", "digest_follow", "follow"),
        ("Interests", "interests", "digest_interest", "interest"),
        ("Account mails", "outbox", "accounts_accountmail", "accountmail"),
        ("Suppressions", "unsubscribe", "accounts_suppression", "suppression"),
    ],
    "Operations": [
        ("Checks", "fact_check", "checks", None),
        ("Ingest runs", "download", "digest_ingestrun", "ingestrun"),
        ("Digests", "mail", "digest_digest", "digest"),
        ("Sending pauses", "pause_circle", "digest_sendingpause", "sendingpause"),
        ("Batches", "stacks", "digest_batch", "batch"),
        ("Slots", "schedule", "digest_slot", "slot"),
        ("Events", "notifications", "digest_event", "event"),
        (
            "Ignored events",
            "notifications_off",
            "digest_foreigneventcount",
            "foreigneventcount",
        ),
        ("Embedding models", "scatter_plot", "digest_embeddingmodel", "embeddingmodel"),
    ],
    "Access": [
        ("Staff", "badge", "accounts_user", "user"),
        ("Groups", "groups", "auth_group", "group"),
        ("Who did what", "history", "admin_logentry", "logentry"),
    ],
}
# Of pages without a model. Every member of staff may open Today.
PAGE_PERMISSIONS = {
    "checks": "digest.change_sendingpause",
    "accounts_subscriber_invite": "accounts.invite_subscriber",
}


def sidebar_navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The sections of unfold's sidebar, without the entries that this user may not view."""
    sections: list[dict[str, Any]] = [
        {"title": title, "separator": bool(title), "items": items}
        for title, entries in SECTIONS.items()
        if (items := [_item(*entry) for entry in entries if _may_view(request, entry)])
    ]
    _mark_active(request.path, [item for row in sections for item in row["items"]])
    return sections


def _mark_active(path: str, items: list[dict[str, Any]]) -> None:
    """Mark the entry with the longest address that `path` begins with.

    Unfold by itself marks each of them: on Checks also Sending pauses.
    """
    index = reverse("admin:index")
    links = (item["link"] for item in items if item["link"] != index)
    longest = max(
        (link for link in links if path.startswith(link)), key=len, default=path
    )
    for item in items:
        item["active"] = item["link"] == longest


def _may_view(request: HttpRequest, entry: Entry) -> bool:
    _, _, url_name, model = entry
    if permission := PAGE_PERMISSIONS.get(url_name):
        return request.user.has_perm(permission)
    app = url_name.partition("_")[0]
    return model is None or request.user.has_perm(f"{app}.view_{model}")


def _item(title: str, icon: str, url_name: str, model: str | None) -> dict[str, Any]:
    url = reverse(f"admin:{url_name}_changelist" if model else f"admin:{url_name}")
    return {"title": title, "icon": icon, "link": url}


# Unfold needs inline styles and eval; the policy of public pages allows neither.
INLINE = "'unsafe-inline'"
ADMIN_CSP = {
    "style-src": ["'self'", INLINE],
    "script-src": ["'self'", INLINE, "'unsafe-eval'"],
    # The preview renders a mail in a sandboxed frame of this site.
    "frame-src": ["'self'"],
    "frame-ancestors": ["'self'"],
}


class AdminPolicyMiddleware:
    """Relax the content security policy under /admin/ only."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.path.startswith("/admin/"):
            response._csp_replace = ADMIN_CSP  # type: ignore[attr-defined]  # read by django-csp
        return response
