"""How often strangers may make us send mail, counted in the cache."""

import ipaddress
import time
from urllib.parse import quote

import structlog
from django.conf import settings
from django.core.cache import caches
from django.http import HttpRequest
from django_ratelimit.core import is_ratelimited
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

# A first mail, one that was lost, and one more.
MAILBOX_RATE = "3/h"
# A seminar that signs up together from behind one address; more is a program.
NETWORK_RATE = "20/h"
# An editor who tries every password they ever had, and a colleague beside them.
LOGIN_RATE = "20/h"
# A company in the week of its launch: its catch-all must not be flooded through us.
DOMAIN_RATE = "200/h"
# Domains that millions of strangers share say nothing of who floods whom.
SHARED_RATE = "2000/h"
SHARED = frozenset(
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
# The part of a number that its owner cannot change at will.
IPV4_PREFIX, IPV6_PREFIX = 24, 64
PERIODS = {"m": 60, "h": 3600}  # seconds


def used_up(group: str, value: str, rate: str) -> bool:
    """Count one more of `value` in `group`; True when that is more than `rate` allows.

    Without Redis each process counts for itself: nobody is locked out, the control room
    least of all, and nobody may try without end.
    """
    try:
        return bool(
            is_ratelimited(
                None, group=group, key=lambda *_: value, rate=rate, increment=True
            )
        )
    except RedisError as error:
        log.warning("redis away, limits by process", error=str(error))
        return used_up_here(group, value, rate)


def used_up_here(group: str, value: str, rate: str) -> bool:
    """The same, counted in this process."""
    number, _, unit = rate.partition("/")
    seconds = PERIODS[unit]
    key = quote(f"{group}/{value}/{int(time.time()) // seconds}")
    here = caches["process"]
    here.add(key, 0, seconds)
    return here.incr(key) > int(number)


def network(request: HttpRequest) -> str:
    """The network that a request comes from: a /24, or a /64 of IPv6."""
    number = ipaddress.ip_address(number_of(request))
    prefix = IPV4_PREFIX if number.version == 4 else IPV6_PREFIX
    return str(ipaddress.ip_network(f"{number}/{prefix}", strict=False))


def number_of(request: HttpRequest) -> str:
    """The visitor's number; only our own proxy, which writes the last one, is believed."""
    direct: str = request.META.get("REMOTE_ADDR") or "127.0.0.1"  # "" on a Unix socket
    said = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    if settings.BEHIND_PROXY and is_number(said):
        return said
    return direct


def is_number(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def network_is_busy(request: HttpRequest) -> bool:
    """Whether too many forms come from this visitor's network."""
    return used_up("forms of a network", network(request), NETWORK_RATE)


def login_is_busy(request: HttpRequest) -> bool:
    """Whether too many passwords were tried from this visitor's network."""
    return used_up("logins of a network", network(request), LOGIN_RATE)


def mailbox_is_full(email: str) -> bool:
    """Whether this mailbox, or its domain, was mailed often enough this hour.

    ada+anything@ is ada's mailbox.
    """
    local, _, domain = email.rpartition("@")
    mailbox = f"{local.partition('+')[0]}@{domain}"
    rate = SHARED_RATE if domain in SHARED else DOMAIN_RATE
    return used_up("mails to a mailbox", mailbox, MAILBOX_RATE) or used_up(
        "mails to a domain", domain, rate
    )
