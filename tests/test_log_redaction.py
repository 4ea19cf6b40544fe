"""Logs hold no reader key, no secret of the installation and no password."""

import inspect
import io
import json
import logging
import re
import subprocess
import sys

import pytest
import structlog
from django.conf import settings
from django.db import OperationalError, connection
from django.http import HttpResponse

import accounts.urls
import digest.site.urls
from digest import error_reports, log_context, log_redaction
from digest.celery import app
from tests import processes
from tests.conftest import ROOT


def format_line(template, *arguments):
    record = logging.LogRecord("x", logging.INFO, "x", 1, template, arguments, None)
    return log_redaction.RedactingFormatter().format(record)


@pytest.mark.parametrize(
    ("template", "given"),
    [
        ("Not Found: %s", ["/preferences/AbCdEfGhIjKlMnOpQrStUv?said=x"]),
        ("%s: %s", ["Forbidden", "/d/AbCdEfGhIjKlMnOpQrStUv/1/less"]),
        ("path='/unsubscribe/AbCdEfGhIjKlMnOpQrStUv'", []),
    ],
)
def test_reader_keys_are_redacted(template, given):
    line = format_line(template, *given)

    assert "AbCdEf" not in line
    assert "/…" in line


def test_the_key_of_every_page_is_redacted():
    patterns = [
        str(pattern.pattern)
        for module in (accounts.urls, digest.site.urls)
        for pattern in module.urlpatterns
        if ":key>" in str(pattern.pattern)
    ]

    assert len(patterns) >= 12
    for pattern in patterns:
        path = re.sub("<[a-z]+:key>", "AbCdEfGhIjKlMnOpQrStUv", f"/{pattern}")
        assert "AbCdEf" not in format_line("Not Found: %s", path), pattern


KEY = "AbCdEfGhIjKlMnOpQrStUv"
LEAK = f"{{'ottilie.l+x@example.org': (550, b'no such user')}} at /preferences/{KEY}/papers"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{'ada@example.org': (550, b'x')}", "{'…@example.org': (550, b'x')}"),
        ("to=<ada.l+x@mail.example.org>", "to=<…@mail.example.org>"),
        ("b@c.example and no@domain", "…@c.example and no@domain"),
        (f"/mailbox/2026-11-20-{KEY}.eml", "/mailbox/….eml"),
    ],
)
def test_addresses_and_mailbox_names_are_redacted(text, line):
    assert format_line(text) == line


@pytest.fixture
def log_lines():
    """The text that the site's handler would write."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(log_redaction.RedactingFormatter())
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


def fail_with_secrets(*_):
    raise OperationalError(LEAK)


def assert_redacted(text):
    assert "OperationalError" in text
    assert "ottilie" not in text  # task ids are hexadecimal, so no name of a to f
    assert KEY not in text


ROUTES = [
    re.sub("<[a-z]+:(key|name)>", KEY, f"/{pattern.pattern}")
    for module in (accounts.urls, digest.site.urls)
    for pattern in module.urlpatterns
]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "route", [r for r in ROUTES if KEY in r and "mailbox" not in r]
)
def test_failing_pages_log_no_key_and_no_address(client, log_lines, route, settings):
    settings.READER_SUBMISSIONS = True
    client.raise_request_exception = False
    path = re.sub("<int:[a-z]+>", "1", re.sub("<slug:[a-z]+>", "less", route))

    with connection.execute_wrapper(fail_with_secrets):
        statuses = {client.get(path).status_code, client.post(path).status_code}

    assert 500 in statuses
    assert_redacted(log_lines.getvalue())


app.loader.import_default_modules()
TASKS = [
    name for name in sorted(app.tasks) if name.startswith(("digest.", "accounts."))
]


@pytest.mark.django_db
@pytest.mark.parametrize("name", TASKS)
def test_failing_tasks_log_no_key_and_no_address(log_lines, settings, name):
    settings.THUMBNAILS = True  # else the task that fetches them does nothing
    task = app.tasks[name]
    required = inspect.signature(task.run).parameters

    with connection.execute_wrapper(fail_with_secrets):
        result = task.apply(args=["1"] * len(required), throw=False)

    assert result.failed()
    assert_redacted(log_lines.getvalue())


def test_gunicorn_redacts_the_urls_of_failed_requests():
    script = f"""
from gunicorn.config import Config
from digest.gunicorn_config import Logger
Logger(Config()).error_log.error("Error handling request /d/%s", "{KEY}")
"""
    written = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert written.stderr == "Error handling request /d/…\n"


@pytest.mark.slow
@pytest.mark.django_db
def test_every_line_of_a_starting_web_server_is_json(tmp_path):
    port, log = processes.free_port(), tmp_path / "log"
    command = ("gunicorn", "--config", "python:digest.gunicorn_config", "digest.wsgi")
    with processes.run_program(
        *command,
        "--bind",
        f"127.0.0.1:{port}",
        log=log,
        LOG_FORMAT="json",
        LOG_LEVEL="INFO",
    ):
        processes.wait_until(
            lambda: processes.fetch(f"http://127.0.0.1:{port}/alive"), log
        )

    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert rows[0]["event"].startswith("Starting gunicorn")
    assert {row["logger"] for row in rows} == {"gunicorn.error"}
    assert all(row["timestamp"] and row["level"] for row in rows)


def test_passwords_in_urls_are_redacted():
    line = format_line(
        "no route to postgres://round:s3@db/round, nor redis://:x@r:6379/0"
    )

    assert line == "no route to postgres://round:…@db/round, nor redis://:…@r:6379/0"


def test_short_secrets_are_not_redacted_in_text(settings):
    settings.SENDGRID_API_KEY = "mail"

    assert format_line("the mail left") == "the mail left"


def test_other_urls_are_not_changed():
    line = format_line(
        "https://export.arxiv.org/api/query?search_query=cat:cs.LG answered 503"
    )

    assert "search_query=cat:cs.LG" in line


ENVIRONMENT = {
    "SECRET_KEY": "the-key-of-all-sessions",
    "SUPPRESSION_KEY": "the-key-of-all-addresses",
    "SENDGRID_API_KEY": "SG.the-key-of-the-provider",
    "SMTP_URL": "smtp://round:the%2Fpassword%40mail@mail.example:587",
    "REDIS_URL": "redis://:the-password-of-redis@127.0.0.1:9/0",
    "DATABASE_URL": "postgres://round:the-password-of-rows@127.0.0.1:9/round",
    "EDITOR_PASSWORD": 'the-"password"\\of-edith',
    "METRICS_TOKEN": "the-token-of-metrics",
    "POSTMARK_WEBHOOK_PASSWORD": "the-password-of-postmark",
    "LOG_LEVEL": "INFO",
}
SCRIPT = """
import logging, os, django
import structlog

django.setup()

def fail(secret):
    try:
        raise ValueError(f"inside: {secret}")
    except ValueError as error:
        raise RuntimeError(f"outside: {secret}") from error

for secret in (*os.environ["SECRETS_TO_LOG"].split(), "/d/AbCdEfGhIjKlMnOpQrStUv/1"):
    for log in (logging.getLogger("digest.x"), structlog.get_logger("digest.y")):
        try:
            fail(secret)
        except RuntimeError as error:
            log.exception("it failed")
            log.warning("with exc_info", exc_info=error) if log.name == "x" else None
            log.error(f"error: {error}")
"""


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_secrets_in_chained_exceptions_are_redacted(log_format):
    secrets = [
        *(ENVIRONMENT[name] for name in log_redaction.SECRET_SETTINGS),
        *("the/password@mail", "the%2Fpassword%40mail", "the-password-of-redis"),
        *(
            "the-password-of-rows",
            ENVIRONMENT["EDITOR_PASSWORD"],
            ENVIRONMENT["REDIS_URL"],
        ),
    ]
    output = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=ROOT,
        env=processes.child_environment(
            **ENVIRONMENT, LOG_FORMAT=log_format, SECRETS_TO_LOG=" ".join(secrets)
        ),
        capture_output=True,
        text=True,
        check=True,
    ).stderr

    escaped = [json.dumps(secret)[1:-1] for secret in secrets]
    leaked = [text for text in (*secrets, *escaped, "AbCdEf") if text in output]
    assert leaked == []
    assert output.count("inside: ") * 2 == output.count("Traceback") > 20
    assert output.count("outside: ") > output.count("inside: ")
    assert "redis://:…@127.0.0.1:9/0" in output


def test_root_logger_uses_the_redacting_formatter():
    formatters, handlers = settings.LOGGING["formatters"], settings.LOGGING["handlers"]

    assert settings.LOGGING["root"]["handlers"] == ["console"] == list(handlers)
    assert handlers["console"]["formatter"] == "redacting"
    assert formatters == {"redacting": {"()": "digest.log_redaction.create_formatter"}}


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_each_log_format_redacts_addresses(settings, log_format):
    settings.LOG_FORMAT = log_format
    record = logging.makeLogRecord({"msg": "refused: ada@mail.example"})

    line = log_redaction.create_formatter().format(record)

    assert "refused: …@mail.example" in line


# JSON lines, request and task ids


@pytest.fixture
def json_lines(settings):
    """Log lines of a process with LOG_FORMAT=json, as objects."""

    def run(script):
        program = subprocess.run(
            [sys.executable, "-c", f"import django; django.setup()\n{script}"],
            cwd=ROOT,
            env=processes.child_environment(
                LOG_FORMAT="json",
                LOG_LEVEL="INFO",
                DJANGO_SETTINGS_MODULE="digest.settings",
            ),
            capture_output=True,
            text=True,
            check=True,
        )
        return [json.loads(line) for line in program.stderr.splitlines()]

    return run


def test_every_logger_writes_json_with_the_ids_of_its_context(json_lines):
    lines = json_lines(
        """
import logging, structlog
from digest.tasks import app
with structlog.contextvars.bound_contextvars(request="r-1", edition="2026-11-20"):
    structlog.get_logger("digest").info("batch sent", accepted=3)
    logging.getLogger("django.request").warning("Not Found: %s", "/preferences/AbCdEfGhIjKlMnOpQrStUv")
    try:
        raise ValueError("ada@example.org")
    except ValueError:
        structlog.get_logger("digest").exception("failed")
"""
    )

    ours, library, failed = lines
    assert ours["event"] == "batch sent"
    assert ours["accepted"] == 3
    assert library["event"] == "Not Found: /preferences/…"
    assert library["logger"] == "django.request"
    assert "ValueError: …@example.org" in failed["exception"]
    for line in lines:
        assert line["request"] == "r-1"
        assert line["edition"] == "2026-11-20"
        assert {"timestamp", "level", "logger"} <= set(line)


def test_task_ids_are_bound_while_a_task_runs(json_lines):
    lines = json_lines(
        """
import structlog
from digest.celery import app
app.conf.task_always_eager = True
log = structlog.get_logger("digest")
@app.task(name="digest.tasks.example")
def example():
    log.info("inside")
example.delay()
log.info("outside")
"""
    )

    assert [line.get("task") for line in lines if line["logger"] == "digest"] == [
        "example",
        None,
    ]


def test_refused_requests_have_no_traceback():
    record = logging.LogRecord(
        "django.request", logging.WARNING, "x", 1, "Forbidden", (), None
    )
    record.exc_info, record.status_code = (ValueError, ValueError("x"), None), 403

    assert log_redaction.ExpectedErrorFilter().filter(record)

    assert record.exc_info is None
    record.exc_info, record.status_code = (ValueError, ValueError("x"), None), 500
    log_redaction.ExpectedErrorFilter().filter(record)
    assert record.exc_info


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("header", "bound"),
    [
        ("proxy-id-0001", "proxy-id-0001"),
        ("a\nb", None),
        ("short", None),
        ("x" * 65, None),
    ],
)
def test_request_id_of_the_proxy_is_bound_if_it_is_harmless(client, rf, header, bound):
    seen = []

    def respond(request):
        seen.append(structlog.contextvars.get_contextvars()["request"])
        return HttpResponse()

    log_context.RequestLogMiddleware(respond)(
        rf.get("/", headers={"X-Request-ID": header})
    )

    assert (seen[0] == header) is (bound is not None)
    assert "request" not in structlog.contextvars.get_contextvars()


def test_error_reports_hold_no_address_key_or_cookie():
    event = {
        "request": {
            "url": f"/preferences/{KEY}",
            "cookies": {"s": 1},
            "headers": {"X": 1},
        },
        "exception": {"values": [{"value": LEAK}]},
        "user": {"email": "ada.l+x@example.org"},
    }

    report = json.dumps(error_reports.redact_event(event, None))

    assert KEY not in report
    assert "ada.l" not in report
    assert "cookies" not in report
