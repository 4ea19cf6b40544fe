"""The public pages' addresses."""

from importlib import import_module
from typing import Any

from django.urls import URLPattern, path


def late(name: str) -> Any:
    """A view that is imported at its first request: the rooms are still being built."""
    module, view = name.split(".")
    return lambda request, **found: getattr(
        import_module(f"digest.site.{module}"), view
    )(request, **found)


urlpatterns: list[URLPattern] = [
    path("", late("home.home"), name="home"),
    path("papers", late("papers.papers"), name="papers"),
    path("papers/date/<str:text>", late("days.day"), name="day"),
    path("papers/<path:identifier>", late("papers.paper"), name="paper"),
    path("topics", late("topics.topics"), name="topics"),
    path("topics/<slug:slug>", late("topics.topic"), name="topic"),
    path("preferences/<slug:key>", late("preferences.preferences"), name="preferences"),
    path("preferences/<slug:key>/erase", late("preferences.erase"), name="erase"),
    path("preferences/<slug:key>/data.json", late("preferences.export"), name="export"),
    path("d/<slug:key>", late("digests.digest"), name="digest"),
    path("d/<slug:key>/<int:pick>/<slug:verb>", late("digests.link"), name="link"),
    path("digests/<slug:key>", late("digests.digests"), name="digests"),
    path("mailbox", late("mailbox.mailbox"), name="mailbox"),
    path("mailbox/<str:name>", late("mailbox.mail"), name="mail"),
    path("mailbox/<str:name>/body", late("mailbox.mail_body"), name="mail_body"),
    path("webhooks/sendgrid", late("webhooks.sendgrid"), name="webhook_sendgrid"),
    path("health", late("health.health"), name="health"),
    path("robots.txt", late("health.robots")),
]
