"""One polite, bounded request to a source of listings."""

from collections.abc import Mapping

import httpx
import stamina

from digest.ingest.listing import Refused

# arXiv answers 429 to anonymous crowds below its documented rate; a name helps.
USER_AGENT = "paper-round/0.1 (daily paper digest; one reader of your feeds)"
TIMEOUT = httpx.Timeout(20.0, connect=5.0)  # seconds; a full feed is about 4 MB
ATTEMPTS = 3
PATIENCE = 30.0  # seconds for all attempts together, so that a tick never hangs
# arXiv's terms of use: at most one request in three seconds.
PAUSE = 3.0


class Unreachable(Refused):
    """Nothing came at all, so asking the same source again now is no use."""


def connect() -> httpx.Client:
    """A client that says who we are and gives up in time."""
    return httpx.Client(
        headers={"User-Agent": USER_AGENT}, timeout=TIMEOUT, follow_redirects=True
    )


def get(
    client: httpx.Client, url: str, params: Mapping[str, str] | None = None
) -> bytes:
    """The body at `url`; Unreachable when it does not come after bounded retries."""
    try:
        for attempt in stamina.retry_context(
            on=_worth_retrying,
            attempts=ATTEMPTS,
            timeout=PATIENCE,
            wait_initial=PAUSE,
            wait_max=PAUSE * 3,
            wait_jitter=PAUSE / 3,
        ):
            with attempt:
                answer = client.get(url, params=params)
                answer.raise_for_status()
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        raise Unreachable(f"{url} answered {status}: try again later") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = str(error) or type(error).__name__
        raise Unreachable(
            f"{url} did not answer ({reason}): try again later"
        ) from error
    return answer.content


def _worth_retrying(error: Exception) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in {429, 500, 502, 503, 504}
    return isinstance(error, httpx.TransportError)
