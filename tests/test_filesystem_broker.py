"""The broker of installations without Redis survives files that a power cut or a full disk left."""

import queue

import pytest
from celery import Celery
from kombu import Connection

from digest.celery import filesystem_broker_settings
from digest.filesystem_broker import Transport

TORN = [b"\0" * 40, b"", b"{", b'{"body": "W', b"\xff\xfe", b"null", b"[1]"]


@pytest.fixture
def broker(tmp_path):
    """A connection with a queue and a message; close it when the test ends."""
    for name in ("queue", "control"):
        (tmp_path / name).mkdir()
    options = {
        "data_folder_in": str(tmp_path / "queue"),
        "data_folder_out": str(tmp_path / "queue"),
        "control_folder": str(tmp_path / "control"),
    }
    transport = "digest.filesystem_broker:Transport"
    with Connection(
        "filesystem://", transport=transport, transport_options=options
    ) as connection:
        connection.transport.state.clear()  # of other tests
        put(connection, 0)
        yield connection


def put(connection, number):
    with connection.SimpleQueue("celery") as messages:
        messages.put({"number": number})


def get_all(connection):
    numbers = []
    with connection.SimpleQueue("celery") as messages:
        while True:
            try:
                message = messages.get(block=True, timeout=0.2)
            except queue.Empty:
                return numbers
            numbers.append(message.payload["number"])
            message.ack()


@pytest.mark.parametrize("content", TORN, ids=range(len(TORN)))
def test_a_torn_message_is_dropped_and_the_others_are_delivered(
    broker, tmp_path, content
):
    (torn,) = (tmp_path / "queue").iterdir()
    torn.write_bytes(content)
    put(broker, 1)

    assert get_all(broker) == [1]


@pytest.mark.parametrize("process", ["same", "restarted"])
@pytest.mark.parametrize("content", TORN, ids=range(len(TORN)))
def test_a_torn_list_of_queues_is_written_again(broker, tmp_path, content, process):
    (exchange,) = (tmp_path / "control").iterdir()
    exchange.write_bytes(content)
    if process == "restarted":
        broker.transport.state.clear()

    put(broker, 1)

    assert sorted(get_all(broker)) == [0, 1]


def test_celery_uses_this_broker_without_redis(settings, tmp_path):
    settings.VAR = tmp_path
    app = Celery("test", set_as_current=False)
    app.conf.update(filesystem_broker_settings())

    with app.connection_for_write() as connection:
        assert isinstance(connection.transport, Transport)
