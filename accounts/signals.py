"""Signals that other apps connect to."""

from django.dispatch import Signal

#: Sent after commit when a reader confirms, with `subscriber` and `requested_interests`:
#: the untrusted strings of the sign-up form.
confirmed = Signal()
#: Sent before a reader is deleted, with `subscriber` and `secrets`, a list to which
#: receivers append further keys of the reader.
erasing = Signal()
#: Sent after the deletion, with `subscriber` and `pattern`, which matches their secrets.
erased = Signal()
