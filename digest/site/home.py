"""The front page: enter a research interest, see matching papers, subscribe to them."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from digest import follows
from digest.models import Interest, Topic
from digest.reasons import display_name, filler_heading, load_names
from digest.site import paper_rows
from digest.site.decorators import refuse_if
from digest.site.paper_rows import PaperRow
from digest.site.request_limits import refuse_frequent_searches

# Hugging Face's limit; longer queries are pasted abstracts.
MAX_QUERY_LENGTH = 250
MAX_TOPICS = 20


def search_query(request: HttpRequest) -> str:
    raw = request.GET.get("q", "")[: 4 * MAX_QUERY_LENGTH]
    printable = "".join(char if char.isprintable() else " " for char in raw)
    return " ".join(printable.split())[:MAX_QUERY_LENGTH].strip()


@require_safe
@refuse_if(refuse_frequent_searches)
def home(request: HttpRequest) -> HttpResponse:
    q, requested_slugs = search_query(request), request.GET.getlist("topic")
    topics = list(Topic.objects.filter(is_listed=True))
    chosen = [t for t in topics if t.slug in requested_slugs[:MAX_TOPICS]]
    slugs = [topic.slug for topic in chosen]
    interests = follows.unsaved_interests(
        [f"search:{q}", *(f"topic:{slug}" for slug in slugs)]
    )
    edition = paper_rows.newest_edition()
    matches, near, fillers = group_rows(paper_rows.preview_rows(edition, interests))
    context = {
        "q": q,
        "topics": topics,
        "chosen_slugs": slugs,
        "chosen_names": ", ".join(topic.name for topic in chosen),
        "requested_interests": [
            f"{interest.kind}:{interest.value}" for interest in interests
        ],
        "requested_names": requested_names(interests),
        "edition": edition,
        "today": timezone.localdate(),
        "matches": matches,
        "near": near,
        "fillers": fillers,
        "filler_heading": filler_heading(
            {row.kind for row in fillers}, bool(matches or near)
        ),
    }
    return render(request, "pages/home.html", context)


def group_rows(
    rows: list[PaperRow],
) -> tuple[list[PaperRow], list[PaperRow], list[PaperRow]]:
    """Split rows into matches with editors' picks, near papers, and fillers; all are fillers where no interest chose any."""
    if not any(row.interest for row in rows):
        return [], [], rows
    near = [row for row in rows if row.kind == "near"]
    fillers = [row for row in rows if row.kind in ("trend", "new")]
    return [row for row in rows if row not in near + fillers], near, fillers


def requested_names(interests: list[Interest]) -> str:
    """List interests by name within a sentence; searches are quoted."""
    names = load_names(interests)
    shown = [(interest.kind, display_name(interest, names)) for interest in interests]
    return ", ".join(
        f"“{name}”" if kind == Interest.Kind.SEARCH else name for kind, name in shown
    )
