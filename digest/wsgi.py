"""WSGI entry point for gunicorn."""

import logging
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "digest.settings")
application = get_wsgi_application()

from digest.checks import GUNICORN_BOOT_ERROR, exit_on_wrong_settings  # noqa: E402
from digest.log_redaction import create_formatter  # noqa: E402

# gunicorn logs the URL of requests that fail outside Django.
for handler in logging.getLogger("gunicorn.error").handlers:
    handler.setFormatter(create_formatter())
exit_on_wrong_settings(GUNICORN_BOOT_ERROR)
