"""Events, welcome digests and account mails do not wait while an edition is sent."""

import pytest

from digest import tasks
from digest.celery import URGENT, app
from digest.management.commands.demo import worker_command
from digest.models import Batch, Digest
from tests import make
from tests.test_compose import COMPOSE


@pytest.mark.parametrize(
    "name",
    [
        "digest.tasks.process_feedback",
        "digest.tasks.send_welcome_digest",
        "accounts.tasks.send_account_mail",
    ],
)
def test_urgent_tasks_have_a_queue_of_their_own(name):
    assert app.amqp.router.route({}, name)["queue"].name == URGENT


def test_sending_uses_the_other_queue():
    queue = app.amqp.router.route({}, "digest.tasks.send_batches")["queue"]

    assert queue.name != URGENT


def test_each_queue_has_a_worker_in_compose_and_in_the_demo():
    queues = {queue.name for queue in app.amqp.queues.values()}
    commands = [
        service["command"]
        for name, service in COMPOSE["services"].items()
        if name.startswith("worker")
    ]

    assert {command[command.index("--queues") + 1] for command in commands} == queues
    assert worker_command(URGENT)[-3] == URGENT


@pytest.mark.django_db
def test_a_welcome_task_sends_no_other_batch(settings, tmp_path):
    settings.MAIL_DIR = tmp_path
    edition = make.frozen(make.edition(papers=2))
    make.batch(edition, [make.subscriber()])
    reader = make.subscriber()

    tasks.send_welcome_digest(reader.pk)

    assert Digest.objects.get().subscriber == reader
    assert set(Batch.objects.values_list("slot__kind", "state")) == {
        ("hour", "planned"),
        ("welcome", "done"),
    }
