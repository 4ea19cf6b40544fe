"""Error reports to a Sentry server: redacted like the logs, without requests' data."""

import json
from typing import Any, cast


def start_sentry(dsn: str) -> None:
    """Report unhandled exceptions; a missing package is an error in the log."""
    try:
        import sentry_sdk
    except ImportError:
        import logging

        logging.getLogger(__name__).error(
            "SENTRY_DSN is set, but sentry-sdk is not installed"
        )
        return
    sentry_sdk.init(
        dsn=dsn,
        before_send=redact_event,
        before_breadcrumb=lambda *_: None,
        send_default_pii=False,
        include_local_variables=False,  # they hold readers and mails
        max_request_body_size="never",
        traces_sample_rate=0,
    )


def redact_event(event: Any, _: Any) -> Any:
    """Remove cookies, headers and query of the request, and redact every text."""
    from digest.log_redaction import redactor

    request = event.get("request", {})
    for name in ("cookies", "headers", "data", "query_string", "env"):
        request.pop(name, None)
    event.pop("user", None)
    return cast(Any, json.loads(redactor()(json.dumps(event, default=str))))
