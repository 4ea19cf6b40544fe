"""The front page: enter interests and mark papers, see the list answer, subscribe to it."""

import re
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_http_methods

from digest import follows
from digest.models import Interest, Paper, Topic
from digest.reasons import display_name, filler_heading, load_names
from digest.site import paper_rows
from digest.site.decorators import refuse_if
from digest.site.page_cache import cached_page
from digest.site.paper_rows import PaperRow
from digest.site.request_limits import refuse_frequent_searches

# Hugging Face's limit; longer queries are pasted abstracts.
MAX_QUERY_LENGTH = 250
MAX_TOPICS = 20
# More examples than a visitor marks; all fit into one sign-up form.
MAX_MARKS = 20
MAX_OWN_PAPERS = 12
MAX_NAME_CHARS = 80
IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+-]{0,63}")


def search_query(request: HttpRequest) -> str:
    return clean_query(request.GET.get("q", ""))


def clean_query(text: str) -> str:
    """Return printable text on one line, of at most MAX_QUERY_LENGTH characters."""
    raw = text[: 4 * MAX_QUERY_LENGTH]
    printable = "".join(char if char.isprintable() else " " for char in raw)
    return " ".join(printable.split())[:MAX_QUERY_LENGTH].strip()


@dataclass(frozen=True)
class Tuning:
    """What a visitor entered and marked. It is in their form only; nothing is stored."""

    q: str
    slugs: list[str]
    liked: list[str]
    disliked: list[str]
    name: str

    @classmethod
    def from_request(cls, request: HttpRequest, topics: list[Topic]) -> "Tuning":
        form = request.POST if request.method == "POST" else request.GET
        slugs = form.getlist("topic")[:MAX_TOPICS]
        liked, disliked = read_marks(form)
        return cls(
            q=clean_query(form.get("q", "")),
            slugs=[topic.slug for topic in topics if topic.slug in slugs],
            liked=liked,
            disliked=disliked,
            name=clean_query(form.get("name", ""))[:MAX_NAME_CHARS],
        )

    @property
    def requested(self) -> list[str]:
        """Return the interests for the sign-up form."""
        return [
            *([f"search:{self.q}"] if self.q else []),
            *(f"topic:{slug}" for slug in self.slugs),
            *(f"paper:{identifier}" for identifier in self.liked),
            *(f"-paper:{identifier}" for identifier in self.disliked),
        ]


def read_marks(form: QueryDict) -> tuple[list[str], list[str]]:
    """Read the marked papers, with the mark of the button that was pressed, such as "yes:2401.00001"."""
    verb, _, pressed = form.get("mark", "").partition(":")
    marks = dict.fromkeys(form.getlist("no"), "no")
    own = form.getlist("mine") if form.get("use_mine") else []
    marks |= dict.fromkeys([*form.getlist("yes"), *own], "yes")
    if pressed:
        marks = {**marks, pressed: verb}
    marks = {name: mark for name, mark in marks.items() if IDENTIFIER.fullmatch(name)}
    groups = {"yes": list[str](), "no": list[str]()}
    for name, mark in list(marks.items())[-MAX_MARKS:]:
        if mark in groups:
            groups[mark].append(name)
    return groups["yes"], groups["no"]


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
@gzip_page
@refuse_if(refuse_frequent_searches)
def home(request: HttpRequest) -> HttpResponse:
    """Show the newest edition for the visitor's interests and marks.

    POST only recomputes the page, so there is nothing to forge: no CSRF token, no cookie.
    """
    is_plain = request.method != "POST" and not request.META.get("QUERY_STRING")
    return front_page(request) if is_plain else render_home(request)


@cached_page()
def front_page(request: HttpRequest) -> HttpResponse:
    return render_home(request)


def render_home(request: HttpRequest) -> HttpResponse:
    topics = list(Topic.objects.filter(is_listed=True))
    return render(
        request,
        "pages/home.html",
        home_context(topics, Tuning.from_request(request, topics)),
    )


def home_context(topics: list[Topic], tuning: Tuning) -> dict[str, Any]:
    interests = follows.unsaved_interests(tuning.requested)
    muted = follows.unsaved_interests(tuning.requested, weight=-1.0)
    edition = paper_rows.newest_edition()
    marked = load_marked(tuning)
    rows = paper_rows.preview_rows(
        edition, interests, muted=muted, excluded=[paper.pk for paper, _ in marked]
    )
    matches, near, fillers = group_rows(rows)
    chosen = [topic.name for topic in topics if topic.slug in tuning.slugs]
    named = [i for i in interests if i.kind != Interest.Kind.PAPER]
    return {
        "q": tuning.q,
        "name": tuning.name,
        "own_papers": find_own_papers(tuning),
        "topics": topics,
        "chosen_slugs": tuning.slugs,
        "chosen_names": ", ".join(chosen),
        "marked": marked,
        "liked_count": sum(is_liked for _, is_liked in marked),
        "requested_interests": [
            *(f"{interest.kind}:{interest.value}" for interest in interests),
            *(f"-paper:{interest.value}" for interest in muted),
        ],
        "requested_names": requested_names(named),
        "edition": edition,
        "matches": matches,
        "near": near,
        "fillers": fillers,
        "filler_heading": filler_heading(
            {row.kind for row in fillers}, bool(matches or near)
        ),
    }


def load_marked(tuning: Tuning) -> list[tuple[Paper, bool]]:
    """Return the marked papers that exist, with whether the visitor would read them."""
    papers = Paper.objects.only("identifier", "title", "corrected_title").in_bulk(
        [*tuning.liked, *tuning.disliked], field_name="identifier"
    )
    return [
        (papers[name], name in tuning.liked)
        for name in [*tuning.liked, *tuning.disliked]
        if name in papers
    ]


def find_own_papers(tuning: Tuning) -> list[Paper]:
    """Return papers by an author of the entered name, without marked ones."""
    if not tuning.name:
        return []
    from digest.ranking import search

    ids = search.papers_by_author(tuning.name, MAX_OWN_PAPERS)
    papers = Paper.objects.only("identifier", "title", "corrected_title").in_bulk(ids)
    marked = {*tuning.liked, *tuning.disliked}
    own = [papers[pk] for pk in ids if pk in papers]
    return [paper for paper in own if paper.identifier not in marked]


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
