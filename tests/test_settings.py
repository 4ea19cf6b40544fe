"""Secrets that the settings generate, and settings that cannot work."""

import subprocess
import sys

from tests import processes
from tests.conftest import ROOT

PRINT_SECRETS = (
    "from digest import settings; print(settings.SECRET_KEY, settings.SUPPRESSION_KEY)"
)


def start_process(folder):
    keys = {"SECRET_KEY": "", "SUPPRESSION_KEY": "", "VAR_DIR": folder}
    return subprocess.Popen(
        [sys.executable, "-c", PRINT_SECRETS],
        cwd=ROOT,
        env=processes.child_environment(**keys),
        stdout=subprocess.PIPE,
        text=True,
    )


def test_concurrent_processes_share_the_generated_secrets(tmp_path, db):
    programs = [start_process(tmp_path) for _ in range(4)]
    outputs = {program.communicate()[0] for program in programs}

    (output,) = outputs
    secret_key, suppression_key = output.split()
    assert len(secret_key) > 50
    assert secret_key != suppression_key
    path = tmp_path / "secrets" / "SECRET_KEY"
    assert path.read_text() == secret_key
    assert path.stat().st_mode & 0o077 == 0
    assert {file.name for file in path.parent.iterdir()} == {
        "SECRET_KEY",
        "SUPPRESSION_KEY",
    }
