"""The benchmark suites run: each case once, without timing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import gearshift

SUITES = Path(gearshift.__file__).parent / "bench" / "suites"


def test_suites_run() -> None:
    """Every case passes or says which backend is missing."""
    command = [sys.executable, "-m", "pytest", "-q", str(SUITES), "--benchmark-disable", "-p", "no:cacheprovider"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=SUITES.parent.parent, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
