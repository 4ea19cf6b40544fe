"""A reader's own papers: pasted or uploaded lists become examples of what they like."""

from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from accounts.models import Link, Subscriber
from digest import follows, tasks
from digest.ingest.reader_requests import reading_lists
from digest.ingest.reader_requests.reading_lists import Report
from digest.models import Follow, Interest, Paper, PendingPaper
from digest.site import preferences
from digest.site.link_access import preferences_link_required
from digest.site.request_limits import READING_LISTS_PER_NETWORK, refuse_over_limit

# Twice the size of three hundred BibTeX records with abstracts.
MAX_LIST_SIZE = 1_000_000  # bytes of a file, characters of a text
UNFOLDED_PAPERS = 12
RELATED_PAPERS = 8
CO_READERSHIP_REASON = "Also followed by readers of your papers"

MESSAGES = {
    "followed": "Followed. Changes apply from your next digest.",
    "full": f"Not followed: you can have up to {follows.MAX_EXAMPLE_PAPERS} papers. Remove some first.",
    "removed": "Removed. Changes apply from your next digest.",
    "empty": "Nothing to add. Paste arXiv IDs, BibTeX or CSV, or choose a file.",
    "large": "The list is larger than 1 MB. Split it and upload the parts.",
    "binary": "The file is not a text file. Export your library as BibTeX or CSV and upload that.",
    "invalid": "Nothing was changed: that paper is not in your list or our archive.",
}
SUCCESSES = {"followed", "removed", "saved"}


@require_http_methods(["GET", "HEAD", "POST"])
@preferences_link_required
def papers(request: HttpRequest, link: Link) -> HttpResponse:
    reader, action = link.subscriber, request.POST.get("action")
    if request.method != "POST":
        name = request.GET.get("message", "")
        message = MESSAGES.get(name) or preferences.MESSAGES.get(name, "")
        return render_page(request, link, message, name not in SUCCESSES)
    if action == "add":
        return add_list(request, link)
    change = follow_paper if action == "follow" else remove_papers
    message = change(reader, request.POST.get("paper", ""))
    url = reverse("reading_list", args=[link.key])
    return redirect(f"{url}?message={message}")


def add_list(request: HttpRequest, link: Link) -> HttpResponse:
    if refusal := refuse_over_limit(
        request, "reading lists", READING_LISTS_PER_NETWORK
    ):
        return refusal
    texts = read_texts(request)
    if isinstance(texts, str):
        return render_page(request, link, MESSAGES[texts], is_error=True)
    report = reading_lists.follow_reading_list(link.subscriber, texts, timezone.now())
    if report.fetching:
        tasks.enqueue_best_effort(tasks.fetch_reader_requests)
    is_error = not (report.followed or report.fetching)
    return render_page(request, link, report_text(report), is_error, report)


def render_page(
    request: HttpRequest,
    link: Link,
    message: str,
    is_error: bool,
    report: Report | None = None,
) -> HttpResponse:
    context = preferences.page_context(request, link) | list_context(link.subscriber)
    groups = preferences.follows_by_section(link.subscriber)
    context |= {
        "saved_count": link.subscriber.saved_papers.count(),
        "disliked": groups["disliked"],
        "opened": groups["opened"],
        "message": message,
        "is_error": is_error,
        "report": report,
    }
    return render(request, "pages/reading_list.html", context)


def report_text(report: Report) -> str:
    counts = [
        (report.followed, "paper followed", "papers followed"),
        (report.fetching, "being fetched from arXiv", "being fetched from arXiv"),
        (report.not_on_arxiv, "not on arXiv", "not on arXiv"),
        (report.disliked, "skipped", "skipped"),
        (
            report.unrecognized_count,
            "line without an arXiv ID",
            "lines without an arXiv ID",
        ),
        (len(report.missing_titles), "title not found", "titles not found"),
        (report.over_limit, "over the limit", "over the limit"),
    ]
    parts = [
        f"{n:,} {singular if n == 1 else plural}" for n, singular, plural in counts if n
    ]
    return ", ".join(parts) + "." if parts else "No papers found in the list."


def list_context(reader: Subscriber) -> dict[str, Any]:
    requests = PendingPaper.objects.filter(subscriber=reader).order_by("pk")
    pending = list(requests.values_list("identifier", "not_found"))
    identifiers, papers = followed_papers(reader)
    return {
        "papers": [
            (i, papers[i].display_title if i in papers else i) for i in identifiers
        ],
        "related": related_papers(reader, list(papers.values())),
        "unfolded": UNFOLDED_PAPERS,
        "fetching": [identifier for identifier, not_found in pending if not not_found],
        "not_on_arxiv": [identifier for identifier, not_found in pending if not_found],
        "max_papers": follows.MAX_EXAMPLE_PAPERS,
    }


def followed_papers(reader: Subscriber) -> tuple[list[str], dict[str, Paper]]:
    papers = reader.follows.filter(interest__kind=Interest.Kind.PAPER, weight__gt=0)
    chosen = papers.exclude(source=Follow.Source.OPENED).order_by("-pk")
    identifiers = list(chosen.values_list("interest__value", flat=True))
    stored = Paper.objects.filter(identifier__in=identifiers).order_by("pk")
    columns = ("identifier", "title", "corrected_title", "abstract")
    stored = stored.only(*columns, "vector", "vector_version")
    return identifiers, {paper.identifier: paper for paper in stored}


def related_papers(reader: Subscriber, papers: list[Paper]) -> list[tuple[Paper, str]]:
    """Return papers related to the reading list that the reader has no opinion on, with reasons."""
    from digest.ranking import search

    opinions = reader.follows.filter(interest__kind=Interest.Kind.PAPER).exclude(
        source=Follow.Source.OPENED
    )
    excluded = list(opinions.values_list("interest__value", flat=True))
    related = search.related(papers, timezone.now(), RELATED_PAPERS, excluded)
    return [
        (paper, CO_READERSHIP_REASON if is_shared else "")
        for paper, is_shared in related
    ]


def read_texts(request: HttpRequest) -> list[str] | str:
    """Return the pasted and the uploaded text, or the name of an error message."""
    pasted, file = request.POST.get("papers", ""), request.FILES.get("file")
    if len(pasted) > MAX_LIST_SIZE or (file and (file.size or 0) > MAX_LIST_SIZE):
        return "large"
    uploaded = decode_file(file) if file else ""
    if uploaded is None:
        return "binary"
    return [text for text in (pasted, uploaded) if text.strip()] or "empty"


def decode_file(file: "UploadedFile[Any]") -> str | None:
    """Decode a text file, None for a binary one; text that is not Unicode is read as Windows-1252."""
    content: bytes = file.read()
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", "replace")
    if b"\0" in content or content.startswith(b"%PDF-"):
        return None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def follow_paper(reader: Subscriber, identifier: str) -> str:
    """Follow one paper, also where the reader asked for less like it before."""
    if follows.follow(reader, Interest.Kind.PAPER, identifier):
        return "followed"
    return (
        "invalid"
        if follows.remaining_places(reader, Interest.Kind.PAPER) > 0
        else "full"
    )


def remove_papers(reader: Subscriber, selected: str) -> str:
    """Remove one paper by its identifier, "all" papers, or requests for papers "not_on_arxiv"."""
    if selected == "not_on_arxiv":
        PendingPaper.objects.filter(subscriber=reader, not_found=True).delete()
    elif selected == "all":
        PendingPaper.objects.filter(subscriber=reader).delete()
        follows.unfollow_papers(reader)
    elif not follows.unfollow_paper(reader, selected):
        return "invalid"
    return "removed"
