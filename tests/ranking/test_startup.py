"""Processes start without numerical libraries, which take seconds of CPU to import."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

STARTS = {
    "help": "from django.core.management import execute_from_command_line as run; run(['manage.py', 'help'])",
    "web": "import digest.wsgi, digest.urls",
    "beat": "import django; django.setup(); import digest.celery, digest.tasks",
}


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_start_imports_no_numerical_library(start):
    code = f"{start}; import sys; print({{'numpy', 'scipy', 'sklearn'}} & set(sys.modules), file=sys.stderr)"
    code = (
        f"import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'digest.settings'; {code}"
    )

    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    assert run.stderr.splitlines()[-1] == "set()"


def test_worker_imports_no_scikit_learn_before_it_fits_a_model():
    """It takes 50 MB and half a second in each process."""
    code = (
        "import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'digest.settings';"
        " import django; django.setup(); import digest.ranking.choose, sys;"
        " print('sklearn' in sys.modules, file=sys.stderr)"
    )

    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    assert run.stderr.splitlines()[-1] == "False"
