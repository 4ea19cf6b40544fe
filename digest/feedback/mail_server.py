"""A mail server, SMTP or LMTP, that takes mails to BOUNCE_ADDRESS and nothing else.

It may be the MX of its own domain: it refuses every other recipient, relays nothing and
sends nothing. A mail is acknowledged after its event is stored.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import DatabaseError, close_old_connections
from django.utils import timezone

from digest.feedback import inbound

log = structlog.get_logger(__name__)

# Reports return the mail that they are about.
MAX_MAIL_BYTES = 5_000_000
IDLE_TIMEOUT_S = 60
MAX_SESSIONS = 50  # further ones get a temporary refusal
MAX_CALLS_PER_COMMAND = 200  # in a session

TRY_LATER = "451 4.3.0 Try again later"


async def serve(host: str, port: int, lmtp: bool, stop: asyncio.Event) -> None:
    """Serve until `stop` is set; raise OSError if the address is in use."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(session_factory(lmtp), host, port)
    bound = server.sockets[0].getsockname()
    log.info("mail server started", host=bound[0], port=bound[1], lmtp=lmtp)
    async with server:
        await stop.wait()


def session_factory(lmtp: bool) -> Callable[[], asyncio.Protocol]:
    sessions: set[asyncio.Protocol] = set()
    session_class = LmtpSession if lmtp else SmtpSession

    def create_session() -> asyncio.Protocol:
        if len(sessions) >= MAX_SESSIONS:
            return RefusedSession()
        session: asyncio.Protocol = session_class(
            Handler(),
            hostname=settings.BOUNCE_ADDRESS.rpartition("@")[2],
            ident="Paper Round",
            data_size_limit=MAX_MAIL_BYTES,
            timeout=IDLE_TIMEOUT_S,
            command_call_limit=MAX_CALLS_PER_COMMAND,
        )
        session.sessions = sessions  # type: ignore[attr-defined]
        return session

    return create_session


class RefusedSession(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        transport.write(b"421 4.3.2 Too many sessions, try again later\r\n")
        transport.close()


class CountedSession:
    """Mixin: a session that is counted while its connection is open."""

    sessions: set[Any]

    def connection_made(self, transport: Any) -> None:
        self.sessions.add(self)
        super().connection_made(transport)  # type: ignore[misc]

    def connection_lost(self, error: Exception | None) -> None:
        self.sessions.discard(self)
        super().connection_lost(error)  # type: ignore[misc]


class SmtpSession(CountedSession, SMTP):
    pass


class LmtpSession(CountedSession, LMTP):
    pass


class Handler:
    """Decides about recipients and stores what mails report; its methods are aiosmtpd's hooks."""

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if envelope.rcpt_tos:
            # LMTP has one answer per recipient, and each report has one recipient.
            return "452 4.5.3 One recipient at a time"
        try:
            is_recipient = await run_query(inbound.is_recipient, address)
        except DatabaseError as error:
            log.error("database is unavailable", error=str(error))
            return TRY_LATER
        if not is_recipient:
            return "550 5.1.1 No such recipient"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        mail = (envelope.content, envelope.rcpt_tos, timezone.now())
        try:
            await run_query(inbound.store_mail, *mail)
        except DatabaseError as error:
            log.error("database is unavailable", error=str(error))
            return TRY_LATER
        return "250 2.0.0 OK"


async def run_query(function: Callable[..., bool], *arguments: Any) -> bool:
    """Run a function that queries the database, in one thread for all sessions."""

    def run() -> bool:
        close_old_connections()
        return function(*arguments)

    return await sync_to_async(run, thread_sensitive=True)()
