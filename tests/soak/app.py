"""The Celery application and the web server's application of a run, both on its clock."""

import os
import shutil

from tests.soak import clock

clock.start_clock()
if free := os.environ.get("SOAK_FREE_BYTES"):  # a full disk, in faults.py
    usage = shutil.disk_usage("/")._replace(free=int(free))
    shutil.disk_usage = lambda _: usage

from digest.celery import app  # noqa: E402

# Beat looks at the clock this often; the product's beat sleeps until the next task is due.
app.conf.beat_max_loop_interval = 0.05


@app.on_after_finalize.connect
def prepare(**_):
    from digest.ingest.sources import throttle

    clock.use_for_database()
    throttle.MIN_REQUEST_GAP_S = 0.05


def create_application():
    """Create the WSGI application: `gunicorn "tests.soak.app:create_application()"`."""
    from digest.wsgi import application

    # Only now are the models ready.
    from digest.site import metrics  # isort: skip

    clock.use_for_database()
    metrics.STATE_LIFETIME_S = 0  # Redis keeps what it caches by its own clock
    return application
