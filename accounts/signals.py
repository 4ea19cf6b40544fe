"""What accounts tells whoever cares, without knowing them."""

from django.dispatch import Signal

#: A reader confirmed. Sent after commit with `subscriber` and `wishes`, what the
#: sign-up form asked for, exactly as the visitor sent it (hostile until read).
confirmed = Signal()
