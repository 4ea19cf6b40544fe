"""Look for known vulnerabilities of the pinned dependencies, and say how many were looked up.

`make check` reports them without failing: a vulnerability that became known since the last
run is no fault of the change under test. With --strict (`make audit`, and a job of its own
in CI) the exit status is 1 if there is one.
"""

import json
import subprocess
import sys
from typing import Any

TIMEOUT_S = 120


def main() -> int:
    dependencies = run_audit()
    # pip-audit counts a package that its service does not know as one without vulnerability.
    audited = [row for row in dependencies if "skip_reason" not in row]
    if not audited:
        print("audit: no service of known vulnerabilities answers; nothing was audited")
        return 0
    vulnerable = [row for row in audited if row["vulns"]]
    for row in vulnerable:
        for entry in row["vulns"]:
            fixes = ", ".join(entry["fix_versions"]) or "no version yet"
            print(f"  {row['name']} {row['version']}: {entry['id']}, fixed in {fixes}")
    print(
        f"audit: {len(vulnerable)} dependencies with a known vulnerability, "
        f"{len(audited)} of {len(dependencies)} were looked up"
    )
    return 1 if vulnerable and "--strict" in sys.argv else 0


def run_audit() -> list[dict[str, Any]]:
    """Return pip-audit's rows of requirements.lock, none if it did not end."""
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--disable-pip"]
    command += ["--require-hashes", "--requirement", "requirements.lock"]
    try:
        audit = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
        )
        rows: list[dict[str, Any]] = json.loads(audit.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError):
        return []
    return rows


if __name__ == "__main__":
    sys.exit(main())
