"""Providers that accept every mail, as processes of their own: SendGrid's API and an SMTP server.

    python -m benchmarks.sinks sendgrid|smtp SECONDS

prints its port, answers each mail after SECONDS, and prints the mails by address as one
line of JSON when its standard input closes.
"""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

RECIPIENT = b'"to": [{"email": "'
END_OF_HEAD, END_OF_DATA = b"\r\n\r\n", b"\r\n.\r\n"


@dataclass
class Sink:
    """A running sink: where it listens, and after `stop` the mails that it accepted."""

    process: "subprocess.Popen[str]"
    port: int
    mails: int = 0
    recipients: int = 0

    def stop(self) -> None:
        output, _ = self.process.communicate("", timeout=60)
        figures = json.loads(output)
        self.mails, self.recipients = figures["mails"], figures["recipients"]

    def settings(self, transport: str) -> dict[str, str]:
        return {
            "MAIL_TRANSPORT": transport,
            "SENDGRID_API_KEY": "SG.invented",
            "SENDGRID_API_URL": f"http://127.0.0.1:{self.port}",
            "SMTP_URL": f"smtp://127.0.0.1:{self.port}",
        }


@contextmanager
def run_sink(transport: str, delay: float = 0.0) -> Iterator[Sink]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.sinks", transport, str(delay)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    sink = Sink(process, int(process.stdout.readline()))
    try:
        yield sink
        sink.stop()
    finally:
        process.kill()
        process.wait()


class Connection(asyncio.Protocol):
    """What both servers share: a buffer, and answers that may wait."""

    accepted: Counter[bytes] = Counter()
    numbers = count()
    delay = 0.0
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.buffer = transport, bytearray()
        self.is_waiting = False

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.is_waiting:
            self.read()

    def read(self) -> None:
        """Answer what the buffer holds; each protocol reads its own way."""
        raise NotImplementedError

    def accept(self, address: bytes, answer: bytes, close: bool = False) -> None:
        """Count a mail and answer it; what follows on this connection waits for that."""
        self.accepted[address] += 1
        if self.delay:
            self.is_waiting = True
            loop = asyncio.get_running_loop()
            loop.call_later(self.delay, self.answer_late, answer, close)
        else:
            self.answer(answer, close)

    def answer_late(self, answer: bytes, close: bool) -> None:
        self.answer(answer, close)
        self.is_waiting = False
        self.read()

    def answer(self, answer: bytes, close: bool = False) -> None:
        self.transport.write(answer)
        if close:
            self.transport.close()


class Api(Connection):
    """POST /v3/mail/send over HTTP/1.1; connections are kept unless the client closes them."""

    needed = 0  # bytes of the request that is being read

    def read(self) -> None:
        while len(self.buffer) >= self.needed and not self.is_waiting:
            end = self.buffer.find(END_OF_HEAD)
            if end < 0:
                return
            head = bytes(self.buffer[:end]).lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            self.needed = end + len(END_OF_HEAD) + length
            if len(self.buffer) < self.needed:
                return
            self.take(self.buffer[: self.needed], b"connection: close" in head)
            del self.buffer[: self.needed]
            self.needed = 0

    def take(self, request: bytearray, close: bool) -> None:
        start = request.index(RECIPIENT) + len(RECIPIENT)
        address = bytes(request[start : request.index(b'"', start)])
        self.accept(
            address,
            b"HTTP/1.1 202 Accepted\r\nX-Message-Id: sink-%d\r\nContent-Length: 0\r\n\r\n"
            % next(self.numbers),
            close,
        )


class Mailbox(Connection):
    """SMTP with PIPELINING."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.in_data, self.recipient, self.scanned = False, b"", 0
        self.answer(b"220 sink ESMTP\r\n")

    def read(self) -> None:
        replies = bytearray()
        while self.buffer and not self.is_waiting:
            if self.in_data:
                end = self.buffer.find(END_OF_DATA, max(0, self.scanned - 4))
                if end < 0:
                    self.scanned = len(self.buffer)
                    break
                del self.buffer[: end + len(END_OF_DATA)]
                self.in_data, self.scanned = False, 0
                self.flush(replies)
                self.accept(self.recipient, b"250 2.0.0 accepted\r\n")
                continue
            end = self.buffer.find(b"\r\n")
            if end < 0:
                break
            line = bytes(self.buffer[:end])
            del self.buffer[: end + 2]
            replies += self.reply(line)
        self.flush(replies)

    def flush(self, replies: bytearray) -> None:
        if replies:
            self.answer(bytes(replies))
            replies.clear()

    def reply(self, line: bytes) -> bytes:
        match line[:4].upper():
            case b"EHLO" | b"HELO":
                return b"250-sink\r\n250-PIPELINING\r\n250-SIZE 0\r\n250 8BITMIME\r\n"
            case b"RCPT":
                self.recipient = line[line.index(b"<") + 1 : line.index(b">")]
                return b"250 2.1.5 ok\r\n"
            case b"DATA":
                self.in_data = True
                return b"354 go on\r\n"
            case b"QUIT":
                return b"221 bye\r\n"
            case _:
                return b"250 ok\r\n"


async def serve(transport: str, delay: float) -> None:
    """Serve until standard input closes, then print what was accepted."""
    Connection.delay = delay
    loop = asyncio.get_running_loop()
    protocol = {"sendgrid": Api, "smtp": Mailbox}[transport]
    server = await loop.create_server(protocol, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    accepted = Connection.accepted
    print(json.dumps({"mails": accepted.total(), "recipients": len(accepted)}))
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], float(sys.argv[2])))
