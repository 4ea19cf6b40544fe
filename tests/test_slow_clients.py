"""The image's web server answers while slow clients hold their connections."""

import json
import re
import socket
from contextlib import ExitStack

import pytest

from tests import processes
from tests.conftest import ROOT

SLOW_CLIENTS = 12
HEAD = "POST {path} HTTP/1.1\r\nHost: testserver\r\nContent-Length: 1000\r\n"

pytestmark = [pytest.mark.slow, pytest.mark.django_db]


@pytest.fixture(scope="module")
def web_port(tmp_path_factory, django_db_setup):
    """A port on which the image's command serves."""
    command = json.loads(
        re.search(r"^CMD (\[.*\])$", (ROOT / "Dockerfile").read_text(), re.M)[1]
    )
    folder, port = tmp_path_factory.mktemp("web"), processes.free_port()
    log, bind = folder / "web.log", ["--bind", f"127.0.0.1:{port}"]
    with processes.run_program(*command, *bind, log=log, VAR_DIR=folder):
        processes.wait_until(lambda: fetch_alive(port), log)
        yield port


def fetch_alive(port):
    return processes.fetch(f"http://127.0.0.1:{port}/alive")


@pytest.mark.parametrize(
    "request_start",
    [
        pytest.param(HEAD.format(path="/subscribe"), id="headers"),
        pytest.param(HEAD.format(path="/subscribe") + "\r\nemail=a", id="body"),
        pytest.param(HEAD.format(path="/webhooks/sendgrid") + "\r\n[", id="webhook"),
    ],
)
def test_alive_answers_while_slow_clients_hold_connections(web_port, request_start):
    with ExitStack() as stack:
        for _ in range(SLOW_CLIENTS):
            client = socket.create_connection(("127.0.0.1", web_port))
            stack.enter_context(client)
            client.sendall(request_start.encode())

        answers = [fetch_alive(web_port) for _ in range(5)]

    assert [answer and answer[0] for answer in answers] == [200] * 5
