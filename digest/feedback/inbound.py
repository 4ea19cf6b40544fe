"""Intake of mails to BOUNCE_ADDRESS: bounces, complaints and requests to unsubscribe become events.

A mail counts only if it bears an address that we signed (accounts.return_paths).
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from email.message import Message

import structlog
from django.conf import settings

from accounts import return_paths
from accounts.models import Subscriber
from accounts.return_paths import Tag
from digest.feedback import mail_reports
from digest.feedback.mail_reports import MailReport
from digest.feedback.record import Report, clean_field, record_reports
from digest.models import Digest

log = structlog.get_logger(__name__)

SOURCE = "inbound"
# Where servers write the recipient of the envelope into a delivered mail.
RECIPIENT_HEADERS = ("Delivered-To", "X-Original-To", "Envelope-To", "To", "Cc")
# Where a returned mail shows what it was sent with.
RETURNED_HEADERS = ("Return-Path", "X-Envelope-From", "List-Unsubscribe")
MAX_TAGS = 20  # looked up for one mail


def is_recipient(address: str) -> bool:
    """Whether mail to this address is taken: BOUNCE_ADDRESS itself, or signed by us."""
    if address.strip("<> ").lower() == settings.BOUNCE_ADDRESS.lower():
        return bool(address)
    return any(
        return_paths.is_complaints_tag(tag) or find_mailing(tag)
        for tag in return_paths.find_tags(address)
    )


def store_mail(content: bytes, recipients: Iterable[str], now: datetime) -> bool:
    """Store the event that a mail reports; False if it reports nothing about a mail of ours.

    `recipients`: those of the envelope, where the server that passed it on names them.
    """
    message = mail_reports.parse_message(content)
    report = build_report(message, recipients, now)
    if report is None:
        return False
    is_new = record_reports([report], SOURCE, now) > 0
    log.info("inbound mail", kind=report.kind, is_new=is_new)
    return True


def build_report(
    message: Message, recipients: Iterable[str], now: datetime
) -> Report | None:
    """Match a mail with one that we sent; None if it bears no tag of ours or reports nothing."""
    own_tags = addressed_tags(message, recipients)
    mail_report = mail_reports.read_report(message)
    if mail_report is None:
        tags = [tag for tag in own_tags if tag.kind == return_paths.UNSUBSCRIBE]
        mail_report = MailReport("unsubscribe")
    else:
        tags = own_tags + returned_tags(message)
    if mail_report.kind == "spamreport" and not any(
        map(return_paths.is_complaints_tag, own_tags)
    ):
        # Anyone with the source of a mail could write this report: it must not suppress
        # the address for good.
        mail_report = MailReport("unsubscribe", reason=mail_report.reason)
    mailings = (find_mailing(tag) for tag in tags[:MAX_TAGS])
    mailing = next((mailing for mailing in mailings if mailing), None)
    if mailing is None:
        log.info("inbound mail ignored", kind=mail_report.kind, tags=len(tags))
        return None
    return Report(
        kind=mail_report.kind,
        key=hashlib.sha256(message.as_bytes()).hexdigest(),
        digest_key=mailing.key if isinstance(mailing, Digest) else "",
        at=mail_reports.report_date(message, now),
        payload=stored_payload(mail_report, mailing),
    )


def stored_payload(
    mail_report: MailReport, mailing: Digest | Subscriber
) -> dict[str, str]:
    reader = mailing.subscriber if isinstance(mailing, Digest) else mailing
    payload = {"address_hash": reader.address_hash}
    if mail_report.kind == "bounce":
        payload["type"] = "bounce" if mail_report.is_dead_address else "blocked"
    for name in ("status", "reason"):
        if text := clean_field(getattr(mail_report, name)):
            payload[name] = text
    return payload


def addressed_tags(message: Message, recipients: Iterable[str]) -> list[Tag]:
    """Find the tags of the addresses that a mail was sent to."""
    return find_all_tags([*recipients, *header_values(message, RECIPIENT_HEADERS)])


def returned_tags(message: Message) -> list[Tag]:
    """Find the tags in the returned mail's headers, and in the fields of a complaint."""
    values = [
        value
        for headers in mail_reports.returned_headers(message)
        for value in header_values(headers, RETURNED_HEADERS)
    ]
    for fields in mail_reports.report_fields(message, mail_reports.COMPLAINT):
        values += header_values(fields, ("Original-Mail-From",))
    return find_all_tags(values)


def header_values(message: Message, names: Iterable[str]) -> list[str]:
    return [str(value) for name in names for value in message.get_all(name, [])]


def find_all_tags(values: Iterable[str]) -> list[Tag]:
    return [tag for value in values for tag in return_paths.find_tags(value)]


def find_mailing(tag: Tag) -> Digest | Subscriber | None:
    """Find the digest or reader that a tag names; None if we did not sign it for them."""
    if tag.kind == return_paths.DIGEST:
        digest = Digest.objects.select_related("subscriber").filter(pk=tag.pk).first()
        if digest and return_paths.is_genuine(tag, digest.return_path_secret):
            return digest
        return None
    reader = Subscriber.objects.filter(pk=tag.pk).first()
    return reader if reader and reader.sent_mail_with(tag) else None
