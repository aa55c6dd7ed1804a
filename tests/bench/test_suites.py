"""The benchmark suites run, and note what they time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import gearshift

pytestmark = pytest.mark.slow
SUITES = Path(str(gearshift.__file__)).parent / "bench" / "suites"


def run(suite: str, select: str, *options: str) -> str:
    """What pytest says to the cases of a suite that the expression `select` names."""
    command = [sys.executable, "-m", "pytest", "-q", str(SUITES / suite), "-k", select, "-p", "no:cacheprovider"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    folder = SUITES.parent.parent
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, cwd=folder, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("suite", "select"),
    [
        ("test_kernels.py", "cache"),
        ("test_steps.py", "batch8- and (784-128-10 or autoencoder)"),
        ("test_epochs.py", "batch512 and (784-128-10 or autoencoder)"),
        ("test_estimators_fit.py", "tiny or (digits and float32 and gearshift)"),
    ],
)
def test_a_selection_runs(suite: str, select: str) -> None:
    """Every case passes or says which backend is missing."""
    assert "passed" in run(suite, select, "--benchmark-disable")


def test_a_timing_says_what_was_timed(tmp_path: Path) -> None:
    """Floating-point operations are those of the products and little more."""
    file = tmp_path / "timings.json"
    quick = ("--benchmark-only", "--benchmark-min-rounds=1", "--benchmark-max-time=0.01", f"--benchmark-json={file}")
    run("test_steps.py", "numpy and batch32- and 784-128-10", *quick)
    (timing,) = json.loads(file.read_text())["benchmarks"]
    noted = timing["extra_info"]
    assert timing["group"] == "steps 784-128-10, batch 32"
    assert (noted["backend"], noted["dtype"], noted["steps"]) == ("numpy", "float32", 64)
    assert noted["device"] == gearshift.backends.available()["numpy"].device
    products = 2 * 32 * (2 * 784 * 128 + 3 * 128 * 10)  # two for the first layer, three for the second
    parameters = 784 * 128 + 128 + 128 * 10 + 10
    assert products * 64 < noted["flops"] < (1.1 * products + 20 * parameters) * 64
    assert noted["bytes"] > 7 * 4 * parameters * 64  # Adam alone touches seven numbers a parameter
    assert noted["launches"] % 64 == 0 and 10 < noted["launches"] / 64 < 20
