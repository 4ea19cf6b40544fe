"""Which paper a link in a mail speaks of."""

from digest.models import Candidate, Digest


def picked(digest: Digest, number: int) -> Candidate | None:
    """The candidate of pick `number`, counted from 1 as the links do; None where the mail has no such pick."""
    picks = digest.picks
    if not 1 <= number <= len(picks):
        return None
    rows = Candidate.objects.select_related("paper")
    return rows.filter(pk=picks[number - 1].candidate).first()
