"""What must not be read in a log: readers' keys, our keys, passwords."""

import logging
import subprocess
import sys

import pytest
from django.conf import settings

from digest import log_redaction
from tests import processes
from tests.conftest import ROOT


def line(template, *given):
    record = logging.LogRecord("x", logging.INFO, "x", 1, template, given, None)
    return log_redaction.Discreet().format(record)


@pytest.mark.parametrize(
    ("template", "given"),
    [
        ("Not Found: %s", ["/preferences/AbCdEfGhIjKlMnOpQrStUv?said=x"]),
        ("%s: %s", ["Forbidden", "/d/AbCdEfGhIjKlMnOpQrStUv/1/less"]),
        ("path='/unsubscribe/AbCdEfGhIjKlMnOpQrStUv'", []),
    ],
)
def test_no_key_of_a_reader_reaches_the_log(template, given):
    told = line(template, *given)

    assert "AbCdEf" not in told
    assert "/…" in told


def test_a_password_in_an_address_is_hidden_and_the_rest_told():
    told = line("no route to postgres://round:s3@db/round, nor redis://:x@r:6379/0")

    assert told == "no route to postgres://round:…@db/round, nor redis://:…@r:6379/0"


def test_what_is_too_short_to_be_told_from_a_word_stays(settings):
    settings.SENDGRID_API_KEY = "mail"

    assert line("the mail left") == "the mail left"


def test_addresses_of_the_web_stay_whole():
    told = line(
        "https://export.arxiv.org/api/query?search_query=cat:cs.LG answered 503"
    )

    assert "search_query=cat:cs.LG" in told


GIVEN = {
    "SECRET_KEY": "the-key-of-all-sessions",
    "SUPPRESSION_KEY": "the-key-of-all-addresses",
    "SENDGRID_API_KEY": "SG.the-key-of-the-provider",
    "SMTP_URL": "smtp://round:the%2Fpassword%40mail@mail.example:587",
    "REDIS_URL": "redis://:the-password-of-redis@127.0.0.1:9/0",
    "DATABASE_URL": "postgres://round:the-password-of-rows@127.0.0.1:9/round",
    "EDITOR_PASSWORD": "the-password-of-edith",
    "LOG_LEVEL": "INFO",
}
FAILS = """
import logging, os, django
import structlog

django.setup()

def fail(secret):
    try:
        raise ValueError(f"inside: {secret}")
    except ValueError as error:
        raise RuntimeError(f"outside: {secret}") from error

for secret in (*os.environ["ALL_OF_THEM"].split(), "/d/AbCdEfGhIjKlMnOpQrStUv/1"):
    for log in (logging.getLogger("digest.x"), structlog.get_logger("digest.y")):
        try:
            fail(secret)
        except RuntimeError as error:
            log.exception("it failed")
            log.warning("and is told", exc_info=error) if log.name == "x" else None
            log.error(f"it said {error}")
"""


def test_an_exception_that_names_a_secret_is_told_without_it():
    secrets = [
        *(GIVEN[name] for name in log_redaction.SECRETS),
        *("the/password@mail", "the%2Fpassword%40mail", "the-password-of-redis"),
        *("the-password-of-rows", "the-password-of-edith", GIVEN["REDIS_URL"]),
    ]
    said = subprocess.run(
        [sys.executable, "-c", FAILS],
        cwd=ROOT,
        env=processes.child_environment(**GIVEN, ALL_OF_THEM=" ".join(secrets)),
        capture_output=True,
        text=True,
        check=True,
    ).stderr

    assert [one for one in (*secrets, "AbCdEf") if one in said] == []
    assert said.count("inside: ") * 2 == said.count("Traceback") > 20
    assert said.count("outside: ") > said.count("inside: ")
    assert "redis://:…@127.0.0.1:9/0" in said


def test_the_log_of_the_site_is_discreet():
    formatters, handlers = settings.LOGGING["formatters"], settings.LOGGING["handlers"]

    assert settings.LOGGING["root"]["handlers"] == ["console"] == list(handlers)
    assert handlers["console"]["formatter"] == "discreet"
    assert formatters == {"discreet": {"()": "digest.log_redaction.Discreet"}}
