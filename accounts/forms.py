"""Forms for visitors: untrusted addresses and requested interests, validated and bounded."""

import functools
import zoneinfo
from typing import Any

from django import forms

from accounts.addresses import parse_address

MAX_REQUESTED_INTERESTS = 60
# The longest legitimate value is "search:" and a search query of 250 characters.
MAX_INTEREST_LENGTH = 260


@functools.cache
def time_zones() -> frozenset[str]:
    """Return every time zone name; cached because the names are read from disk."""
    return frozenset(zoneinfo.available_timezones())


class AddressField(forms.CharField):
    """A field that cleans to a canonical address."""

    def __init__(self) -> None:
        # 254 characters: RFC 5321, 4.5.3.1.3, without the angle brackets.
        super().__init__(
            max_length=254,
            error_messages={
                "required": "Enter your email address.",
                "max_length": "This is too long for an email address.",
            },
        )

    def clean(self, value: Any) -> str:
        return parse_address(super().clean(value))


class RequestedInterestsField(forms.Field):
    """Interests as "kind:value" strings; malformed ones are dropped without an error."""

    widget = forms.MultipleHiddenInput

    def clean(self, value: Any) -> list[str]:
        well_formed = [text for text in value or [] if self.is_well_formed(text)]
        return well_formed[:MAX_REQUESTED_INTERESTS]

    @staticmethod
    def is_well_formed(text: str) -> bool:
        # PostgreSQL's JSON cannot store a NUL.
        return ":" in text and "\0" not in text and len(text) <= MAX_INTEREST_LENGTH


class AddressForm(forms.Form):
    email = AddressField()


class SubscribeForm(forms.Form):
    """A sign-up: an address, the requested interests and the browser's time zone."""

    email = AddressField()
    requested_interests = RequestedInterestsField(required=False)
    zone = forms.CharField(required=False)
    # Hidden from people by CSS; spam bots fill it.
    website = forms.CharField(required=False)

    def clean_zone(self) -> str:
        zone: str = self.cleaned_data["zone"]
        return zone if zone in time_zones() else "UTC"
