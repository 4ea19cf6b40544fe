"""An identifier of this installation, by which it recognises itself at its public URL."""

from functools import cache

from django.utils.crypto import salted_hmac

INSTALLATION_HEADER = "Paper-Round-Installation"


@cache
def installation_id() -> str:
    """The same on all machines with one SECRET_KEY; public."""
    return salted_hmac("digest.installation", "", algorithm="sha256").hexdigest()[:16]
