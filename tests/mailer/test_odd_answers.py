"""Answers that providers do not document, spoken by real sockets: no mail is doubled or lost."""

import logging
import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest

from digest.mailer import rate
from digest.mailer.transports import ConfigurationError, http, sendgrid, smtp
from tests.mailer.test_transports import connect, mail

ACCEPTED = (
    b"HTTP/1.1 202 Accepted\r\nX-Message-Id: inv3nted\r\nContent-Length: 0\r\n\r\n"
)
ERRORS = b'{"errors": [{"message": "no", "field": "from.email"}]}'


class HttpSink:
    """An HTTP server that reads whole requests and answers each with the same bytes."""

    def __init__(self, answer):
        self.answer, self.requests = answer, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:  # closed by the test
                return
            with connection:
                self.requests.append(read_request(connection))
                connection.sendall(self.answer)

    @contextmanager
    def running(self):
        self.thread.start()
        with self.listener:
            yield self
            self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()


def read_request(connection):
    """Read headers and as much body as they announce."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    lengths = [line for line in lines if line.startswith(b"content-length:")]
    while lengths and len(body) < int(lengths[0].partition(b":")[2]):
        body += connection.recv(65536)
    return head


def post_to(sink, settings):
    settings.SENDGRID_API_URL, settings.SENDGRID_API_KEY = sink.url, "SG.invented"
    with connect(sendgrid) as send:
        return send(mail())


def answered(answer, settings):
    """The result of one mail that SendGrid answers with these bytes."""
    with HttpSink(answer).running() as sink:
        return post_to(sink, settings)


def response(status, body=b"", **headers):
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def test_sendgrid_accepted_is_202_with_a_message_id(settings):
    result = answered(ACCEPTED, settings)

    assert (result.state, result.message_id) == ("accepted", "inv3nted")


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(response("200 OK", b"<html>Welcome</html>"), id="200-page"),
        pytest.param(response("200 OK", X_Message_Id="a"), id="200-with-id"),
        pytest.param(response("201 Created", X_Message_Id="a"), id="201"),
        pytest.param(response("202 Accepted"), id="202-without-id"),
        pytest.param(response("202 Accepted", X_Message_Id=""), id="202-empty-id"),
        pytest.param(response("204 No Content"), id="204"),
        pytest.param(response("500 Error"), id="500"),
        pytest.param(response("503 Unavailable", b"<html>"), id="503"),
        pytest.param(response("999 Odd"), id="999"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1", id="status-line-cut"),
        pytest.param(b"garbage\r\n\r\n", id="garbage-status-line"),
        pytest.param(b"HTTP/1.1 abc OK\r\n\r\n", id="status-not-a-number"),
        pytest.param(b"HTTP/1.1 202 Accepted\r\n" + b"X: y\r\n" * 200, id="headers"),
        pytest.param(b"HTTP/1.1 202 " + b"A" * 70_000 + b"\r\n\r\n", id="long-line"),
        pytest.param(b"\xff\xfe\x00\x01" * 10 + b"\r\n\r\n", id="binary"),
        pytest.param(
            b"HTTP/1.1 500 E\r\nContent-Length: 900\r\n\r\n<html>", id="500-body-cut"
        ),
    ],
)
def test_sendgrid_undocumented_answer_is_unknown(settings, answer):
    result = answered(answer, settings)

    assert (result.state, result.retry) == ("unknown", False)


def test_sendgrid_accepted_mail_stays_accepted_if_the_body_is_cut_short(settings):
    answer = ACCEPTED.replace(b"Length: 0", b"Length: 900") + b"{"

    assert answered(answer, settings).state == "accepted"


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 900", b"Transfer-Encoding: chunked"]
)
@pytest.mark.parametrize(
    ("status", "retry"),
    [(b"400 Bad", False), (b"404 Not Found", True), (b"429 Slow", True)],
)
def test_sendgrid_refusal_stays_a_refusal_if_the_body_is_cut_short(
    settings, status, retry, framing
):
    answer = b"HTTP/1.1 " + status + b"\r\n" + framing + b"\r\n\r\nzz{"

    result = answered(answer, settings)

    assert (result.state, result.retry) == ("refused", retry)


@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "303 Other", "307 T", "308 P"]
)
def test_sendgrid_redirect_is_a_temporary_refusal_and_is_not_followed(settings, status):
    with HttpSink(ACCEPTED).running() as other:
        answer = response(status, Location=f"{other.url}/v3/mail/send?token=secret")
        result = answered(answer, settings)

        assert other.requests == []
    assert (result.state, result.retry) == ("refused", True)
    assert "SENDGRID_API_URL" in result.detail
    assert "secret" not in result.detail


@pytest.mark.parametrize(
    ("status", "retry"),
    [(400, False), (404, True), (405, True), (408, True), (413, False), (421, True)],
)
def test_sendgrid_refusal_is_permanent_only_if_it_concerns_the_mail(
    settings, status, retry
):
    result = answered(response(f"{status} X"), settings)

    assert (result.state, result.retry) == ("refused", retry)


@pytest.mark.parametrize(
    ("field", "retry", "is_recipient"),
    [
        ("personalizations.0.to.0.email", False, True),
        ("from.email", True, False),
        ("content.0.value", False, False),
    ],
)
def test_sendgrid_bad_request_is_judged_by_the_field_it_names(
    settings, field, retry, is_recipient
):
    body = ERRORS.replace(b"from.email", field.encode())

    result = answered(response("400 Bad", body), settings)

    assert (result.state, result.retry) == ("refused", retry)
    assert result.is_recipient is is_recipient


@pytest.mark.parametrize(
    "body",
    [b"[]", b"null", b'{"errors": 1}', b'{"errors": [null]}', b"[" * 50_000, b"\xff"],
)
def test_sendgrid_odd_error_bodies_are_quoted(settings, body):
    result = answered(response("400 Bad", body), settings)

    assert result.state == "refused"
    assert len(result.detail) < 300


@pytest.mark.parametrize(
    "reset",
    [
        pytest.param(str(time.time() + 7200), id="in two hours"),
        pytest.param(str(time.time() * 1000), id="in milliseconds"),
        "-5",
        "nan",
        "inf",
        "-inf",
        "1e400",
        "9" * 4000,
        "soon",
        "",
    ],
)
def test_sendgrid_rate_limit_wait_is_bounded(settings, reset):
    headers = {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": reset}

    result = answered(response("429 Slow", **headers), settings)

    assert (result.state, result.retry) == ("refused", True)
    assert 0 <= result.wait <= rate.MAX_BLOCK_S


def test_sendgrid_body_that_trickles_does_not_delay_the_next_mail(
    settings, monkeypatch
):
    monkeypatch.setattr(http, "MAX_BODY_READ_S", 0.3)
    over = threading.Event()

    def trickle(listener):
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            read_request(connection)
            connection.sendall(b"HTTP/1.1 400 Bad\r\nContent-Length: 900\r\n\r\n")
            while not over.wait(0.1):
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings.SENDGRID_API_URL = f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=trickle, args=[listener])
        thread.start()
        begin = time.monotonic()
        settings.SENDGRID_API_KEY = "SG.invented"
        with connect(sendgrid) as send:
            result = send(mail())
        seconds = time.monotonic() - begin
        over.set()
        thread.join()

    assert result.state == "refused"
    assert seconds < 5


def test_sendgrid_client_logs_neither_key_nor_address(settings, caplog):
    with caplog.at_level(logging.DEBUG):
        answered(ACCEPTED, settings)

    assert "SG.invented" not in caplog.text
    assert "ada@example.org" not in caplog.text


# SMTP

GREETING = {"connect": "220 mx", "ehlo": "250 mx", "mail": "250 ok", "rcpt": "250 ok"}
GREETING |= {"data": "354 go on", "content": "250 taken", "rset": "250 ok"}
CUT = None  # the server closes the connection without a reply


class SmtpSink:
    """A mail server with one reply per command; it records the commands of each session."""

    def __init__(self, **replies):
        self.replies, self.sessions = GREETING | replies, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"smtp://127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:  # closed by the test
                return
            self.sessions.append([])
            with connection, connection.makefile("rb") as lines, suppress(OSError):
                self.talk(connection, lines)

    def talk(self, connection, lines):
        command = "connect"
        while command:
            reply = self.replies.get(command, "500 unknown command")
            if isinstance(reply, list):
                reply = reply.pop(0)
            if reply is CUT:
                return
            connection.sendall(reply.encode("latin-1") + b"\r\n")
            if command == "quit":
                return
            if command == "data" and reply.startswith("354"):
                while lines.readline() not in (b".\r\n", b""):
                    pass
                command = "content"
            else:
                command = lines.readline()[:4].decode("latin-1").strip().lower()
            self.sessions[-1].append(command)

    @contextmanager
    def running(self):
        self.thread.start()
        with self.listener:
            yield self
            self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()


def send_over_smtp(settings, mails=1, **replies):
    """Send mails to a server with these replies; return the last result and the sessions."""
    with SmtpSink(**replies).running() as sink:
        settings.SMTP_URL = sink.url
        with connect(smtp) as send:
            for _ in range(mails):
                result = send(mail())
    return result, sink.sessions


@pytest.mark.parametrize(
    "reply",
    [
        CUT,
        "garbage",
        "999 odd",
        "100 odd",
        "354 more",
        "-50 odd",
        "",
        "250" + "x" * 9000,
    ],
)
def test_smtp_undocumented_reply_to_the_content_is_unknown(settings, reply):
    result, _ = send_over_smtp(settings, content=reply)

    assert (result.state, result.retry) == ("unknown", False)


@pytest.mark.parametrize("reply", ["250 ok", "251 will forward", "200", "299 x"])
def test_smtp_any_positive_completion_reply_is_an_acceptance(settings, reply):
    result, _ = send_over_smtp(settings, content=reply, rcpt=reply, mail=reply)

    assert result.state == "accepted"


@pytest.mark.parametrize("command", ["connect", "ehlo", "mail", "rcpt", "data"])
@pytest.mark.parametrize("reply", [CUT, "garbage", "999 odd", "100 odd", ""])
def test_smtp_odd_reply_before_the_content_is_a_temporary_refusal(
    settings, command, reply
):
    result, _ = send_over_smtp(settings, **{command: reply})

    assert (result.state, result.retry) == ("refused", True)
    assert not result.is_recipient


def test_smtp_positive_reply_to_data_is_no_acceptance(settings):
    result, _ = send_over_smtp(settings, data="250 taken")

    assert (result.state, result.retry) == ("refused", True)


@pytest.mark.parametrize("reply", ["530 log in first", "550 sender refused", "553 no"])
def test_smtp_refused_sender_fails_no_digest(settings, reply):
    result, _ = send_over_smtp(settings, mail=reply)

    assert (result.state, result.retry, result.is_recipient) == ("refused", True, False)
    assert result.detail == reply


@pytest.mark.parametrize("reply", ["503 bad sequence", "530 log in first"])
def test_smtp_refused_session_is_not_taken_for_a_refused_recipient(settings, reply):
    result, _ = send_over_smtp(settings, rcpt=reply)

    assert (result.state, result.retry, result.is_recipient) == ("refused", True, False)


def test_smtp_kept_connection_that_the_server_closes_is_reopened_at_once(settings):
    with SmtpSink().running() as sink:
        settings.SMTP_URL = sink.url
        with connect(smtp) as send:
            send(mail())
            sink.replies = GREETING | {"mail": ["421 idle for too long", "250 ok"]}
            result = send(mail())

    assert result.state == "accepted"
    assert len(sink.sessions) == 2


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mail.example.org:25",
        "smtp://",
        "smtp://host:port",
        "smtp://host:99999",
        "smtp://[::1",
        "smtp+tls://user:pass/word@host:587",
        "smtp+tls://user:pass#word@host:587",
        "smtp+tls://user:p%C3%A4ss@host:587",
        "imap://host",
    ],
)
def test_smtp_wrong_url_raises_without_the_password(settings, url):
    settings.SMTP_URL = url

    with pytest.raises(ValueError, match="SMTP_URL must look like") as raised:
        smtp.parse_server()
    assert "word" not in str(raised.value).replace("password", "")


def test_smtp_greets_with_an_ascii_host_name(settings):
    settings.SITE_URL = "https://bücher.example"

    result, _ = send_over_smtp(settings)

    assert result.state == "accepted"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SMTP_URL", "mail.example.org:25"),
        ("SMTP_URL", "smtp://host:port"),
        ("MAIL_FROM", "Papers <päpers@example.org>"),
    ],
)
def test_smtp_wrong_settings_raise_before_any_mail_is_prepared(settings, name, value):
    setattr(settings, name, value)

    with pytest.raises(ConfigurationError, match=name):
        smtp.check_settings()
