"""kombu's filesystem transport for Celery, except that torn files stop no process.

A power cut or a full disk leaves empty, shortened or NUL-filled files. kombu raises
ValueError for them, which ends a worker and fails every request that enqueues a task.
A lost task is harmless: the schedule starts it again from the state in the database.
"""

from typing import Any

import structlog
from kombu.transport import filesystem

log = structlog.get_logger(__name__)

TORN_ERRORS = (ValueError, TypeError)


# The published types of kombu lack what a transport may override.
UntypedChannel: Any = filesystem.Channel


class Channel(UntypedChannel):  # type: ignore[misc]
    def _get(self, queue: str) -> Any:
        """Return the next message; drop torn ones, whose files kombu has removed already."""
        while True:
            try:
                message = super()._get(queue)
                if "body" in message:
                    return message
            except TORN_ERRORS:
                pass
            log.warning("torn message dropped", queue=queue)

    def get_table(self, exchange: str) -> Any:
        try:
            return super().get_table(exchange)
        except TORN_ERRORS:
            self._rewrite_table(exchange)
            return super().get_table(exchange)

    def _queue_bind(self, exchange: str, *binding: Any) -> None:
        try:
            super()._queue_bind(exchange, *binding)
        except TORN_ERRORS:
            self._rewrite_table(exchange)
            super()._queue_bind(exchange, *binding)

    def _rewrite_table(self, exchange: str) -> None:
        """Write a torn list of queues again, with the queues that this process has declared."""
        log.warning("torn list of queues rewritten", exchange=exchange)
        self._exchange_file(exchange).unlink(missing_ok=True)
        for declared, arguments in list(self.state.bindings.items()):
            if declared.exchange == exchange:
                binding = self.typeof(exchange).prepare_bind(
                    declared.queue, exchange, declared.routing_key, arguments
                )
                super()._queue_bind(exchange, *binding)


class Transport(filesystem.Transport):
    Channel = Channel
