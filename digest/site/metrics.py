"""Metrics for Prometheus at /metrics: requests of all web processes, and the state of the pipeline.

What the database knows is read when it is asked for, once a minute at most. Requests are
counted in files that the processes of one gunicorn share (PROMETHEUS_MULTIPROC_DIR).
"""

import os
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.core.cache import cache
from django.db.models import Count, Max, Min, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from redis.exceptions import RedisError

from accounts.models import AccountMail, Subscriber
from digest import alarms
from digest.ingest import monitoring
from digest.models import Batch, Digest, Edition, Event, Heartbeat, IngestRun
from digest.models import SendingPause as Pause

STATE_LIFETIME_S = 60
# Editions whose digests are counted: all that can still be sent, and the last ones.
RECENT_EDITIONS = 3
INGEST_PERIOD = timedelta(days=1)
LATENCY_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

REQUESTS = Counter(
    "paper_round_http_requests_total",
    "Requests by page, method and status.",
    ["view", "method", "status"],
)
LATENCY = Histogram(
    "paper_round_http_request_seconds",
    "Time to answer by page.",
    ["view"],
    buckets=LATENCY_BUCKETS_S,
)


class MetricsMiddleware:
    """Count requests by the name of their page: paths hold keys of readers."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        response = self.get_response(request)
        match = request.resolver_match
        view = (match.view_name if match else "") or "other"
        method = (
            request.method if request.method in ("GET", "HEAD", "POST") else "other"
        )
        REQUESTS.labels(view, method, str(response.status_code)).inc()
        LATENCY.labels(view).observe(time.perf_counter() - started)
        return response


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Serve the metrics for `Authorization: Bearer METRICS_TOKEN`; 404 without it."""
    token = settings.METRICS_TOKEN
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not token or not constant_time_compare(given, token):
        raise Http404
    registry = CollectorRegistry()
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    else:
        registry.register(REGISTRY)
    body = generate_latest(registry) + render_state(cached_state())
    return HttpResponse(body, content_type=CONTENT_TYPE_LATEST)


# Name and help of each gauge, the names of its labels, and its values by label values.
Gauge = tuple[str, str, list[str], dict[tuple[str, ...], float]]


def cached_state() -> list[Gauge]:
    """Read the state once a minute for all processes; each time while Redis is down."""
    try:
        return cache.get_or_set("metrics", read_state, STATE_LIFETIME_S) or []
    except RedisError:
        return read_state()


def render_state(gauges: list[Gauge]) -> bytes:
    registry = CollectorRegistry()
    registry.register(StateCollector(gauges))
    return generate_latest(registry)


class StateCollector:
    def __init__(self, gauges: list[Gauge]) -> None:
        self.gauges = gauges

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for name, text, labels, values in self.gauges:
            family = GaugeMetricFamily(f"paper_round_{name}", text, labels=labels)
            for label_values, value in values.items():
                family.add_metric(label_values, value)
            yield family


def read_state() -> list[Gauge]:
    now = timezone.now()
    return [*ingest_gauges(now), *sending_gauges(now), *service_gauges(now)]


def ingest_gauges(now: datetime) -> Iterator[Gauge]:
    runs = IngestRun.objects.filter(started_at__gt=now - INGEST_PERIOD)
    by_state = runs.values_list("kind", "state").annotate(Count("pk")).order_by()
    yield (
        "ingest_runs",
        "Ingest runs of the last day.",
        ["kind", "state"],
        {(str(kind), str(state)): number for kind, state, number in by_state},
    )
    done = IngestRun.objects.filter(state=IngestRun.State.DONE)
    last = done.values_list("kind").annotate(Max("started_at")).order_by()
    yield (
        "ingest_age_seconds",
        "Time since the last successful ingest run started.",
        ["kind"],
        {(str(kind),): (now - at).total_seconds() for kind, at in last},
    )
    editions = Edition.objects.values_list("state").annotate(Count("pk")).order_by()
    yield "editions", "Editions.", ["state"], {(s,): n for s, n in editions}


def sending_gauges(now: datetime) -> Iterator[Gauge]:
    recent = list(Edition.objects.frozen().order_by("-day")[:RECENT_EDITIONS])
    counts: dict[tuple[str, ...], float] = {}
    for edition in recent:
        for outcome, number in edition.digests.all().count_outcomes().items():
            counts[str(edition.day), str(outcome)] = number
    yield "digests", "Digests of the last editions.", ["day", "outcome"], counts
    waiting = Batch.objects.filter(slot__edition__in=recent).unfinished()
    by_state = waiting.values_list("state").annotate(Count("pk")).order_by()
    yield (
        "batches",
        "Batches that are not done.",
        ["state"],
        {(s,): n for s, n in by_state},
    )
    due = waiting.filter(slot__at__lte=now).aggregate(at=Min("slot__at"))["at"]
    yield (
        "sending_lag_seconds",
        "How long the oldest unsent batch has been due.",
        [],
        {(): (now - due).total_seconds() if due else 0},
    )
    accepted = Digest.objects.filter(
        edition__in=recent,
        outcome=Digest.Outcome.ACCEPTED,
        outcome_at__gt=now - timedelta(minutes=5),
    )
    yield (
        "sending_rate",
        "Mails accepted per second, over five minutes.",
        [],
        {(): accepted.count() / 300},
    )
    pauses = Pause.objects.in_force().aggregate(
        automatic=Count("pk", filter=Q(is_automatic=True)),
        manual=Count("pk", filter=Q(is_automatic=False)),
    )
    yield (
        "pauses",
        "Sending pauses in force.",
        ["kind"],
        {(kind,): number for kind, number in pauses.items()},
    )


def service_gauges(now: datetime) -> Iterator[Gauge]:
    events = Event.objects.filter(processed_at=None).exclude(source="click")
    waiting = events.aggregate(number=Count("pk"), oldest=Min("received_at"))
    yield (
        "events_waiting",
        "Events that are not processed.",
        [],
        {(): waiting["number"]},
    )
    oldest = waiting["oldest"]
    yield (
        "events_lag_seconds",
        "Age of the oldest event that is not processed.",
        [],
        {(): (now - oldest).total_seconds() if oldest else 0},
    )
    last = Event.objects.exclude(source="click").aggregate(at=Max("received_at"))["at"]
    if last:
        age = (now - last).total_seconds()
        yield "event_age_seconds", "Time since an event arrived.", [], {(): age}
    rows = Heartbeat.objects.values_list("name", "at")
    yield (
        "heartbeat_age_seconds",
        "Time since a process gave a sign of life.",
        ["name"],
        {(name,): (now - at).total_seconds() for name, at in rows},
    )
    alarm_counts: dict[tuple[str, ...], float] = {}
    for kind in (
        *(alarm.kind for alarm in alarms.find_alarms(now)),
        *(alarm.kind for alarm in monitoring.find_alarms(now)),
    ):
        alarm_counts[kind,] = alarm_counts.get((kind,), 0) + 1
    yield "alarms", "Alarms of the dashboard.", ["kind"], alarm_counts
    readers = Subscriber.objects.values_list("state").annotate(Count("pk")).order_by()
    yield "readers", "Readers.", ["state"], {(s,): n for s, n in readers}
    mails = AccountMail.objects.count()
    yield "account_mails_waiting", "Account mails in the queue.", [], {(): mails}
