"""The front page: say what you work on, see today's papers for it, get them every morning."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from digest import follows
from digest.models import Interest, Topic
from digest.reasons import load_names
from digest.site import paper_rows
from digest.site.limits import limit_searches

# As Hugging Face's search: longer questions are pasted abstracts.
LONGEST_QUESTION = 250
# More than twenty is everything.
MOST_TOPICS = 20


def question(request: HttpRequest) -> str:
    """What was asked, without what cannot be printed, never too long."""
    raw = request.GET.get("q", "")[: 4 * LONGEST_QUESTION]
    printable = "".join(sign if sign.isprintable() else " " for sign in raw)
    return " ".join(printable.split())[:LONGEST_QUESTION].strip()


@require_safe
@limit_searches
def home(request: HttpRequest) -> HttpResponse:
    q, chosen = question(request), request.GET.getlist("topic")[:MOST_TOPICS]
    topics = list(Topic.objects.filter(is_listed=True))
    slugs = [topic.slug for topic in topics if topic.slug in chosen]
    asked = [f"search:{q}", *(f"topic:{slug}" for slug in slugs)]
    interests, edition = follows.unsaved_interests(asked), paper_rows.newest()
    own, trending = apart(paper_rows.answer(edition, interests))
    context = {
        "q": q,
        "topics": topics,
        "chosen": slugs,
        "chosen_names": ", ".join(one.name for one in topics if one.slug in slugs),
        "requested_interests": [f"{one.kind}:{one.value}" for one in interests],
        "edition": edition,
        "today": timezone.localdate(),
        "asked": in_words(interests),
        "own": own,
        "trending": trending,
    }
    return render(request, "pages/home.html", context)


def apart(
    papers: list[paper_rows.Shown],
) -> tuple[list[paper_rows.Shown], list[paper_rows.Shown]]:
    """What fits the question, the editors' picks with it, and what only trends; all trends where nothing fits."""
    if not any(paper.interest for paper in papers):
        return [], papers
    own = [paper for paper in papers if paper.kind != "trend"]
    return own, [paper for paper in papers if paper.kind == "trend"]


def in_words(interests: list[Interest]) -> str:
    """What was asked, as a list that a sentence can hold."""
    names = load_names(interests)
    return ", ".join(names.get(one.value, f"“{one.value}”") for one in interests)
