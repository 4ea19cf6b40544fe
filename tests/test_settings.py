"""What settings make by themselves."""

import subprocess
import sys

from tests import processes
from tests.conftest import ROOT

SHOW = (
    "from digest import settings; print(settings.SECRET_KEY, settings.SUPPRESSION_KEY)"
)


def start(folder):
    keys = {"SECRET_KEY": "", "SUPPRESSION_KEY": "", "VAR_DIR": folder}
    return subprocess.Popen(
        [sys.executable, "-c", SHOW],
        cwd=ROOT,
        env=processes.child_environment(**keys),
        stdout=subprocess.PIPE,
        text=True,
    )


def test_processes_that_start_together_share_the_secrets_they_make(tmp_path, db):
    programs = [start(tmp_path) for _ in range(4)]
    said = {program.communicate()[0] for program in programs}

    (keys,) = said
    one, other = keys.split()
    assert len(one) > 50
    assert one != other
    kept = tmp_path / "secrets" / "SECRET_KEY"
    assert kept.read_text() == one
    assert kept.stat().st_mode & 0o077 == 0
    assert {file.name for file in kept.parent.iterdir()} == {
        "SECRET_KEY",
        "SUPPRESSION_KEY",
    }
