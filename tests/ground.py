"""The ground under the tests: environment, then servers, then Django.

The conftest imports this before any model. Django reads its settings once, and from
the environment: pytest-django would read them before a conftest could prepare
anything, which is why pyproject.toml names no settings module.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import django
from django.conf import settings

from tests import services

CLOSED = "http://127.0.0.1:9"  # the discard port: refuses at once, also in a child
ENVIRONMENT = {
    "SECRET_KEY": "a key for tests, long enough that no check complains about it",
    "SUPPRESSION_KEY": "another key for tests, also long enough that no check complains",
    "DEBUG": "false",
    "EDITOR_EMAIL": "",
    "EDITOR_PASSWORD": "",
    "SITE_URL": "http://testserver",
    "SITE_NAME": "Paper Round",
    "BEHIND_PROXY": "false",
    "CLICK_REDIRECT": "true",
    "LOG_LEVEL": "WARNING",
    "TIME_ZONE": "UTC",
    "FREEZE_AT": "09:00",
    "MAIL_TRANSPORT": "files",
    "MAIL_FROM": "Paper Round <round@paper-round.example>",
    "POSTAL_ADDRESS": "1 Press Lane, Example Town",
    "SMTP_URL": "smtp://127.0.0.1:9",
    "SENDGRID_API_KEY": "",
    "SENDGRID_API_URL": CLOSED,
    "SENDGRID_WEBHOOK_KEY": "",
    "MAIL_RATE": "0",
    "UNKNOWN_RESEND_AFTER": "0",
    "DIGESTS_KEPT": "0",
    "ARXIV_FEED_URL": f"{CLOSED}/atom",
    "ARXIV_API_URL": f"{CLOSED}/api/query",
    "ARXIV_OAI_URL": f"{CLOSED}/oai",
    "ARXIV_CATEGORIES": "cs.AI,cs.CL,cs.LG",
    "HUGGINGFACE_URL": CLOSED,
    "READER_SUBMISSIONS": "false",
    "EMBEDDING_FOLDER": "",
    # The tests import ONNX Runtime before the product can say so.
    "ORT_DISABLE_TELEMETRY": "1",
    # Playwright keeps an event loop in the thread of the tests, which makes Django
    # refuse queries there; nothing of this project is asynchronous.
    "DJANGO_ALLOW_ASYNC_UNSAFE": "true",
}


def lay() -> None:
    """Make this interpreter ready for tests, whatever its owner's shell has set."""
    if settings.configured:
        raise RuntimeError("unset DJANGO_SETTINGS_MODULE: the tests set it themselves")
    os.environ.update(ENVIRONMENT)
    folder = folder_for_this_run()
    os.environ.update(VAR_DIR=folder, MAIL_DIR=f"{folder}/mail")
    services.provide()
    own_redis_database(os.environ.get("PYTEST_XDIST_WORKER", ""))
    os.environ["DJANGO_SETTINGS_MODULE"] = "digest.settings"
    keep_sqlite_in_a_file(settings.DATABASES["default"])
    django.setup()
    # A worker inherits this environment and has to lay its own ground: found there,
    # the name would make pytest-django read the settings before it can.
    del os.environ["DJANGO_SETTINGS_MODULE"]


def folder_for_this_run() -> str:
    folder = tempfile.mkdtemp(prefix="paper-round-var-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def own_redis_database(worker: str) -> None:
    """Give every worker a Redis database of its own, so that none empties another's."""
    server, _, number = os.environ.get("REDIS_URL", "").rpartition("/")
    if worker and number.isdigit():
        own = int(number) + 1 + int(worker.removeprefix("gw"))
        os.environ["REDIS_URL"] = f"{server}/{own}"


def keep_sqlite_in_a_file(database: dict) -> None:
    """Test on a file: a database in memory has one writer and no second process."""
    if database["ENGINE"].endswith("sqlite3"):
        file = Path(database["NAME"])
        database.setdefault("TEST", {})["NAME"] = str(
            file.with_name(f"test_{file.name}")
        )


lay()
