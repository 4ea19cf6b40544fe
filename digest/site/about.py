"""Pages about the site, and the files that browsers and crawlers ask for."""

from datetime import timedelta
from email.utils import parseaddr
from typing import Any
from xml.sax.saxutils import escape

from django.conf import settings
from django.contrib.staticfiles import finders
from django.db.models.functions import TruncMonth
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from accounts.models import Link, Subscriber, Suppression
from digest.feedback.implicit_follows import OPENED_LIFETIME
from digest.mailer.retention import retention_days
from digest.models import Paper, Topic
from digest.models.reader_requests import RESULT_KEPT
from digest.site.page_cache import TEXT_SECONDS, cached_page
from digest.site.periods import MONTH, parse_period

# RFC 9116 recommends less than a year.
SECURITY_TXT_LIFETIME = timedelta(days=180)
ROBOTS_TXT = "User-agent: *\n" + "".join(
    f"Disallow: {path}\n"
    for path in (
        *("/admin/", "/d/", "/digests/", "/preferences/", "/submit/", "/confirm/"),
        *("/unsubscribe/", "/address/", "/mailbox", "/papers?q=", "/reading-list/"),
    )
)
SITEMAP_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
SITEMAP_SCHEMA = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
SECONDS_PER_DAY = 86_400


@require_safe
@cached_page(TEXT_SECONDS)
def about(request: HttpRequest) -> HttpResponse:
    context = {"categories": settings.ARXIV_CATEGORIES}
    return render(request, "pages/about.html", context)


@require_safe
@cached_page(TEXT_SECONDS)
def privacy(request: HttpRequest) -> HttpResponse:
    return render(request, "pages/privacy.html", privacy_context())


def privacy_context() -> dict[str, Any]:
    """Return the periods after which the service deletes data, from the constants that it deletes by."""
    return {
        "contact": contact_address(),
        "unconfirmed_days": Subscriber.UNCONFIRMED_RETENTION.days,
        "left_days": Subscriber.UNSUBSCRIBED_RETENTION.days,
        "link_days": (
            Link.LIFETIMES[Link.Purpose.PREFERENCES] + Link.EXPIRED_RETENTION
        ).days,
        "digest_days": retention_days(),
        "opened_days": OPENED_LIFETIME.days,
        "request_days": RESULT_KEPT.days,
        "bounce_days": Suppression.BOUNCE_COOLDOWN.days,
        "counts_clicks": settings.CLICK_REDIRECT,
        "uses_sendgrid": settings.MAIL_TRANSPORT == "sendgrid",
    }


@require_safe
@cached_page(TEXT_SECONDS)
def imprint(request: HttpRequest) -> HttpResponse:
    if not settings.OPERATOR:
        raise Http404
    context = {"operator": settings.OPERATOR, "contact": contact_address()}
    return render(request, "pages/imprint.html", context)


def contact_address() -> str:
    return settings.CONTACT_EMAIL or parseaddr(settings.MAIL_FROM)[1]


@require_safe
@cache_control(public=True, max_age=TEXT_SECONDS)
def robots(request: HttpRequest) -> HttpResponse:
    sitemap = f"Sitemap: {settings.SITE_URL}{reverse('sitemap')}\n"
    return HttpResponse(ROBOTS_TXT + sitemap, content_type="text/plain; charset=utf-8")


@require_safe
@cache_control(public=True, max_age=TEXT_SECONDS)
def security_txt(request: HttpRequest) -> HttpResponse:
    expires = timezone.now() + SECURITY_TXT_LIFETIME
    lines = [
        f"Contact: mailto:{contact_address()}",
        f"Expires: {expires:%Y-%m-%dT00:00:00Z}",
        "Preferred-Languages: en",
        f"Canonical: {settings.SITE_URL}{request.path}",
    ]
    return HttpResponse(
        "\n".join(lines) + "\n", content_type="text/plain; charset=utf-8"
    )


@require_safe
@cache_control(public=True, max_age=SECONDS_PER_DAY)
def favicon(request: HttpRequest) -> FileResponse:
    """Answer the address that browsers ask for on pages without a link to an icon."""
    path = finders.find("digest/favicon.ico")
    assert isinstance(path, str)  # a file of this package
    return FileResponse(open(path, "rb"), content_type="image/x-icon")


@require_safe
@cached_page(TEXT_SECONDS)
def sitemap(request: HttpRequest) -> HttpResponse:
    """List the sitemaps: the pages, and the papers of each month."""
    announced = Paper.objects.announced_until(timezone.now()).order_by()
    months = announced.annotate(month=TruncMonth("announced_on")).values_list("month")
    names = [
        "pages",
        *(f"{month:%Y-%m}" for (month,) in sorted(set(months.distinct()))),
    ]
    rows = "".join(
        f"<sitemap><loc>{absolute(reverse('sitemap_part', args=[name]))}</loc></sitemap>\n"
        for name in names
    )
    return xml(f"<sitemapindex {SITEMAP_SCHEMA}>\n{rows}</sitemapindex>\n")


@require_safe
@cached_page(TEXT_SECONDS)
def sitemap_part(request: HttpRequest, part: str) -> HttpResponse:
    if part == "pages":
        paths = page_paths()
    elif period := parse_period(MONTH, part):
        papers = Paper.objects.announced_between(period.first, period.last)
        identifiers = papers.order_by("identifier").values_list("identifier", flat=True)
        days = papers.order_by("announced_on").values_list("announced_on", flat=True)
        paths = [
            *(reverse("day", args=[day.isoformat()]) for day in days.distinct()),
            *(reverse("paper", args=[identifier]) for identifier in identifiers),
        ]
    else:
        raise Http404
    rows = "".join(f"<url><loc>{absolute(path)}</loc></url>\n" for path in paths)
    return xml(f"<urlset {SITEMAP_SCHEMA}>\n{rows}</urlset>\n")


def page_paths() -> list[str]:
    names = ("home", "papers", "trending", "topics", "about", "privacy")
    topics = Topic.objects.filter(is_listed=True)
    return [*map(reverse, names), *(topic.get_absolute_url() for topic in topics)]


def absolute(path: str) -> str:
    return escape(f"{settings.SITE_URL}{path}")


def xml(text: str) -> HttpResponse:
    return HttpResponse(
        SITEMAP_HEAD + text, content_type="application/xml; charset=utf-8"
    )
