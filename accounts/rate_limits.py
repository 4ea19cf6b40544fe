"""Rate limits, counted in Django's cache in fixed windows."""

import contextlib
import hashlib
import ipaddress
import time

import structlog
from django.conf import settings
from django.core.cache import BaseCache, caches
from django.http import HttpRequest
from redis.exceptions import RedisError

from accounts.addresses import mailbox_of

log = structlog.get_logger(__name__)

PERIOD_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

# An hour: a first mail, a lost one and one more. A day: a second attempt in the evening.
MAILS_PER_MAILBOX = ("3/h", "6/d")
# A seminar that signs up together behind one gateway.
FORMS_PER_NETWORK = "20/h"
# Bounds how much mail others can make us send to one organisation.
MAILS_PER_DOMAIN = "200/h"
# Mailbox providers with millions of unrelated users.
MAILS_PER_SHARED_DOMAIN = "2000/h"
# A quarter of a domain's limit, so that no provider's network exhausts it for all others.
MAILS_PER_DOMAIN_FROM_ONE_PROVIDER = "50/h"
MAILS_PER_SHARED_DOMAIN_FROM_ONE_PROVIDER = "500/h"
SHARED_DOMAINS = frozenset(
    [
        "gmail.com",
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
# By IP version. A customer of an access provider controls up to a /48 of IPv6; providers
# are assigned a /32.
CUSTOMER_PREFIX = {4: 24, 6: 48}
PROVIDER_PREFIX = {4: 16, 6: 32}
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
LOOPBACK = ipaddress.IPv4Address("127.0.0.1")


def hit(group: str, value: str, limit: str) -> int:
    """Count one use by `value` in `group`, where `limit` is such as "3/h".

    Return 0 while within the limit, else the seconds until the window ends. Without Redis
    each process counts for itself, so limits get weaker but never lock anyone out.
    """
    maximum, _, unit = limit.partition("/")
    period = PERIOD_SECONDS[unit]
    key, seconds_left = window_key(group, value, period)
    try:
        count = increment(caches["default"], key, period)
    except RedisError as error:
        log.warning("redis is down, rate limits count per process", error=str(error))
        count = increment(caches["process"], key, period)
    return seconds_left if count > int(maximum) else 0


def clear(group: str, value: str, limit: str) -> None:
    key, _ = window_key(group, value, PERIOD_SECONDS[limit.partition("/")[2]])
    caches["process"].delete(key)
    with contextlib.suppress(RedisError):
        caches["default"].delete(key)


def window_key(group: str, value: str, period: int) -> tuple[str, int]:
    """Return the cache key of the current window, and the seconds until it ends."""
    window, elapsed = divmod(int(time.time()), period)
    # Hashed, so that the cache holds no addresses.
    name = hashlib.sha256(f"{group}:{value}".encode()).hexdigest()
    return f"rate:{name}:{period}:{window}", period - elapsed


def increment(cache: BaseCache, key: str, timeout: int) -> int:
    cache.add(key, 0, timeout)
    try:
        return cache.incr(key)
    except ValueError:  # evicted or expired since
        cache.set(key, 1, timeout)
        return 1


def client_ip(request: HttpRequest) -> IPAddress:
    """Return the visitor's IP address.

    Each proxy appends the address it was called from to X-Forwarded-For, so the last
    TRUSTED_PROXIES entries are trustworthy and the first of those is the visitor's.
    """
    # REMOTE_ADDR is empty on a Unix socket.
    peer = parse_ip(request.META.get("REMOTE_ADDR", "")) or LOOPBACK
    if not settings.TRUSTED_PROXIES:
        return peer
    entries = request.headers.get("X-Forwarded-For", "").split(",")
    return parse_ip(entries[-settings.TRUSTED_PROXIES :][0]) or peer


def parse_ip(text: str) -> IPAddress | None:
    """Parse an address with or without port, brackets, quotes and zone; None if it is none.

    IPv4 addresses within IPv6 (mapped, NAT64, 6to4, Teredo) are returned as IPv4.
    """
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    _, teredo_client = address.teredo or (None, None)
    return address.ipv4_mapped or address.sixtofour or teredo_client or address


def network_of(address: IPAddress, prefixes: dict[int, int]) -> str:
    prefix = prefixes[address.version]
    return str(ipaddress.ip_network((address, prefix), strict=False))


def client_network(request: HttpRequest) -> str:
    return network_of(client_ip(request), CUSTOMER_PREFIX)


def hit_form(request: HttpRequest) -> int:
    return hit("forms", client_network(request), FORMS_PER_NETWORK)


def hit_mailbox(email: str, ip: IPAddress | None = None) -> int:
    """Count a mail to this mailbox and to its domain; `ip` is the visitor who requested it.

    A mail that one limit refuses does not count towards the next one, so that a provider
    over its share does not use up the domain.
    """
    mailbox = mailbox_of(email)
    domain = mailbox.rpartition("@")[2]
    is_shared = domain in SHARED_DOMAINS
    limits = [("mails to a mailbox", mailbox, limit) for limit in MAILS_PER_MAILBOX]
    if ip:
        share = f"{domain} from {network_of(ip, PROVIDER_PREFIX)}"
        limit = (
            MAILS_PER_SHARED_DOMAIN_FROM_ONE_PROVIDER
            if is_shared
            else MAILS_PER_DOMAIN_FROM_ONE_PROVIDER
        )
        limits.append(("mails to a domain", share, limit))
    limit = MAILS_PER_SHARED_DOMAIN if is_shared else MAILS_PER_DOMAIN
    limits.append(("mails to a domain", domain, limit))
    return next((wait for args in limits if (wait := hit(*args))), 0)


def hit_address_change(subscriber_id: int, new_email: str) -> int:
    """Count a requested change of address, by reader and by new mailbox."""
    reader = str(subscriber_id)
    waits = (hit("address changes", reader, limit) for limit in MAILS_PER_MAILBOX)
    return next(filter(None, waits), 0) or hit_mailbox(new_email)
