"""Email addresses: validation, the canonical form, and the hash that suppressions store."""

import hashlib
import hmac

from django.conf import settings
from django.core.exceptions import ValidationError
from email_validator import EmailNotValidError, validate_email


def canonical_address(email: str) -> str:
    """Return the form in which an address is stored and compared."""
    return email.strip().lower()


def address_hash(email: str) -> str:
    """Return the HMAC-SHA256 of the canonical address under SUPPRESSION_KEY."""
    key = settings.SUPPRESSION_KEY.encode()
    return hmac.new(key, canonical_address(email).encode(), hashlib.sha256).hexdigest()


def parse_address(raw: str) -> str:
    """Return the canonical form of user input, or raise ValidationError.

    No DNS lookup: response times must not depend on the address. ASCII only, because not
    every provider supports SMTPUTF8; domains are converted to punycode.
    """
    try:
        parsed = validate_email(
            raw.strip(), check_deliverability=False, allow_smtputf8=False
        )
    except EmailNotValidError as error:
        raise ValidationError("Enter a valid email address.") from error
    return canonical_address(parsed.ascii_email or parsed.normalized)
