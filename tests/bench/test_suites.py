"""The benchmark suites run: each case once, without timing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import gearshift

SUITES = Path(gearshift.__file__).parent / "bench" / "suites"


def test_suites_run() -> None:
    """Every case passes or says which backend is missing."""
    command = [sys.executable, "-m", "pytest", "-q", str(SUITES), "--benchmark-disable", "-p", "no:cacheprovider"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    folder = SUITES.parent.parent
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
