"""The public pages' addresses."""

from django.urls import URLPattern, path

from digest.site import (
    days,
    digests,
    health,
    home,
    mailbox,
    papers,
    personal_data,
    preferences,
    reading_list,
    submit,
    topics,
    webhooks,
)

urlpatterns: list[URLPattern] = [
    path("", home.home, name="home"),
    path("papers", papers.papers, name="papers"),
    path("papers/date/<str:text>", days.day, name="day"),
    path("papers/<path:identifier>", papers.paper, name="paper"),
    path("topics", topics.topics, name="topics"),
    path("topics/<slug:slug>", topics.topic, name="topic"),
    path("preferences/<slug:key>", preferences.preferences, name="preferences"),
    path("preferences/<slug:key>/erase", personal_data.erase, name="erase"),
    path("preferences/<slug:key>/data.json", personal_data.export, name="export"),
    path("preferences/<slug:key>/papers", reading_list.papers, name="own_papers"),
    path("submit", submit.about, name="submit_about"),
    path("submit/", submit.about),
    path("submit/<slug:key>", submit.submit, name="submit"),
    path("d/<slug:key>", digests.digest, name="digest"),
    path("d/<slug:key>/<int:pick>/<slug:verb>", digests.link, name="link"),
    path("digests/<slug:key>", digests.digests, name="digests"),
    path("mailbox", mailbox.mailbox, name="mailbox"),
    path("mailbox/<str:name>", mailbox.mail, name="mail"),
    path("mailbox/<str:name>/body", mailbox.mail_body, name="mail_body"),
    path("webhooks/sendgrid", webhooks.sendgrid, name="webhook_sendgrid"),
    path("health", health.health, name="health"),
    path("alive", health.alive, name="alive"),
    path("robots.txt", health.robots),
]
