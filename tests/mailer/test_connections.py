"""Kept connections: reused, reopened when the server closes them, and never out of step."""

import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest

from digest.mailer.transports import CallTooLateError, http, sendgrid, smtp
from digest.mailer.transports.http import NoResponseError
from tests.mailer.test_odd_answers import ACCEPTED, read_request, response
from tests.mailer.test_transports import connect, encoded, mail

CLOSING = ACCEPTED.replace(
    b"Content-Length: 0", b"Content-Length: 0\r\nConnection: close"
)


@contextmanager
def serve(talk):
    """Run `talk(connection, number)` for each connection; yield the port and their number."""
    connections = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept_all():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:  # closed by the test
                    return
                connections.append(connection)
                with connection, suppress(OSError, IndexError):
                    talk(connection, len(connections))

        thread = threading.Thread(target=accept_all)
        thread.start()
        yield listener.getsockname()[1], connections
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.fixture
def api(settings):
    """A server that answers each request of a connection with the next of these bytes."""
    settings.SENDGRID_API_KEY = "SG.invented"

    @contextmanager
    def running(*answers, close_after=0):
        def talk(connection, number):
            for answer in answers:
                if not connection.recv(1, socket.MSG_PEEK):
                    return  # the client closed it
                read_request(connection)
                connection.sendall(answer)
            if not close_after:
                connection.recv(1)  # until the client closes it

        with serve(talk) as (port, connections):
            settings.SENDGRID_API_URL = f"http://127.0.0.1:{port}"
            with connect(sendgrid) as send:
                yield send, connections

    return running


def test_requests_share_a_connection(api):
    with api(ACCEPTED, ACCEPTED, ACCEPTED) as (send, connections):
        states = [send(mail()).state for _ in range(3)]

    assert (states, len(connections)) == (["accepted"] * 3, 1)


def test_a_connection_that_the_server_announced_to_close_is_not_used_again(api):
    with api(CLOSING) as (send, connections):
        states = [send(mail()).state for _ in range(2)]

    assert (states, len(connections)) == (["accepted"] * 2, 2)


def test_a_connection_that_the_server_closed_meanwhile_is_reopened(api):
    with api(ACCEPTED, close_after=1) as (send, connections):
        first = send(mail())
        time.sleep(0.05)
        second = send(mail())

    assert (first.state, second.state) == ("accepted", "accepted")
    assert len(connections) == 2


def test_an_idle_connection_is_reopened(api, monkeypatch):
    with api(ACCEPTED, ACCEPTED) as (send, connections):
        send(mail())
        monkeypatch.setattr(http, "MAX_IDLE_S", -1)
        second = send(mail())

    assert (second.state, len(connections)) == ("accepted", 2)


@pytest.mark.parametrize(
    "surplus", [ACCEPTED, b"x", response("400 Bad"), b"HTTP/1.1 "], ids=range(4)
)
def test_a_second_answer_is_not_taken_for_that_of_the_next_request(api, surplus):
    with api(ACCEPTED + surplus, response("400 Bad")) as (send, connections):
        send(mail())
        time.sleep(0.05)
        second = send(mail())

    assert (second.state, len(connections)) == ("accepted", 2)


def test_a_connection_that_ends_after_a_request_leaves_it_unknown(api):
    with api(ACCEPTED, b"", close_after=2) as (send, connections):
        first, second, third = (send(mail()) for _ in range(3))

    assert (first.state, second.state, third.state) == (
        *("accepted", "unknown"),
        "accepted",
    )
    assert not second.retry
    assert len(connections) == 2


def test_a_refusal_with_its_body_keeps_the_connection(api):
    with api(response("400 Bad", b"{}" * 500), ACCEPTED) as (send, connections):
        results = [send(mail()) for _ in range(2)]

    assert [result.state for result in results] == ["refused", "accepted"]
    assert len(connections) == 1


def test_interim_responses_precede_the_answer(api):
    with api(b"HTTP/1.1 100 Continue\r\n\r\n" + ACCEPTED) as (send, _):
        assert send(mail()).state == "accepted"


def test_headers_that_trickle_end_at_the_deadline(settings, monkeypatch):
    monkeypatch.setattr(http, "REQUEST_TIMEOUT_S", 0.5)
    settings.SENDGRID_API_KEY = "SG.invented"

    def talk(connection, number):
        read_request(connection)
        for byte in b"HTTP/1.1 202 Accepted\r\n" * 10:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)

    with serve(talk) as (port, _):
        settings.SENDGRID_API_URL = f"http://127.0.0.1:{port}"
        begin = time.monotonic()
        with connect(sendgrid) as send:
            result = send(mail())
        seconds = time.monotonic() - begin

    assert result.state == "unknown"
    assert seconds < 3


def test_the_age_of_a_call_is_checked_on_the_open_connection(api):
    """Opening it takes time, in which the check may become too old."""

    def begin_call():
        raise CallTooLateError

    with api(ACCEPTED) as (_, connections):
        connection = sendgrid.connect()
        with pytest.raises(CallTooLateError):
            connection.send_mail(encoded(mail(), sendgrid), begin_call)
        result = connection.send_mail(encoded(mail(), sendgrid), lambda: None)
        connection.close()

    assert result.state == "accepted"
    assert len(connections) == 1  # opened by the first, used by the second


@pytest.mark.parametrize("scheme", ["https"])
def test_an_untrusted_certificate_is_refused_before_the_request(settings, scheme):
    def talk(connection, number):
        connection.sendall(b"this is not TLS")

    with serve(talk) as (port, _):
        connection = http.HttpConnection(f"{scheme}://127.0.0.1:{port}/v3", {})
        with pytest.raises(http.NotSentError):
            connection.post(b"{}", lambda: None)


def test_https_goes_through_the_proxy_of_the_environment(monkeypatch):
    requests = []

    def talk(connection, number):
        requests.append(connection.recv(4096))
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

    with serve(talk) as (port, _):
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        connection = http.HttpConnection("https://api.example.org/v3", {})
        with pytest.raises(http.NotSentError):
            connection.post(b"{}", lambda: None)

    assert requests[0].startswith(b"CONNECT api.example.org:443 HTTP/1.")


# SMTP


class PipeliningServer:
    """A mail server with PIPELINING: it answers what it read at once, and records it as segments."""

    def __init__(self, replies=(), extensions=("PIPELINING",)):
        self.replies, self.extensions = dict(replies), extensions
        self.segments, self.taken = [], []

    def talk(self, connection, number):
        connection.sendall(b"220 mx\r\n")
        self.segments.append([])
        pending, recipient, in_content = b"", "", False
        while data := connection.recv(262_144):
            self.segments[-1].append(data)
            pending += data
            answers = b""
            while True:
                if in_content:
                    content, end, rest = pending.partition(b"\r\n.\r\n")
                    if not end:
                        break
                    pending, in_content = rest, False
                    answers += self.reply(recipient, "content", "250 taken")
                    if answers.endswith(b"250 taken\r\n"):
                        self.taken.append((recipient, content + b"\r\n"))
                    continue
                line, end, rest = pending.partition(b"\r\n")
                if not end:
                    break
                pending, command = rest, line[:4].decode().upper()
                if command == "EHLO":
                    names = ["mx", *self.extensions]
                    lines = [f"250-{name}" for name in names[:-1]]
                    answers += "\r\n".join([*lines, f"250 {names[-1]}", ""]).encode()
                elif command == "RCPT":
                    recipient = line.partition(b"<")[2].rpartition(b">")[0].decode()
                    answers += self.reply(recipient, "rcpt", "250 ok")
                    is_refused = not answers.endswith(b"250 ok\r\n")
                elif command == "DATA":
                    default = "554 no valid recipients" if is_refused else "354 go on"
                    answers += self.reply(recipient, "data", default)
                    in_content = answers.endswith(b"354 go on\r\n")
                elif command == "QUIT":
                    connection.sendall(answers + b"221 bye\r\n")
                    return
                else:
                    answers += b"250 ok\r\n"
            if answers:
                connection.sendall(answers)

    def reply(self, recipient, command, default):
        return f"{self.replies.get((recipient, command), default)}\r\n".encode()


def send_in_a_row(server, settings, addresses):
    """Send a mail to each address over one connection that knows the next one."""
    with serve(server.talk) as (port, _):
        settings.SMTP_URL = f"smtp://127.0.0.1:{port}"
        mails = [
            replace(encoded(mail(key=f"key{number}"), smtp), to=to)
            for number, to in enumerate(addresses)
        ]
        connection = smtp.connect()
        results = [
            connection.send_mail(each, lambda: None, following)
            for each, following in zip(mails, [*mails[1:], None], strict=True)
        ]
        connection.close()
    return results


THREE = ["a@example.org", "b@example.org", "c@example.org"]


def test_the_next_mail_is_announced_with_the_end_of_the_one_before(settings):
    server = PipeliningServer()

    results = send_in_a_row(server, settings, THREE)

    assert [result.state for result in results] == ["accepted"] * 3
    assert [to for to, _ in server.taken] == THREE
    (segments,) = server.segments
    joined = b"\r\n.\r\n".join(segments)
    for to in THREE[1:]:
        sender = b"round@paper-round.example"
        announced = b"MAIL FROM:<%b>\r\nRCPT TO:<%b>\r\nDATA\r\n" % (
            sender,
            to.encode(),
        )
        assert any(each.endswith(b".\r\n" + announced) for each in segments), joined


def test_pipelined_mails_arrive_unchanged(settings):
    server = PipeliningServer()

    send_in_a_row(server, settings, THREE)

    assert [content for _, content in server.taken] == [
        smtp.escape_dots(smtp.encode_mail(mail(key=f"key{number}")))
        for number in range(3)
    ]


@pytest.mark.parametrize(
    ("host", "header"),
    [
        (
            "email-smtp.eu-central-1.amazonaws.com",
            b"X-SES-MESSAGE-TAGS: digest=a_Key-1\r\n",
        ),
        ("smtp.postmarkapp.com", b"X-PM-Metadata-digest: a_Key-1\r\n"),
        ("amazonaws.com.example.org", b""),
        ("mail.example.org", b""),
    ],
)
def test_servers_of_providers_are_given_the_key_of_the_digest(settings, host, header):
    settings.SMTP_URL = f"smtp+tls://user:password@{host}:587"

    assert smtp.metadata_header("a_Key-1") == header


def test_the_header_of_a_provider_precedes_the_mail(settings, monkeypatch):
    monkeypatch.setattr(smtp, "METADATA_HEADERS", {"127.0.0.1": b"X-Key: %s\r\n"})
    server = PipeliningServer()

    send_in_a_row(server, settings, THREE[:1])

    ((_, content),) = server.taken
    own_content = smtp.escape_dots(smtp.encode_mail(mail(key="key0")))
    assert content == b"X-Key: key0\r\n" + own_content


@pytest.mark.parametrize("extensions", [("PIPELINING",), ()])
@pytest.mark.parametrize(
    ("command", "reply", "retry", "is_recipient"),
    [
        ("rcpt", "550 5.1.1 no such user", False, True),
        ("rcpt", "450 greylisted", True, True),
        ("data", "451 try again", True, False),
        ("content", "554 refused", False, False),
    ],
)
def test_a_refused_mail_is_told_apart_from_its_neighbours(
    settings, extensions, command, reply, retry, is_recipient
):
    server = PipeliningServer({("b@example.org", command): reply}, extensions)

    results = send_in_a_row(server, settings, THREE)

    assert [result.state for result in results] == ["accepted", "refused", "accepted"]
    assert results[1].detail == reply
    assert (results[1].retry, results[1].is_recipient) == (retry, is_recipient)
    assert [to for to, _ in server.taken] == ["a@example.org", "c@example.org"]
    assert len(server.segments) == 1


def test_content_without_a_recipient_is_never_sent(settings):
    """A server may accept DATA although it refused the only recipient."""
    server = PipeliningServer(
        {("b@example.org", "rcpt"): "550 no", ("b@example.org", "data"): "354 go on"}
    )

    begin = time.monotonic()
    results = send_in_a_row(server, settings, THREE)

    assert [result.state for result in results] == ["accepted", "refused", "accepted"]
    assert [to for to, _ in server.taken] == ["a@example.org", "c@example.org"]
    assert len(server.segments) == 2  # it was left waiting
    assert time.monotonic() - begin < smtp.SMTP_TIMEOUT_S / 2


def test_an_announced_mail_that_is_not_sent_is_forgotten(settings):
    server = PipeliningServer()
    with serve(server.talk) as (port, _):
        settings.SMTP_URL = f"smtp://127.0.0.1:{port}"
        first, announced, other = (encoded(mail(to=to), smtp) for to in THREE)
        connection = smtp.connect()
        connection.send_mail(first, lambda: None, announced)
        result = connection.send_mail(other, lambda: None, None)
        connection.close()

    assert result.state == "accepted"
    assert [to for to, _ in server.taken] == ["a@example.org", "c@example.org"]


@pytest.mark.parametrize(
    "to", ["a@example.org>\r\nDATA", "a b@example.org", "<a@x.org", "ä@example.org"]
)
def test_an_address_cannot_end_its_command(settings, to):
    server = PipeliningServer()

    results = send_in_a_row(server, settings, ["a@example.org", to, "c@example.org"])

    assert [result.state for result in results] == ["accepted", "refused", "accepted"]
    assert [each for each, _ in server.taken] == ["a@example.org", "c@example.org"]


def test_the_age_of_a_call_is_checked_before_the_content(settings):
    server = PipeliningServer()

    def begin_call():
        raise CallTooLateError

    with serve(server.talk) as (port, _):
        settings.SMTP_URL = f"smtp://127.0.0.1:{port}"
        connection = smtp.connect()
        with pytest.raises(CallTooLateError):
            connection.send_mail(encoded(mail(), smtp), begin_call)
        result = connection.send_mail(encoded(mail(), smtp), lambda: None)
        connection.close()

    assert result.state == "accepted"
    assert len(server.taken) == 1


def test_a_reply_that_trickles_ends_at_the_deadline(settings, monkeypatch):
    monkeypatch.setattr(smtp, "SMTP_TIMEOUT_S", 0.5)
    server = PipeliningServer()
    talk = server.talk
    over = threading.Event()

    def reply_slowly(recipient, command, default):
        if command == "content":
            over.wait(0.1)
        return PipeliningServer.reply(server, recipient, command, default)

    class Trickle:
        def __init__(self, connection):
            self.connection = connection

        def recv(self, number):
            return self.connection.recv(number)

        def sendall(self, data):
            if b"250 taken" not in data:
                self.connection.sendall(data)
                return
            for byte in b"250-x\r\n" * 20:
                self.connection.sendall(bytes([byte]))
                time.sleep(0.05)

    server.reply = reply_slowly
    with serve(lambda connection, n: talk(Trickle(connection), n)) as (port, _):
        settings.SMTP_URL = f"smtp://127.0.0.1:{port}"
        begin = time.monotonic()
        with connect(smtp) as send:
            result = send(mail())
        seconds = time.monotonic() - begin

    assert result.state == "unknown"
    assert seconds < 4


def test_no_response_error_names_no_address(api):
    with api(b"garbage\r\n\r\n") as (send, _):
        result = send(mail())

    assert result.state == "unknown"
    assert "ada@example.org" not in result.detail
    assert NoResponseError.__name__ not in result.detail
