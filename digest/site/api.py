"""The JSON API: papers, topics and authors in the shape of Hugging Face's, read-only.

huggingface_hub.HfApi(endpoint=SITE_URL) reads `daily_papers`, `papers/search` and
`papers/<id>` unmodified. The OpenAPI document is at /api/openapi.json.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from django.conf import settings
from django.db.models import F, Q, prefetch_related_objects
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Field, NinjaAPI, Path, Query, Schema
from ninja.decorators import decorate_view
from ninja.errors import HttpError
from ninja.security import HttpBearer
from ninja.throttling import BaseThrottle

from accounts import rate_limits
from accounts.models import AccessKey, Subscriber
from digest.models import Candidate, Paper, Recall, Topic
from digest.models.papers import PaperQuerySet
from digest.reader_data import digest_data, export_data
from digest.site import authors, paper_rows
from digest.site.home import MAX_QUERY_LENGTH
from digest.site.page_cache import cached_page
from digest.site.paper_lists import PAPERS_PER_PAGE
from digest.site.periods import DAY, MONTH, WEEK, Period, parse_period
from digest.site.request_limits import SEARCHES_PER_NETWORK

# Hugging Face allows 500 requests in five minutes.
REQUESTS_PER_NETWORK = "100/m"
MAX_LIST, DEFAULT_LIST = 100, 50
MAX_RESULTS = 120
MAX_PAGE = 1_000
MAX_DIGESTS = 30


class Problem(Schema):
    """Why a request failed, and what to do."""

    detail: Any


class Author(Schema):
    name: str
    hidden: bool = False


class Organization(Schema):
    name: str
    fullname: str


class PaperData(Schema):
    """A paper. Field names are Hugging Face's; `categories` to `url` are ours."""

    id: str = Field(examples=["2604.26752"])
    authors: list[Author]
    publishedAt: datetime | None
    submittedOnDailyAt: datetime
    title: str
    summary: str = Field(description="The abstract, in plain text.")
    upvotes: int
    numComments: int
    githubStars: int
    githubRepo: str | None = None
    projectPage: str | None = None
    ai_summary: str | None = Field(
        None, description="One sentence written by a language model of Hugging Face."
    )
    ai_keywords: list[str]
    organization: Organization | None = None
    withdrawnAt: datetime | None = None
    categories: list[str]
    topics: list[str] = Field(description="Slugs of the topics it belongs to.")
    url: str = Field(description="Its page on this site.")


class PaperItem(Schema):
    """A paper in a list, with the fields that Hugging Face repeats outside."""

    paper: PaperData
    title: str
    summary: str
    publishedAt: datetime | None
    numComments: int
    thumbnail: str | None = Field(None, description="Its preview image at the source.")
    organization: Organization | None = None
    isAuthorParticipating: bool = False


class TopicData(Schema):
    slug: str
    name: str
    description: str
    categories: list[str]
    url: str


class AuthorData(Schema):
    name: str
    papers: list[PaperData]


class ReaderDigest(Schema):
    edition__day: date
    created_at: datetime
    outcome: str
    papers: list[dict[str, str]]


class NetworkThrottle(BaseThrottle):
    """Limit the requests of a network with the limiter of the pages."""

    def __init__(self, group: str, rate: str) -> None:
        self.group, self.rate, self.seconds_left = group, rate, 0

    def allow_request(self, request: HttpRequest) -> bool:
        network = rate_limits.client_network(request)
        self.seconds_left = rate_limits.hit(self.group, network, self.rate)
        return not self.seconds_left

    def wait(self) -> float | None:
        return self.seconds_left


class ReaderToken(HttpBearer):
    """A reader's API token, which their preferences create and revoke."""

    def authenticate(self, request: HttpRequest, token: str) -> Subscriber | None:
        key = AccessKey.objects.find(AccessKey.Kind.API, token[:64].replace("\x00", ""))
        return key.subscriber if key else None


api = NinjaAPI(
    title=f"{settings.SITE_NAME} API",
    version="1",
    description="Papers, topics and authors; read-only, in the shape of Hugging Face's papers API.",
    docs_url=None,  # its page loads scripts from elsewhere
    throttle=[NetworkThrottle("api", REQUESTS_PER_NETWORK)],
)
PROBLEMS = {400: Problem, 404: Problem, 422: Problem, 429: Problem}
Limit = Annotated[int, Query(ge=1, le=MAX_LIST)]
Identifier = Annotated[str, Path(max_length=64)]


@api.get("/daily_papers", response={200: list[PaperItem], **PROBLEMS}, tags=["papers"])
@decorate_view(cached_page())
def list_daily_papers(
    request: HttpRequest,
    date: str | None = None,
    week: str | None = None,
    month: str | None = None,
    submitter: str | None = None,
    sort: Literal["publishedAt", "trending"] = "publishedAt",
    p: Annotated[int, Query(ge=0, le=MAX_PAGE)] = 0,
    limit: Limit = DEFAULT_LIST,
) -> list[PaperItem]:
    """List the papers of a day (2026-03-06), an ISO week (2026-W10) or a month (2026-03), else the newest.

    This site has no submitters: with `submitter` the list is empty.
    """
    given = [(DAY, date), (WEEK, week), (MONTH, month)]
    periods = [parse_date(kind, text) for kind, text in given if text is not None]
    if len(periods) > 1:
        raise HttpError(400, "Give one of date, week and month.")
    papers = Paper.objects.announced_until(timezone.now())
    if periods:
        papers = papers.announced_between(periods[0].first, periods[0].last)
    if submitter:
        papers = papers.none()
    order = ["-votes", "-comments"] if sort == "trending" else newest_first()
    start = p * limit
    return paper_items(papers.order_by(*order, "identifier")[start : start + limit])


def parse_date(kind: str, text: str) -> Period:
    period = parse_period(kind, text)
    if period is None:
        forms = {DAY: "2026-03-06", WEEK: "2026-W10", MONTH: "2026-03"}
        name = "date" if kind == DAY else kind
        raise HttpError(400, f"Write {name} as {forms[kind]}.")
    if period.first > timezone.now().date() + timedelta(days=1):
        raise HttpError(400, "This date is in the future.")
    return period


def newest_first() -> list[Any]:
    return ["-announced_on", F("published_at").desc(nulls_last=True)]


@api.get(
    "/papers/search",
    response={200: list[PaperItem], **PROBLEMS},
    tags=["papers"],
    throttle=[NetworkThrottle("searches", SEARCHES_PER_NETWORK)],
)
@decorate_view(cached_page())
def search_papers(
    request: HttpRequest,
    q: Annotated[str, Query(max_length=MAX_QUERY_LENGTH)] = "",
    limit: Annotated[int, Query(ge=1, le=MAX_RESULTS)] = MAX_RESULTS,
) -> list[PaperItem]:
    """Search papers by identifier, words and meaning, best match first."""
    from digest.ranking import search

    query = " ".join("".join(c if c.isprintable() else " " for c in q).split())
    papers = search.find_papers(query, limit).load_papers() if query else []
    return paper_items(paper for paper in papers if paper.is_from_listing)


@api.get("/papers", response={200: list[PaperData], **PROBLEMS}, tags=["papers"])
def list_papers(
    request: HttpRequest,
    response: HttpResponse,
    cursor: Annotated[
        str | None, Query(pattern=r"^\d{4}-\d{2}-\d{2}_[A-Za-z0-9._:/+-]{1,64}$")
    ] = None,
    limit: Limit = DEFAULT_LIST,
) -> list[PaperData]:
    """List all papers, newest first; the header Link has the address of the next page."""
    papers = Paper.objects.announced_until(timezone.now())
    if cursor:
        day, _, identifier = cursor.partition("_")
        first = parse_date(DAY, day).first
        after = Q(announced_on=first, identifier__gt=identifier)
        papers = papers.filter(Q(announced_on__lt=first) | after)
    rows = list(without_vectors(papers)[: limit + 1])
    if len(rows) > limit:
        last = rows[limit - 1]
        query = {"cursor": f"{last.announced_on}_{last.identifier}", "limit": limit}
        address = f"{settings.SITE_URL}/api/papers?{urlencode(query)}"
        response["Link"] = f'<{address}>; rel="next"'
    return paper_data(rows[:limit])


@api.get(
    "/papers/{path:identifier}",
    response={200: PaperData, **PROBLEMS},
    tags=["papers"],
)
@decorate_view(cached_page())
def get_paper(request: HttpRequest, identifier: Identifier) -> PaperData:
    """Return one paper by its arXiv identifier without version."""
    papers = without_vectors(Paper.objects.from_listings())
    rows = paper_data(papers.filter(identifier=identifier.replace("\x00", "")))
    if not rows:
        raise HttpError(404, "There is no paper with this identifier.")
    return rows[0]


@api.get("/trending", response={200: list[PaperItem], **PROBLEMS}, tags=["papers"])
@decorate_view(cached_page())
def list_trending(
    request: HttpRequest,
    topic: Annotated[str | None, Query(max_length=80)] = None,
    category: Annotated[str | None, Query(max_length=32)] = None,
    limit: Limit = DEFAULT_LIST,
) -> list[PaperItem]:
    """List the papers of the last two weeks by trend, of a topic or a category if given."""
    candidates = Candidate.objects.filter(
        edition=paper_rows.newest_edition(), is_hidden=False
    )
    if topic is not None:
        candidates = candidates.filter(paper__topics__slug=topic.replace("\x00", ""))
    if category is not None:
        papers = Paper.objects.in_categories([category.replace("\x00", "")])
        candidates = candidates.filter(paper__in=papers)
    best = candidates.order_by("-trend", "pk").values_list("paper", flat=True)[:limit]
    rows = without_vectors(Paper.objects.all()).in_bulk(list(best))
    return paper_items(rows[pk] for pk in best)


@api.get("/topics", response={200: list[TopicData], **PROBLEMS}, tags=["topics"])
@decorate_view(cached_page())
def list_topics(request: HttpRequest) -> list[TopicData]:
    """List the topics that readers can follow."""
    return [
        TopicData(
            slug=topic.slug,
            name=topic.name,
            description=topic.description,
            categories=topic.categories,
            url=f"{settings.SITE_URL}{topic.get_absolute_url()}",
        )
        for topic in Topic.objects.filter(is_listed=True)
    ]


@api.get(
    "/authors/{path:name}", response={200: AuthorData, **PROBLEMS}, tags=["authors"]
)
@decorate_view(cached_page())
def get_author(
    request: HttpRequest,
    name: str,
    p: Annotated[int, Query(ge=0, le=MAX_PAGE)] = 0,
) -> AuthorData:
    """Return the papers by an author of exactly this name, newest first."""
    if not authors.has_page(name):
        raise HttpError(404, "There is no paper by an author of this name.")
    start = p * PAPERS_PER_PAGE
    papers = without_vectors(authors.author_papers(name))
    rows = paper_data(papers[start : start + PAPERS_PER_PAGE])
    if not rows:
        raise HttpError(404, "There is no paper by an author of this name.")
    return AuthorData(name=name, papers=rows)


PRIVATE = {401: Problem, 422: Problem, 429: Problem}


@api.get(
    "/me", response={200: dict[str, Any], **PRIVATE}, auth=ReaderToken(), tags=["me"]
)
def get_own_data(request: HttpRequest, response: HttpResponse) -> dict[str, Any]:
    """Return everything stored about the reader of the token, as the export in their preferences."""
    response["Cache-Control"] = "private, no-store"
    return export_data(request.auth)  # type: ignore[attr-defined]


@api.get(
    "/me/digests",
    response={200: list[ReaderDigest], **PRIVATE},
    auth=ReaderToken(),
    tags=["me"],
)
def list_own_digests(
    request: HttpRequest, response: HttpResponse
) -> list[dict[str, Any]]:
    """List the newest digests of the reader of the token, with papers and reasons."""
    response["Cache-Control"] = "private, no-store"
    return digest_data(request.auth, MAX_DIGESTS)  # type: ignore[attr-defined]


def without_vectors(papers: PaperQuerySet) -> PaperQuerySet:
    return papers.defer("vector", "dense_vector", "title_raw", "abstract_raw")


def paper_items(papers: Iterable[Paper]) -> list[PaperItem]:
    rows = list(papers)
    return [
        PaperItem(
            paper=data,
            title=data.title,
            summary=data.summary,
            publishedAt=data.publishedAt,
            numComments=data.numComments,
            thumbnail=paper.thumbnail_url or None,
            organization=data.organization,
        )
        for paper, data in zip(rows, paper_data(rows), strict=True)
    ]


def paper_data(papers: Iterable[Paper]) -> list[PaperData]:
    rows = list(papers)
    prefetch_related_objects(rows, "topics")
    withdrawals = dict(
        Recall.objects.withdrawals()
        .filter(paper__in=[paper.pk for paper in rows])
        .values_list("paper_id", "created_at")
    )
    return [_paper_data(paper, withdrawals.get(paper.pk)) for paper in rows]


def _paper_data(paper: Paper, withdrawn_at: datetime | None) -> PaperData:
    name = paper.organization
    return PaperData(
        id=paper.identifier,
        authors=[Author(name=author) for author in paper.authors],
        publishedAt=paper.published_at,
        submittedOnDailyAt=datetime.combine(paper.announced_on, time(tzinfo=UTC)),
        title=paper.display_title,
        summary=paper.abstract,
        upvotes=paper.votes,
        numComments=paper.comments,
        githubStars=paper.stars,
        githubRepo=paper.code_url or None,
        projectPage=paper.project_url or None,
        ai_summary=paper.ai_summary or None,
        ai_keywords=paper.ai_keywords,
        organization=Organization(name=name, fullname=name) if name else None,
        withdrawnAt=withdrawn_at,
        categories=paper.categories,
        topics=[topic.slug for topic in paper.topics.all() if topic.is_listed],
        url=f"{settings.SITE_URL}{paper.get_absolute_url()}",
    )
