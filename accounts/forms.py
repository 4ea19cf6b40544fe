"""What strangers type: addresses and requested_interests, read and bounded."""

import functools
import zoneinfo
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from email_validator import EmailNotValidError, validate_email

from accounts.models import normal

# More than thirty requested_interests, or a longer one, comes from a program. The longest
# honest wish is a search of 250 characters behind its kind.
WISHES = 30
WISH_LENGTH = 260


def address(raw: str) -> str:
    """The stored form of an address; ValidationError where no mail could reach it.

    Asks nobody (no DNS): how long an answer takes must not depend on the address.
    ASCII only, because not every provider carries SMTPUTF8; domains become punycode.
    """
    try:
        read = validate_email(
            raw.strip(), check_deliverability=False, allow_smtputf8=False
        )
    except EmailNotValidError as why:
        raise ValidationError("That is not an email address we can write to.") from why
    return normal(read.ascii_email or read.normalized)


@functools.cache
def zones() -> frozenset[str]:
    """Every time zone; read from disk once, because a form asks each time."""
    return frozenset(zoneinfo.available_timezones())


class AddressField(forms.CharField):
    """An address in its stored form."""

    def __init__(self) -> None:
        # 254 characters: RFC 5321, 4.5.3.1.3, without the angle brackets.
        super().__init__(
            max_length=254,
            error_messages={
                "required": "Type the address that the papers should go to.",
                "max_length": "That is longer than an email address can be.",
            },
        )

    def clean(self, value: Any) -> str:
        return address(super().clean(value))


class WishField(forms.Field):
    """Wishes as "kind:value" strings; what is no wish is dropped, not refused."""

    widget = forms.MultipleHiddenInput

    def clean(self, value: Any) -> list[str]:
        return [wish for wish in value or [] if self.fits(wish)][:WISHES]

    @staticmethod
    def fits(wish: str) -> bool:
        # PostgreSQL's JSON holds no NUL.
        return ":" in wish and "\0" not in wish and len(wish) <= WISH_LENGTH


class AddressForm(forms.Form):
    """One address."""

    email = AddressField()


class SubscribeForm(forms.Form):
    """A sign-up: an address, what it wants to read, and where its mornings are."""

    email = AddressField()
    wish = WishField(required=False)
    zone = forms.CharField(required=False)
    # People do not see this field; programs fill it.
    website = forms.CharField(required=False)

    def clean_zone(self) -> str:
        zone: str = self.cleaned_data["zone"]
        return zone if zone in zones() else "UTC"
