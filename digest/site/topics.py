"""Topics: the list, and what is new in each."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from digest import follows
from digest.models import Topic
from digest.site import paper_rows
from digest.site.errors import not_found

# Two weeks of a topic's best: what fits one sitting.
LENGTH = 20


@require_safe
def topics(request: HttpRequest) -> HttpResponse:
    listed = Topic.objects.filter(is_listed=True)
    return render(request, "pages/topics.html", {"topics": listed})


@require_safe
def topic(request: HttpRequest, slug: str) -> HttpResponse:
    one = Topic.objects.filter(slug=slug).first()
    if one is None:
        return not_found(request)
    wish = f"topic:{one.slug}"
    best = paper_rows.answer(
        paper_rows.newest(), follows.unsaved_interests([wish]), LENGTH
    )
    context = {
        "topic": one,
        "requested_interests": [wish],
        "papers": [paper for paper in best if paper.interest],
    }
    return render(request, "pages/topic.html", context)
