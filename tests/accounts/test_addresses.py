"""The canonical form of addresses, and the mailbox that limits count."""

import pytest

from accounts.addresses import (
    address_hash,
    canonical_address,
    mailbox_of,
    parse_address,
)
from accounts.models import Suppression, User
from tests import make


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        (" Ada@Example.ORG ", "ada@example.org"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("ada@BÜCHER.example", "ada@xn--bcher-kva.example"),
        ("ada@bu\u0308cher.example", "ada@xn--bcher-kva.example"),
        ("ada@XN--BCHER-KVA.example", "ada@xn--bcher-kva.example"),
        ("ada@\uff42\xfccher\uff0eexample", "ada@xn--bcher-kva.example"),
        ("ada@example.org.", "ada@example.org"),
        ("a.d.a+x@gmail.com", "a.d.a+x@gmail.com"),
        ("ada@under_score.example", "ada@under_score.example"),
        ("not an address", "not an address"),
        ("@", "@"),
        ("", ""),
    ],
)
def test_every_spelling_has_one_canonical_form(typed, stored):
    assert canonical_address(typed) == stored
    assert canonical_address(stored) == stored
    assert address_hash(typed) == address_hash(stored)


def test_form_input_and_canonical_form_agree():
    for typed in ("Ada@MÜNCHEN.example", "ada@xn--mnchen-3ya.example"):
        assert parse_address(typed) == canonical_address(typed)


@pytest.mark.parametrize(
    ("email", "mailbox"),
    [
        ("ada+papers@example.org", "ada@example.org"),
        ("a.da@example.org", "a.da@example.org"),
        ("a.d.a+x@gmail.com", "ada@gmail.com"),
        ("A.da@GoogleMail.com", "ada@gmail.com"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
    ],
)
def test_limits_count_spellings_that_reach_one_mailbox(email, mailbox):
    assert mailbox_of(email) == mailbox


@pytest.mark.both
def test_suppression_in_one_spelling_blocks_the_other(db):
    reader = make.subscriber("ada@xn--bcher-kva.example")

    Suppression.add("Ada@Bücher.example", Suppression.Reason.MANUAL)

    assert not reader.may_be_mailed(make.NOW)


def test_staff_sign_in_with_any_spelling_of_their_address(client, edith):
    assert User.objects.get_by_natural_key(" Edith@EXAMPLE.org") == edith
