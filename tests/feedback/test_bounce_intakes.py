"""The ways in which mail to BOUNCE_ADDRESS arrives: SMTP, LMTP, IMAP, files and pipes."""

import asyncio
import io
import re
import smtplib
import socketserver
import threading
from contextlib import contextmanager

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError

from accounts.models import Suppression
from digest import alarms
from digest.celery import app
from digest.feedback import imap, inbound, mail_server
from digest.models import Event, Heartbeat
from digest.tasks import poll_bounce_mailbox
from tests import make
from tests.feedback.conftest import BOUNCE_ADDRESS, recorded

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("bounce_address")]


# SMTP and LMTP


@contextmanager
def running_server(lmtp=False):
    """A server in a thread; yields its port."""
    loop, stop, ports = asyncio.new_event_loop(), asyncio.Event(), []
    ready = threading.Event()

    async def serve():
        server = await loop.create_server(
            mail_server.session_factory(lmtp), "127.0.0.1", 0
        )
        ports.append(server.sockets[0].getsockname()[1])
        ready.set()
        async with server:
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=[serve()])
    thread.start()
    ready.wait(30)
    try:
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        loop.close()


@pytest.fixture
def in_this_thread(monkeypatch):
    """Let the server query in its own thread without the database: tests have one transaction."""
    taken = []

    async def run_query(function, *arguments):
        if function is inbound.is_recipient:
            return arguments[0].startswith("bounces+d")
        taken.append(arguments[:2])
        return True

    monkeypatch.setattr(mail_server, "run_query", run_query)
    return taken


@pytest.mark.parametrize("client_class", [smtplib.SMTP, smtplib.LMTP])
def test_server_takes_reports_and_refuses_other_recipients(
    in_this_thread, client_class
):
    address = "bounces+d1-aaaaaaaaaaaaaaaa@papers.example"
    with (
        running_server(lmtp=client_class is smtplib.LMTP) as port,
        client_class("127.0.0.1", port, local_hostname="localhost") as client,
    ):
        client.ehlo_or_helo_if_needed()
        client.mail("")
        refusals = [
            client.rcpt("ada@example.org"),
            client.rcpt("bounces+x@papers.example"),
        ]
        answer = client.rcpt(address)
        second = client.rcpt(address)
        stored = client.data(b"Subject: report\r\n\r\nbounced\r\n")

    assert [code for code, _ in refusals] == [550, 550]
    assert (answer[0], second[0], stored[0]) == (250, 452, 250)
    [(content, recipients)] = in_this_thread
    assert b"Subject: report" in content
    assert recipients == [address]


def test_server_asks_to_try_again_while_the_database_is_away(monkeypatch):
    async def fail(*_):
        raise DatabaseError("server closed the connection")

    monkeypatch.setattr(mail_server, "run_query", fail)
    with (
        running_server() as port,
        smtplib.SMTP("127.0.0.1", port, "localhost") as client,
    ):
        client.ehlo()
        client.mail("")
        code, _ = client.rcpt(BOUNCE_ADDRESS)

    assert code == 451


def test_server_limits_its_sessions(in_this_thread, monkeypatch):
    monkeypatch.setattr(mail_server, "MAX_SESSIONS", 1)
    with (
        running_server() as port,
        smtplib.SMTP("127.0.0.1", port, "localhost"),
        pytest.raises(smtplib.SMTPConnectError) as refusal,
    ):
        smtplib.SMTP("127.0.0.1", port, "localhost")

    assert refusal.value.smtp_code == 421


@pytest.mark.parametrize(
    ("recipient", "taken"),
    [
        (lambda reported: reported.return_path, True),
        (lambda reported: reported.subscriber.unsubscribe_address, True),
        (lambda reported: BOUNCE_ADDRESS, True),
        (lambda reported: reported.return_path.replace("+d", "+d9"), False),
        (lambda reported: "postmaster@example.org", False),
    ],
    ids=["digest", "unsubscribe", "plain", "forged", "other"],
)
def test_recipients_are_those_that_we_signed(reported, recipient, taken):
    assert inbound.is_recipient(recipient(reported)) == taken


# IMAP


class Mailbox(socketserver.ThreadingTCPServer):
    """An IMAP server for one mailbox of mails with flags."""

    daemon_threads = True

    def __init__(self, mails, password="p@ss word"):
        super().__init__(("127.0.0.1", 0), Session)
        self.mails = {str(uid): mail for uid, mail in enumerate(mails, 7)}
        self.flags = {uid: set() for uid in self.mails}
        self.password = password
        self.folders = []

    @contextmanager
    def running(self):
        thread = threading.Thread(target=self.serve_forever)
        thread.start()
        try:
            yield f"imap://bounces:p%40ss%20word@127.0.0.1:{self.server_address[1]}"
        finally:
            self.shutdown()
            thread.join()
            self.server_close()


class Session(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"* OK IMAP4rev1 ready\r\n")
        for line in self.rfile:
            tag, command, *rest = line.decode().strip().split(" ", 2)
            status, output = self.answer(command.upper(), *rest)
            self.wfile.write(output + f"{tag} {status} done\r\n".encode())
            if command.upper() == "LOGOUT":
                return

    def answer(self, command, rest=""):
        mailbox = self.server
        match command:
            case "CAPABILITY":
                return "OK", b"* CAPABILITY IMAP4rev1\r\n"
            case "LOGIN":
                return ("OK" if f'"{mailbox.password}"' in rest else "NO"), b""
            case "SELECT":
                mailbox.folders.append(rest)
                return "OK", f"* {len(mailbox.mails)} EXISTS\r\n".encode()
            case "UID":
                return "OK", self.answer_uid(*rest.split(" ", 1))
            case "EXPUNGE":
                for uid in [
                    u for u, flags in mailbox.flags.items() if r"\Deleted" in flags
                ]:
                    del mailbox.mails[uid], mailbox.flags[uid]
        return "OK", b""

    def answer_uid(self, command, rest):
        mailbox = self.server
        if command == "SEARCH":
            unread = [uid for uid, flags in mailbox.flags.items() if not flags]
            return f"* SEARCH {' '.join(unread)}\r\n".encode()
        uid = rest.split()[0]
        if command == "STORE":
            mailbox.flags[uid] |= set(re.findall(r"\\\w+", rest))
            return b""
        size = int(re.search(r"<0\.(\d+)>", rest)[1])
        content = mailbox.mails[uid][:size]
        return b"* 1 FETCH (UID %s BODY[]<0> {%d}\r\n%s)\r\n" % (
            uid.encode(),
            len(content),
            content,
        )


@pytest.fixture
def mailbox(reported):
    return Mailbox(
        [recorded("postfix_unknown_user", reported), recorded("vacation", reported)]
    )


def test_reports_in_the_mailbox_are_stored_and_deleted(mailbox, settings, eager):
    with mailbox.running() as url:
        settings.BOUNCE_IMAP_URL = f"{url}/Reports"
        poll_bounce_mailbox.delay()
        poll_bounce_mailbox.delay()

    assert mailbox.flags == {"8": {r"\Seen"}}  # left for a person
    assert mailbox.folders == ['"Reports"', '"Reports"']
    assert Suppression.objects.get().reason == "bounce"


def test_mail_stays_unread_if_it_cannot_be_stored(mailbox, settings, monkeypatch):
    def fail(*_):
        raise DatabaseError("disk full")

    monkeypatch.setattr(inbound, "record_reports", fail)
    with mailbox.running() as url:
        settings.BOUNCE_IMAP_URL = url
        with pytest.raises(DatabaseError):
            imap.poll_mailbox(make.NOW)

    assert mailbox.flags["7"] == set()


def test_poll_of_a_mailbox_that_refuses_is_logged(mailbox, settings, eager, caplog):
    with mailbox.running() as url:
        settings.BOUNCE_IMAP_URL = url.replace("word", "wrong")
        poll_bounce_mailbox.delay()

    assert "bounce mailbox is unavailable" in caplog.text
    assert not Heartbeat.objects.exists()


def test_mailbox_that_is_not_read_is_an_alarm(settings):
    assert alarms.find_unread_mailbox(make.NOW) == []
    settings.BOUNCE_IMAP_URL = "imaps://bounces:secret@127.0.0.1"

    assert [alarm.kind for alarm in alarms.find_unread_mailbox(make.NOW)] == ["bounces"]
    Heartbeat.objects.record("bounce mailbox", make.NOW)
    assert alarms.find_unread_mailbox(make.NOW + make.hours(0.9)) == []
    assert alarms.find_unread_mailbox(make.NOW + make.hours(1.1)) != []


def test_mailbox_is_polled_by_the_worker_that_does_not_send():
    entry = app.conf.beat_schedule["poll bounce mailbox"]

    assert entry["task"] == poll_bounce_mailbox.name
    assert app.conf.task_routes[entry["task"]] == {"queue": "urgent"}


# Files and pipes


def read_bounces(*arguments):
    output = io.StringIO()
    call_command("read_bounces", *arguments, stdout=output)
    return output.getvalue()


def test_command_reads_files_and_processes_them(reported, tmp_path):
    names = ["postfix_unknown_user", "vacation"]
    for name in names:
        (tmp_path / name).write_bytes(recorded(name, reported))

    output = read_bounces(*(str(tmp_path / name) for name in names))

    assert output == "1 of 2 mails report on mails of ours.\n"
    assert Suppression.objects.get().reason == "bounce"
    assert not Event.objects.filter(processed_at=None).exists()


def test_command_reads_a_pipe_with_its_recipient(reported, monkeypatch):
    content = recorded("qmail_unknown_user", reported, return_path=BOUNCE_ADDRESS)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))

    output = read_bounces("-", "--recipient", reported.return_path)

    assert output.startswith("1 of 1")


def test_command_prints_the_address_for_feedback_loops():
    assert inbound.is_recipient(read_bounces("--complaints-address").strip())


def test_command_names_what_is_missing(settings, tmp_path):
    with pytest.raises(CommandError, match="No such file"):
        read_bounces(str(tmp_path / "absent"))
    with pytest.raises(CommandError, match="set BOUNCE_IMAP_URL"):
        read_bounces()
    settings.BOUNCE_ADDRESS = ""
    with pytest.raises(CommandError, match="BOUNCE_ADDRESS is not set"):
        read_bounces("-")
