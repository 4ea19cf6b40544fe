"""gunicorn's settings, for the image, the demo and tests: `gunicorn --config python:digest.gunicorn_config`."""

import os
import tempfile
from typing import Any

from gunicorn.glogging import Logger as GunicornLogger  # type: ignore[import-untyped]

# Before prometheus_client is imported: the workers count requests in files of this folder.
os.environ.setdefault(
    "PROMETHEUS_MULTIPROC_DIR", tempfile.mkdtemp(prefix="paper-round-metrics-")
)

bind = "0.0.0.0:8000"
workers = 2
worker_class = "gthread"
# A client that sends its request slowly holds a thread until it is done, and gunicorn has
# no deadline for that. An idle thread costs little, so there are many more than requests
# that are served at once; the proxy in front (deploy/) receives requests whole.
threads = 32
# Its control socket is a file in the home folder, which no service may write to.
control_socket_disable = True


class Logger(GunicornLogger):  # type: ignore[misc]
    """Log in the format of all processes, redacted: gunicorn logs URLs of failed requests."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "digest.settings")
        from digest.log_redaction import create_formatter

        for handler in self.error_log.handlers:
            handler.setFormatter(create_formatter())


logger_class = Logger


def child_exit(_: Any, worker: Any) -> None:
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
