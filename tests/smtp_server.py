"""An SMTP server for tests that binds its port before it is published."""

import socket

from aiosmtpd.controller import Controller

READY_TIMEOUT_SECONDS = 60


class SmtpServer(Controller):
    """Run a handler of aiosmtpd in a thread, from `start()` to `stop()`."""

    def __init__(self, handler):
        self.listener = socket.create_server(("127.0.0.1", 0))
        address, port = self.listener.getsockname()
        super().__init__(handler, address, port, ready_timeout=READY_TIMEOUT_SECONDS)

    def _create_server(self):
        return self.loop.create_server(self._factory_invoker, sock=self.listener)

    @property
    def url(self):
        return f"smtp://{self.hostname}:{self.port}"
