"""Everything stored about a reader, as JSON values: for the reader, the API and operators."""

from typing import Any

from accounts.models import Subscriber
from digest.reasons import explain_picks, load_pick_rows

READER_FIELDS = [
    *("email", "state", "zone", "hour", "frequency", "weekday", "length"),
    *("fill_mode", "note_when_empty", "learns_from_clicks", "short_mails"),
    *("saved_on_friday", "interests_asked_on"),
    *("paused_until", "created_at", "confirmed_at", "left_at"),
    *("consent_text", "consent_how"),
]


def export_data(subscriber: Subscriber) -> dict[str, Any]:
    """Return everything stored about a reader, as JSON values.

    Links are listed without their keys, because the file outlives them.
    """
    return {
        "reader": {name: getattr(subscriber, name) for name in READER_FIELDS},
        "interests": list(
            subscriber.follows.values(
                "interest__kind", "interest__value", "weight", "source", "created_at"
            )
        ),
        "digests": digest_data(subscriber),
        "events": list(
            subscriber.digests.filter(events__isnull=False).values(
                "edition__day", "events__kind", "events__at", "events__payload"
            )
        ),
        "links": list(
            subscriber.links.values("purpose", "payload", "created_at", "used_at")
        ),
        "access_keys": list(subscriber.access_keys.values("kind", "created_at")),
        "saved_papers": list(
            subscriber.saved_papers.values(
                "paper__identifier", "note", "is_done", "saved_at"
            )
        ),
        "submissions": list(
            subscriber.submission_requests.values(
                "submission__identifier", "submission__state", "at"
            )
        ),
        "pending_papers": list(
            subscriber.pending_papers.values("identifier", "at", "not_found")
        ),
    }


def digest_data(
    subscriber: Subscriber, newest: int | None = None
) -> list[dict[str, Any]]:
    """Return the reader's digests with papers and reasons: all by day, or the newest ones first."""
    rows_by_day = subscriber.digests.select_related("edition")
    digests = list(
        rows_by_day.order_by("-edition__day")[:newest]
        if newest
        else rows_by_day.order_by("edition__day")
    )
    rows = load_pick_rows(pick for digest in digests for pick in digest.picks)
    return [
        {
            "edition__day": digest.edition.day,
            "created_at": digest.created_at,
            "outcome": digest.outcome,
            "suggested_topics": digest.suggested_topics,
            "papers": [
                {
                    "identifier": pick.candidate.card["identifier"],
                    "reason": pick.reason.text,
                }
                for pick in explain_picks(digest.picks, rows)
            ],
        }
        for digest in digests
    ]
