"""URLs of the public pages."""

from django.urls import URLPattern, URLResolver, include, path

from digest.site import (
    about,
    api,
    authors,
    digests,
    health,
    home,
    mailbox,
    metrics,
    paper_images,
    paper_lists,
    papers,
    personal_data,
    preferences,
    reading_list,
    saved_papers,
    search,
    submit,
    webhooks,
)
from digest.site.periods import DAY, MONTH, WEEK

urlpatterns: list[URLPattern | URLResolver] = [
    path("", home.home, name="home"),
    path("metrics", metrics.metrics, name="metrics"),
    path("papers", search.search_page, name="papers"),
    path("papers/", search.search_page),
    path("search", search.redirect_search),
    path("papers/trending", paper_lists.trending_page, name="trending"),
    *(
        path(
            f"papers/{folder}/<str:text>", paper_lists.period_page, {"kind": kind}, kind
        )
        for folder, kind in (("date", DAY), ("week", WEEK), ("month", MONTH))
    ),
    *(
        path(
            f"papers/<path:identifier>.{style}",
            papers.citation_file,
            {"style": style},
            f"citation_{style}",
        )
        for style in papers.CITATION_STYLES
    ),
    path(
        "papers/<path:identifier>/save", saved_papers.save_from_site, name="save_paper"
    ),
    path(
        "papers/<path:identifier>/preview.png",
        paper_images.preview_image,
        name="preview_image",
    ),
    path(
        "papers/<path:identifier>/thumbnail.webp",
        paper_images.thumbnail,
        name="thumbnail",
    ),
    path("papers/<path:identifier>", papers.paper_page, name="paper"),
    path("authors/<path:author>", authors.author_page, name="author"),
    path("api/", api.api.urls),
    path("feeds/", include("digest.site.feeds")),
    path("topics", paper_lists.topic_list, name="topics"),
    path("topics/<slug:slug>", paper_lists.topic_page, name="topic"),
    path("preferences/<slug:key>", preferences.preferences, name="preferences"),
    path("preferences/<slug:key>/delivery", preferences.delivery, name="delivery"),
    path("preferences/<slug:key>/preview", preferences.preview, name="preview"),
    path("preferences/<slug:key>/data", preferences.my_data, name="my_data"),
    path("preferences/<slug:key>/erase", personal_data.erase, name="erase"),
    path("preferences/<slug:key>/data.json", personal_data.export, name="export"),
    path("preferences/<slug:key>/papers", reading_list.papers, name="reading_list"),
    path("preferences/<slug:key>/saved", saved_papers.open_list, name="open_list"),
    path("saved/<slug:key>", saved_papers.saved_papers, name="saved_papers"),
    path("saved/<slug:key>/feed", saved_papers.saved_feed, name="saved_feed"),
    path(
        "saved/<slug:key>/export.<slug:extension>",
        saved_papers.export_saved,
        name="export_saved",
    ),
    path("private-feeds/<slug:key>", saved_papers.digests_feed, name="digests_feed"),
    path("submit", submit.submit_intro, name="submit_intro"),
    path("submit/", submit.submit_intro),
    path("submit/<slug:key>", submit.submit, name="submit"),
    path("d/<slug:key>", digests.digest, name="digest"),
    path("d/<slug:key>/<int:pick>/<slug:verb>", digests.digest_link, name="link"),
    path("digests/<slug:key>", digests.archive, name="archive"),
    path(
        "digests/<slug:key>/<str:text>",
        digests.archived_digest,
        name="archived_digest",
    ),
    path("mailbox", mailbox.mailbox, name="mailbox"),
    path("mailbox/<str:name>", mailbox.mailbox_message, name="mailbox_message"),
    path("mailbox/<str:name>/body", mailbox.mailbox_frame, name="mailbox_frame"),
    *(
        path(
            f"webhooks/{source}",
            webhooks.receive_events,
            {"source": source},
            f"webhook_{source}",
        )
        for source in webhooks.PROVIDERS
    ),
    path("health", health.health, name="health"),
    path("about", about.about, name="about"),
    path("privacy", about.privacy, name="privacy"),
    path("imprint", about.imprint, name="imprint"),
    path("robots.txt", about.robots),
    path(".well-known/security.txt", about.security_txt),
    path("favicon.ico", about.favicon),
    path("sitemap.xml", about.sitemap, name="sitemap"),
    path("sitemaps/<str:part>.xml", about.sitemap_part, name="sitemap_part"),
]
