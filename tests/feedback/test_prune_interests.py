"""Interests without followers are deleted once no recent digest names them."""

import threading
from datetime import timedelta

import pytest
from django.db import connection

from digest import follows
from digest.feedback import implicit_follows, prune_interests
from digest.models import Follow, Interest
from tests import make

pytestmark = [pytest.mark.both, pytest.mark.django_db]


def values():
    return sorted(Interest.objects.values_list("value", flat=True))


def test_an_interest_is_deleted_with_its_last_follower(ada):
    ada.follows.create(interest=make.interest("keyword", "followed"))
    make.interest("search", "my rare illness")

    assert prune_interests.prune_interests(make.NOW) == 1
    assert values() == ["followed"]


@pytest.mark.parametrize("opened", [False, True])
def test_an_interest_named_by_a_recent_digest_is_kept(ada, opened):
    named = make.interest("paper", "2611.00001")
    edition = make.edition(papers=2)
    first, second = edition.candidates.all()
    picks = [(first.pk, 0), (second.pk, named.pk, opened)]
    make.digest(make.batch(edition, [ada]), ada, picks)

    assert prune_interests.prune_interests(make.NOW + timedelta(days=30)) == 0
    assert prune_interests.prune_interests(make.NOW + timedelta(days=38)) == 1
    assert values() == []


def test_an_interest_followed_meanwhile_is_kept(ada):
    interest = make.interest("keyword", "followed again")
    ada.follows.create(interest=interest)

    assert prune_interests._delete_unfollowed([interest.pk]) == 0
    assert ada.follows.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("take", ["one", "list", "opened"])
def test_pruning_locks_interests_against_new_followers(ada, take, monkeypatch):
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer at a time: there is no race")
    make.interest("paper", make.paper(identifier="2611.00001").identifier)
    make.digest(make.batch(make.edition(papers=0), [ada]), ada, key="letter")

    def tidy():
        prune_interests.prune_interests(make.NOW)
        connection.close()

    night = threading.Thread(target=tidy)
    write = "update_or_create" if take == "one" else "bulk_create"
    writes = getattr(Follow.objects, write)

    def meanwhile(*arguments, **named):
        night.start()
        night.join(1)  # it waits, or is done
        return writes(*arguments, **named)

    monkeypatch.setattr(Follow.objects, write, meanwhile)
    if take == "one":
        follows.follow(ada, "paper", "2611.00001")
    elif take == "list":
        follows.follow_papers(ada, ["2611.00001"])
    else:
        implicit_follows.learn_follows({"letter": ["2611.00001"]}, make.NOW)
    night.join()

    assert ada.follows.get().interest.value == "2611.00001"


def test_digests_are_read_in_chunks(ada, monkeypatch):
    monkeypatch.setattr(prune_interests, "CHUNK_SIZE", 1)
    edition = make.edition(papers=11)
    named = [make.interest("keyword", f"word {number}") for number in range(11)]
    make.interest("keyword", "lonely")
    pairs = zip(edition.candidates.all(), named, strict=True)
    picks = [(candidate.pk, interest.pk) for candidate, interest in pairs]
    batch = make.batch(edition, [ada])
    make.digest(batch, ada, picks)
    make.digest(batch, make.subscriber(), picks[:1])
    make.digest(batch, make.subscriber())

    assert prune_interests.prune_interests(make.NOW) == 1
    assert len(values()) == 11
