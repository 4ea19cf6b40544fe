"""Erasing a reader: no column and no file holds their address or a key of theirs afterwards."""

import json
import os
from datetime import timedelta

import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import models
from django.utils import timezone

from accounts import erasure
from accounts.addresses import address_hash
from accounts.models import AccountMail, Link, Subscriber, Suppression, User
from accounts.tasks import purge_expired
from digest.feedback import clicks
from digest.models import Digest, Event, Interest, PendingPaper, Submission
from tests import make
from tests.admin.test_pages import create_rows

pytestmark = [pytest.mark.both, pytest.mark.django_db]

EMAIL = "zoe.quine@example.org"
# Columns where nothing about a reader is ever written: texts of the sources and editors
# that are published to all readers, and names that the program chooses.
NEVER_PERSONAL = {
    "accounts.user": "all",  # staff accounts are not readers
    "digest.paper": "all",
    "digest.attentionsample": "all",
    "digest.paperthumbnail": "all",
    "digest.topic": "all",
    "digest.edition": "all",
    "digest.embeddingmodel": "all",
    "digest.heartbeat": "all",
    "digest.candidate": "all",
    "digest.searchentry": "all",  # words of papers
    "digest.searchword": "all",
    "digest.curationstep": "all",  # what editors write for all readers
    "digest.rankingsetting": "all",
    "digest.experiment": "all",  # counts of won digests
    "digest.submission": ["identifier", "title", "authors", "abstract", "primary"],
    "digest.ingestrun": [
        *("origin", "failure", "set_spec", "paper_identifier", "token", "categories"),
        *("token_hashes", "worker_id", "etag", "last_modified", "feed_state"),
    ],
    # A reader's own interests are deleted, shared ones are not theirs.
    "digest.interest": ["value", "vector_version"],
    "accounts.suppression": ["address_hash"],  # the only trace that stays
    "accounts.subscriber": ["unsubscribe_key", "address_hash", "email"],
    "accounts.link": ["key"],
    "accounts.accesskey": ["key"],
    # Line numbers and the validator's reasons, which contain no address.
    "accounts.readerimportchunk": "all",
    "digest.digest": ["key"],
    "digest.foreigneventcount": "all",  # a number per day
    "digest.event": ["key", "source", "semantic_key"],
    "digest.batch": ["readers", "in_flight", "lease_token"],  # ids, and a random token
    "accounts.accountmail": ["email"],  # one address, by which rows are deleted
}


@pytest.fixture
def erasures_file(settings, tmp_path):
    settings.VAR = tmp_path
    return tmp_path / "erasures.txt"


def is_free(model, field):
    never = NEVER_PERSONAL.get(model._meta.label_lower, [])
    is_text = isinstance(field, models.CharField | models.TextField | models.JSONField)
    return is_text and not field.choices and never != "all" and field.name not in never


def free_columns():
    labels = ("accounts", "digest", "admin")
    return [
        (model, field)
        for label in labels
        for model in apps.get_app_config(label).get_models()
        for field in model._meta.concrete_fields
        if is_free(model, field)
    ]


# Rows of these models belong to one reader; other rows may hold anything.
OWNER = {
    "accounts.subscriber": "pk",
    "accounts.link": "subscriber",
    "digest.digest": "subscriber",
    "digest.event": "digest__subscriber",
    "digest.follow": "subscriber",
    "digest.pendingpaper": "subscriber",
    "digest.savedpaper": "subscriber",
    "digest.submissionrequest": "subscriber",
}


def plant(reader, secret):
    """Append a secret to every free text and JSON column where it might come to be stored."""
    for model, field in free_columns():
        owner = OWNER.get(model._meta.label_lower)
        rows = model.objects.filter(**{owner: reader.pk} if owner else {})
        assert rows, f"no row of {model._meta.label} to plant in"
        for row in rows:
            value = getattr(row, field.name)
            if isinstance(field, models.JSONField):
                value = {"before": value, "nested": [f"… {secret} …"]}
            else:
                value = f"{secret} {value}"[: field.max_length]
            model.objects.filter(pk=row.pk).update(**{field.name: value})


def every_value():
    """All rows of the database as text, by model."""
    for model in apps.get_models(include_auto_created=True):
        for row in model._base_manager.values():
            for column, value in row.items():
                yield f"{model._meta.label}.{column}", json.dumps(value, default=str)


def traces(*secrets):
    return {
        where
        for where, text in every_value()
        if any(secret in text for secret in secrets)
    }


@pytest.fixture
def zoe(erasures_file):
    """A reader with a row in every table that can hold one."""
    create_rows()
    zoe = make.subscriber(EMAIL, confirmed_at=make.NOW - timedelta(days=9))
    own = make.interest("search", f"papers for {EMAIL}")
    shared = make.interest("keyword", "attention")
    for interest in (own, shared):
        zoe.follows.create(interest=interest)
    make.subscriber("other@example.org").follows.create(interest=shared)
    link = Link.issue(zoe, Link.Purpose.PREFERENCES, timezone.now())
    AccountMail.objects.create(kind="sign_up", email=EMAIL)
    AccountMail.objects.create(kind="preferences", email="x@example.org", link=link)
    batch = make.batch(make.frozen(make.edition(make.DAY + timedelta(days=1))), [zoe])
    candidate = batch.slot.edition.candidates.first()
    digest = make.digest(batch, zoe, [(candidate.pk, own.pk)], outcome="accepted")
    clicks.record_click(digest, 1, "arxiv", make.NOW)
    for number, owner in enumerate((digest, None)):
        Event.objects.create(
            source="sendgrid",
            key=f"event {number} of zoe",
            semantic_key=f"zoe {number}",
            kind="delivered",
            digest=owner,
            payload={"address_hash": zoe.address_hash},
            at=make.NOW,
            processed_at=make.NOW,
        )
    saved = zoe.saved_papers.model(subscriber=zoe, saved_at=make.NOW)
    saved.paper = candidate.paper
    saved.save()
    PendingPaper.objects.create(subscriber=zoe, identifier="2401.1", at=make.NOW)
    LogEntry.objects.create(
        user=User.objects.first(),
        content_type=ContentType.objects.get_for_model(Subscriber),
        object_id=str(zoe.pk),
        object_repr=EMAIL,
        action_flag=2,
        change_message=f"Unsubscribed {EMAIL}.",
    )
    return zoe


def keys_of(reader):
    return [
        reader.unsubscribe_key,
        *reader.links.values_list("key", flat=True),
        *reader.digests.values_list("key", flat=True),
    ]


def test_no_column_holds_a_trace_of_an_erased_reader(zoe):
    Suppression.add(EMAIL, Suppression.Reason.COMPLAINT)
    keys, hashed, pk = keys_of(zoe), zoe.address_hash, zoe.pk
    batch = zoe.digests.get().batch
    for secret in (EMAIL, *keys):
        plant(zoe, secret)

    Subscriber.objects.get(pk=pk).delete()

    assert traces(EMAIL, *keys) == set()
    assert traces(hashed) == {"accounts.Suppression.address_hash"}
    batch.refresh_from_db()
    assert pk not in batch.readers


@pytest.mark.parametrize("number", range(4))
def test_each_secret_alone_is_removed(zoe, number):
    secret = [EMAIL, *keys_of(zoe)][number]
    plant(zoe, secret)
    assert traces(secret)

    Subscriber.objects.get(pk=zoe.pk).delete()

    assert traces(secret) == set()


def test_rows_of_other_readers_stay(zoe):
    other = Subscriber.objects.exclude(pk=zoe.pk).filter(digests__events=None).first()
    counts = {model: model.objects.count() for model in (Subscriber, Link, Submission)}

    zoe.delete()

    assert Subscriber.objects.filter(pk=other.pk).exists()
    assert Digest.objects.exists()
    assert Event.objects.exists()
    assert Interest.objects.filter(value="attention").exists()
    assert Submission.objects.count() == counts[Submission]


def test_a_waiting_complaint_still_suppresses_an_erased_reader(zoe):
    Event.objects.create(
        source="sendgrid",
        key="late complaint",
        semantic_key="late",
        kind="spamreport",
        digest=zoe.digests.get(),
        payload={"address_hash": zoe.address_hash},
        at=make.NOW,
    )

    zoe.delete()

    assert (
        Suppression.objects.get(address_hash=address_hash(EMAIL)).reason
        == Suppression.Reason.COMPLAINT
    )


def test_erasures_are_repeated_after_a_restore(zoe, erasures_file):
    backup = Subscriber.objects.values().get(pk=zoe.pk)
    zoe.delete()
    recorded = erasures_file.read_text()
    assert EMAIL not in recorded
    assert backup["unsubscribe_key"] not in recorded
    assert oct(os.stat(erasures_file).st_mode)[-3:] == "600"
    Subscriber.objects.bulk_create([Subscriber(**backup)])
    # The restored database gives ids again: another reader may have a recorded one.
    same_id = Subscriber.objects.create(email="new@example.org", state="active")

    call_command("repeat_erasures", verbosity=0)

    assert not Subscriber.objects.filter(email=EMAIL).exists()
    assert Subscriber.objects.filter(pk=same_id.pk).exists()


def test_unwritable_list_is_logged_and_the_reader_is_erased(zoe, erasures_file, caplog):
    erasures_file.mkdir()

    zoe.delete()

    assert not Subscriber.objects.filter(email=EMAIL).exists()
    assert "erasure not recorded" in caplog.text
    assert erasure.fingerprint(zoe) in caplog.text


def test_list_is_created_with_its_folder(zoe, settings, tmp_path):
    settings.VAR = tmp_path / "new"

    zoe.delete()

    assert (tmp_path / "new" / "erasures.txt").exists()


def test_repeating_without_a_list_erases_nobody(zoe, erasures_file):
    call_command("repeat_erasures", verbosity=0)

    assert Subscriber.objects.filter(pk=zoe.pk).exists()


def test_a_torn_list_of_erasures_is_repeated_as_far_as_it_is_readable(
    zoe, erasures_file
):
    whole = f"2026-11-20T09:00:00+00:00 {erasure.fingerprint(zoe)}\n".encode()
    erasures_file.write_bytes(b"\0" * 40 + b"\n\n" + whole + b"\xff 2026-11-2")

    call_command("repeat_erasures", verbosity=0)

    assert not Subscriber.objects.filter(pk=zoe.pk).exists()


def test_erasures_of_another_machine_are_repeated_from_its_file(
    zoe, erasures_file, tmp_path
):
    other = tmp_path / "other.txt"
    other.write_text(f"2026-11-20T09:00:00+00:00 {erasure.fingerprint(zoe)}\n")

    call_command("repeat_erasures", str(other), verbosity=0)

    assert not Subscriber.objects.filter(pk=zoe.pk).exists()


@pytest.mark.parametrize(("days", "erased"), [(179, False), (181, True)])
def test_readers_are_erased_half_a_year_after_unsubscribing(zoe, days, erased):
    zoe.unsubscribe(timezone.now() - timedelta(days=days))

    purge_expired()

    assert Subscriber.objects.filter(pk=zoe.pk).exists() != erased


def test_returning_reader_is_not_erased(zoe):
    zoe.unsubscribe(timezone.now() - timedelta(days=300))
    zoe.confirm(timezone.now(), "test")

    purge_expired()

    assert Subscriber.objects.filter(pk=zoe.pk).exists()
