"""manage.py with a short gap between requests to arXiv, for tests that kill it."""

from django.core.management import execute_from_command_line

from digest.ingest.sources import throttle

if __name__ == "__main__":
    throttle.MIN_REQUEST_GAP_S = 0.1
    execute_from_command_line()
