"""A reader's own papers: a list pasted or uploaded becomes examples of what they like."""

from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from accounts.models import Subscriber
from digest import follows, tasks
from digest.ingest.reader_requests import reading_lists
from digest.ingest.reader_requests.reading_lists import Report
from digest.models import Follow, Interest, Paper, PendingPaper
from digest.ranking import search
from digest.site.errors import too_many
from digest.site.limits import hit_reading_list
from digest.site.link_access import expired, opened, private

# Three hundred records of BibTeX with their abstracts have half of this.
LARGEST = 1_000_000  # bytes of a file, signs of a text
NAMED = 10  # titles that were not found; of more, only the count is said
FEW = 12  # papers that are shown without asking
RELATED = 8
SHARED = "Readers of your papers follow it too"

SAYS = {
    "followed": "Followed. It holds from your next digest on.",
    "full": f"There is room for {follows.MAX_EXAMPLE_PAPERS} papers: remove some to make room for others.",
    "removed": "Removed. It holds from your next digest on.",
    "empty": "There was nothing in it. Paste arXiv ids, BibTeX or a CSV, or choose a file.",
    "large": "That is more than a megabyte. Send a part of it.",
    "binary": "That is not a text file. Export your library as BibTeX or CSV, and send that.",
    "wrong": "That was not understood, and nothing was changed.",
}
GOOD = {"followed", "removed"}


@require_http_methods(["GET", "HEAD", "POST"])
@private
def papers(request: HttpRequest, key: str) -> HttpResponse:
    """GET shows a reader's papers; POST takes a list, follows one more, or removes."""
    found = opened(key, timezone.now())
    if found is None:
        return expired(request)
    if request.method != "POST":
        return show(request, found.subscriber, key, request.GET.get("said", ""))
    if request.POST.get("do") != "paste":
        asked = request.POST.get("paper", "")
        act = follow if request.POST.get("do") == "follow" else remove
        said = act(found.subscriber, asked)
        return redirect(f"{reverse('own_papers', args=[key])}?said={said}")
    if retry_after_s := hit_reading_list(request):
        return too_many(request, retry_after_s)
    return show(request, found.subscriber, key, take(found.subscriber, request))


def show(
    request: HttpRequest, reader: Subscriber, key: str, said: str | Report
) -> HttpResponse:
    """The page, with what became of a list or of a press."""
    report = said if isinstance(said, Report) else None
    told = words(report) if report else SAYS.get(str(said), "")
    is_good = report.followed or report.fetching if report else said in GOOD
    about = {"report": report, "said": told, "is_bad": not is_good}
    return render(request, "pages/own_papers.html", page(reader, key) | about)


def words(report: Report) -> str:
    """What became of a list, in one sentence."""
    counts = [
        (report.followed, "paper followed", "papers followed"),
        (
            report.fetching,
            "is being fetched from arXiv",
            "are being fetched from arXiv",
        ),
        (report.unheard, "is unknown to arXiv", "are unknown to arXiv"),
        (report.disliked, "is left out", "are left out"),
        (report.unread, "line had no arXiv id", "lines had no arXiv id"),
        (len(report.missing), "title was not found", "titles were not found"),
        (report.left, "did not fit", "did not fit"),
    ]
    said = [f"{n:,} {one if n == 1 else many}" for n, one, many in counts if n]
    return ", ".join(said) + "." if said else "No paper was found in it."


def page(reader: Subscriber, key: str) -> dict[str, Any]:
    """The papers that a reader likes, what is related, those on their way, and unknown ones."""
    rows = PendingPaper.objects.filter(subscriber=reader).order_by("pk")
    asked_for = list(rows.values_list("identifier", "not_found"))
    liked, known = examples(reader)
    return {
        "key": key,
        "examples": [(one, known[one].title if one in known else one) for one in liked],
        "related": related(reader, list(known.values())),
        "few": FEW,
        "fetching": [one for one, not_found in asked_for if not not_found],
        "unknown": [one for one, not_found in asked_for if not_found],
        "named": NAMED,
        "most": follows.MAX_EXAMPLE_PAPERS,
    }


def examples(reader: Subscriber) -> tuple[list[str], dict[str, Paper]]:
    """What a reader likes by their own word, the latest first, and those that we know."""
    liked = reader.follows.filter(interest__kind=Interest.Kind.PAPER, weight__gt=0)
    chosen = liked.exclude(source=Follow.Source.OPENED).order_by("-pk")
    values = list(chosen.values_list("interest__value", flat=True))
    known = Paper.objects.filter(identifier__in=values).order_by("pk")
    columns = ("identifier", "title", "abstract", "vector", "vector_version")
    return values, {paper.identifier: paper for paper in known.only(*columns)}


def related(reader: Subscriber, papers: list[Paper]) -> list[tuple[Paper, str]]:
    """Papers related to these that the reader has said nothing of, each with its reason."""
    stances = reader.follows.filter(interest__kind=Interest.Kind.PAPER)
    said = stances.exclude(source=Follow.Source.OPENED)
    but = list(said.values_list("interest__value", flat=True))
    found = search.related(papers, timezone.now(), RELATED, but)
    return [(paper, SHARED if is_shared else "") for paper, is_shared in found]


def take(reader: Subscriber, request: HttpRequest) -> Report | str:
    """Read what was sent, and have a worker fetch what we do not know; or a name of SAYS."""
    pasted, file = request.POST.get("papers", ""), request.FILES.get("file")
    if len(pasted) > LARGEST or (file and (file.size or 0) > LARGEST):
        return "large"
    texts = [pasted, text_of(file) if file else ""]
    if None in texts:
        return "binary"
    sent = [text for text in texts if text and text.strip()]
    if not sent:
        return "empty"
    report = reading_lists.take(reader, sent, timezone.now())
    if report.fetching:
        tasks.enqueue_best_effort(tasks.fetch_reader_requests)
    return report


def text_of(file: "UploadedFile[Any]") -> str | None:
    """The text of a file, None where it is none; what is not Unicode is Windows' old Latin."""
    raw: bytes = file.read()
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16", "replace")
    if b"\0" in raw or raw.startswith(b"%PDF-"):
        return None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def follow(reader: Subscriber, asked: str) -> str:
    """One paper more; whoever wanted less of it has changed their mind."""
    if follows.follow(reader, Interest.Kind.PAPER, asked):
        return "followed"
    return (
        "wrong" if follows.remaining_places(reader, Interest.Kind.PAPER) > 0 else "full"
    )


def remove(reader: Subscriber, asked: str) -> str:
    """One paper by its identifier, "all" of them, or what is "unknown" to arXiv."""
    if asked == "unknown":
        PendingPaper.objects.filter(subscriber=reader, not_found=True).delete()
    elif asked == "all":
        PendingPaper.objects.filter(subscriber=reader).delete()
        follows.unfollow_papers(reader)
    elif not follows.unfollow_paper(reader, asked):
        return "wrong"
    return "removed"
