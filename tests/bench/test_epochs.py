"""The comparison with PyTorch runs its own contenders."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import gearshift as gs
from gearshift.backends.errors import DataError


@pytest.mark.fashion
def test_a_contender_reports_every_epoch() -> None:
    """One process, one speed for each epoch, all above zero."""
    try:
        gs.load_dataset("fashion-mnist")
    except DataError as error:
        pytest.skip(f"needs the Fashion-MNIST files: {error}")
    command = [sys.executable, "-m", "gearshift.bench.epochs", "--only", "numba"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    speeds = json.loads(done.stdout)
    assert len(speeds) == 4 and min(speeds) > 0
