"""A short run of the chaos, in programs of its own: the long one is `make chaos`."""

import json
import os
import subprocess
import sys

import pytest

from tests import services
from tests.conftest import ROOT

OWN = ("DATABASE_URL", "REDIS_URL", "VAR_DIR", "MAIL_DIR")


def chaos(*options):
    """The last line of a run."""
    shell = {name: value for name, value in os.environ.items() if name not in OWN}
    said = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--hurry", *options],
        cwd=ROOT,
        env=shell,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert said.stdout, said.stderr
    return json.loads(said.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.skipif(
    services.redis_binary() is None, reason="needs a Redis: install redis-server"
)
@pytest.mark.parametrize("over", ["sendgrid", "smtp"])
def test_kills_and_crashes_lose_and_double_no_mail(
    over,
):
    said = chaos("--readers", "200", "--kills", "3", "--seed", "7", "--over", over)

    assert (said["readers"], said["kills"], said["postgres_crashes"]) == (200, 3, 1)
    assert said["notes"] == 22  # one in nine
    assert (said["lost"], said["doubled"], said["mismatch"]) == (0, 0, [])
    if over == "sendgrid":
        assert (said["unknown"], said["taken"]) == (0, 200)
    else:
        assert said["taken"] + said["unknown"] + said["failed"] >= 200
