"""Secrets that the settings generate, and settings that cannot work."""

import re
import runpy
import subprocess
import sys

import pytest
from django.core.checks import WARNING, run_checks
from django.test import override_settings

from digest.env import FILE_SETTINGS
from tests import processes
from tests.conftest import ROOT

PRINT_SECRETS = (
    "from digest import settings; print(settings.SECRET_KEY, settings.SUPPRESSION_KEY)"
)


def start_process(folder):
    keys = {"SECRET_KEY": "", "SUPPRESSION_KEY": "", "VAR_DIR": folder}
    return subprocess.Popen(
        [sys.executable, "-c", PRINT_SECRETS],
        cwd=ROOT,
        env=processes.child_environment(**keys),
        stdout=subprocess.PIPE,
        text=True,
    )


def test_concurrent_processes_share_the_generated_secrets(tmp_path, db):
    programs = [start_process(tmp_path) for _ in range(4)]
    outputs = {program.communicate()[0] for program in programs}

    (output,) = outputs
    secret_key, suppression_key = output.split()
    assert len(secret_key) > 50
    assert secret_key != suppression_key
    path = tmp_path / "secrets" / "SECRET_KEY"
    assert path.read_text() == secret_key
    assert path.stat().st_mode & 0o077 == 0
    assert {file.name for file in path.parent.iterdir()} == {
        "SECRET_KEY",
        "SUPPRESSION_KEY",
    }


PEM = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----"
LONG = "x" * 501
URLS = ["example.org", "ftp://example.org", "https://"]
FLAGS = ["maybe", "2", "tru"]
FOLDERS = ["/etc/passwd", "/etc/passwd/mail", "/proc/paper-round"]

# Three values that cannot work, or more, for every setting.
WRONG_VALUES = {
    "ARXIV_API_URL": URLS,
    "ARXIV_CATEGORIES": [
        *("cs.LG;cs.CL", "machine learning", " , ", "CS.lg", "cs.LG,cs.XX", " "),
    ],
    "ARXIV_FEED_URL": URLS,
    "ARXIV_HOLIDAYS": ["1 January", "2027-02-30", "2027-01-01;2027-01-18"],
    "ARXIV_OAI_URL": URLS,
    "BEHIND_PROXY": FLAGS,
    "BOUNCE_ADDRESS": [
        "bounces",
        "a+b@x.example",
        "x" * 33 + "@x.example",
        "@x.example",
    ],
    "BOUNCE_IMAP_URL": [
        *("mail.example", "imaps://mail.example", "pop3://u:p@mail.example"),
        "imaps://u:p@mail.example/INBOX",  # without BOUNCE_ADDRESS
    ],
    "CLICK_REDIRECT": FLAGS,
    "REPLIES_ARE_READ": FLAGS,
    "DATABASE_URL": [
        "localhost/db",
        "mysql://db/round",
        "postgres://db:port/x",
        "postgres://db",
    ],
    "DEBUG": FLAGS,
    "DIGESTS_KEPT": ["-1", "29", "1 year", "40.5"],
    "EMBEDDING_FOLDER": ["/nonexistent", "/etc/passwd", LONG],
    "FREEZE_AT": ["9am", "9:00", "25:00", "09:00:00"],
    "HUGGINGFACE_URL": URLS,
    "LOG_FORMAT": ["xml", "yes", "JSON lines"],
    "METRICS_TOKEN": ["a b", "'quoted'", "two\nlines"],
    "SENTRY_DSN": URLS,
    "LOG_LEVEL": ["loud", "3.5", "INFO,DEBUG"],
    "MAIL_DIR": FOLDERS,
    "MAIL_FROM": [
        "Paper Round",
        "papers@",
        "@example.org",
        "a@b@c d",
        "x@é.org\nBcc: y@z",
    ],
    "MAIL_CONCURRENCY": ["many", "-1", "1.5", "257"],
    "MAIL_RATE": ["fast", "-1", "inf", "nan"],
    "MAIL_TRANSPORT": ["mailgun", "smtp://host", "true"],
    "OPERATOR": ["A\nLab", LONG, "\x07"],
    "CONTACT_EMAIL": ["nobody", "a b@c.d", "a@b\nc"],
    "POSTAL_ADDRESS": ["1 Street\nTown", LONG, "\x07"],
    "READER_SUBMISSIONS": FLAGS,
    "REQUIRE_TWO_FACTOR": FLAGS,
    "REDIS_URL": [
        "localhost:6379",
        "http://redis",
        "redis://redis/one",
        "redis://:99999",
    ],
    "SECRET_KEY": ["two\nlines", "'quoted'", "naïve"],
    "SENDGRID_API_KEY": ["SG.a b", '"SG.x"', "SG.x\nSG.y"],
    "SENDGRID_API_URL": URLS,
    "SES_TOPIC_ARN": ["paper-round", "arn:aws:sqs:eu:123456789012:q", "arn:aws:sns:"],
    "POSTMARK_WEBHOOK_PASSWORD": ["a b", '"quoted"', "naïve"],
    "SENDGRID_WEBHOOK_KEY": [PEM, "not base64!", "aGVsbG8="],
    "SITE_NAME": ["Two\nlines", LONG, "\x1b[31m"],
    "SITE_URL": [
        *URLS,
        "https://example.org/papers",
        "https://me@example.org",
        "https://a:99999",
    ],
    "SMTP_SUCCESS_REPORTS": [*FLAGS, "true"],  # without BOUNCE_ADDRESS
    "SMTP_URL": [
        "localhost:25",
        "mail.example",
        "smtp://",
        "http://mail.example",
        "smtp://a:x",
    ],
    "SUPPRESSION_KEY": ["two\nlines", "'quoted'", "short"],
    "THUMBNAILS": FLAGS,
    "TIME_ZONE": ["Berlin", "UTC+1", "Europe/Nowhere"],
    "TRUSTED_PROXIES": ["-1", "many", "1.5"],
    "UNKNOWN_RESEND_AFTER": ["soon", "-5", "60"],
    "VAR_DIR": FOLDERS,
}
# Read by `manage.py setup` only, and tested there.
SETUP_ONLY = {"EDITOR_EMAIL", "EDITOR_PASSWORD"}


def problems_with(monkeypatch, **variables):
    """Messages of all system checks under these environment variables."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    values = runpy.run_path(str(ROOT / "digest" / "settings.py"))
    names = {*WRONG_VALUES, "HTTPS", "SETTING_PROBLEMS", "VAR"}
    names |= {name for name in values if name.startswith("SECURE_")}
    names |= {"CSRF_COOKIE_SECURE", "SESSION_COOKIE_SECURE"}
    checked = {name: values[name] for name in names - {"DATABASE_URL", "VAR_DIR"}}
    with override_settings(**checked):
        return run_checks(include_deployment_checks=True)


def test_wrong_values_cover_every_setting():
    readme = (ROOT / "README.md").read_text()
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", readme, re.M))

    assert set(WRONG_VALUES) == documented - SETUP_ONLY
    assert min(map(len, WRONG_VALUES.values())) >= 3


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in WRONG_VALUES.items() for value in values],
)
def test_wrong_value_is_reported_with_a_hint(monkeypatch, name, value):
    # Without it, https alone is reported under the same setting's name.
    monkeypatch.setenv("BEHIND_PROXY", "true")

    messages = problems_with(monkeypatch, **{name: value})

    about_setting = [message for message in messages if message.msg.startswith(name)]
    assert about_setting
    assert all(message.hint for message in about_setting)


def read_settings(monkeypatch, **variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return runpy.run_path(str(ROOT / "digest" / "settings.py"))


def test_secrets_are_read_from_files(monkeypatch, tmp_path):
    key, url = tmp_path / "key", tmp_path / "url"
    key.write_text("SG.from-a-file\n")
    url.write_text("smtps://u:p@mail.example\n")
    monkeypatch.setenv("SMTP_URL", "")

    values = read_settings(
        monkeypatch,
        SENDGRID_API_KEY="",
        SENDGRID_API_KEY_FILE=str(key),
        SMTP_URL_FILE=str(url),
    )

    assert values["SENDGRID_API_KEY"] == "SG.from-a-file"
    assert values["SMTP_URL"] == "smtps://u:p@mail.example"
    assert values["SETTING_PROBLEMS"] == []


@pytest.mark.parametrize("name", FILE_SETTINGS)
def test_unreadable_file_of_a_secret_is_reported(monkeypatch, name):
    values = read_settings(monkeypatch, **{name: "", f"{name}_FILE": "/nonexistent"})

    messages = [problem.message for problem in values["SETTING_PROBLEMS"]]
    assert f"{name}_FILE cannot be read: No such file or directory." in messages


def test_secret_that_is_given_twice_is_reported(monkeypatch, tmp_path):
    (tmp_path / "key").write_text("k")

    values = read_settings(
        monkeypatch, SENDGRID_API_KEY="k", SENDGRID_API_KEY_FILE=str(tmp_path / "key")
    )

    (problem,) = values["SETTING_PROBLEMS"]
    assert problem.message == "SENDGRID_API_KEY and SENDGRID_API_KEY_FILE are both set."


@pytest.mark.parametrize("name", ["SECRET_KEY", "SUPPRESSION_KEY"])
@pytest.mark.parametrize("content", [b"", b"\0" * 67, b"\xff\xfe", b"half\0\0"])
def test_a_damaged_secret_file_is_reported_and_kept(
    monkeypatch, tmp_path, name, content
):
    path = tmp_path / "secrets" / name
    path.parent.mkdir()
    path.write_bytes(content)
    monkeypatch.delenv(name, raising=False)

    messages = problems_with(monkeypatch, VAR_DIR=str(tmp_path))

    (message,) = [m for m in messages if "damaged file" in m.msg]
    assert message.msg.startswith(name)
    assert "backup" in message.hint
    assert path.read_bytes() == content


def test_working_values_are_not_reported(monkeypatch, tmp_path):
    monkeypatch.delenv("DJANGO_ALLOW_ASYNC_UNSAFE")  # set for Playwright

    messages = problems_with(
        monkeypatch,
        SITE_URL="https://bücher.example/",
        BEHIND_PROXY="yes",
        VAR_DIR=str(tmp_path / "new"),
        MAIL_TRANSPORT="SendGrid",
        SENDGRID_API_KEY="SG.x",
        SENDGRID_WEBHOOK_KEY="MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE",
        SMTP_URL="smtp+tls://me:pass%20word@mail.example:587",
        REDIS_URL="redis://:secret@redis:6379/1",
        DATABASE_URL="postgres://round:x@db:5432/round",
        ARXIV_CATEGORIES="cs.CV, cs.CL,cond-mat.str-el,hep-th,physics.optics,math,q-bio.*",
        ARXIV_OAI_URL="",
        UNKNOWN_RESEND_AFTER="60",
        BOUNCE_ADDRESS="bounces@papers.example",
        BOUNCE_IMAP_URL="imaps://me:pass%20word@mail.example/Reports",
        SMTP_SUCCESS_REPORTS="true",
        LOG_LEVEL="debug",
        FREEZE_AT="23:59",
    )

    assert [m.msg for m in messages if m.level >= WARNING] == []
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        ({"SITE_URL": "https://papers.example"}, "BEHIND_PROXY"),
        ({"MAIL_TRANSPORT": "sendgrid"}, "SENDGRID_API_KEY"),
        (
            {"MAIL_TRANSPORT": "sendgrid", "SENDGRID_API_KEY": "k"},
            "SENDGRID_WEBHOOK_KEY",
        ),
        ({"SITE_URL": "http://papers.example"}, "MAIL_TRANSPORT is files"),
        ({"MAIL_FROM": "Round <me@gmail.com>"}, "not your domain"),
        ({"POSTAL_ADDRESS": ""}, "POSTAL_ADDRESS"),
        ({"MAIL_TRANSPORT": "smtp"}, "BOUNCE_ADDRESS is empty"),
    ],
)
def test_values_that_do_not_work_together_are_reported(monkeypatch, variables, text):
    messages = problems_with(monkeypatch, **variables)

    assert [m for m in messages if text in m.msg and m.hint]


SERVERS = {
    "manage.py": ["manage.py", "rank"],
    "gunicorn": ["-m", "gunicorn", "digest.wsgi", "--bind", "127.0.0.1:0"],
    "worker": ["-m", "celery", "-A", "digest", "worker", "--pool", "threads"],
    "beat": ["-m", "celery", "-A", "digest", "beat"],
}


@pytest.mark.parametrize("command", SERVERS.values(), ids=SERVERS)
def test_servers_refuse_wrong_settings_without_a_traceback(command, tmp_path, db):
    wrong = {"FREEZE_AT": "9am", "DATABASE_URL": "nowhere", "TIME_ZONE": "Berlin"}
    environment = processes.child_environment(VAR_DIR=tmp_path, REDIS_URL="", **wrong)

    program = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    output = program.stdout + program.stderr
    assert program.returncode not in (0, None)
    assert "Traceback" not in output
    assert "FREEZE_AT is not a time of day" in output
    assert "Use a name such as Europe/Berlin" in output
