"""manage.py with arXiv's three seconds made short, for a test that kills it."""

from django.core.management import execute_from_command_line

from digest.ingest.sources import throttle

if __name__ == "__main__":
    throttle.PAUSE = 0.1
    execute_from_command_line()
