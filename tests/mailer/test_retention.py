"""Retention: old decided digests are deleted with their events."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from digest import tasks
from digest.feedback import record
from digest.mailer import plan, retention
from digest.mailer.tally import count_outcomes
from digest.models import (
    Batch,
    Candidate,
    Digest,
    Edition,
    Event,
    Paper,
    Pick,
    Slot,
)
from tests import make

pytestmark = [pytest.mark.both, pytest.mark.django_db]

NOW = make.NOW + timedelta(days=100)


@pytest.fixture(autouse=True)
def keep_a_hundred_days(settings):
    settings.DIGESTS_KEPT = 100


def mailed(days_ago, outcome="accepted", state="done", **fields):
    """A reader's digest of an edition that froze `days_ago`, in a batch of its own."""
    day = (NOW - timedelta(days=days_ago)).date()
    edition = Edition.objects.filter(day=day).first() or make.edition(day, papers=1)
    at = NOW - timedelta(days=days_ago)
    make.frozen(edition, at=at)
    reader = make.subscriber()
    batch = make.batch(edition, [reader], at=at, state=state)
    return make.digest(batch, reader, outcome=outcome, **fields)


def test_prune_deletes_old_digests_and_keeps_editions():
    old, young = mailed(101), mailed(99)

    assert retention.prune_digests(NOW) == 1
    assert retention.prune_digests(NOW) == 0

    assert list(Digest.objects.all()) == [young]
    assert list(Batch.objects.all()) == [young.batch]
    assert list(Slot.objects.all()) == [young.batch.slot]
    assert Edition.objects.count() == 2
    assert old.subscriber.digests.count() == 0


@pytest.mark.parametrize(("setting", "left"), [(0, 3), (1, 1), (30, 1), (45, 2)])
def test_the_last_thirty_days_are_always_kept(settings, setting, left):
    settings.DIGESTS_KEPT = setting
    for days in (29, 40, 999):
        mailed(days)

    retention.prune_digests(NOW)

    assert Digest.objects.count() == left


@pytest.mark.parametrize(
    ("fields", "goes"),
    [
        ({"outcome": "accepted"}, True),
        ({"outcome": "skipped", "reason": "nothing"}, True),
        ({"outcome": "failed"}, True),
        ({"outcome": "unknown"}, False),
        ({"outcome": "pending"}, False),
        ({"outcome": "accepted", "state": "sending"}, False),
        ({"outcome": "pending", "state": "planned"}, False),
    ],
)
def test_undecided_digests_are_kept(fields, goes):
    mailed(200, **fields)

    retention.prune_digests(NOW)

    assert Digest.objects.exists() is not goes
    assert Batch.objects.exists() is not goes
    assert Slot.objects.exists() is not goes


def test_events_are_deleted_with_their_digest():
    old, young = mailed(200), mailed(2)
    reports = [
        record.Report("delivered", f"{digest.key} delivered", digest.key, at=NOW)
        for digest in (old, young)
    ]
    record.record_reports(reports, "sendgrid", NOW)

    retention.prune_digests(NOW)

    assert [event.digest for event in Event.objects.all()] == [young]


def test_a_kept_batch_names_only_readers_with_a_digest():
    doubt = mailed(200, outcome="unknown")
    others = [make.subscriber() for _ in range(3)]
    for other in others:
        make.digest(doubt.batch, other, outcome="accepted")
    gone = make.subscriber()
    readers = [doubt.subscriber, *others, gone]
    Batch.objects.update(readers=[reader.pk for reader in readers])
    gone.delete()

    retention.prune_digests(NOW)

    assert Batch.objects.get().readers == [doubt.subscriber_id]
    tally = count_outcomes(doubt.edition)
    assert (tally.recipients, tally.unknown, tally.waiting) == (1, 1, 0)


def test_an_unsent_batch_keeps_its_readers():
    digest = mailed(200, state="planned", outcome="pending")
    Digest.objects.all().delete()

    retention.prune_digests(NOW)

    assert Batch.objects.get().readers == [digest.subscriber_id]
    assert count_outcomes(digest.edition).waiting == 1


def test_pruning_is_limited_per_night(monkeypatch):
    monkeypatch.setattr(retention, "PRUNE_CHUNK", 2)
    monkeypatch.setattr(retention, "MAX_PRUNED_PER_NIGHT", 4)
    for _ in range(5):
        mailed(200)

    assert [retention.prune_digests(NOW) for _ in range(3)] == [4, 1, 0]


def test_an_edition_past_retention_is_not_sent():
    old, young = mailed(200).edition, mailed(2).edition
    retention.prune_digests(NOW)
    reader = make.subscriber()

    assert not plan.unserved_readers(old, NOW).exists()
    assert plan.plan_reader(old, reader, NOW, Slot.Kind.MANUAL) is None
    assert plan.unserved_readers(young, NOW).filter(pk=reader.pk).exists()


def test_retention_counts_from_the_freeze():
    edition = make.frozen(make.edition(make.DAY - timedelta(days=700)), at=NOW)

    assert not retention.is_past_retention(edition, NOW)
    assert plan.unserved_readers(edition, NOW).count() == 0
    make.subscriber()
    assert plan.unserved_readers(edition, NOW).count() == 1


def test_the_nightly_task_prunes_digests(settings):
    settings.DIGESTS_KEPT = 30
    digest = mailed(200)
    long_ago = timezone.now() - timedelta(days=31)
    make.frozen(digest.edition, at=long_ago)

    tasks.prune_reader_data()

    assert not Digest.objects.exists()


# Candidates


def old_edition(days_ago, papers=4):
    day, at = (NOW - timedelta(days=days_ago)).date(), NOW - timedelta(days=days_ago)
    return make.frozen(make.edition(day, papers), at=at)


def left(edition):
    return list(edition.candidates.order_by("pk").values_list("pk", flat=True))


@pytest.mark.parametrize(
    "touched", [{"pin": 1}, {"boost": -2}, {"is_hidden": True}, {"note": "Read this."}]
)
def test_curated_candidates_are_kept(touched):
    old = old_edition(101)
    old_edition(1)
    first, *others = left(old)
    Candidate.objects.filter(pk=first).update(**touched)

    assert retention.prune_candidates(NOW) == len(others)
    assert left(old) == [first]


def test_only_referenced_candidates_are_kept(client):
    old, young = old_edition(101), old_edition(99)
    before, papers = left(old), Paper.objects.count()
    Candidate.objects.filter(pk__in=before[:2]).update(note="Read this.")
    reader = make.subscriber()
    batch = make.batch(old, [reader], state="done")
    make.digest(batch, reader, [(before[2], 0)], outcome="unknown")

    assert [retention.prune_candidates(NOW), retention.prune_candidates(NOW)] == [1, 0]

    assert left(old) == before[:3]
    assert len(left(young)) == 4
    assert Paper.objects.count() == papers
    page = client.get(reverse("day", args=[old.day])).content.decode()
    assert page.count("Invented paper number") >= 4


def test_candidates_are_kept_until_their_digests_are_pruned():
    digest = mailed(101)
    old_edition(1)
    digest.picks = [Pick(left(digest.edition)[0], 0)]
    digest.save()

    assert retention.prune_candidates(NOW) == 0
    retention.prune_digests(NOW)
    assert retention.prune_candidates(NOW) == 1


def test_the_newest_edition_is_kept_whole(settings):
    old_edition(300)
    newest = old_edition(200)
    settings.DIGESTS_KEPT = 0
    assert retention.prune_candidates(NOW) == 0

    settings.DIGESTS_KEPT = 100
    assert retention.prune_candidates(NOW) == 4

    assert len(left(newest)) == 4


def test_candidate_pruning_is_limited_per_night(monkeypatch):
    monkeypatch.setattr(retention, "PRUNE_CHUNK", 2)
    monkeypatch.setattr(retention, "MAX_PRUNED_PER_NIGHT", 4)
    for days in (201, 202, 1):
        old_edition(days)

    assert [retention.prune_candidates(NOW) for _ in range(3)] == [4, 4, 0]


def test_the_nightly_task_prunes_candidates(settings):
    settings.DIGESTS_KEPT = 30
    long_ago = timezone.now() - timedelta(days=40)
    old = make.frozen(make.edition(long_ago.date()), at=long_ago)
    make.edition(timezone.now().date())

    tasks.prune_reader_data()

    assert left(old) == []
