"""Send queued account mails, and retry them for as long as their link is valid."""

import re
from datetime import datetime, timedelta
from smtplib import SMTPDataError, SMTPRecipientsRefused

import structlog
from django.db import transaction

from accounts import emails, link_policy
from accounts.models import AccountMail, Link, Suppression, User

log = structlog.get_logger(__name__)

# Longer than one attempt takes; afterwards another worker may try.
LEASE = timedelta(minutes=5)
FIRST_RETRY, LONGEST_RETRY = timedelta(minutes=1), timedelta(hours=1)
ADDRESS = re.compile(r"[^\s<>(){}'\",;:]+@[^\s<>(){}'\",;:]+")


def deliver(mail_id: int, now: datetime) -> None:
    """Attempt a mail that is due. Sent, expired, suppressed and refused ones leave the queue.

    A worker that dies between sending and deleting causes a second copy, which is harmless:
    both copies have the same link.
    """
    mail = AccountMail.objects.claim(mail_id, now + LEASE, now)
    if mail is None:
        return
    try:
        if is_sendable(mail, now):
            send(mail)
    except Exception as error:
        if not is_recipient_refused(error):
            postpone(mail, error, now)
            return
        log.warning(
            "recipient of an account mail refused",
            kind=mail.kind,
            error=describe(error),
        )
    mail.delete()


def is_sendable(mail: AccountMail, now: datetime) -> bool:
    """Whether the mail may still be sent; issues its link at the first attempt."""
    if mail.expires_at <= now:
        log.warning("account mail expired", kind=mail.kind, attempts=mail.attempts)
        return False
    if mail.kind == AccountMail.Kind.STAFF_PASSWORD:
        return User.objects.filter(email=mail.email, is_active=True).exists()
    if mail.kind == AccountMail.Kind.STAFF_REPORT:
        return User.objects.wants_report().filter(email=mail.email).exists()
    if Suppression.objects.blocks(mail.email, now):
        return False
    if mail.kind == AccountMail.Kind.MOVE_NOTICE:
        return True
    if mail.kind == AccountMail.Kind.SAVED_PAPERS:
        reader = mail.subscriber
        return reader is not None and reader.may_be_mailed(now)
    if mail.link:
        return mail.link.used_at is None
    with transaction.atomic():
        mail.link = issue_link(mail, now)
        if mail.link:
            mail.save(update_fields=["link"])
    return mail.link is not None


def issue_link(mail: AccountMail, now: datetime) -> Link | None:
    match mail.kind:
        case AccountMail.Kind.SIGN_UP:
            return link_policy.issue_signup_link(mail.email, now=now, **mail.payload)
        case AccountMail.Kind.INVITATION:
            invited_by = mail.payload["invited_by"]
            return link_policy.issue_invitation_link(mail.email, invited_by, now)
        case AccountMail.Kind.ADDRESS:
            return link_policy.issue_address_link(mail.subscriber, mail.email, now)
        case _:
            return link_policy.issue_preferences_link(mail.email, now)


def send(mail: AccountMail) -> None:
    if mail.link:
        emails.send_link(mail.link)
    elif mail.kind == AccountMail.Kind.STAFF_PASSWORD:
        emails.send_staff_password_link(User.objects.get(email=mail.email))
    elif mail.kind == AccountMail.Kind.STAFF_REPORT:
        emails.send_staff_report(mail.email, mail.payload)
    elif mail.kind == AccountMail.Kind.SAVED_PAPERS and mail.subscriber:
        emails.send_saved_papers(mail.subscriber, mail.payload)
    else:
        emails.send_move_notice(mail.email)


def postpone(mail: AccountMail, error: Exception, now: datetime) -> None:
    """Store and log the error, and try again after twice the previous wait.

    A mail that is refused for good is not tried again. It stays in the admin's list of
    waiting mails until its link expires, because an operator has to correct the cause.
    """
    is_refused = is_mail_refused(error)
    wait = min(FIRST_RETRY * 2**mail.attempts, LONGEST_RETRY)
    mail.next_attempt_at = mail.expires_at if is_refused else now + wait
    mail.attempts += 1
    mail.last_error = describe(error)[:300]
    mail.save(update_fields=["next_attempt_at", "attempts", "last_error"])
    if is_refused:
        log_failure, event = log.error, "account mail refused"
    elif isinstance(error, OSError):
        log_failure, event = log.warning, "account mail failed"
    else:
        log_failure, event = log.exception, "account mail failed"
    log_failure(event, kind=mail.kind, attempts=mail.attempts, error=mail.last_error)


def is_recipient_refused(error: Exception) -> bool:
    """Whether the provider refuses this recipient for good (RFC 5321: 5yz)."""
    if isinstance(error, SMTPRecipientsRefused):
        return all(code >= 500 for code, _ in error.recipients.values())
    return isinstance(error, emails.RecipientRefusedError)


def is_mail_refused(error: Exception) -> bool:
    """Whether the provider refuses this mail permanently, for any recipient."""
    if isinstance(error, SMTPDataError):
        return error.smtp_code >= 500
    return isinstance(error, emails.MailRefusedError)


def describe(error: Exception) -> str:
    return ADDRESS.sub("…", f"{type(error).__name__}: {error}")
