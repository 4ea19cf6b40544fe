"""Signals that accounts sends to other apps."""

from django.dispatch import Signal

#: A reader confirmed. Sent after commit with `subscriber` and `requested_interests`, what the
#: sign-up form asked for, exactly as the visitor sent it (hostile until read).
confirmed = Signal()
