"""Two providers that take mail, fail in many ways, and log what they took."""

import asyncio
import base64
import json
import random
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.smtp_server import SmtpServer

HEADER = "X-Twilio-Email-Event-Webhook-"
POST_SIZE = 200

# Attempts of one address that may fail.
MAX_FAULTS = 3
# Faults of the first attempt, per thousand addresses.
SENDGRID = {
    "429": 3,
    "500": 6,
    "500, taken": 6,
    "taken, then dropped": 6,
    "dropped": 4,
    "taken, then stalled": 1,
}
SMTP = {
    "450 greylisted": 5,
    "550 no such user": 5,
    "451 disk full": 2,
    "421 shutting down": 2,
    "taken, then dropped": 4,
    "dropped": 4,
}


class Log:
    """The mails that were taken, and the faults of each address: the same for the same seed."""

    def __init__(self, seed, faults):
        self.seed, self.faults, self.total = seed, faults, sum(faults.values())
        self.taken, self.attempts, self.lock = [], Counter(), threading.Lock()
        self.refused = set()

    def next_fault(self, address):
        """The fault of this attempt, "" for none: an address has up to MAX_FAULTS, one an attempt.

        An address that had a fault has the next one with even odds, so that several
        faults of one address are frequent enough to be tested.
        """
        with self.lock:
            self.attempts[address] += 1
            attempt = self.attempts[address]
        if attempt > MAX_FAULTS:
            return ""
        draws = [random.Random(f"{self.seed} {address} {n}") for n in range(attempt)]
        drawn = [
            self.draw_fault(draw.random() * (1000 if n == 0 else 2 * self.total))
            for n, draw in enumerate(draws)
        ]
        return drawn[-1] if all(drawn) else ""

    def draw_fault(self, number):
        for name, share in self.faults.items():
            if number < share:
                return name
            number -= share
        return ""

    def take(self, address):
        with self.lock:
            self.taken.append(address)

    def count_by_address(self):
        with self.lock:
            return Counter(self.taken)


class Api:
    """SendGrid's v3 endpoint and its signed events."""

    max_delay_s = 2.0  # of events, which reorders them

    def __init__(self, seed, stall):
        self.log, self.stall = Log(seed, SENDGRID), stall
        self.secret = ec.generate_private_key(ec.SECP256R1())
        self.webhook, self.waiting, self.posting = "", [], False
        self.over = threading.Event()
        self.random, self.lock = random.Random(seed), threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(self))
        self.server.daemon_threads = True
        self.threads = [
            threading.Thread(target=target, daemon=True)
            for target in (self.server.serve_forever, self.post_due_events)
        ]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.server.shutdown()
        self.server.server_close()

    def settings(self):
        shown = serialization.PublicFormat.SubjectPublicKeyInfo
        der = self.secret.public_key().public_bytes(serialization.Encoding.DER, shown)
        return {
            "MAIL_TRANSPORT": "sendgrid",
            "SENDGRID_API_KEY": "SG.invented",
            "SENDGRID_API_URL": f"http://127.0.0.1:{self.server.server_port}",
            "SENDGRID_WEBHOOK_KEY": base64.b64encode(der).decode(),
        }

    def next_fault(self, mail):
        return self.log.next_fault(mail["personalizations"][0]["to"][0]["email"])

    def accept(self, mail):
        """Take one mail and return its id. Events follow: late, repeated, in any order."""
        address, name = mail["personalizations"][0]["to"][0]["email"], uuid.uuid4().hex
        self.log.take(address)
        for kind in ("processed", "delivered"):
            event = {
                "event": kind,
                "email": address,
                "timestamp": int(time.time()),
                "sg_message_id": f"{name}.recvd-invented",
                "sg_event_id": uuid.uuid4().hex,
                **mail["custom_args"],
            }
            self.schedule(event)
            if self.random.random() < 0.1:  # again, sometimes under a new name
                new = self.random.random() < 0.5
                self.schedule(
                    event | ({"sg_event_id": uuid.uuid4().hex} if new else {})
                )
        return name

    def schedule(self, event):
        with self.lock:
            due = time.monotonic() + self.random.random() * self.max_delay_s
            self.waiting.append((due, event))

    def post_due_events(self):
        """Post due events until they are accepted."""
        while not self.over.wait(self.max_delay_s / 20):
            now = time.monotonic()
            with self.lock:
                due = [row for row in self.waiting if row[0] <= now][:POST_SIZE]
                for row in due:
                    self.waiting.remove(row)
                self.posting = bool(due)
            if due and not self.post([event for _, event in due]):
                with self.lock:
                    self.waiting += due
            self.posting = False

    def post(self, events):
        body, stamp = json.dumps(events).encode(), str(int(time.time()))
        signature = self.secret.sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        headers = {
            f"{HEADER}Signature": base64.b64encode(signature).decode(),
            f"{HEADER}Timestamp": stamp,
            "Content-Type": "application/json",
        }
        request = urllib.request.Request(self.webhook, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status < 300
        except OSError:
            return False

    def is_settled(self):
        """Whether every event was delivered."""
        with self.lock:
            return not (self.waiting or self.posting)


def handler_of(api):
    """Create the request handler."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # keeps connections
        disable_nagle_algorithm = True

        def log_message(self, *_):
            pass

        def do_POST(self):
            mail = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            fault = api.next_fault(mail)
            if fault == "429":
                self.answer(429, reset=time.time() + 1)
            elif fault.isdecimal():
                self.answer(int(fault))
            elif fault == "dropped":
                self.close_connection = True
            else:
                self.accepted(mail, fault)

        def accepted(self, mail, fault):
            name = api.accept(mail)
            if fault == "taken, then dropped":
                self.close_connection = True
                return
            if fault == "taken, then stalled":
                time.sleep(api.stall)
            self.answer(500 if fault == "500, taken" else 202, name)

        def answer(self, status, name="", reset=0.0):
            try:
                self.send_response(status)
                if name and status == 202:
                    self.send_header("X-Message-Id", name)
                if reset:
                    self.send_header("X-RateLimit-Remaining", "0")
                    self.send_header("X-RateLimit-Reset", str(reset))
                self.send_header("Content-Length", "0")
                self.end_headers()
            except OSError:  # the client is gone
                self.close_connection = True

    return Handler


class Mailbox:
    """A mail server."""

    def __init__(self, seed, stall):
        self.log = Log(seed, SMTP)
        self.faults = {}
        self.server = SmtpServer(self)

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *_):
        self.server.stop()

    def settings(self):
        return {"MAIL_TRANSPORT": "smtp", "SMTP_URL": self.server.url}

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        session.host_name = hostname
        return [*responses[:-1], "250-PIPELINING", *responses[-1:]]

    async def handle_RCPT(self, server, session, envelope, address, options):
        fault = self.faults[address] = self.log.next_fault(address)
        if fault[:3] in ("450", "550", "421"):
            if fault.startswith("550"):
                self.log.refused.add(address)
            return fault
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        (address,) = envelope.rcpt_tos
        fault = self.faults.get(address, "")
        if fault.startswith("451"):
            return fault
        if fault != "dropped":
            self.log.take(address)
        if fault in ("dropped", "taken, then dropped"):
            server.transport.abort()
            await asyncio.sleep(0)
        return "250 taken"

    def is_settled(self):
        return True


SINKS = {"sendgrid": Api, "smtp": Mailbox}
