"""Sign-in of staff: limits on failures, two-factor authentication, and its setting."""

import secrets
from collections.abc import Callable

import structlog
from django.conf import settings
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.signals import user_logged_in
from django.core import signing
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django_otp.models import Device
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts import rate_limits
from accounts.addresses import canonical_address
from accounts.models import User

log = structlog.get_logger(__name__)

# An editor who tries every password they ever had.
FAILED_SIGN_INS = "10/h"
# A browser that an account has signed in from. It counts its own failures, so that others
# who guess at the account from the same network do not lock out its owner.
BROWSER_COOKIE = "known_browser"
BROWSER_COOKIE_AGE_S = 180 * 86_400
RECOVERY_CODES = 10
TOTP_DIGITS = 6


def sign_in_source(request: HttpRequest, email: str) -> str:
    """Return what failed sign-ins are counted by: the account, with its browser or network."""
    account = canonical_address(email)
    try:
        browser_account, browser = signing.loads(
            request.COOKIES.get(BROWSER_COOKIE, ""),
            salt=BROWSER_COOKIE,
            max_age=BROWSER_COOKIE_AGE_S,
        )
    except signing.BadSignature:
        browser_account = browser = ""
    if browser_account == account:
        return f"{account} in browser {browser}"
    return f"{account} in network {rate_limits.client_network(request)}"


def hit_sign_in(request: HttpRequest, email: str) -> int:
    """Count a sign-in before its password is checked; return the seconds to wait, or 0."""
    return rate_limits.hit("sign-ins", sign_in_source(request, email), FAILED_SIGN_INS)


def clear_sign_ins(request: HttpRequest, email: str) -> None:
    """Reset the count after a successful sign-in, so that only failures count."""
    rate_limits.clear("sign-ins", sign_in_source(request, email), FAILED_SIGN_INS)


def log_failed_sign_in(request: HttpRequest, email: str, reason: str) -> None:
    account = User.objects.filter(email=canonical_address(email)).first()
    log.warning(
        "sign-in failed",
        account=account and account.pk,
        network=rate_limits.client_network(request),
        reason=reason,
    )


def verify_code(user: User, code: str) -> bool:
    code = "".join(code.split()).replace("-", "").lower()
    device: Device | None
    with transaction.atomic():
        if len(code) == TOTP_DIGITS:
            totp_devices = TOTPDevice.objects.select_for_update()
            device = totp_devices.filter(user=user, confirmed=True).first()
        else:
            device = StaticDevice.objects.select_for_update().filter(user=user).first()
        return device is not None and device.verify_token(code)


def pending_device(user: User) -> TOTPDevice:
    device, _ = TOTPDevice.objects.get_or_create(
        user=user, confirmed=False, defaults={"name": settings.SITE_NAME}
    )
    return device


def turn_on_two_factor(request: HttpRequest, user: User, code: str) -> list[str] | None:
    """Confirm the pending device; return new recovery codes, or None if the code is wrong.

    All other sessions of the user end.
    """
    device = pending_device(user)
    device.throttle_reset()  # the user sees the key, so guessing it gains nothing
    if not device.verify_token(code.strip()):
        return None
    with transaction.atomic():
        TOTPDevice.objects.filter(user=user, confirmed=True).delete()
        StaticDevice.objects.filter(user=user).delete()
        device.confirmed = True
        device.save(update_fields=["confirmed"])
        recovery = StaticDevice.objects.create(user=user, name="recovery codes")
        codes = [StaticToken.random_token() for _ in range(RECOVERY_CODES)]
        StaticToken.objects.bulk_create(
            StaticToken(device=recovery, token=code) for code in codes
        )
        user.two_factor_at = timezone.now()
        user.save(update_fields=["two_factor_at"])
    update_session_auth_hash(request, user)
    return codes


def turn_off_two_factor(request: HttpRequest, user: User) -> None:
    """Delete the devices of a user; their sessions end, except this one if it is theirs."""
    with transaction.atomic():
        TOTPDevice.objects.filter(user=user).delete()
        StaticDevice.objects.filter(user=user).delete()
        user.two_factor_at = None
        user.save(update_fields=["two_factor_at"])
    if request.user == user:
        update_session_auth_hash(request, user)


class StaffAccessMiddleware:
    """Remember browsers that staff signed in from, and enforce REQUIRE_TWO_FACTOR."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if self.must_set_up(request):
            return redirect("admin:accounts_user_two_factor")
        response = self.get_response(request)
        if account := getattr(request, "signed_in_account", ""):
            response.set_cookie(
                BROWSER_COOKIE,
                signing.dumps([account, secrets.token_hex(8)], salt=BROWSER_COOKIE),
                max_age=BROWSER_COOKIE_AGE_S,
                path=reverse("admin:index"),
                secure=settings.SESSION_COOKIE_SECURE,
                httponly=True,
                samesite="Lax",
            )
        return response

    @staticmethod
    def must_set_up(request: HttpRequest) -> bool:
        if not settings.REQUIRE_TWO_FACTOR:
            return False
        if not request.path.startswith(reverse("admin:index")):
            return False
        exempt = ("admin:accounts_user_two_factor", "admin:logout", "admin:jsi18n")
        user = request.user
        return (
            isinstance(user, User)
            and user.is_staff
            and user.two_factor_at is None
            and request.path not in map(reverse, exempt)
        )


def mark_signed_in(request: HttpRequest | None, user: User, **_: object) -> None:
    if request:
        request.signed_in_account = user.email  # type: ignore[attr-defined]


user_logged_in.connect(mark_signed_in)
