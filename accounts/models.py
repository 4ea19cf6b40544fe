"""Staff accounts (User), readers (Subscriber), mailed links (Link), suppressed addresses and imports of readers."""

import secrets
import zoneinfo
from datetime import datetime, timedelta
from typing import Any, ClassVar, Self

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import StrIndex, Substr
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts import return_paths
from accounts.addresses import address_hash, canonical_address

# Stored with each consent as proof of what the reader agreed to.
CONSENT_TEXT = "Email me a digest of new research papers at the times I choose, until I unsubscribe."

# 128 bits: links must not be guessable.
KEY_BYTES = 16


def new_key() -> str:
    """A random, URL-safe key of 22 characters."""
    return secrets.token_urlsafe(KEY_BYTES)


def domain_of(field: str) -> Substr:
    """Expression: what follows the @ of an address; readers are indexed by it."""
    return Substr(field, StrIndex(field, models.Value("@")) + 1)


def validate_zone(name: str) -> None:
    if name not in zoneinfo.available_timezones():
        raise ValidationError(
            f"{name!r} is not a time zone. Use a name such as Europe/Berlin."
        )


class UserQuerySet(models.QuerySet["User"]):
    def wants_report(self) -> Self:
        return self.filter(is_active=True, is_staff=True, weekly_report=True)


class UserManager(BaseUserManager["User"]):
    def get_queryset(self) -> UserQuerySet:
        return UserQuerySet(self.model, using=self._db)

    def wants_report(self) -> UserQuerySet:
        return self.get_queryset().wants_report()

    def get_by_natural_key(self, email: str | None) -> "User":
        return self.get(email=canonical_address(email or ""))

    def create_user(
        self, email: str, password: str | None = None, **fields: Any
    ) -> "User":
        user = self.model(email=canonical_address(email), **fields)
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
    """An editor or operator, who signs in to the admin. Readers have no account."""

    email = models.EmailField(
        unique=True, help_text="The address this person signs in with."
    )
    name = models.CharField(
        max_length=120, blank=True, help_text="The name shown in the history."
    )
    is_staff = models.BooleanField(
        "staff status", default=False, help_text="Can sign in to the admin."
    )
    is_active = models.BooleanField(
        "active",
        default=True,
        help_text="Clear this instead of deleting the account, so that the history keeps the name.",
    )
    date_joined = models.DateTimeField(default=timezone.now, editable=False)
    two_factor_at = models.DateTimeField(
        "two-factor authentication since", null=True, editable=False
    )
    weekly_report = models.BooleanField(
        default=True,
        db_default=True,
        help_text="Mail the figures of the week on Mondays.",
    )
    report_sent_on = models.DateField(null=True, editable=False)

    objects = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        verbose_name = "editor"

    def __str__(self) -> str:
        return self.name or self.email

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.email = canonical_address(self.email)
        super().save(*args, **kwargs)

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """Django's hash of the password, extended so that two_factor_at ends sessions too."""
        value = f"{self.password}{self.two_factor_at or ''}"
        return salted_hmac(
            "accounts.User.session", value, secret=secret, algorithm="sha256"
        ).hexdigest()


def match_mailable(now: datetime) -> models.Q:
    """Match readers who confirmed, did not unsubscribe and have not paused their digests."""
    not_paused = models.Q(paused_until=None) | models.Q(paused_until__lte=now)
    return models.Q(not_paused, state=Subscriber.State.ACTIVE)


class SubscriberQuerySet(models.QuerySet["Subscriber"]):
    def mailable(self, now: datetime) -> Self:
        return self.filter(match_mailable(now))

    def with_consent(self, now: datetime) -> Self:
        """Add `is_mailable` and `is_suppressed` to each reader, in the query that reads them."""
        own = Suppression.objects.filter(address_hash=models.OuterRef("address_hash"))
        return self.annotate(
            is_mailable=match_mailable(now), is_suppressed=models.Exists(own)
        )

    def purgeable(self, now: datetime) -> Self:
        """Select unconfirmed sign-ups and unsubscribed readers past their retention period."""
        unconfirmed = models.Q(
            state=Subscriber.State.PENDING,
            created_at__lte=now - Subscriber.UNCONFIRMED_RETENTION,
        )
        unsubscribed = models.Q(
            state=Subscriber.State.LEFT,
            left_at__lte=now - Subscriber.UNSUBSCRIBED_RETENTION,
        )
        return self.filter(unconfirmed | unsubscribed)

    def not_suppressed(self) -> Self:
        return self.exclude(address_hash__in=Suppression.objects.values("address_hash"))


class Subscriber(models.Model):
    """A reader: an email address, its consent, and the schedule of its digests."""

    class State(models.TextChoices):
        PENDING = "pending", "not confirmed"
        ACTIVE = "active", "active"
        LEFT = "left", "unsubscribed"

    class Frequency(models.TextChoices):
        DAILY = "daily", "every day with new papers"
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
        FOLLOWED_ONLY = "followed_only", "only papers that match their interests"
        FOLLOWED_FIRST = (
            "followed_first",
            "matching papers first, then trending papers",
        )
        HALF = "half", "half matching, half trending"

    UNCONFIRMED_RETENTION = timedelta(days=30)
    # The page after unsubscribing states it.
    UNSUBSCRIBED_RETENTION = timedelta(days=180)

    email = models.EmailField(
        unique=True, help_text="The address that digests are sent to."
    )
    address_hash = models.CharField(max_length=64, editable=False, db_index=True)
    state = models.CharField(
        max_length=8,
        choices=State.choices,
        default=State.PENDING,
        help_text="Only readers who confirmed by a mailed link get digests.",
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
        help_text="The local hour of the digest, 0 to 23.",
    )
    frequency = models.CharField(
        max_length=8,
        choices=Frequency.choices,
        default=Frequency.DAILY,
        help_text="How often the reader gets a digest.",
    )
    weekday = models.PositiveSmallIntegerField(
        choices=Weekday.choices,
        default=Weekday.MONDAY,
        help_text="The day of a weekly digest.",
    )
    length = models.PositiveSmallIntegerField(
        "papers in a digest",
        default=10,
        validators=[MinValueValidator(1), MaxValueValidator(30)],
        help_text="The maximum number of papers in a digest, 1 to 30.",
    )
    fill_mode = models.CharField(
        max_length=14,
        choices=FillMode.choices,
        default=FillMode.FOLLOWED_FIRST,
        help_text="How trending papers fill a digest.",
    )
    short_mails = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Short mails: of each paper the title, one line and the reason.",
    )
    note_when_empty = models.BooleanField(
        "note when empty",
        default=False,
        help_text="Send a short note on days without a matching paper, instead of no mail.",
    )
    saved_on_friday = models.BooleanField(
        "saved papers on Friday",
        default=False,
        db_default=False,
        help_text="Email the papers that the reader saved that week, on Fridays.",
    )
    saved_sent_on = models.DateField(null=True, editable=False)
    interests_asked_on = models.DateField(
        null=True,
        editable=False,
        help_text="The day of the digest that asked for better interests, once.",
    )
    learns_from_clicks = models.BooleanField(
        "learns from clicks",
        default=True,
        help_text="Papers they open count as weak interests.",
    )
    paused_until = models.DateTimeField(
        null=True, blank=True, help_text="No digests before this time."
    )
    unsubscribe_key = models.CharField(
        max_length=22, unique=True, default=new_key, editable=False
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    confirmed_at = models.DateTimeField(null=True, editable=False)
    left_at = models.DateTimeField(null=True, editable=False)
    consent_text = models.CharField(max_length=200, blank=True, editable=False)
    consent_how = models.CharField(max_length=40, blank=True, editable=False)

    # Set by SubscriberQuerySet.with_consent.
    is_mailable: bool
    is_suppressed: bool

    objects = SubscriberQuerySet.as_manager()

    class Meta:
        verbose_name = "reader"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(hour__lte=23), name="a_readers_hour_is_0_to_23"
            ),
        ]
        indexes = [
            models.Index("state", "hour", "zone", name="readers_by_hour"),
            models.Index(domain_of("email"), name="readers_by_domain"),
        ]
        permissions = [("invite_subscriber", "Can invite readers")]

    def __str__(self) -> str:
        return self.email

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.email = canonical_address(self.email)
        self.address_hash = address_hash(self.email)
        super().save(*args, **kwargs)

    @property
    def is_active(self) -> bool:
        return self.state == self.State.ACTIVE

    @property
    def return_path(self) -> str:
        """The envelope sender of account mails; "" without BOUNCE_ADDRESS."""
        return return_paths.tagged_address(
            return_paths.READER, self.pk, self.address_hash
        )

    @property
    def unsubscribe_address(self) -> str:
        """The address at which any mail unsubscribes; "" without BOUNCE_ADDRESS."""
        return return_paths.tagged_address(
            return_paths.UNSUBSCRIBE, self.pk, self.unsubscribe_key
        )

    def sent_mail_with(self, tag: return_paths.Tag) -> bool:
        """Whether we signed this tag for this reader, and for their present address."""
        match tag.kind:
            case return_paths.READER:
                return return_paths.is_genuine(tag, self.address_hash)
            case return_paths.UNSUBSCRIBE:
                return return_paths.is_genuine(tag, self.unsubscribe_key)
        return False

    @property
    def wants_note(self) -> bool:
        """Whether to send a note on a day without papers; only FOLLOWED_ONLY has such days."""
        return self.note_when_empty and self.fill_mode == self.FillMode.FOLLOWED_ONLY

    def may_be_mailed(self, now: datetime) -> bool:
        return (
            Subscriber.objects.mailable(now)
            .not_suppressed()
            .filter(pk=self.pk)
            .exists()
        )

    def confirm(self, now: datetime, how: str) -> bool:
        """Record consent and activate; return False if the address is suppressed."""
        if not Suppression.objects.clear_old_bounce(self.address_hash, now):
            return False
        if not self.is_active:
            self.state = self.State.ACTIVE
            self.confirmed_at, self.left_at, self.paused_until = now, None, None
            self.consent_text, self.consent_how = CONSENT_TEXT, how
            self.save()
        return True

    def unsubscribe(self, now: datetime) -> None:
        self.state, self.left_at = self.State.LEFT, now
        self.save(update_fields=["state", "left_at"])


class LinkQuerySet(models.QuerySet["Link"]):
    def purgeable(self, now: datetime) -> Self:
        """Select links past EXPIRED_RETENTION; until then their page explains that they expired."""
        return self.filter(expires_at__lte=now - Link.EXPIRED_RETENTION)

    def get_valid(self, purpose: str, key: str, now: datetime) -> "Link | None":
        links = self.select_related("subscriber").filter(purpose=purpose, key=key)
        return links.filter(expires_at__gt=now, used_at=None).first()


class Link(models.Model):
    """A mailed link: a random key that authorises one purpose until it expires."""

    class Purpose(models.TextChoices):
        CONFIRM = "confirm", "confirm a sign-up"
        PREFERENCES = "preferences", "open preferences"
        ADDRESS = "address", "confirm a new address"

    # Sign-ups are confirmed within days or never. Bulk-mail rules ask that links in
    # mails work for 30 days.
    LIFETIMES = {
        Purpose.CONFIRM: timedelta(days=3),
        Purpose.PREFERENCES: timedelta(days=30),
        Purpose.ADDRESS: timedelta(days=3),
    }

    EXPIRED_RETENTION = timedelta(days=30)

    subscriber = models.ForeignKey(Subscriber, models.CASCADE, related_name="links")
    purpose = models.CharField(max_length=12, choices=Purpose.choices)
    key = models.CharField(max_length=22, unique=True, default=new_key)
    payload = models.JSONField(
        default=dict,
        help_text="The visitor's untrusted input that belongs to the request.",
    )
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    objects = LinkQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.get_purpose_display()}: {self.subscriber}"

    @classmethod
    def issue(
        cls, subscriber: Subscriber, purpose: str, now: datetime, **payload: Any
    ) -> "Link":
        expires = now + cls.LIFETIMES[cls.Purpose(purpose)]
        return cls.objects.create(
            subscriber=subscriber,
            purpose=purpose,
            payload=payload,
            created_at=now,
            expires_at=expires,
        )

    def redeem(self, now: datetime) -> bool:
        """Redeem the link once; return False if it was already used."""
        return Link.objects.filter(pk=self.pk, used_at=None).update(used_at=now) == 1


class AccessKeyQuerySet(models.QuerySet["AccessKey"]):
    def find(self, kind: str, key: str) -> "AccessKey | None":
        """Return the key of an active reader; None for other keys."""
        keys = self.select_related("subscriber").filter(kind=kind, key=key)
        return keys.filter(subscriber__state=Subscriber.State.ACTIVE).first()


class AccessKey(models.Model):
    """A random key that opens one part of a reader's data until the reader revokes it."""

    class Kind(models.TextChoices):
        READING_LIST = "list", "reading list"
        FEED = "feed", "private feeds"
        API = "api", "API"

    subscriber = models.ForeignKey(
        Subscriber, models.CASCADE, related_name="access_keys"
    )
    kind = models.CharField(max_length=8, choices=Kind.choices)
    key = models.CharField(max_length=22, unique=True, default=new_key)
    created_at = models.DateTimeField()

    objects = AccessKeyQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["subscriber", "kind"], name="a_reader_has_one_key_of_a_kind"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.subscriber}"

    @classmethod
    def issue(cls, subscriber: Subscriber, kind: str, now: datetime) -> "AccessKey":
        """Create the reader's key of this kind; an earlier one stops working."""
        row, _ = cls.objects.update_or_create(
            subscriber=subscriber,
            kind=kind,
            defaults={"key": new_key(), "created_at": now},
        )
        return row


class AccountMailQuerySet(models.QuerySet["AccountMail"]):
    def due(self, now: datetime) -> Self:
        return self.filter(next_attempt_at__lte=now).order_by("next_attempt_at", "pk")

    def claim(self, pk: int, until: datetime, now: datetime) -> "AccountMail | None":
        """Reserve a due mail for one worker until `until`; None if it is not due or gone."""
        if not self.due(now).filter(pk=pk).update(next_attempt_at=until):
            return None
        return self.select_related("link__subscriber", "subscriber").get(pk=pk)


class AccountMail(models.Model):
    """A requested account mail that is not sent yet; sending it deletes the row."""

    class Kind(models.TextChoices):
        SIGN_UP = "sign_up", "sign-up"
        INVITATION = "invitation", "invitation"
        PREFERENCES = "preferences", "preferences link"
        ADDRESS = "address", "change of address"
        MOVE_NOTICE = "move_notice", "notice to the previous address"
        STAFF_PASSWORD = "staff_password", "link to set a staff password"
        SAVED_PAPERS = "saved_papers", "papers saved this week"
        STAFF_REPORT = "staff_report", "weekly report to staff"

    LIFETIME = timedelta(days=3)

    kind = models.CharField(max_length=16, choices=Kind.choices)
    email = models.EmailField("to", db_index=True)
    subscriber = models.ForeignKey(
        Subscriber,
        models.CASCADE,
        null=True,
        help_text="The reader whose address changes.",
    )
    link = models.OneToOneField(
        Link, models.CASCADE, null=True, help_text="Issued at the first attempt."
    )
    payload = models.JSONField(
        default=dict,
        help_text="The visitor's untrusted input that belongs to the request.",
    )
    created_at = models.DateTimeField("requested", default=timezone.now)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now, db_index=True)
    last_error = models.CharField(
        max_length=300, blank=True, help_text="Why the last attempt failed."
    )

    objects = AccountMailQuerySet.as_manager()

    class Meta:
        verbose_name = "waiting account mail"

    def __str__(self) -> str:
        return f"{self.get_kind_display()} to {self.email}"

    @property
    def expires_at(self) -> datetime:
        return self.link.expires_at if self.link else self.created_at + self.LIFETIME


class SuppressionQuerySet(models.QuerySet["Suppression"]):
    def clear_old_bounce(self, hashed: str, now: datetime) -> bool:
        """Delete a clearable suppression; return whether the address may be mailed now."""
        self.filter(address_hash=hashed).clearable(now).delete()
        return not self.filter(address_hash=hashed).exists()

    def clearable(self, now: datetime) -> Self:
        return self.filter(
            reason__in=Suppression.CLEARABLE_REASONS,
            created_at__lte=now - Suppression.BOUNCE_COOLDOWN,
        )

    def blocks(self, email: str, now: datetime) -> bool:
        """Whether not even a confirmation may be mailed to this address."""
        rows = self.filter(address_hash=address_hash(email))
        return rows.exclude(pk__in=self.clearable(now).values("pk")).exists()


class Suppression(models.Model):
    """An address that must not be mailed, stored as a hash that survives the reader's erasure."""

    class Reason(models.TextChoices):
        BOUNCE = "bounce", "bounced"
        COMPLAINT = "complaint", "reported as spam"
        INVALID = "invalid", "invalid address"
        MANUAL = "manual", "suppressed by an operator"
        REQUESTED = "requested", "blocked by its owner"

    DELETABLE_REASONS = [Reason.MANUAL, Reason.REQUESTED]
    CLEARABLE_REASONS = [Reason.BOUNCE, Reason.INVALID]
    # A mailbox that bounced may have been repaired a month later.
    BOUNCE_COOLDOWN = timedelta(days=30)

    address_hash = models.CharField(
        max_length=64,
        unique=True,
        help_text="HMAC-SHA256 of the address under SUPPRESSION_KEY.",
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
        """Suppress an address. The first reason stays, except that a complaint replaces it."""
        cls.add_hash(address_hash(email), reason)

    @classmethod
    def add_hash(cls, hashed: str, reason: str) -> None:
        """Suppress an address by its hash, which is all that stored provider events contain."""
        cls.objects.get_or_create(address_hash=hashed, defaults={"reason": reason})
        if reason == cls.Reason.COMPLAINT:
            cls.objects.filter(address_hash=hashed).update(reason=reason)


class ReaderImportQuerySet(models.QuerySet["ReaderImport"]):
    def unfinished(self) -> Self:
        State = ReaderImport.State
        return self.filter(state__in=[*State.running(), State.CHECKED])

    def stalled(self, before: datetime) -> Self:
        """Select running jobs without progress since `before`."""
        running = ReaderImport.State.running()
        return self.filter(state__in=running, progress_at__lte=before)

    def touch(self) -> None:
        self.update(progress_at=timezone.now())


class ReaderImport(models.Model):
    """A file of addresses to import as readers; the file is erased when the import ends."""

    class State(models.TextChoices):
        CHECKING = "checking", "checking"
        CHECKED = "checked", "checked, not imported"
        IMPORTING = "importing", "importing"
        DONE = "done", "imported"
        CANCELLED = "cancelled", "cancelled"

        @classmethod
        def running(cls) -> list["ReaderImport.State"]:
            return [cls.CHECKING, cls.IMPORTING]

    file_name = models.CharField(max_length=100)
    content = models.TextField(
        blank=True, help_text="The text of the file; empty when the import ended."
    )
    consent_source = models.CharField(
        max_length=200,
        help_text="Where and when these readers agreed to be mailed.",
    )
    sends_confirmation = models.BooleanField("send confirmation mails", default=True)
    state = models.CharField(
        max_length=9, choices=State.choices, default=State.CHECKING
    )
    position = models.PositiveIntegerField("lines done", default=0)
    total = models.PositiveIntegerField("lines", default=0)
    created_by = models.ForeignKey(User, models.SET_NULL, null=True)
    created_at = models.DateTimeField("uploaded", default=timezone.now)
    progress_at = models.DateTimeField("last progress", default=timezone.now)

    objects = ReaderImportQuerySet.as_manager()

    class Meta:
        verbose_name = "import of readers"
        verbose_name_plural = "imports of readers"

    def __str__(self) -> str:
        return f"Import {self.pk}"

    @property
    def is_running(self) -> bool:
        return self.state in self.State.running()


class ReaderImportChunk(models.Model):
    """The results of consecutive lines of an import, by line number, without addresses."""

    class Outcome(models.TextChoices):
        NEW = "new", "new"
        UNCONFIRMED = "unconfirmed", "signed up, not confirmed"
        READER = "reader", "already a reader"
        LEFT = "left", "unsubscribed before"
        SUPPRESSED = "suppressed", "suppressed"
        INVALID = "invalid", "invalid"
        DUPLICATE = "duplicate", "duplicate line"

    reader_import = models.ForeignKey(
        ReaderImport, models.CASCADE, related_name="chunks"
    )
    first_line = models.PositiveIntegerField()
    results = models.JSONField(help_text="[line, outcome, reason] of each line.")
    counts = models.JSONField(help_text="The number of lines of each outcome.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["reader_import", "first_line"],
                name="a_line_is_imported_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reader_import}, from line {self.first_line}"
