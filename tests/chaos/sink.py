"""The other end: two providers that take mail, fail in every way they know, and write down what they took."""

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
SPREAD_SECONDS = 2.0  # how far events are delayed, and so reordered
POST_SIZE = 200

# How often what happens, of a thousand mails. Each address meets its fate once.
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
    """What was taken, in order, and who meets which fate: the same for the same seed."""

    def __init__(self, seed, fates):
        self.seed, self.fates = seed, fates
        self.taken, self.met, self.lock = [], Counter(), threading.Lock()
        self.refused = set()

    def fate(self, address):
        """What happens to this mail: an address's own fate at first, none after it."""
        with self.lock:
            self.met[address] += 1
            if self.met[address] > 1:
                return ""
        dice = random.Random(f"{self.seed} {address}").random() * 1000
        for name, share in self.fates.items():
            if dice < share:
                return name
            dice -= share
        return ""

    def take(self, address):
        with self.lock:
            self.taken.append(address)

    def times(self):
        with self.lock:
            return Counter(self.taken)


class Api:
    """SendGrid's v3 endpoint, and its signed events."""

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
            for target in (self.server.serve_forever, self.tell)
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

    def accept(self, mail):
        """Take one mail; its name for it. Events follow: late, repeated, in any order."""
        address, name = mail["personalizations"][0]["to"][0]["email"], uuid.uuid4().hex
        self.log.take(address)
        for kind in ("processed", "delivered"):
            event = {
                "event": kind,
                "email": address,
                "timestamp": int(time.time()),
                "sg_message_id": f"{name}.recvd-invented",
                "sg_event_id": uuid.uuid4().hex,
                "digest": mail["custom_args"]["digest"],
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
            due = time.monotonic() + self.random.random() * SPREAD_SECONDS
            self.waiting.append((due, event))

    def tell(self):
        """Post what is due, and again until it is taken."""
        while not self.over.wait(0.1):
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

    def settled(self):
        """Whether every event was told."""
        with self.lock:
            return not (self.waiting or self.posting)


def handler_of(api):
    """What answers one request of a client."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_POST(self):
            mail = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            fate = api.log.fate(mail["personalizations"][0]["to"][0]["email"])
            if fate == "429":
                self.answer(429, reset=time.time() + 1)
            elif fate == "500":
                self.answer(500)
            elif fate == "dropped":
                self.close_connection = True
            else:
                self.accepted(mail, fate)

        def accepted(self, mail, fate):
            name = api.accept(mail)
            if fate == "taken, then dropped":
                self.close_connection = True
                return
            if fate == "taken, then stalled":
                time.sleep(api.stall)
            self.answer(500 if fate == "500, taken" else 202, name)

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
            except OSError:  # nobody is there any more
                self.close_connection = True

    return Handler


class Mailbox:
    """A mail server."""

    def __init__(self, seed, stall):
        self.log = Log(seed, SMTP)
        self.fates = {}
        self.server = SmtpServer(self)

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *_):
        self.server.stop()

    def settings(self):
        return {"MAIL_TRANSPORT": "smtp", "SMTP_URL": self.server.url}

    async def handle_RCPT(self, server, session, envelope, address, options):
        fate = self.fates[address] = self.log.fate(address)
        if fate[:3] in ("450", "550", "421"):
            if fate.startswith("550"):
                self.log.refused.add(address)
            return fate
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        (address,) = envelope.rcpt_tos
        fate = self.fates.get(address, "")
        if fate.startswith("451"):
            return fate
        if fate != "dropped":
            self.log.take(address)
        if fate in ("dropped", "taken, then dropped"):
            server.transport.abort()
            await asyncio.sleep(0)
        return "250 taken"

    def settled(self):
        return True


SINKS = {"sendgrid": Api, "smtp": Mailbox}
