"""When sending stops by itself: too much goes wrong, or too much comes back."""

from datetime import datetime, timedelta

import structlog
from django.db.models import Max, Q, Sum

from digest.models import Batch, Digest, Event, SendingPause

log = structlog.get_logger(__name__)

# So many digests in a row that failed or are unknown, in one worker's hands: the
# provider is broken, and each further one would be one more doubt.
ROW = 20
# Of what was handed over in the last quarter hour, this share may go wrong. A list in
# good health has less than 2 %; from so many digests on a share means something.
WRONG_WITHIN, WRONG_SHARE, WRONG_FROM = timedelta(minutes=15), 0.10, 200
# Of what was handed over in the last hour, this share may come back: at 5 % providers
# begin to suspend an account.
BOUNCED_WITHIN, BOUNCED_SHARE, BOUNCED_FROM = timedelta(hours=1), 0.05, 200


def pull(reason: str, now: datetime) -> None:
    """Stop everything until somebody looks, and say so loudly."""
    if SendingPause.objects.pull(reason, now):
        log.error("sending stands still", reason=reason)


def check(now: datetime) -> None:
    """Pull the brake where too much went wrong, or came back, since it was lifted last."""
    wrong = went_wrong(since(now - WRONG_WITHIN))
    if too_many(wrong, handed(since(now - WRONG_WITHIN)), WRONG_SHARE, WRONG_FROM):
        pull(f"{wrong} digests failed or are unknown within {WRONG_WITHIN}", now)
    back = bounced(since(now - BOUNCED_WITHIN))
    if too_many(back, handed(since(now - BOUNCED_WITHIN)), BOUNCED_SHARE, BOUNCED_FROM):
        pull(f"{back} mails bounced within {BOUNCED_WITHIN}", now)


def since(start: datetime) -> datetime:
    """From here on things count: an operator who lifted a brake has seen what was before."""
    lifted = SendingPause.objects.aggregate(at=Max("released_at"))["at"]
    return max(start, lifted) if lifted else start


def too_many(bad: int, of: int, share: float, enough: int) -> bool:
    return of >= enough and bad > of * share


def handed(start: datetime) -> int:
    """Digests of the batches that were laid down since then or are in hand: near enough for a share.

    What went wrong in other workers' hands counts at once, so what went well there must.
    """
    going = Q(released_at__gt=start) | Q(state=Batch.State.SENDING)
    return Batch.objects.filter(going).aggregate(n=Sum("last_position"))["n"] or 0


def went_wrong(start: datetime) -> int:
    wrong = (Digest.Outcome.FAILED, Digest.Outcome.UNKNOWN)
    return Digest.objects.filter(outcome__in=wrong, outcome_at__gt=start).count()


def bounced(start: datetime) -> int:
    """Mails that came back; a complaint is not one, and is heard elsewhere."""
    bad = Event.objects.filter(kind__in=["bounce", "dropped"], received_at__gt=start)
    return bad.exclude(digest=None).count()
