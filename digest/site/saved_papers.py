"""A reader's reading list: save from mail and site, notes, done, export, and its private page.

The page is opened by a key of its own, which the reader can replace or revoke. A digest's key
only adds to the list, because digests get forwarded. On the site, "Save" finds the list by a
cookie that the private page sets.
"""

import csv
import io
import json
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.paginator import Paginator
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import (
    require_http_methods,
    require_safe,
)

from accounts.models import AccessKey, Link, Subscriber
from accounts.reader_import import neutralise_formula
from digest.models import Digest, Paper, SavedPaper
from digest.site.citations import (
    citation_key,
    format_bibtex,
    format_ris,
    name_pieces,
    publication_year,
)
from digest.site.decorators import private_page
from digest.site.errors import not_found
from digest.site.feeds import paper_feed
from digest.site.link_access import link_expired, preferences_link_required
from digest.site.paper_rows import paper_cards

PAPERS_PER_PAGE = 50
COOKIE = "reading_list"
COOKIE_SECONDS = 365 * 86_400
SHOWN = {"open": {"is_done": False}, "done": {"is_done": True}, "all": {}}
CSV_COLUMNS = [
    *("identifier", "title", "authors", "year", "doi", "url"),
    *("note", "done", "saved"),
]


def save_paper(subscriber: Subscriber, paper: Paper, now: datetime) -> bool:
    """Add a paper to the reading list; False where the list is full. Repeating changes nothing."""
    with transaction.atomic():
        # Locked, so that two requests do not both take the last place.
        Subscriber.objects.select_for_update(no_key=True).get(pk=subscriber.pk)
        own = SavedPaper.objects.filter(subscriber=subscriber)
        if own.filter(paper=paper).exists():
            return True
        if own.count() >= SavedPaper.MAX_PER_READER:
            return False
        own.create(subscriber=subscriber, paper=paper, saved_at=now)
    return True


def find_list(key: str) -> AccessKey | None:
    return AccessKey.objects.find(
        AccessKey.Kind.READING_LIST, key[:64].replace("\0", "")
    )


@require_http_methods(["GET", "HEAD", "POST"])
@private_page
def saved_papers(request: HttpRequest, key: str) -> HttpResponse:
    """Show the reading list; POST changes or removes one paper."""
    access = find_list(key)
    if access is None:
        return link_expired(request)
    shown = request.GET.get("show", "open")
    if request.method == "POST":
        change_saved(access.subscriber, request)
        page = request.POST.get("page", "")
        query = f"?show={shown if shown in SHOWN else 'open'}"
        query += f"&page={page}" if page.isdigit() and len(page) < 6 else ""
        return redirect(reverse("saved_papers", args=[key]) + query)
    response = render(request, "pages/saved_papers.html", list_page(request, access))
    response.set_cookie(
        COOKIE,
        access.key,
        max_age=COOKIE_SECONDS,
        secure=settings.HTTPS,
        httponly=True,
        samesite="Lax",
    )
    return response


def list_page(request: HttpRequest, access: AccessKey) -> dict[str, Any]:
    shown = request.GET.get("show", "open")
    shown = shown if shown in SHOWN else "open"
    own = access.subscriber.saved_papers.order_by("-saved_at", "-pk")
    rows = own.filter(**SHOWN[shown]).select_related("paper")
    pages = Paginator(
        rows.defer("paper__vector", "paper__dense_vector"), PAPERS_PER_PAGE
    )
    page = pages.get_page(request.GET.get("page"))
    saved = list(page)
    cards = paper_cards([row.paper for row in saved])
    return {
        "key": access.key,
        "page": page,
        "rows": list(zip(saved, cards, strict=True)),
        "shown": shown,
        "counts": {
            name: own.filter(**choice).count() for name, choice in SHOWN.items()
        },
        "export_formats": [(name, label) for name, (label, *_) in EXPORTS.items()],
    }


def change_saved(subscriber: Subscriber, request: HttpRequest) -> None:
    """Apply one form: its note, and what its button says. Other rows are left as they are."""
    number = request.POST.get("saved", "")
    if not (number.isascii() and number.isdigit() and len(number) <= 18):
        return
    rows = subscriber.saved_papers.filter(pk=int(number))
    action = request.POST.get("action", "")
    if action == "remove":
        rows.delete()
    elif action in ("done", "open"):
        rows.update(is_done=action == "done")
    elif action == "note":
        note = " ".join(request.POST.get("note", "").replace("\0", "").split())
        rows.update(note=note[: SavedPaper.MAX_NOTE_CHARS])


# Saving


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
@private_page
def save_from_site(request: HttpRequest, identifier: str) -> HttpResponse:
    """Save a paper to the list of the cookie.

    Public pages are cached and hold no CSRF token; the cookie is SameSite=Lax, and forms of
    other sites are refused by their origin.
    """
    paper = Paper.objects.filter(identifier=identifier.replace("\0", "")).first()
    if paper is None:
        return not_found(request)
    access = find_list(request.COOKIES.get(COOKIE, ""))
    if request.method == "POST" and access and is_same_origin(request):
        is_saved = save_paper(access.subscriber, paper, timezone.now())
        status = "saved" if is_saved else "full"
    else:
        status = "ask" if access else "unknown"
    context = {
        "paper": paper,
        "status": status,
        "list_key": access.key if access else "",
        "unsubscribe_key": "",
        "max_papers": SavedPaper.MAX_PER_READER,
    }
    name = "save_status" if request.headers.get("HX-Request") else "save_paper"
    return render(request, f"pages/{name}.html", context)


def is_same_origin(request: HttpRequest) -> bool:
    """Whether a form was sent by a page of this site, as browsers state it."""
    site = request.headers.get("Sec-Fetch-Site")
    if site:
        return site == "same-origin"
    origin = request.headers.get("Origin") or request.headers.get("Referer", "")
    return urlsplit(origin).netloc == request.get_host()


def save_from_digest(
    request: HttpRequest, digest: Digest, paper: Paper
) -> HttpResponse:
    """Ask on GET, because link scanners open every link of a mail; save on POST."""
    status = "ask"
    if request.method == "POST":
        is_saved = save_paper(digest.subscriber, paper, timezone.now())
        status = "saved" if is_saved else "full"
    context = {
        "paper": paper,
        "status": status,
        "list_key": "",
        "unsubscribe_key": digest.subscriber.unsubscribe_key,
        "max_papers": SavedPaper.MAX_PER_READER,
    }
    return render(request, "pages/save_paper.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@preferences_link_required
def open_list(request: HttpRequest, link: Link) -> HttpResponse:
    """Redirect from the preferences to the reading list; the first time creates its key."""
    if request.method != "POST":
        return redirect("reading_list", link.key)  # the page of the button
    reader = link.subscriber
    kind = AccessKey.Kind.READING_LIST
    access = reader.access_keys.filter(kind=kind).first()
    access = access or AccessKey.issue(reader, kind, timezone.now())
    return redirect("saved_papers", access.key)


# Export and feed


@require_safe
@private_page
def export_saved(request: HttpRequest, key: str, extension: str) -> HttpResponse:
    access = find_list(key)
    if access is None or extension not in EXPORTS:
        return link_expired(request)
    rows = access.subscriber.saved_papers.select_related("paper").order_by("pk")
    _, content_type, write = EXPORTS[extension]
    saved = list(rows.defer("paper__vector", "paper__dense_vector"))
    response = HttpResponse(write(saved), content_type=f"{content_type}; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="reading-list.{extension}"'
    return response


def write_bibtex(rows: list[SavedPaper]) -> str:
    """Write one record per paper; equal keys get a letter, as BibTeX refuses repeated ones."""
    records, used = list[str](), dict[str, int]()
    for row in rows:
        key = citation_key(row.paper)
        number = used[key] = used.get(key, 0) + 1
        record = format_bibtex(row.paper)
        if number > 1:
            record = record.replace(f"{{{key},", f"{{{key}-{number},", 1)
        records.append(record + "\n")
    return "\n".join(records)


def write_ris(rows: list[SavedPaper]) -> str:
    return "".join(format_ris(row.paper) for row in rows)


def write_csl_json(rows: list[SavedPaper]) -> str:
    return json.dumps([csl_item(row) for row in rows], ensure_ascii=False, indent=2)


def csl_item(row: SavedPaper) -> dict[str, Any]:
    """Describe a paper in CSL-JSON, which Zotero, Pandoc and Word processors read."""
    paper = row.paper
    published = paper.published_at or paper.announced_on
    authors = []
    for name in paper.authors:
        given, family, suffix = name_pieces(name)
        parts = {"family": family, "given": given, "suffix": suffix}
        authors.append({part: value for part, value in parts.items() if value})
    item = {
        "id": paper.identifier,
        "type": "article",
        "title": paper.display_title,
        "author": authors,
        "issued": {"date-parts": [[published.year, published.month, published.day]]},
        "abstract": paper.abstract,
        "archive": "arXiv" if paper.primary else "",
        "number": f"arXiv:{paper.identifier}" if paper.primary else paper.identifier,
        "DOI": paper.doi,
        "URL": paper.arxiv_url,
        "note": row.note,
    }
    return {name: value for name, value in item.items() if value}


def write_csv(rows: list[SavedPaper]) -> str:
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(CSV_COLUMNS)
    for row in rows:
        paper = row.paper
        cells = [
            *(paper.identifier, paper.display_title, "; ".join(paper.authors)),
            *(str(publication_year(paper)), paper.doi, paper.arxiv_url),
            *(
                row.note,
                "yes" if row.is_done else "no",
                row.saved_at.date().isoformat(),
            ),
        ]
        writer.writerow([neutralise_formula(cell) for cell in cells])
    return "\ufeff" + file.getvalue()  # Excel reads UTF-8 by its byte order mark


EXPORTS = {
    "bib": ("BibTeX", "application/x-bibtex", write_bibtex),
    "ris": ("RIS", "application/x-research-info-systems", write_ris),
    "json": ("CSL-JSON", "application/vnd.citationstyles.csl+json", write_csl_json),
    "csv": ("CSV", "text/csv", write_csv),
}


@require_safe
@private_page
def saved_feed(request: HttpRequest, key: str) -> HttpResponse:
    """Show the reading list to a feed reader."""
    access = find_list(key)
    if access is None:
        return link_expired(request)
    rows = access.subscriber.saved_papers.order_by("-saved_at")[:PAPERS_PER_PAGE]
    papers = Paper.objects.filter(pk__in=rows.values("paper")).order_by(
        "-saves__saved_at"
    )
    page, feed = reverse("saved_papers", args=[key]), reverse("saved_feed", args=[key])
    own = papers.filter(saves__subscriber=access.subscriber)
    return paper_feed("Reading list", page, feed, own)


@require_safe
@private_page
def digests_feed(request: HttpRequest, key: str) -> HttpResponse:
    """Show the papers of the reader's latest digests to a feed reader."""
    access = AccessKey.objects.find(AccessKey.Kind.FEED, key[:64].replace("\0", ""))
    if access is None:
        return link_expired(request)
    digests = Digest.objects.sent().filter(subscriber=access.subscriber)
    latest = digests.order_by("-edition__day")[:5]
    ids = [pick.candidate for row in latest for pick in row.picks]
    papers = Paper.objects.filter(candidacies__in=ids).order_by("-announced_on", "pk")
    feed = reverse("digests_feed", args=[key])
    return paper_feed("Your digests", reverse("home"), feed, papers.distinct())
