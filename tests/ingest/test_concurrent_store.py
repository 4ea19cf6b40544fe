"""Several workers store the same papers at the same time."""

import random
import threading
import time
from dataclasses import replace
from operator import attrgetter

import pytest
from django.db import connection, transaction

from digest.ingest.sources import arxiv_feed
from digest.ingest.sources.listing import Measurement
from digest.ingest.store import MAX_STORE_RETRIES, store
from digest.models import AttentionSample, IngestRun, Paper
from digest.models.bulk import ConcurrentInsert, insert_papers
from tests import make
from tests.ingest.recorded import ATOM
from tests.make import NOW

WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
"""

pytestmark = [pytest.mark.both, pytest.mark.django_db(transaction=True)]


def run():
    return IngestRun(source="arxiv", origin="a document", started_at=NOW)


def start_thread(work):
    """A thread with a connection of its own, and what went wrong in it."""
    errors = []

    def run():
        try:
            work()
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread, errors


def join_threads(*threads):
    for thread, _ in threads:
        thread.join(30)
    assert [error for _, errors in threads for error in errors] == []


def wait_until_somebody_waits():
    with connection.cursor() as cursor:
        for _ in range(3_000):
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute(WAITING)
            if cursor.fetchone()[0]:
                return
            time.sleep(0.01)
    pytest.fail("no worker waits for the locked paper")


def test_papers_inserted_meanwhile_are_updated():
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    listings = arxiv_feed.parse(ATOM.read_bytes()).listings
    votes = (Measurement("upvotes", 7, NOW),)
    newer = [replace(listing, version=9, measurements=votes) for listing in listings]
    mine = {"2611.90001": replace(newer[0], identifier="2611.90001")}
    account = run()

    with transaction.atomic():
        store(listings, run(), NOW)
        other = start_thread(lambda: store([*newer, *mine.values()], account, NOW))
        wait_until_somebody_waits()
    join_threads(other)

    assert (account.new, account.updated, account.unchanged) == (1, 4, 0)
    assert set(Paper.objects.values_list("version", "votes")) == {(9, 7)}
    assert AttentionSample.objects.count() == Paper.objects.count() == 5


def test_store_gives_up_after_its_retries(monkeypatch):
    def overtaken(rows):
        made.append(len(rows))
        make.paper(identifier=rows[-1]["identifier"])
        return insert_papers(rows)

    made, account = [], run()
    monkeypatch.setattr("digest.ingest.store.insert_papers", overtaken)
    with pytest.raises(ConcurrentInsert, match="4 new papers"):
        store(arxiv_feed.parse(ATOM.read_bytes()).listings, account, NOW)

    assert made == [4] * (MAX_STORE_RETRIES + 1)
    assert account.new == 0
    assert not Paper.objects.exists()


def test_papers_are_locked_in_identifier_order():
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer at a time, and no locks of rows")
    listings = sorted(
        arxiv_feed.parse(ATOM.read_bytes()).listings,
        key=attrgetter("identifier"),
        reverse=True,
    )
    store(listings, run(), NOW)
    rows = Paper.objects.order_by("identifier")
    second = rows[1].pk

    with transaction.atomic():
        Paper.objects.select_for_update().get(pk=second)
        other = start_thread(lambda: store(listings, run(), NOW))
        wait_until_somebody_waits()
        free = list(rows.select_for_update(skip_locked=True))
    join_threads(other)

    assert [paper.pk for paper in free] == [paper.pk for paper in rows[1:]]


def test_concurrent_stores_do_not_deadlock():
    listing = arxiv_feed.parse(ATOM.read_bytes()).listings[0]
    votes = (Measurement("upvotes", 7, NOW),)
    many = [
        replace(listing, identifier=f"2611.{n}", measurements=votes, version=n % 2 + 1)
        for n in range(91000, 91300)
    ]
    accounts = [run() for _ in range(6)]
    store(many[::3], run(), NOW)

    def work(account):
        store(random.sample(many, len(many)), account, NOW)

    join_threads(
        *[start_thread(lambda account=account: work(account)) for account in accounts]
    )

    assert sum(account.new for account in accounts) == 200
    assert sum(account.samples for account in accounts) == 200
    assert Paper.objects.count() == AttentionSample.objects.count() == 300
