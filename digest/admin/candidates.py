"""The page on which editors curate the candidates of an edition, by mouse, keyboard or plain forms."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied
from django.db.models import Count, F, Q, QuerySet
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    QueryDict,
    StreamingHttpResponse,
)
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST, require_safe

from accounts.admin_base import ModelAdmin, ReadOnlyAdmin, render_page
from accounts.csv_export import stream_csv
from accounts.models import User
from digest.admin import curation
from digest.admin.editions import (
    count_candidates,
    current_edition,
    describe_sending,
    list_url,
    may_curate,
)
from digest.models import Candidate, CurationStep, Edition, Frozen, Recall, Topic
from digest.ranking import freeze
from digest.reasons import count_text
from digest.text.tokens import fold_text

PAGE_SIZE = 50
MAX_QUERY_CHARS = 200
BULK_ACTIONS = [
    ("boost:up", "Boost"),
    ("boost:down", "Lower"),
    ("hide:", "Hide"),
    ("show:", "Show"),
    ("merge:", "Merge as one work"),
    ("reset:", "Clear curation"),
]
NAMED_TOPICS = 3  # in a row
UNUSED_PAPER_COLUMNS = (
    *("vector", "dense_vector", "abstract", "abstract_raw", "title_raw"),
)

SORTS: dict[str, tuple[str, list[Any]]] = {
    "rank": ("Pins, then trend", [F("pin").asc(nulls_last=True), "-trend", "pk"]),
    "votes": ("Votes", ["-paper__votes", "-trend", "pk"]),
    "newest": ("Newest", ["-paper__announced_on", "-trend", "pk"]),
    "title": ("Title", ["paper__title", "pk"]),
}
IS_CORRECTED = (
    ~Q(paper__corrected_title="")
    | ~Q(paper__corrected_summary="")
    | Q(paper__topic_corrections__isnull=False)
)
STATES: dict[str, tuple[str, Q]] = {
    "pinned": ("Pinned", Q(pin__isnull=False)),
    "boosted": ("Boosted or lowered", ~Q(boost=0)),
    "hidden": ("Hidden", Q(is_hidden=True)),
    "noted": ("With a note", ~Q(note="")),
    "corrected": ("Corrected", IS_CORRECTED),
    "merged": ("Merged", Q(paper__duplicate_of__isnull=False)),
    "new": ("New today", Q(paper__announced_on=F("edition__day"))),
    "visible": ("Not hidden", Q(is_hidden=False)),
}


def load_topic_matches(edition: Edition) -> dict[str, frozenset[int]]:
    from digest.ranking import editor_preview  # needs numpy

    return editor_preview.load_topic_matches(edition, timezone.now())


@dataclass(frozen=True)
class Selection:
    """Which candidates of an edition the page lists, and in which order."""

    edition: Edition
    query: str = ""
    sort: str = "rank"
    day: str = ""
    topic: str = ""
    category: str = ""
    state: str = ""
    page: int = 1

    @classmethod
    def parse(cls, edition: Edition, given: QueryDict) -> "Selection":
        """Read the query string; what is not valid counts as not given."""
        page = given.get("p", "")
        sort, state = given.get("sort", ""), given.get("state", "")
        return cls(
            edition,
            query=" ".join(given.get("q", "").split())[:MAX_QUERY_CHARS],
            sort=sort if sort in SORTS else "rank",
            day=parse_day(given.get("day", "")),
            topic=given.get("topic", "")[:80],
            category=given.get("category", "")[:32],
            state=state if state in STATES else "",
            page=int(page)
            if page.isascii() and page.isdecimal() and page < "9" * 6
            else 1,
        )

    def url(self, **changes: Any) -> str:
        values = {
            "edition": self.edition.pk,
            "q": self.query,
            "sort": self.sort if self.sort != "rank" else "",
            "day": self.day,
            "topic": self.topic,
            "category": self.category,
            "state": self.state,
            "p": self.page if self.page > 1 else "",
            **changes,
        }
        filled = {name: value for name, value in values.items() if value}
        return f"{reverse('admin:digest_candidate_changelist')}?{urlencode(filled)}"

    @property
    def export_url(self) -> str:
        query = self.url().partition("?")[2]
        url = reverse("admin:digest_candidate_export", args=[self.edition.pk])
        return f"{url}?{query}"

    @property
    def is_filtered(self) -> bool:
        return any((self.query, self.day, self.topic, self.category, self.state))

    @cached_property
    def ids(self) -> list[int]:
        """The ids of all listed candidates, in order."""
        rows = self.edition.candidates.order_by(*SORTS[self.sort][1])
        if self.day:
            rows = rows.filter(paper__announced_on=self.day)
        if self.category:
            rows = rows.filter(paper__primary=self.category)
        if self.state:
            rows = rows.filter(STATES[self.state][1])
        if self.topic:
            matches = load_topic_matches(self.edition).get(self.topic, frozenset())
            rows = rows.filter(pk__in=matches)
        if self.query:
            return list(search_candidates(rows, self.query))
        return list(rows.values_list("pk", flat=True))

    @property
    def last_page(self) -> int:
        return max(1, -(-len(self.ids) // PAGE_SIZE))

    @property
    def candidates(self) -> list[Candidate]:
        page = min(max(self.page, 1), self.last_page)
        ids = self.ids[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
        return load_rows(ids)


def parse_day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return ""


def search_candidates(rows: QuerySet[Candidate], query: str) -> Iterable[int]:
    """Yield candidates whose title, authors or identifier hold every word, accents and case aside."""
    words = fold_text(query).split()
    columns = ("pk", "paper__title", "paper__corrected_title", "paper__authors")
    for pk, *texts, authors, identifier in rows.values_list(
        *columns, "paper__identifier"
    ):
        text = fold_text(" ".join([*texts, *authors, identifier]))
        if all(word in text for word in words):
            yield pk


def load_rows(ids: list[int]) -> list[Candidate]:
    rows = Candidate.objects.select_related("paper__duplicate_of", "edition").defer(
        *(f"paper__{name}" for name in UNUSED_PAPER_COLUMNS),
        *(f"paper__duplicate_of__{name}" for name in UNUSED_PAPER_COLUMNS),
    )
    by_pk = rows.in_bulk(ids)
    return [by_pk[pk] for pk in ids if pk in by_pk]


def describe_rank(candidate: Candidate) -> str:
    """Say in words why a candidate has its trend."""
    parts, paper = candidate.breakdown, candidate.paper
    if "raw" not in parts:
        return "Not ranked yet."
    counts = [(paper.votes, "vote"), (paper.comments, "comment"), (paper.stars, "star")]
    attention = ", ".join(count_text(n, noun) for n, noun in counts if n)
    if attention:
        cause = f"{attention[0].upper()}{attention[1:]}"
    elif parts.get("expected", 0) > 0.1:
        cause = "No votes yet, but papers like it usually get some"
    else:
        cause = "No votes yet"
    if parts.get("growth"):
        cause += ", and growing"
    days = int(parts.get("age_hours", 0) // 24)
    age = "announced today" if not days else f"{count_text(days, 'day')} old"
    share = round(100 * parts.get("category", 0))
    field = paper.primary or "its category"
    return f"{cause}; {age}. Above {share} % of {count_text(int(parts.get('papers', 0)), 'paper')} in {field}."


@dataclass(frozen=True)
class Row:
    """A candidate as the page shows it."""

    candidate: Candidate
    topics: list[tuple[str, str]]  # slug and name
    more_topics: int
    texts: dict[str, str]

    @property
    def why(self) -> str:
        return describe_rank(self.candidate)


def build_rows(edition: Edition, candidates: list[Candidate]) -> list[Row]:
    matches = load_topic_matches(edition) if candidates else {}
    names = dict(Topic.objects.filter(slug__in=matches).values_list("slug", "name"))
    rows = []
    for candidate in candidates:
        topics = [
            (slug, names.get(slug, slug))
            for slug, ids in matches.items()
            if candidate.pk in ids
        ]
        shown, hidden = topics[:NAMED_TOPICS], max(len(topics) - NAMED_TOPICS, 0)
        texts = curation.current_texts(candidate)
        rows.append(Row(candidate, shown, hidden, texts))
    return rows


def row_context(request: HttpRequest, edition: Edition) -> dict[str, Any]:
    """What every row and the head of the page need."""
    return {
        "edition": edition,
        "may_curate": may_curate(request, edition),
        "places": curation.PIN_PLACES,
        "recalled": set(Recall.objects.values_list("paper_id", flat=True)),
        "all_topics": list(Topic.objects.filter(is_listed=True).only("slug", "name")),
        "counts": count_candidates(edition),
        "pinned": load_pinned(edition),
        "last_step": edition.curation_steps.select_related("user").first(),
        "max_chars": {
            "note": curation.MAX_NOTE_CHARS,
            "title": curation.MAX_TITLE_CHARS,
            "summary": curation.MAX_SUMMARY_CHARS,
        },
    }


def load_pinned(edition: Edition) -> list[Candidate]:
    pins = [pk for pk in curation.load_pins(edition.pk) if pk]
    return load_rows(pins)


def filter_choices(edition: Edition) -> dict[str, Any]:
    """The options of the filter form, with the number of papers of each."""

    def counted(field: str, *order: str) -> list[tuple[Any, int]]:
        rows = edition.candidates.order_by(*order).values_list(field)
        return list(rows.annotate(number=Count("pk")))

    days = counted("paper__announced_on", "-paper__announced_on")
    matches = load_topic_matches(edition)
    topics = Topic.objects.filter(slug__in=matches).values_list("slug", "name")
    return {
        "sorts": [(name, label) for name, (label, _) in SORTS.items()],
        "states": [(name, label) for name, (label, _) in STATES.items()],
        "days": [
            (day.isoformat(), f"{day:%a} {date_format(day, 'j M')} ({n})")
            for day, n in days
        ],
        "categories": [
            (name, f"{name} ({n})")
            for name, n in counted("paper__primary", "paper__primary")
            if name
        ],
        "topics": [(slug, f"{name} ({len(matches[slug])})") for slug, name in topics],
    }


@admin.register(Candidate)
class CandidateAdmin(ReadOnlyAdmin):
    """Candidates of an edition; while it is open, editors curate them."""

    list_select_related = ("paper", "edition")
    fields = (
        "edition",
        "paper_link",
        "trend_table",
        "pin",
        "boost",
        "is_hidden",
        "note",
        "summary",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.defer(*(f"paper__{name}" for name in UNUSED_PAPER_COLUMNS))

    def get_urls(self) -> list[URLPattern]:
        def view(function: Callable[..., HttpResponse]) -> Any:
            return self.admin_site.admin_view(function)

        name = "digest_candidate"
        return [
            path(
                "<int:pk>/curate/",
                view(require_POST(self.curate_view)),
                name=f"{name}_curate",
            ),
            path(
                "edition-<int:pk>/bulk/",
                view(require_POST(self.bulk_view)),
                name=f"{name}_bulk",
            ),
            path(
                "edition-<int:pk>/undo/",
                view(require_POST(self.undo_view)),
                name=f"{name}_undo",
            ),
            path(
                "edition-<int:pk>/note/",
                view(require_POST(self.note_view)),
                name=f"{name}_note",
            ),
            path(
                "edition-<int:pk>/export/",
                self.admin_site.admin_view(require_safe(self.export_view)),
                name=f"{name}_export",
            ),
            path(
                "edition-<int:pk>/steps/",
                view(require_safe(self.steps_view)),
                name=f"{name}_steps",
            ),
            path(
                "edition-<int:pk>/typical/",
                view(require_safe(self.typical_view)),
                name=f"{name}_typical",
            ),
            path(
                "edition-<int:pk>/status/",
                view(require_safe(self.status_view)),
                name=f"{name}_status",
            ),
            *super().get_urls(),
        ]

    @admin.display(description="paper")
    def paper_link(self, candidate: Candidate) -> str:
        link = reverse("admin:digest_paper_change", args=[quote(candidate.paper_id)])
        return format_html('<a href="{}">{}</a>', link, candidate.paper)

    @admin.display(description="trend")
    def trend_table(self, candidate: Candidate) -> str:
        from digest.admin import score_lines  # needs numpy

        lines = score_lines.trend_lines(candidate)
        return render_to_string("admin/trend.html", {"lines": lines}, using="django")

    @admin.display(description="summary")
    def summary(self, candidate: Candidate) -> str:
        return str(candidate.card.get("summary", ""))

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The curation page; htmx requests get the list alone."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        pk = request.GET.get("edition", "")
        is_pk = pk.isascii() and pk.isdecimal() and len(pk) < 19
        edition = Edition.objects.filter(pk=pk).first() if is_pk else current_edition()
        if edition is None:
            title = "No edition yet"
            return render_page(self, request, "admin/curation/page.html", title=title)
        selection = Selection.parse(edition, request.GET)
        context = {
            **row_context(request, edition),
            "selection": selection,
            "rows": build_rows(edition, selection.candidates),
            "previous_url": selection.url(p=selection.page - 1),
            "next_url": selection.url(p=selection.page + 1),
            "title": date_format(edition.day, "l, j F Y"),
            "return_url": selection.url(),
        }
        if request.headers.get("HX-Target") == "candidates":
            page = render_to_string(
                "admin/curation/list.html", context, request, using="django"
            )
            return HttpResponse(page)
        return render_page(
            self,
            request,
            "admin/curation/page.html",
            **context,
            choices=filter_choices(edition),
            bulk_actions=BULK_ACTIONS,
            freezes_at=freeze.due_at(edition),
            may_unfreeze=freeze.may_unfreeze(edition)
            and ModelAdmin.has_change_permission(self, request),
            older=Edition.objects.filter(day__lt=edition.day).first(),
            newer=Edition.objects.filter(day__gt=edition.day).last(),
            sent=describe_sending(edition),
        )

    def export_view(self, request: HttpRequest, pk: int) -> StreamingHttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        edition = get_object_or_404(Edition, pk=pk)
        return export_candidates(Selection.parse(edition, request.GET))

    def curate_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Apply one action to one candidate: `action` is a name, or `name:value`."""
        candidate = get_object_or_404(
            Candidate.objects.select_related("edition"), pk=pk
        )
        action, _, value = request.POST.get("action", "").partition(":")
        value = request.POST.get("text", value)
        return self.respond_to_action(
            request, candidate.edition, [candidate.pk], action, value
        )

    def bulk_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        edition = get_object_or_404(Edition, pk=pk)
        selected = request.POST.getlist("selected")[: curation.MAX_BULK_PAPERS]
        ids = [int(pk) for pk in selected if pk.isascii() and pk.isdecimal()]
        action, _, value = request.POST.get("action", "").partition(":")
        return self.respond_to_action(request, edition, ids, action, value)

    def respond_to_action(
        self,
        request: HttpRequest,
        edition: Edition,
        ids: list[int],
        action: str,
        value: str,
    ) -> HttpResponse:
        def step() -> CurationStep | None:
            return curation.apply_action(
                edition.pk,
                ids,
                action,
                value,
                staff_user(request),
                timezone.now(),
                request.POST.get("seen"),
            )

        anchor = f"#candidate-{ids[0]}" if len(ids) == 1 else ""
        return self.respond(request, edition, step, anchor)

    def undo_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Undo the given step, else the last one of this editor."""
        edition = get_object_or_404(Edition, pk=pk)
        user, given = staff_user(request), request.POST.get("step", "")

        def step() -> CurationStep | None:
            if given.isascii() and given.isdecimal():
                target = edition.curation_steps.filter(pk=given).first()
            else:
                target = curation.last_undoable_step(edition, user)
            if target is None:
                raise ValueError("You have no step to undo in this edition.")
            return curation.undo(target.pk, user, timezone.now())

        return self.respond(request, edition, step)

    def note_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        edition = get_object_or_404(Edition, pk=pk)

        def step() -> CurationStep | None:
            return curation.write_edition_note(
                edition.pk,
                request.POST.get("text", ""),
                staff_user(request),
                timezone.now(),
                request.POST.get("seen"),
            )

        return self.respond(request, edition, step, "#edition-note")

    def respond(
        self,
        request: HttpRequest,
        edition: Edition,
        run: Callable[[], CurationStep | None],
        anchor: str = "",
    ) -> HttpResponse:
        """Run a step and show its result: changed rows for htmx, else the page again."""
        if not ModelAdmin.has_change_permission(self, request):
            raise PermissionDenied
        step, error = None, ""
        try:
            step = run()
        except (Frozen, curation.Conflict, ValueError) as refusal:
            error = str(refusal)
        if step:
            self.log_step(request, edition, step)
        if request.headers.get("HX-Request"):
            return self.render_step(request, edition, step, error)
        if error and request.POST.get("text"):
            return self.render_refused_text(request, edition, error)
        if error:
            messages.error(request, error)
        elif step:
            messages.success(request, undo_message(step))
        else:
            messages.info(request, "Nothing to change.")
        page = return_url(request, list_url(edition)).partition("#")[0]
        return HttpResponseRedirect(f"{page}{anchor}")

    def log_step(
        self, request: HttpRequest, edition: Edition, step: CurationStep
    ) -> None:
        ids = curation.changed_candidates(step)
        candidate = Candidate.objects.filter(pk__in=ids).select_related("paper").first()
        self.log_change(request, candidate or edition, step.message)

    def render_step(
        self,
        request: HttpRequest,
        edition: Edition,
        step: CurationStep | None,
        error: str,
    ) -> HttpResponse:
        edition.refresh_from_db()
        ids = curation.changed_candidates(step) if step else []
        context = {
            **row_context(request, edition),
            "rows": build_rows(edition, load_rows(ids[: curation.MAX_BULK_PAPERS])),
            "step": step,
            "error": error,
            "return_url": return_url(request, list_url(edition)),
        }
        page = render_to_string(
            "admin/curation/step.html", context, request, using="django"
        )
        response = HttpResponse(page)
        response["X-Curation"] = "refused" if error else "done"
        if step:
            response["HX-Trigger"] = "curated"
        return response

    def render_refused_text(
        self, request: HttpRequest, edition: Edition, error: str
    ) -> HttpResponse:
        """Show a text that was not saved, so that it can be saved again or copied."""
        response = render_page(
            self,
            request,
            "admin/curation/refused_text.html",
            title="Not saved",
            edition=edition,
            error=error,
            text=request.POST.get("text", ""),
            action=request.POST.get("action", ""),
            may_curate=may_curate(request, edition),
            return_url=return_url(request, list_url(edition)),
        )
        response.status_code = 409
        return response

    def steps_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Who did what to an edition, newest first."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        edition = get_object_or_404(Edition, pk=pk)
        steps = edition.curation_steps.select_related("user", "undone_by")
        return render_page(
            self,
            request,
            "admin/curation/steps.html",
            title=f"History of {date_format(edition.day, 'l, j F Y')}",
            edition=edition,
            steps=steps,
            may_curate=may_curate(request, edition),
            list_url=list_url(edition),
        )

    def typical_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """What ten made-up readers would get now; htmx requests get the part alone."""
        from digest.ranking import editor_preview  # needs numpy

        if not self.has_view_permission(request):
            raise PermissionDenied
        edition = get_object_or_404(Edition, pk=pk)
        digests = [
            editor_preview.preview_profile(edition, profile)
            for profile in editor_preview.typical_profiles()
        ]
        reach: dict[int, int] = {}
        for digest in digests:
            for pick in digest.picks:
                reach[pick.candidate.pk] = reach.get(pick.candidate.pk, 0) + 1
        context = {
            "edition": edition,
            "digests": digests,
            "reach": reach,
            "list_url": list_url(edition),
            "title": f"What typical readers get on {date_format(edition.day, 'l, j F Y')}",
        }
        if request.headers.get("HX-Request"):
            page = render_to_string(
                "admin/curation/typical.html", context, request, using="django"
            )
            return HttpResponse(page)
        return render_page(self, request, "admin/curation/typical_page.html", **context)

    def status_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Tell an open page what others changed since the step that it knows."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        edition = get_object_or_404(Edition, pk=pk)
        seen = request.GET.get("seen", "")
        seen_id = int(seen) if seen.isascii() and seen.isdecimal() else 0
        steps = edition.curation_steps.filter(pk__gt=seen_id)
        others = steps.exclude(user=staff_user(request)).select_related("user")
        context = {
            "edition": edition,
            "others": others[:5],
            "was_open": request.GET.get("open") == "1",
            "reload_url": return_url(request, list_url(edition), request.GET),
        }
        page = render_to_string("admin/curation/status.html", context, using="django")
        return HttpResponse(page)


def export_candidates(selection: Selection) -> StreamingHttpResponse:
    """All candidates that the page lists, as CSV."""
    columns = {
        "paper": "paper__identifier",
        "title": "card__title",
        "authors": "card__authors",
        "category": "paper__primary",
        "announced": "paper__announced_on",
        "votes": "paper__votes",
        "trend": "trend",
        "pin": "pin",
        "boost": "boost",
        "hidden": "is_hidden",
        "note": "note",
    }
    by_pk = {
        pk: row
        for pk, *row in selection.edition.candidates.values_list(
            "pk", *columns.values()
        )
    }
    rows = (
        [cell if cell is not None else "" for cell in by_pk[pk]] for pk in selection.ids
    )
    return stream_csv(f"candidates-{selection.edition.day}.csv", columns, rows)


def staff_user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # admin_view requires staff
    return request.user


def undo_message(step: CurationStep) -> str:
    return format_html(
        '{} <button class="pr-undo" form="curate" formaction="{}" name="step" value="{}">Undo</button>',
        step.message,
        reverse("admin:digest_candidate_undo", args=[step.edition_id]),
        step.pk,
    )


def return_url(
    request: HttpRequest, default: str, given: QueryDict | None = None
) -> str:
    """The page named by the form's `next` field, if it is on this site."""
    url = (given or request.POST).get("next", "")
    hosts = {request.get_host()}
    return url if url_has_allowed_host_and_scheme(url, allowed_hosts=hosts) else default
