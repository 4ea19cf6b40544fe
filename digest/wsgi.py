"""WSGI entry point for gunicorn."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "digest.settings")
application = get_wsgi_application()

from digest.checks import GUNICORN_BOOT_ERROR, exit_on_wrong_settings  # noqa: E402

exit_on_wrong_settings(GUNICORN_BOOT_ERROR)
