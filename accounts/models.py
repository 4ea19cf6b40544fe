"""Who a person is (User, Subscriber), what opens their doors (Link), and whom we must never mail (Suppression)."""

import hashlib
import hmac
import secrets
import zoneinfo
from datetime import datetime, timedelta
from typing import Any, ClassVar, Self

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

# What a person agreed to, kept with the consent so that it can be shown later.
CONSENT_TEXT = (
    "Mail me a digest of new research papers, at the times I choose, until I leave."
)

# 128 bits: a link that opens somebody's preferences must not be guessable.
KEY_BYTES = 16


def new_key() -> str:
    """A random, URL-safe key of 22 characters."""
    return secrets.token_urlsafe(KEY_BYTES)


def normal(email: str) -> str:
    """The form in which an address is stored and compared."""
    return email.strip().lower()


def address_hash(email: str) -> str:
    """HMAC-SHA256 of the normal form: recognises an address without keeping it."""
    key = settings.SUPPRESSION_KEY.encode()
    return hmac.new(key, normal(email).encode(), hashlib.sha256).hexdigest()


def validate_zone(name: str) -> None:
    if name not in zoneinfo.available_timezones():
        raise ValidationError(
            f"{name!r} is not a time zone: use a name such as Europe/Berlin."
        )


class UserManager(BaseUserManager["User"]):
    """Users are made by email address."""

    def create_user(
        self, email: str, password: str | None = None, **fields: Any
    ) -> "User":
        user = self.model(email=normal(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(
        self, email: str, password: str | None = None, **fields: Any
    ) -> "User":
        return self.create_user(
            email, password, is_staff=True, is_superuser=True, **fields
        )


class User(AbstractBaseUser, PermissionsMixin):
    """An editor or operator: somebody who logs in. Readers never do."""

    email = models.EmailField(
        unique=True, help_text="The address this person logs in with."
    )
    name = models.CharField(
        max_length=120, blank=True, help_text="How the audit log calls them."
    )
    is_staff = models.BooleanField(
        "may curate", default=False, help_text="May open the control room."
    )
    is_active = models.BooleanField(
        "may log in",
        default=True,
        help_text="Untick instead of deleting, so that history keeps a name.",
    )
    date_joined = models.DateTimeField(default=timezone.now, editable=False)

    objects = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        verbose_name = "editor"

    def __str__(self) -> str:
        return self.name or self.email


class SubscriberQuerySet(models.QuerySet["Subscriber"]):
    """Many readers at once."""

    def mailable(self, now: datetime) -> Self:
        """Readers who agreed, are not paused at `now`, and have not left."""
        awake = models.Q(paused_until=None) | models.Q(paused_until__lte=now)
        return self.filter(awake, state=Subscriber.State.ACTIVE)

    def never_confirmed(self, now: datetime) -> Self:
        """Sign-ups that nobody confirmed within a month: we have no reason to keep the address."""
        old = now - Subscriber.UNCONFIRMED_KEPT
        return self.filter(state=Subscriber.State.PENDING, created_at__lte=old)

    def not_suppressed(self) -> Self:
        """Readers whose address no bounce or complaint forbids."""
        return self.exclude(address_hash__in=Suppression.objects.values("address_hash"))


class Subscriber(models.Model):
    """A reader: one address, what it agreed to, and when it wants mail."""

    class State(models.TextChoices):
        PENDING = "pending", "has not confirmed"
        ACTIVE = "active", "gets digests"
        LEFT = "left", "unsubscribed"

    class Frequency(models.TextChoices):
        DAILY = "daily", "every day that has papers"
        WEEKDAYS = "weekdays", "Monday to Friday"
        WEEKLY = "weekly", "once a week"

    class Weekday(models.IntegerChoices):
        MONDAY = 0, "Monday"
        TUESDAY = 1, "Tuesday"
        WEDNESDAY = 2, "Wednesday"
        THURSDAY = 3, "Thursday"
        FRIDAY = 4, "Friday"
        SATURDAY = 5, "Saturday"
        SUNDAY = 6, "Sunday"

    class FillMode(models.TextChoices):
        FOLLOWED_ONLY = "followed_only", "only papers that match what they follow"
        FOLLOWED_FIRST = (
            "followed_first",
            "what they follow first, trending papers fill the rest",
        )
        HALF = "half", "half what they follow, half trending"

    UNCONFIRMED_KEPT = timedelta(days=30)

    email = models.EmailField(
        unique=True, help_text="Where digests go; kept in lower case."
    )
    address_hash = models.CharField(max_length=64, editable=False, db_index=True)
    state = models.CharField(
        max_length=8,
        choices=State.choices,
        default=State.PENDING,
        help_text="Only a reader who confirmed by the link in a mail gets digests.",
    )
    zone = models.CharField(
        "time zone",
        max_length=64,
        default="UTC",
        validators=[validate_zone],
        help_text="The reader's time zone, such as Europe/Berlin.",
    )
    hour = models.PositiveSmallIntegerField(
        default=7,
        validators=[MaxValueValidator(23)],
        help_text="The local hour of the mail, 0 to 23.",
    )
    frequency = models.CharField(
        max_length=8,
        choices=Frequency.choices,
        default=Frequency.DAILY,
        help_text="How often the reader wants mail.",
    )
    weekday = models.PositiveSmallIntegerField(
        choices=Weekday.choices,
        default=Weekday.MONDAY,
        help_text="The day of a weekly mail.",
    )
    length = models.PositiveSmallIntegerField(
        "papers in a digest",
        default=10,
        validators=[MinValueValidator(1), MaxValueValidator(30)],
        help_text="At most this many papers in a digest, 1 to 30.",
    )
    fill_mode = models.CharField(
        max_length=14,
        choices=FillMode.choices,
        default=FillMode.FOLLOWED_FIRST,
        help_text="How much of a digest comes for its trend alone.",
    )
    note_when_empty = models.BooleanField(
        "note when there is nothing",
        default=False,
        help_text="A day without a paper for them is a short note; otherwise silence.",
    )
    learns_from_clicks = models.BooleanField(
        "learns from clicks",
        default=True,
        help_text="Papers they open count as a weak sign of what they like.",
    )
    paused_until = models.DateTimeField(
        null=True, blank=True, help_text="No mail before this time."
    )
    unsubscribe_key = models.CharField(
        max_length=22, unique=True, default=new_key, editable=False
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    confirmed_at = models.DateTimeField(null=True, editable=False)
    left_at = models.DateTimeField(null=True, editable=False)
    consent_text = models.CharField(max_length=200, blank=True, editable=False)
    consent_how = models.CharField(max_length=40, blank=True, editable=False)

    objects = SubscriberQuerySet.as_manager()

    class Meta:
        verbose_name = "reader"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(hour__lte=23), name="a_readers_hour_is_0_to_23"
            ),
        ]
        indexes = [models.Index("state", "hour", "zone", name="readers_by_hour")]

    def __str__(self) -> str:
        return self.email

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Keep the address in its normal form, and its hash beside it."""
        self.email = normal(self.email)
        self.address_hash = address_hash(self.email)
        super().save(*args, **kwargs)

    @property
    def is_active(self) -> bool:
        return self.state == self.State.ACTIVE

    @property
    def wants_note(self) -> bool:
        """Whether a day with nothing for this reader is a short note; only who gets nothing but their own has such days."""
        return self.note_when_empty and self.fill_mode == self.FillMode.FOLLOWED_ONLY

    def may_be_mailed(self, now: datetime) -> bool:
        """Whether this reader agreed, is not paused at `now`, and is not suppressed."""
        return (
            Subscriber.objects.mailable(now)
            .not_suppressed()
            .filter(pk=self.pk)
            .exists()
        )

    def confirm(self, now: datetime, how: str) -> bool:
        """Record consent and begin mailing; False if a complaint forbids it for ever."""
        if not Suppression.objects.forgive(self.address_hash, now):
            return False
        if not self.is_active:
            self.state = self.State.ACTIVE
            self.confirmed_at, self.left_at, self.paused_until = now, None, None
            self.consent_text, self.consent_how = CONSENT_TEXT, how
            self.save()
        return True

    def leave(self, now: datetime) -> None:
        """Stop mailing this reader. Leaving twice, or before confirming, is the same."""
        self.state, self.left_at = self.State.LEFT, now
        self.save(update_fields=["state", "left_at"])


class LinkQuerySet(models.QuerySet["Link"]):
    """DigestLinks by key."""

    def stale(self, now: datetime) -> Self:
        """Links closed for a month: until then their pages say that they are old."""
        return self.filter(expires_at__lte=now - Link.CLOSED_KEPT)

    def live(self, purpose: str, key: str, now: datetime) -> "Link | None":
        """The link of this purpose that `key` opens at `now`, or None."""
        found = self.select_related("subscriber").filter(purpose=purpose, key=key)
        return found.filter(expires_at__gt=now, used_at=None).first()


class Link(models.Model):
    """One mailed door: a random key, its purpose, and when it closes."""

    class Purpose(models.TextChoices):
        CONFIRM = "confirm", "confirm a sign-up"
        PREFERENCES = "preferences", "open preferences"
        ADDRESS = "address", "confirm a new address"

    # A sign-up is confirmed the same day or never; preferences may lie in an
    # inbox, and bulk-mail rules ask for 30 days.
    LIFETIMES = {
        Purpose.CONFIRM: timedelta(days=3),
        Purpose.PREFERENCES: timedelta(days=30),
        Purpose.ADDRESS: timedelta(days=3),
    }

    CLOSED_KEPT = timedelta(days=30)

    subscriber = models.ForeignKey(Subscriber, models.CASCADE, related_name="links")
    purpose = models.CharField(max_length=12, choices=Purpose.choices)
    key = models.CharField(max_length=22, unique=True, default=new_key)
    payload = models.JSONField(
        default=dict, help_text="What was asked for with it, as the visitor sent it."
    )
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    objects = LinkQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.purpose} of {self.subscriber}"

    @classmethod
    def issue(
        cls, subscriber: Subscriber, purpose: str, now: datetime, **payload: Any
    ) -> "Link":
        """A new door for this reader, open for its purpose's lifetime."""
        expires = now + cls.LIFETIMES[cls.Purpose(purpose)]
        return cls.objects.create(
            subscriber=subscriber,
            purpose=purpose,
            payload=payload,
            created_at=now,
            expires_at=expires,
        )

    def use(self, now: datetime) -> bool:
        """Close this door behind the one who came through; False if another came first."""
        return Link.objects.filter(pk=self.pk, used_at=None).update(used_at=now) == 1


class SuppressionQuerySet(models.QuerySet["Suppression"]):
    """Addresses that must not be mailed."""

    def forgive(self, hashed: str, now: datetime) -> bool:
        """Clear a bounce older than 30 days at a new opt-in; False while something still forbids mail."""
        self.filter(address_hash=hashed).forgivable(now).delete()
        return not self.filter(address_hash=hashed).exists()

    def forgivable(self, now: datetime) -> Self:
        """Those that a new opt-in clears."""
        old = now - Suppression.BOUNCE_REST
        return self.filter(reason__in=Suppression.FORGIVABLE, created_at__lte=old)

    def forbids(self, email: str, now: datetime) -> bool:
        """Whether not even a confirmation may be mailed to this address."""
        known = self.filter(address_hash=address_hash(email))
        return known.exclude(pk__in=self.forgivable(now).values("pk")).exists()


class Suppression(models.Model):
    """An address that must not be mailed, known only by its hash: it outlives the reader's erasure."""

    class Reason(models.TextChoices):
        BOUNCE = "bounce", "does not exist"
        COMPLAINT = "complaint", "reported our mail as spam"
        INVALID = "invalid", "is not an address"
        MANUAL = "manual", "suppressed by an operator"

    FORGIVABLE = [Reason.BOUNCE, Reason.INVALID]
    # A mailbox that bounced may have been repaired a month later.
    BOUNCE_REST = timedelta(days=30)

    address_hash = models.CharField(
        max_length=64, unique=True, help_text="HMAC-SHA256 under SUPPRESSION_KEY."
    )
    reason = models.CharField(
        max_length=10,
        choices=Reason.choices,
        help_text="Why this address is not mailed.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = SuppressionQuerySet.as_manager()

    class Meta:
        verbose_name = "suppressed address"
        verbose_name_plural = "suppressed addresses"

    def __str__(self) -> str:
        return f"{self.address_hash[:12]}… {self.get_reason_display()}"

    @classmethod
    def add(cls, email: str, reason: str) -> None:
        """Never mail this address again; the first reason is kept, a complaint replaces any."""
        cls.add_hash(address_hash(email), reason)

    @classmethod
    def add_hash(cls, hashed: str, reason: str) -> None:
        """The same for an address that we know only by its hash: provider's events keep no other."""
        cls.objects.get_or_create(address_hash=hashed, defaults={"reason": reason})
        if reason == cls.Reason.COMPLAINT:
            cls.objects.filter(address_hash=hashed).update(reason=reason)
