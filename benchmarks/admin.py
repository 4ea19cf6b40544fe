"""Measure the pages of the admin on 100,000 readers, 50,000 papers, 30 editions, 3 million digests.

    make bench PART=admin
    make bench PART=admin READERS=10000         a tenth, for a quick look

The rows are made by PostgreSQL itself. For each page: milliseconds of this process's CPU and
of the wall clock, the better of two requests after a first one, and the number of queries.
`admin.filters_<model>` is the slowest choice of all filters of a list.
"""

import os
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

READERS = int(os.environ.get("READERS") or 100_000)
PAPERS, EDITIONS, CANDIDATES = READERS // 2, 30, 3_000
REQUESTS = 2
SKIPPED_SHARE, FAILED_SHARE, UNKNOWN_SHARE = 0.08, 0.001, 0.0005

Result = dict[str, float | int]

STATEMENTS = [
    "TRUNCATE digest_edition, digest_paper, accounts_subscriber, digest_topic, digest_dailyfigures CASCADE",
    """
    INSERT INTO accounts_subscriber (email, address_hash, state, zone, hour, frequency,
        weekday, length, fill_mode, note_when_empty, learns_from_clicks, unsubscribe_key,
        created_at, confirmed_at, consent_text, consent_how)
    SELECT 'reader' || n || '@domain' || n %% 997 || '.example', md5(n::text), 'active',
        'UTC', 7, 'daily', 0, 10, 'followed_first', false, true, 'key' || n,
        now(), now() - (n %% 400) * interval '1 day', '', 'form'
    FROM generate_series(1, %(readers)s) n
    """,
    """
    INSERT INTO digest_paper (identifier, version, announced_on, announce_type, title_raw,
        abstract_raw, title, abstract, authors, organization, categories, "primary", doi,
        license, code_url, project_url, ai_summary, ai_keywords, votes, comments, stars,
        created_at, updated_at, vector_version, dense_version)
    SELECT '2611.' || lpad(n::text, 6, '0'), 1, current_date - (n %% 60), 'new', t, a, t, a,
        '["Ada Okafor", "Bruno Lindqvist"]', '', '["cs.LG"]',
        (ARRAY['cs.LG', 'cs.CL', 'cs.CV', 'stat.ML'])[1 + n %% 4], '', '', '', '', '', '[]',
        n %% 50, 0, 0, now(), now(), '', ''
    FROM generate_series(1, %(papers)s) n,
        LATERAL (SELECT 'Invented paper about subject ' || n %% 1000 || ' number ' || n) x(t),
        LATERAL (SELECT repeat('We study subject ' || n %% 1000 || '. ', 30)) y(a)
    """,
    """
    INSERT INTO digest_edition (day, state, note, frozen_at, ranked_at)
    SELECT current_date - n, CASE WHEN n = 0 THEN 'open' ELSE 'frozen' END, '',
        CASE WHEN n > 0 THEN now() - n * interval '1 day' END, now()
    FROM generate_series(0, %(editions)s) n
    """,
    """
    INSERT INTO digest_candidate (edition_id, paper_id, trend, breakdown, card, boost,
        is_hidden, note)
    SELECT e.id, p.id, random(), '{"raw": 1, "category": 0.5, "papers": 900, "age_hours": 0}',
        jsonb_build_object('title', p.title, 'abstract', p.abstract, 'summary', 'We study it.',
            'authors', 'Ada Okafor, Bruno Lindqvist', 'identifier', p.identifier,
            'primary', p."primary", 'categories', p.categories, 'votes', p.votes,
            'comments', 0, 'stars', 0, 'date', p.announced_on, 'organization', '',
            'announce_type', 'new', 'published', null, 'arxiv_url', 'https://arxiv.org/',
            'pdf_url', 'https://arxiv.org/', 'code_url', '', 'project_url', ''),
        0, false, ''
    FROM digest_edition e CROSS JOIN LATERAL (
        SELECT * FROM digest_paper ORDER BY id OFFSET (current_date - e.day) * 100
        LIMIT %(candidates)s) p
    """,
    """
    INSERT INTO digest_slot (edition_id, at, kind, "cursor", planned_at)
    SELECT id, frozen_at, 'hour', 0, frozen_at FROM digest_edition WHERE state = 'frozen'
    """,
    """
    INSERT INTO digest_batch (slot_id, readers, state, lease_token, attempts, last_position,
        last_digest_id, error)
    SELECT s.id, (SELECT jsonb_agg(id) FROM accounts_subscriber
            WHERE id BETWEEN f.first + b * 250 AND f.first + b * 250 + 249),
        'done', '', 0, 250, 0, ''
    FROM digest_slot s, (SELECT min(id) AS first FROM accounts_subscriber) f,
        generate_series(0, %(readers)s / 250 - 1) b
    """,
    """
    INSERT INTO digest_digest (subscriber_id, edition_id, batch_id, key, packed_picks,
        created_at, outcome, reason, provider_detail, refusals, message_id, outcome_at)
    SELECT r.value::bigint, s.edition_id, b.id, 'k' || b.id || '.' || r.value, '\\x'::bytea,
        s.at, o.outcome,
        CASE o.outcome WHEN 'skipped' THEN 'nothing' WHEN 'failed' THEN 'refused' ELSE '' END,
        CASE WHEN o.outcome IN ('failed', 'unknown') THEN 'timed out' ELSE '' END,
        0, '', s.at
    FROM digest_batch b JOIN digest_slot s ON s.id = b.slot_id,
        jsonb_array_elements_text(b.readers) r(value),
        LATERAL (SELECT random() + r.value::bigint * 0 AS x) d,
        LATERAL (SELECT CASE WHEN x < %(unknown)s THEN 'unknown'
            WHEN x < %(unknown)s + %(failed)s THEN 'failed'
            WHEN x < %(unknown)s + %(failed)s + %(skipped)s THEN 'skipped'
            ELSE 'accepted' END AS outcome) o
    """,
    """
    INSERT INTO digest_topic (name, slug, description, keywords, categories, position, is_listed)
    SELECT 'Subject ' || n, 'subject-' || n, 'Subject ' || n, '["subject"]', '[]', n, true
    FROM generate_series(1, 20) n
    """,
    """
    INSERT INTO digest_interest (kind, value)
    SELECT 'topic', 'subject-' || n FROM generate_series(1, 20) n ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO digest_follow (subscriber_id, interest_id, weight, source, created_at)
    SELECT s.id, i.id, 1, 'chosen', now() FROM accounts_subscriber s
    JOIN digest_interest i ON i.kind = 'topic' AND (s.id + i.id) %% 7 = 0
    """,
]


def measure() -> dict[str, Result]:
    """Measure each page; the parts are admin.<page>."""
    from django.conf import settings
    from django.core.management import call_command
    from django.test import Client
    from django.utils import timezone

    import tests.environment  # noqa: F401  PostgreSQL, and Django on it
    from accounts.models import User
    from digest import figures
    from digest.models import Digest

    call_command("migrate", verbosity=0)
    settings.ALLOWED_HOSTS = ["testserver"]
    started = time.monotonic()
    create_rows()
    rows: Result = {
        "readers": READERS,
        "digests": Digest.objects.count(),
        "rows_s": time.monotonic() - started,
    }
    rows["figures_of_7_days_s"] = _timed(lambda: figures.update_figures(timezone.now()))
    figures.count_days(
        (timezone.localdate() - timedelta(days=n) for n in range(EDITIONS)),
        timezone.now(),
    )
    user, _ = User.objects.get_or_create(
        email="bench@example.org", defaults={"is_staff": True, "is_superuser": True}
    )
    client = Client()
    client.force_login(user)
    results = {"admin": rows} | {
        f"admin.{name}": measure_page(client, url) for name, url in pages().items()
    }
    return results | measure_filters(client, user)


def _timed(function: Callable[[], Any]) -> float:
    started = time.monotonic()
    function()
    return time.monotonic() - started


def create_rows() -> None:
    from django.db import connection

    values = {
        "readers": READERS,
        "papers": PAPERS,
        "editions": EDITIONS,
        "candidates": CANDIDATES,
        "skipped": SKIPPED_SHARE,
        "failed": FAILED_SHARE,
        "unknown": UNKNOWN_SHARE,
    }
    with connection.cursor() as cursor:
        for statement in STATEMENTS:
            cursor.execute(statement, values)
        cursor.execute("VACUUM ANALYZE")


def pages() -> dict[str, str]:
    from django.urls import reverse

    from accounts.models import Subscriber
    from digest.models import Edition, Topic

    topic = Topic.objects.order_by("pk").first()
    assert topic is not None
    edition = Edition.objects.open().get()
    frozen = Edition.objects.frozen().first()
    assert frozen is not None
    reader = Subscriber.objects.order_by("pk").first()
    assert reader is not None
    curation = reverse("admin:digest_candidate_changelist")
    digests = reverse("admin:digest_digest_changelist")
    readers = reverse("admin:accounts_subscriber_changelist")
    return {
        "today": reverse("admin:index"),
        "today_90_days": reverse("admin:index") + "?days=90",
        "curation": curation,
        "curation_search": f"{curation}?q=okafor+subject+7",
        "curation_topic": f"{curation}?topic=subject-1",
        "typical_readers": reverse("admin:digest_candidate_typical", args=[edition.pk]),
        "preview": reverse("admin:digest_edition_preview", args=[edition.pk])
        + "?topic=subject-1",
        "editions": reverse("admin:digest_edition_changelist"),
        "sending_open": reverse("admin:digest_edition_sending", args=[edition.pk]),
        "sending_frozen": reverse("admin:digest_edition_sending", args=[frozen.pk]),
        "digests": digests,
        **{
            f"digests_{outcome}": f"{digests}?outcome={outcome}"
            for outcome in ("accepted", "failed", "unknown", "skipped", "pending")
        },
        "digests_reason": f"{digests}?reason=expired",
        "digests_of_edition": f"{digests}?edition={frozen.pk}",
        "digests_search": f"{digests}?q={reader.email}",
        "batches": reverse("admin:digest_batch_changelist"),
        "slots": reverse("admin:digest_slot_changelist"),
        "readers": readers,
        "readers_address": f"{readers}?q=reader77",
        "readers_domain": f"{readers}?q=@domain77.example",
        "reader": reverse("admin:accounts_subscriber_change", args=[reader.pk]),
        "follows": reverse("admin:digest_follow_changelist"),
        "interests": reverse("admin:digest_interest_changelist"),
        "papers": reverse("admin:digest_paper_changelist"),
        "papers_search": reverse("admin:digest_paper_changelist") + "?q=subject+77",
        "topics": reverse("admin:digest_topic_changelist"),
        "topic": reverse("admin:digest_topic_change", args=[topic.pk]),
        "who_did_what": reverse("admin:admin_logentry_changelist"),
    }


def measure_filters(client: Any, user: Any) -> dict[str, Result]:
    """Open every choice of every filter that the admin site registers; of each list the slowest."""
    from django.contrib import admin
    from django.test import RequestFactory
    from django.urls import reverse

    request = RequestFactory().get("/")
    request.user = user
    results = {}
    for model, model_admin in admin.site._registry.items():
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        change_list = model_admin.get_changelist_instance(request)
        queries = [
            choice["query_string"]
            for spec in change_list.filter_specs
            for choice in spec.choices(change_list)
        ]
        if queries:
            url = reverse(f"admin:{name}_changelist")
            measured = [measure_page(client, url + query) for query in queries]
            slowest = max(measured, key=lambda result: result["wall_ms"])
            results[f"admin.filters_{name}"] = {**slowest, "choices": len(queries)}
    return results


def measure_page(client: Any, url: str) -> Result:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as queries:
        response = client.get(url)
    number = len(queries)  # before other requests clear the log
    assert response.status_code == 200, f"{url}: {response.status_code}"
    times = []
    for _ in range(REQUESTS):
        wall, cpu = time.perf_counter(), time.process_time()
        client.get(url)
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    wall, cpu = (min(column) * 1000 for column in zip(*times, strict=True))
    return {"cpu_ms": cpu, "wall_ms": wall, "queries": number}
