"""`make audit` and the audit in `make check`, on answers of a stand-in for pip-audit."""

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

ADVISORY = {"id": "PYSEC-2026-1", "fix_versions": ["2.1"], "aliases": []}
VULNERABLE = {"name": "invented", "version": "2.0", "vulns": [ADVISORY]}
CLEAN = {"name": "sound", "version": "1.0", "vulns": []}
UNKNOWN = {"name": "unlisted", "skip_reason": "Dependency not found on PyPI"}


def audit(folder, output, *arguments):
    """Run the audit with a `pip_audit` that prints `output`."""
    (folder / "pip_audit.py").write_text(f"print({output!r})")
    return subprocess.run(
        [sys.executable, ROOT / ".ci" / "audit.py", *arguments],
        env=os.environ | {"PYTHONPATH": str(folder)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def rows(*dependencies):
    return json.dumps({"dependencies": dependencies, "fixes": []})


def test_a_known_vulnerability_fails_the_strict_audit_only(tmp_path):
    output = rows(VULNERABLE, CLEAN, UNKNOWN)

    reported, strict = audit(tmp_path, output), audit(tmp_path, output, "--strict")

    assert (reported.returncode, strict.returncode) == (0, 1)
    assert "invented 2.0: PYSEC-2026-1, fixed in 2.1" in reported.stdout
    assert "1 dependencies with a known vulnerability, 2 of 3" in reported.stdout


@pytest.mark.parametrize(
    "output", ["", "no network", rows(UNKNOWN)], ids=["silent", "text", "unknown"]
)
def test_an_audit_that_looked_nothing_up_says_so_and_passes(tmp_path, output):
    result = audit(tmp_path, output, "--strict")

    assert result.returncode == 0
    assert "nothing was audited" in result.stdout


def test_dependencies_without_vulnerabilities_pass_the_strict_audit(tmp_path):
    result = audit(tmp_path, rows(CLEAN), "--strict")

    assert result.returncode == 0
    assert "0 dependencies with a known vulnerability, 1 of 1" in result.stdout
