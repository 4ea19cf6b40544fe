"""Prepare a test process: environment variables, then servers, then Django.

The conftest imports this before any model. Django reads its settings once, from the
environment, and pytest-django would read them before a conftest runs. Therefore
pyproject.toml names no settings module.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import django
from django.conf import settings

from tests import services

CLOSED_PORT_URL = "http://127.0.0.1:9"  # the discard port refuses at once
ENVIRONMENT = {
    "SECRET_KEY": "a key for tests, long enough that no check complains about it",
    "SUPPRESSION_KEY": "another key for tests, also long enough that no check complains",
    "DEBUG": "false",
    "EDITOR_EMAIL": "",
    "EDITOR_PASSWORD": "",
    "SITE_URL": "http://testserver",
    "SITE_NAME": "Paper Round",
    "BEHIND_PROXY": "false",
    "REQUIRE_TWO_FACTOR": "false",
    "TRUSTED_PROXIES": "0",
    "CLICK_REDIRECT": "true",
    "LOG_LEVEL": "WARNING",
    "TIME_ZONE": "UTC",
    "FREEZE_AT": "09:00",
    "MAIL_TRANSPORT": "files",
    "MAIL_FROM": "Paper Round <round@paper-round.example>",
    "OPERATOR": "",
    "CONTACT_EMAIL": "",
    "REPLIES_ARE_READ": "false",
    "POSTAL_ADDRESS": "1 Press Lane, Example Town",
    "SMTP_URL": "smtp://127.0.0.1:9",
    "SENDGRID_API_KEY": "",
    "SENDGRID_API_URL": CLOSED_PORT_URL,
    "SENDGRID_WEBHOOK_KEY": "",
    "SES_TOPIC_ARN": "",
    "POSTMARK_WEBHOOK_PASSWORD": "",
    "BOUNCE_ADDRESS": "",
    "BOUNCE_IMAP_URL": "",
    "SMTP_SUCCESS_REPORTS": "false",
    "MAIL_CONCURRENCY": "0",
    "METRICS_TOKEN": "",
    "SENTRY_DSN": "",
    "LOG_FORMAT": "text",
    "MAIL_RATE": "0",
    "UNKNOWN_RESEND_AFTER": "0",
    "DIGESTS_KEPT": "0",
    "ARXIV_FEED_URL": f"{CLOSED_PORT_URL}/atom",
    "ARXIV_API_URL": f"{CLOSED_PORT_URL}/api/query",
    "ARXIV_OAI_URL": f"{CLOSED_PORT_URL}/oai",
    "ARXIV_CATEGORIES": "cs.AI,cs.CL,cs.LG",
    "HUGGINGFACE_URL": CLOSED_PORT_URL,
    "ARXIV_HOLIDAYS": "",
    "READER_SUBMISSIONS": "false",
    "THUMBNAILS": "false",
    "EMBEDDING_FOLDER": "",
    # The tests import ONNX Runtime before the product sets this.
    "ORT_DISABLE_TELEMETRY": "1",
    # Playwright runs an event loop in the test thread, where Django would refuse
    # queries. Nothing in this project is asynchronous.
    "DJANGO_ALLOW_ASYNC_UNSAFE": "true",
}


def prepare_tests() -> None:
    """Make this process ready for tests, independently of the variables of the shell."""
    if settings.configured:
        raise RuntimeError("unset DJANGO_SETTINGS_MODULE: the tests set it themselves")
    os.environ.update(ENVIRONMENT)
    folder = temporary_var_folder()
    os.environ.update(VAR_DIR=folder, MAIL_DIR=f"{folder}/mail")
    services.provide()
    use_own_redis_database(os.environ.get("PYTEST_XDIST_WORKER", ""))
    os.environ["DJANGO_SETTINGS_MODULE"] = "digest.settings"
    use_sqlite_file(settings.DATABASES["default"])
    django.setup()
    # A test worker inherits this environment and prepares itself. With this variable
    # set, pytest-django would read the settings before that.
    del os.environ["DJANGO_SETTINGS_MODULE"]


def temporary_var_folder() -> str:
    folder = tempfile.mkdtemp(prefix="paper-round-var-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def use_own_redis_database(worker: str) -> None:
    """Give each test worker a Redis database, because tests flush theirs."""
    server, _, number = os.environ.get("REDIS_URL", "").rpartition("/")
    if worker and number.isdigit():
        own = int(number) + 1 + int(worker.removeprefix("gw"))
        os.environ["REDIS_URL"] = f"{server}/{own}"


def use_sqlite_file(database: dict) -> None:
    """Use a file, because child processes cannot open a database in memory."""
    if database["ENGINE"].endswith("sqlite3"):
        file = Path(database["NAME"])
        database.setdefault("TEST", {})["NAME"] = str(
            file.with_name(f"test_{file.name}")
        )


prepare_tests()
