"""Email addresses: validation, the canonical form, and the hash that suppressions store."""

import hashlib
import hmac

import idna
from django.conf import settings
from django.core.exceptions import ValidationError
from email_validator import EmailNotValidError, validate_email

# Gmail ignores dots in the local part, and delivers both domains to one mailbox.
GMAIL_DOMAINS = {"gmail.com", "googlemail.com"}


def canonical_address(email: str) -> str:
    """Return the form in which an address is stored, compared, searched and suppressed.

    Lower case, with the domain as punycode. Text that is not an address is lower-cased.
    """
    local, at, domain = email.strip().lower().rpartition("@")
    return local + at + ascii_domain(domain)


def ascii_domain(domain: str) -> str:
    try:
        return idna.encode(domain, uts46=True).decode().rstrip(".")
    except idna.IDNAError:
        return domain


def mailbox_of(email: str) -> str:
    """Return the mailbox that an address reaches, for limits only: ada+x@ and ada@ share one."""
    local, at, domain = canonical_address(email).rpartition("@")
    local = local.partition("+")[0]
    if domain in GMAIL_DOMAINS:
        local, domain = local.replace(".", ""), "gmail.com"
    return local + at + domain


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
