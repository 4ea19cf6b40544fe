"""The JSON API: Hugging Face's own client, its OpenAPI document, limits and tokens."""

import httpx
import pytest
import schemathesis
from django.utils import timezone
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HfHubHTTPError
from hypothesis import Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from accounts.models import AccessKey
from digest import follows
from digest.models import Recall
from digest.site.api import NetworkThrottle
from tests import make
from tests.make import DAY


@pytest.fixture
def papers(db):
    """Two papers of make.DAY and one of the day before."""
    full = make.paper(
        "Maps of tides",
        identifier="2611.00001",
        organization="Northern Lab",
        thumbnail_url="https://thumbnails.example.org/1.png",
        ai_summary="A model maps tides.",
        ai_keywords=["tides"],
        code_url="https://github.com/example/tides",
        votes=12,
        comments=3,
        stars=40,
        published_at=make.NOW,
    )
    full.topics.add(make.topic("Oceans"))
    plain = make.paper("Plain", identifier="hep-th/9901001")
    old = make.paper("Old", announced_on=DAY.replace(day=19), votes=50)
    make.edition(papers=[full, plain, old])
    return full, plain, old


# The client of huggingface_hub opens connections that it closes at exit only.
leaves_connections = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture
def hub(live_server, monkeypatch):
    """The unmodified client; its telemetry would call huggingface.co."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    return HfApi(endpoint=live_server.url, token=False)


@leaves_connections
def test_client_of_hugging_face_lists_days(hub, papers):
    listed = list(hub.list_daily_papers(date=str(DAY)))

    assert [row.id for row in listed] == ["2611.00001", "hep-th/9901001"]
    full = listed[0]
    assert (full.title, full.upvotes, full.comments) == ("Maps of tides", 12, 3)
    assert full.summary.startswith("We study Maps of tides.")
    assert [author.name for author in full.authors] == ["Ada Okafor", "Bruno Lindqvist"]
    assert full.organization.fullname == "Northern Lab"
    assert full.published_at == make.NOW
    assert full.thumbnail == "https://thumbnails.example.org/1.png"


@leaves_connections
@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ({"week": "2026-W47"}, ["Maps of tides", "Plain", "Old"]),
        ({"month": "2026-11", "sort": "trending"}, ["Old", "Maps of tides", "Plain"]),
        ({"limit": 1}, ["Maps of tides"]),
        ({"limit": 2, "p": 1}, ["Old"]),
        ({"date": "2026-11-18"}, []),
        ({"submitter": "ada"}, []),
    ],
)
def test_client_of_hugging_face_lists_periods_and_pages(hub, papers, query, titles):
    assert [row.title for row in hub.list_daily_papers(**query)] == titles


@leaves_connections
def test_client_of_hugging_face_searches_and_reads_one_paper(hub, papers):
    assert [row.id for row in hub.list_papers(query="arXiv:2611.00001")] == [
        "2611.00001"
    ]

    full, old_style = hub.paper_info("2611.00001"), hub.paper_info("hep-th/9901001")
    assert (full.title, full.github_stars, full.upvotes) == ("Maps of tides", 40, 12)
    assert full.github_repo == "https://github.com/example/tides"
    assert (full.ai_summary, full.ai_keywords) == ("A model maps tides.", ["tides"])
    assert old_style.title == "Plain"
    with pytest.raises(HfHubHTTPError) as refusal:
        hub.paper_info("2611.99999")
    assert refusal.value.response.status_code == 404


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("date=2026-13-01", "Write date as 2026-03-06."),
        ("week=2026-10", "Write week as 2026-W10."),
        ("month=March", "Write month as 2026-03."),
        ("date=2090-01-01", "This date is in the future."),
        ("date=2026-11-20&week=2026-W47", "Give one of date, week and month."),
    ],
)
def test_wrong_dates_are_refused_with_the_form_to_use(client, papers, query, detail):
    response = client.get(f"/api/daily_papers?{query}")

    assert response.status_code == 400
    assert response.json() == {"detail": detail}


def test_all_papers_are_paged_by_the_link_header(client, papers):
    titles, address = [], "/api/papers?limit=1"
    while address:
        response = client.get(address)
        titles += [row["title"] for row in response.json()]
        address = response.get("Link", "").partition(">")[0].lstrip("<")

    assert titles == ["Maps of tides", "Plain", "Old"]


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("", ["Maps of tides", "Plain", "Old"]),
        ("topic=oceans", ["Maps of tides"]),
        ("category=cs", ["Maps of tides", "Plain", "Old"]),
        ("category=math", []),
        ("limit=2", ["Maps of tides", "Plain"]),
    ],
)
def test_trending_is_filtered(client, papers, query, titles):
    rows = client.get(f"/api/trending?{query}").json()

    assert [row["title"] for row in rows] == titles


def test_paper_names_its_topics_and_its_withdrawal(client, papers):
    recall = Recall.objects.create(paper=papers[0], reason="x", is_withdrawal=True)

    row = client.get("/api/papers/2611.00001").json()

    assert row["topics"] == ["oceans"]
    assert row["withdrawnAt"].startswith(f"{recall.created_at:%Y-%m-%dT%H:%M}")


def test_topics_and_authors_are_listed(client, papers):
    make.topic("Hidden", is_listed=False)

    topics = client.get("/api/topics").json()
    author = client.get("/api/authors/Ada Okafor").json()

    assert [topic["slug"] for topic in topics] == ["oceans"]
    assert topics[0]["url"].endswith("/topics/oceans")
    assert [row["title"] for row in author["papers"]] == [
        "Maps of tides",
        "Plain",
        "Old",
    ]
    assert client.get("/api/authors/Unknown").status_code == 404


def test_papers_of_reading_lists_are_not_published(client, db):
    paper = make.paper(announce_type="added")

    assert client.get(f"/api/papers/{paper.identifier}").status_code == 404
    assert client.get("/api/papers").json() == []


def test_answers_are_cached_and_revalidated(client, papers, django_assert_num_queries):
    first = client.get("/api/daily_papers", headers={"Accept-Encoding": "gzip"})

    with django_assert_num_queries(0):
        again = client.get(
            "/api/daily_papers", headers={"If-None-Match": first["ETag"]}
        )
    assert first["Content-Encoding"] == "gzip"
    assert first["Cache-Control"].startswith("public, max-age=60")
    assert (again.status_code, again.content) == (304, b"")


def test_requests_are_limited_per_network(client, db, time_machine):
    time_machine.move_to(make.NOW, tick=False)
    for number in range(100):
        assert client.get(f"/api/papers?limit={1 + number % 50}").status_code == 200

    refused = client.get("/api/papers")

    assert refused.status_code == 429
    assert 0 < int(refused["Retry-After"]) <= 60
    assert client.get("/papers/trending").status_code == 200


def test_own_data_needs_a_token_that_is_not_revoked(client, ada):
    follows.follow(ada, "keyword", "tides")
    key = AccessKey.issue(ada, AccessKey.Kind.API, timezone.now())
    headers = {"Authorization": f"Bearer {key.key}"}

    data = client.get("/api/me", headers=headers)
    digests = client.get("/api/me/digests", headers=headers)

    assert data.json()["reader"]["email"] == ada.email
    assert data.json()["interests"][0]["interest__value"] == "tides"
    assert digests.json() == []
    for response in (data, digests):
        assert response["Cache-Control"] == "private, no-store"
    key.delete()
    assert client.get("/api/me", headers=headers).status_code == 401
    assert client.get("/api/me").status_code == 401


def test_other_keys_are_no_tokens(client, ada, key):
    feed = AccessKey.issue(ada, AccessKey.Kind.FEED, timezone.now()).key

    for other in (key, feed, "x" * 500, "\x00"):
        headers = {"Authorization": f"Bearer {other}"}
        assert client.get("/api/me", headers=headers).status_code == 401


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def test_answers_conform_to_the_openapi_document(live_server, papers, monkeypatch):
    monkeypatch.setattr(NetworkThrottle, "allow_request", lambda self, request: True)
    schema = schemathesis.openapi.from_url(f"{live_server.url}/api/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) == 9

    for operation in operations:

        @settings(
            max_examples=12, derandomize=True, deadline=None, phases=[Phase.generate]
        )
        @given(case=operation.as_strategy())
        def check(case):
            case.call_and_validate(checks=CHECKS)

        check()


def test_unknown_methods_are_refused(live_server, db):
    assert httpx.post(f"{live_server.url}/api/papers").status_code == 405
