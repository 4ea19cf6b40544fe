"""The Friday mail: what a reader saved to their reading list that week.

A mail of its own and not part of Friday's digest: a digest is rebuilt to the byte from its
edition and its picks, and on a Friday without papers there is none. It goes through the
outbox of account mails, which retries it and forgets it once it is sent.
"""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.db.models import Q
from django.urls import reverse

from accounts.models import AccessKey, AccountMail, Subscriber
from accounts.tasks import queue_mail
from digest.models import SavedPaper

FRIDAY = Subscriber.Weekday.FRIDAY
WEEK = timedelta(days=7)
# The rest is one press away, on the list itself.
MAX_PAPERS = 30


def queue_friday_mails(now: datetime) -> int:
    """Queue the mails of readers for whom it is Friday at their hour or later; return their number."""
    saved = SavedPaper.objects.filter(saved_at__gt=now - WEEK, is_done=False)
    readers = Subscriber.objects.mailable(now).not_suppressed()
    waiting = readers.filter(saved_on_friday=True, pk__in=saved.values("subscriber"))
    return sum(queue_mail_of(reader, now) for reader in waiting.order_by("pk"))


def queue_mail_of(reader: Subscriber, now: datetime) -> bool:
    """Queue the mail of one reader, once a Friday."""
    local = now.astimezone(ZoneInfo(reader.zone))
    if local.weekday() != FRIDAY or local.hour < reader.hour:
        return False
    unsent = Q(saved_sent_on=None) | Q(saved_sent_on__lt=local.date())
    claimed = Subscriber.objects.filter(unsent, pk=reader.pk)
    if not claimed.update(saved_sent_on=local.date()):
        return False
    kind = AccessKey.Kind.READING_LIST
    access = reader.access_keys.filter(kind=kind).first()
    access = access or AccessKey.issue(reader, kind, now)
    rows = reader.saved_papers.filter(saved_at__gt=now - WEEK, is_done=False)
    shown = rows.select_related("paper").order_by("saved_at", "pk")[:MAX_PAPERS]
    payload = {
        "path": reverse("saved_papers", args=[access.key]),
        "number": rows.count(),
        "papers": [
            [
                row.paper.display_title,
                reverse("paper", args=[row.paper.identifier]),
                row.note,
            ]
            for row in shown
        ],
    }
    queue_mail(
        AccountMail.Kind.SAVED_PAPERS, reader.email, subscriber=reader, payload=payload
    )
    return True
