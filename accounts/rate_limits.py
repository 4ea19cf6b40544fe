"""Rate limits, counted in Django's cache in fixed windows."""

import ipaddress
import time
from urllib.parse import quote

import structlog
from django.conf import settings
from django.core.cache import BaseCache, caches
from django.http import HttpRequest
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

PERIOD_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

# A first mail, a lost one and one more.
MAILS_PER_MAILBOX = "3/h"
# A seminar that signs up together behind one gateway.
FORMS_PER_NETWORK = "20/h"
LOGINS_PER_NETWORK = "20/h"
# Bounds how much mail others can make us send to one organisation.
MAILS_PER_DOMAIN = "200/h"
# Mailbox providers with millions of unrelated users.
MAILS_PER_SHARED_DOMAIN = "2000/h"
SHARED_DOMAINS = frozenset(
    [
        "gmail.com",
        "googlemail.com",
        "outlook.com",
        "hotmail.com",
        "live.com",
        "yahoo.com",
        "icloud.com",
        "me.com",
        "proton.me",
        "protonmail.com",
        "gmx.de",
        "gmx.net",
        "web.de",
        "qq.com",
        "163.com",
    ]
)
# One customer of an access provider controls every address below these prefixes.
IPV4_PREFIX, IPV6_PREFIX = 24, 64


def hit(group: str, value: str, limit: str) -> int:
    """Count one use by `value` in `group`, where `limit` is such as "3/h".

    Return 0 while within the limit, else the seconds until the window ends. Without Redis
    each process counts for itself, so limits get weaker but never lock anyone out.
    """
    maximum, _, unit = limit.partition("/")
    period = PERIOD_SECONDS[unit]
    window, elapsed = divmod(int(time.time()), period)
    key = f"rate:{quote(group)}:{quote(value)}:{period}:{window}"
    try:
        count = increment(caches["default"], key, period)
    except RedisError as error:
        log.warning("redis is down, rate limits count per process", error=str(error))
        count = increment(caches["process"], key, period)
    return period - elapsed if count > int(maximum) else 0


def increment(cache: BaseCache, key: str, timeout: int) -> int:
    cache.add(key, 0, timeout)
    try:
        return cache.incr(key)
    except ValueError:  # evicted or expired since
        cache.set(key, 1, timeout)
        return 1


def client_ip(request: HttpRequest) -> str:
    """Return the visitor's IP address; only the last X-Forwarded-For entry, our proxy's, is trusted."""
    # Empty on a Unix socket.
    peer: str = request.META.get("REMOTE_ADDR") or "127.0.0.1"
    forwarded = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    return forwarded if settings.BEHIND_PROXY and is_ip_address(forwarded) else peer


def is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def client_network(request: HttpRequest) -> str:
    """Return the network that a request comes from: a /24, or a /64 of IPv6."""
    address = ipaddress.ip_address(client_ip(request))
    prefix = IPV4_PREFIX if address.version == 4 else IPV6_PREFIX
    return str(ipaddress.ip_network(f"{address}/{prefix}", strict=False))


def hit_form(request: HttpRequest) -> int:
    """Count a form posted from the visitor's network."""
    return hit("forms", client_network(request), FORMS_PER_NETWORK)


def hit_login(request: HttpRequest) -> int:
    """Count a login attempt from the visitor's network."""
    return hit("logins", client_network(request), LOGINS_PER_NETWORK)


def hit_mailbox(email: str) -> int:
    """Count a mail to this mailbox and to its domain; subaddresses (ada+x@) share a mailbox."""
    local, _, domain = email.rpartition("@")
    mailbox = f"{local.partition('+')[0]}@{domain}"
    domain_limit = (
        MAILS_PER_SHARED_DOMAIN if domain in SHARED_DOMAINS else MAILS_PER_DOMAIN
    )
    return hit("mails to a mailbox", mailbox, MAILS_PER_MAILBOX) or hit(
        "mails to a domain", domain, domain_limit
    )


def hit_address_change(subscriber_id: int, new_email: str) -> int:
    """Count a requested change of address, by reader and by new mailbox."""
    return hit("address changes", str(subscriber_id), MAILS_PER_MAILBOX) or hit_mailbox(
        new_email
    )
