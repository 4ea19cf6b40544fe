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
    result = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--hurry", *options],
        cwd=ROOT,
        env=shell,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.stdout, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.skipif(
    services.redis_binary() is None, reason="needs a Redis: install redis-server"
)
@pytest.mark.parametrize("over", ["sendgrid", "smtp"])
def test_kills_and_crashes_lose_and_double_no_mail(
    over,
):
    result = chaos("--readers", "200", "--kills", "3", "--seed", "7", "--over", over)

    assert (result["readers"], result["kills"], result["postgres_crashes"]) == (
        200,
        3,
        1,
    )
    assert result["notes"] == 22  # one in nine
    assert (result["lost"], result["doubled"], result["mismatch"]) == (0, 0, [])
    assert result["taken"] + result["unknown"] + result["failed"] >= 200
