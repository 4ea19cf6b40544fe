"""The three ways out, each against a server on loopback or a folder."""

import json
import smtplib
import socket
import threading
from contextlib import contextmanager
from datetime import UTC, date, datetime
from email import message_from_bytes, policy
from pathlib import Path

import jsonschema
import pytest
from django.core.mail import EmailMultiAlternatives
from werkzeug import Response

from accounts.emails import MailRefusedError, RecipientRefusedError
from digest.mailer import transports
from digest.mailer.transports import (
    EncodedMail,
    Mail,
    accepted,
    as_bytes,
    files,
    http,
    sendgrid,
    smtp,
)
from tests.conftest import DATA, needs_data
from tests.smtp_server import SmtpServer

RECORDED = Path(__file__).resolve().parent.parent / "recorded" / "sendgrid"


def mail(key="key-one", to="ada@example.org"):
    return Mail(
        key=key,
        day=date(2026, 11, 20),
        to=to,
        subject="Paper Round, 20 Nov: Zwölf Größen",
        text="Plain words.\n",
        html="<p>Marked words.</p>\n",
        headers={
            "Message-ID": f"<{key}@testserver>",
            "List-Unsubscribe": "<http://testserver/unsubscribe/k>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        },
        sent_at=datetime(2026, 11, 20, 9, 0, tzinfo=UTC),
    )


def confirmation(to="ada@example.org"):
    message = EmailMultiAlternatives("Please confirm", "Press the button.", to=[to])
    message.attach_alternative("<p>Press the button.</p>", "text/html")
    return message


@contextmanager
def connect(transport):
    """A function that sends a mail over one connection of this transport."""
    transport.check_settings()
    connection = transport.connect()
    yield lambda mail: connection.send_mail(encoded(mail, transport), lambda: None)
    connection.close()


def encoded(mail, transport):
    return EncodedMail(
        key=mail.key,
        day=mail.day,
        to=mail.to,
        content=transport.encode_mail(mail),
        return_path=mail.return_path,
    )


# The choice


@pytest.mark.parametrize(
    ("name", "module"), [("files", files), ("smtp", smtp), ("sendgrid", sendgrid)]
)
def test_mail_transport_selects_the_module(settings, name, module):
    settings.MAIL_TRANSPORT = name

    assert transports.get_transport() is module


def test_an_unknown_transport_raises_with_the_choices(settings):
    settings.MAIL_TRANSPORT = "os"

    with pytest.raises(ValueError, match="use files, smtp or sendgrid"):
        transports.get_transport()


# Files


@pytest.fixture
def folder(tmp_path, settings):
    settings.MAIL_DIR = tmp_path / "mail"
    return settings.MAIL_DIR


def test_files_writes_one_mail_per_file_named_by_day_and_key(folder):
    with connect(files) as send:
        outcome = send(mail())

    (path,) = folder.iterdir()
    assert path.name == "2026-11-20-key-one.eml"
    assert path.read_bytes() == as_bytes(mail())
    assert outcome == accepted()


def test_files_overwrites_the_same_mail(folder):
    with connect(files) as send:
        send(mail())
        send(mail())

    assert len(list(folder.iterdir())) == 1


def test_files_was_sent_finds_a_mail_by_key(folder):
    with connect(files) as send:
        send(mail("key-one"))

    assert files.was_sent("key-one")
    assert not files.was_sent("key-two")


def test_files_unwritable_folder_is_a_temporary_refusal(tmp_path, settings):
    (tmp_path / "a-file").write_text("")
    settings.MAIL_DIR = tmp_path / "a-file" / "mail"

    with connect(files) as send:
        outcome = send(mail())

    assert (outcome.state, outcome.retry) == ("refused", True)


def test_files_backend_writes_account_mails(folder, settings):
    settings.EMAIL_BACKEND = "digest.mailer.transports.files.EmailBackend"

    assert confirmation().send() == 1

    (path,) = folder.iterdir()
    message = message_from_bytes(path.read_bytes(), policy=policy.default)
    assert message["To"] == "ada@example.org"
    assert "Press the button." in message.get_body(("plain",)).get_content()


# SMTP


class Sink:
    """A mail server's mind: what it took, and what it answers to whom."""

    def __init__(self):
        self.taken, self.sessions, self.answers, self.after_data = [], set(), {}, ""
        self.senders = []

    async def handle_RCPT(self, server, session, envelope, address, options):
        self.sessions.add(session.peer)
        answer = self.answers.get(address, "250 OK")
        answer = answer.pop(0) if isinstance(answer, list) else answer
        if answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server, session, envelope):
        if self.after_data == "hang up":
            server.transport.close()
            return "250 never seen"
        if self.after_data:
            return self.after_data
        self.taken.append((envelope.rcpt_tos[0], envelope.content))
        self.senders.append(envelope.mail_from)
        return "250 taken"


@pytest.fixture
def sink(settings):
    handler = Sink()
    server = SmtpServer(handler)
    server.start()
    settings.SMTP_URL = server.url
    yield handler
    server.stop()


def test_smtp_sends_all_mails_over_one_connection(sink):
    with connect(smtp) as send:
        outcomes = [send(mail(to=to)) for to in ("a@example.org", "b@example.org")]

    assert [outcome.state for outcome in outcomes] == ["accepted", "accepted"]
    assert [to for to, _ in sink.taken] == ["a@example.org", "b@example.org"]
    assert sink.taken[0][1].rstrip() == as_bytes(mail(to="a@example.org")).rstrip()
    assert len(sink.sessions) == 1


@pytest.mark.parametrize(
    ("answer", "retry", "is_recipient"),
    [
        ("550 no such user", False, True),
        ("450 greylisted", True, True),
        ("421 shutting down", True, False),
    ],
)
def test_smtp_refused_recipient_does_not_stop_the_next(
    sink, answer, retry, is_recipient
):
    sink.answers["b@example.org"] = answer

    with connect(smtp) as send:
        outcomes = [send(mail(to=f"{name}@example.org")) for name in "abc"]

    assert [outcome.state for outcome in outcomes] == [
        "accepted",
        "refused",
        "accepted",
    ]
    refusal = outcomes[1]
    assert refusal.detail == answer
    assert refusal.retry is retry
    assert refusal.is_recipient is is_recipient
    assert [to for to, _ in sink.taken] == ["a@example.org", "c@example.org"]


def test_smtp_refused_content_is_a_refusal(sink):
    sink.after_data = "552 too large"
    with connect(smtp) as send:
        refused = send(mail())
        sink.after_data = "451 disk full"
        later = send(mail())
        sink.after_data = ""
        taken = send(mail())

    assert (refused.state, refused.retry) == ("refused", False)
    assert (later.state, later.retry) == ("refused", True)
    assert taken.state == "accepted"


def test_smtp_connection_lost_after_data_is_unknown(sink):
    sink.after_data = "hang up"
    with connect(smtp) as send:
        lost = send(mail())
        sink.after_data = ""
        next_one = send(mail())

    assert lost.state == "unknown"
    assert next_one.state == "accepted"
    assert len(sink.sessions) == 2


def test_smtp_dead_connection_is_replaced_at_once(sink):
    line = smtp.Connection()
    line.send_mail(encoded(mail(), smtp), lambda: None)
    line.smtp.sock.shutdown(socket.SHUT_RDWR)

    outcome = line.send_mail(encoded(mail(to="b@example.org"), smtp), lambda: None)
    line.close()

    assert outcome.state == "accepted"
    assert [to for to, _ in sink.taken] == ["ada@example.org", "b@example.org"]


def test_smtp_unreachable_server_is_a_temporary_refusal(settings):
    settings.SMTP_URL = "smtp://127.0.0.1:9"

    with connect(smtp) as send:
        outcome = send(mail())

    assert (outcome.state, outcome.retry, outcome.is_recipient) == (
        "refused",
        True,
        False,
    )
    assert "ConnectionRefusedError" in outcome.detail


def test_smtp_non_ascii_address_is_refused_without_smtputf8(sink):
    with connect(smtp) as send:
        outcome = send(mail(to="äda@example.org"))
        next_one = send(mail())

    assert outcome.state == "refused"
    assert next_one.state == "accepted"


def test_smtp_transmits_lines_that_begin_with_a_dot(sink):
    dotted = Mail(**{**vars(mail()), "text": ".hidden\n..\n.\nend\n"})

    with connect(smtp) as send:
        send(dotted)

    message = message_from_bytes(sink.taken[0][1], policy=policy.default)
    assert message.get_body(("plain",)).get_content().split() == [
        ".hidden",
        "..",
        ".",
        "end",
    ]


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://localhost:1025", ("smtp", "localhost", 1025, "", "")),
        ("smtps://u:p@mail.example", ("smtps", "mail.example", 465, "u", "p")),
        (
            "smtp+tls://a%40b.example:p%2Fw%3A1@mail.example",
            ("smtp+tls", "mail.example", 587, "a@b.example", "p/w:1"),
        ),
    ],
)
def test_smtp_url_is_parsed(settings, url, server):
    settings.SMTP_URL = url

    assert smtp.parse_server() == smtp.Server(*server)


def test_smtp_url_without_server_raises_with_an_example(settings):
    settings.SMTP_URL = "mail.example:25"

    with pytest.raises(ValueError, match="SMTP_URL must look like"):
        smtp.parse_server()


def test_smtp_password_is_never_sent_without_tls(sink, settings):
    settings.SMTP_URL = settings.SMTP_URL.replace("smtp://", "smtp+tls://u:secret@")

    with connect(smtp) as send:
        outcome = send(mail())

    assert (outcome.state, outcome.retry) == ("refused", True)
    assert "secret" not in outcome.detail
    assert sink.taken == []


def test_smtp_backend_sends_account_mails(sink, settings):
    settings.EMAIL_BACKEND = "digest.mailer.transports.smtp.EmailBackend"

    assert confirmation().send() == 1

    assert [to for to, _ in sink.taken] == ["ada@example.org"]


def test_smtp_sends_with_the_return_path_of_the_mail(sink):
    bounces = "bounces+d1-aaaaaaaaaaaaaaaa@paper-round.example"
    with connect(smtp) as send:
        send(mail())
        send(Mail(**{**vars(mail()), "return_path": bounces}))

    assert sink.senders == ["round@paper-round.example", bounces]


def test_smtp_backend_uses_the_return_path_of_the_reader(sink, settings, ada):
    settings.EMAIL_BACKEND = "digest.mailer.transports.smtp.EmailBackend"
    settings.BOUNCE_ADDRESS = "bounces@paper-round.example"

    confirmation().send()
    confirmation(to="stranger@example.org").send()

    assert sink.senders == [ada.return_path, "round@paper-round.example"]
    for _, content in sink.taken:
        assert message_from_bytes(content)["From"] == settings.MAIL_FROM


@pytest.mark.parametrize(
    ("extensions", "bounces", "success", "options"),
    [
        ({"dsn": ""}, "bounces@x.example", False, (["RET=HDRS"], [])),
        (
            {"dsn": ""},
            "bounces@x.example",
            True,
            (["RET=HDRS"], ["NOTIFY=SUCCESS,FAILURE,DELAY"]),
        ),
        ({"dsn": ""}, "", True, ([], [])),
        ({}, "bounces@x.example", True, ([], [])),
    ],
)
def test_smtp_asks_for_reports_if_the_server_has_them(
    settings, extensions, bounces, success, options
):
    settings.BOUNCE_ADDRESS, settings.SMTP_SUCCESS_REPORTS = bounces, success
    connection = smtplib.SMTP()
    connection.esmtp_features = extensions

    assert smtp.report_options(connection) == options


# SendGrid


@pytest.fixture
def api(httpserver, settings):
    settings.SENDGRID_API_URL = httpserver.url_for("").rstrip("/")
    settings.SENDGRID_API_KEY = "SG.invented"
    return httpserver


def recorded(name):
    return json.loads((RECORDED / f"{name}.json").read_text())


def answer_with(api, name):
    answer = recorded(name)
    api.expect_request("/v3/mail/send", method="POST").respond_with_data(
        json.dumps(answer["body"]) if answer["body"] else "",
        status=answer["status"],
        headers=answer["headers"],
    )


def sent_with_sendgrid(*mails):
    with connect(sendgrid) as send:
        return [send(each) for each in mails or [mail()]]


def test_sendgrid_request_identifies_the_reader_by_address_and_key_only(api):
    answer_with(api, "accepted")

    (outcome,) = sent_with_sendgrid()

    (request, _) = api.log[0]
    body = request.get_json()
    assert request.headers["Authorization"] == "Bearer SG.invented"
    assert (outcome.state, outcome.message_id) == (
        "accepted",
        recorded("accepted")["headers"]["X-Message-Id"],
    )
    assert body["personalizations"] == [{"to": [{"email": "ada@example.org"}]}]
    assert body["from"] == {
        "email": "round@paper-round.example",
        "name": "Paper Round",
    }
    assert [part["type"] for part in body["content"]] == ["text/plain", "text/html"]
    assert body["headers"]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert body["custom_args"] == {
        "digest": "key-one",
        "paper_round_site": "testserver",
    }
    assert body["categories"] == ["digest"]
    assert not any(kind["enable"] for kind in body["tracking_settings"].values())
    assert set(body["tracking_settings"]) == {
        "click_tracking",
        "open_tracking",
        "subscription_tracking",
    }


@needs_data
@pytest.mark.parametrize("kind", ["digest", "confirmation"])
def test_sendgrid_request_validates_against_the_openapi_specification(kind):
    spec = json.loads((DATA / "specs" / "sendgrid_mail_send_openapi.json").read_text())
    body = spec["components"]["requestBodies"]["PostMailSend"]
    schema = body["content"]["application/json"]["schema"]
    request = (
        sendgrid.digest_payload(mail())
        if kind == "digest"
        else sendgrid.account_mail_payload(confirmation())
    )

    jsonschema.validate(request, {**schema, "components": spec["components"]})

    broken = {**request, "content": "words"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, {**schema, "components": spec["components"]})


@pytest.mark.parametrize(
    ("name", "state", "retry", "detail"),
    [
        ("bad_request", "refused", False, "400 The to email does not contain"),
        ("unauthorized", "refused", True, "401 The provided authorization grant"),
        ("too_many", "refused", True, "429 too many requests"),
        ("server_error", "unknown", False, "500"),
    ],
)
def test_sendgrid_response_maps_to_a_result(api, name, state, retry, detail):
    answer_with(api, name)

    (outcome,) = sent_with_sendgrid()

    assert (outcome.state, outcome.retry) == (state, retry)
    assert outcome.detail.startswith(detail)
    assert "SG.invented" not in outcome.detail


def test_sendgrid_error_that_is_not_json_is_quoted(api):
    api.expect_request("/v3/mail/send").respond_with_data("<h1>Bad</h1>", status=403)

    (outcome,) = sent_with_sendgrid()

    assert (outcome.state, outcome.detail) == ("refused", "403 <h1>Bad</h1>")
    assert outcome.halt


def test_sendgrid_unreachable_api_is_a_temporary_refusal(settings):
    settings.SENDGRID_API_URL = "http://127.0.0.1:9"
    settings.SENDGRID_API_KEY = "SG.invented"

    (outcome,) = sent_with_sendgrid()

    assert (outcome.state, outcome.retry) == ("refused", True)


def test_sendgrid_timeout_is_unknown(api, monkeypatch):
    monkeypatch.setattr(http, "REQUEST_TIMEOUT_S", 0.3)
    over = threading.Event()
    api.expect_request("/v3/mail/send").respond_with_handler(
        lambda request: over.wait(5) and Response(status=202)
    )

    (outcome,) = sent_with_sendgrid()
    over.set()

    assert outcome.state == "unknown"
    assert outcome.detail.startswith("no response: TimeoutError")
    assert not outcome.retry


def test_sendgrid_connection_lost_after_the_request_is_unknown(settings):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings.SENDGRID_API_URL = f"http://127.0.0.1:{listener.getsockname()[1]}"
        settings.SENDGRID_API_KEY = "SG.invented"
        thread = threading.Thread(target=read_and_hang_up, args=[listener])
        thread.start()

        (outcome,) = sent_with_sendgrid()
        thread.join()

    assert outcome.state == "unknown"


def read_and_hang_up(listener):
    connection, _ = listener.accept()
    with connection:
        received = b""
        while b'"digest"' not in received:
            received += connection.recv(65536)


def test_sendgrid_backend_sends_account_mails(api, settings):
    settings.EMAIL_BACKEND = "digest.mailer.transports.sendgrid.EmailBackend"
    answer_with(api, "accepted")

    assert confirmation().send() == 1

    body = api.log[0][0].get_json()
    assert body["subject"] == "Please confirm"
    assert [part["type"] for part in body["content"]] == ["text/plain", "text/html"]
    assert body["custom_args"] == {"paper_round_site": "testserver"}


def test_sendgrid_backend_raises_unless_fail_silently(api, settings):
    settings.EMAIL_BACKEND = "digest.mailer.transports.sendgrid.EmailBackend"
    answer_with(api, "too_many")

    with pytest.raises(OSError, match="429"):
        confirmation().send()
    assert confirmation().send(fail_silently=True) == 0


@pytest.mark.parametrize(
    ("field", "error"),
    [
        ("personalizations.0.to.0.email", RecipientRefusedError),
        ("content.0.value", MailRefusedError),
        ("from.email", OSError),  # an operator may verify the sender
    ],
)
def test_sendgrid_backend_tells_permanent_refusals_apart(api, settings, field, error):
    settings.EMAIL_BACKEND = "digest.mailer.transports.sendgrid.EmailBackend"
    api.expect_request("/v3/mail/send").respond_with_json(
        {"errors": [{"message": "no", "field": field}]}, status=400
    )

    with pytest.raises(OSError, match="SendGrid: 400 no") as raised:
        confirmation().send()

    assert raised.type is error


def test_only_files_can_tell_whether_a_mail_was_sent():
    assert smtp.was_sent("key") is None
    assert sendgrid.was_sent("key") is None
