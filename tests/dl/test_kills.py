"""``kill -9`` at random moments never leaves a run that cannot be resumed to the same bits."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.numpy import load_file

import gearshift as gs

KILLS = int(os.environ.get("GEARSHIFT_KILLS", "3"))
EPOCHS = 40 if KILLS > 3 else 15
TRAIN = ["train", "--resume", "--quiet", "--backend", "numpy", "--set", f"train.epochs={EPOCHS}"]
TRAIN += ["--set", "model.hidden=[32]"]
TRAIN += ["--set", "train.batch_size=4", "--set", "checkpoint.every_seconds=0.001", "--set", "train.patience=100"]


def command(run: Path) -> list[str]:
    """A training process that starts afresh or goes on."""
    return [sys.executable, "-m", "gearshift", *TRAIN, "--run", str(run)]


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX's")
def test_kills(tmp_path: Path) -> None:
    """A run killed `GEARSHIFT_KILLS` times, whenever it is over begun anew, ends like one that was left alone."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    whole = tmp_path / "whole"
    start = time.monotonic()
    subprocess.run(command(whole), env=environment, check=True, capture_output=True)
    seconds = time.monotonic() - start
    expected = outcome(whole)
    chance = random.Random(0)
    kills = runs = 0
    while kills < KILLS or runs == 0:
        run = tmp_path / f"run{runs}"
        while True:
            with subprocess.Popen(command(run), env=environment, stderr=subprocess.PIPE, text=True) as child:
                try:
                    _, error = child.communicate(timeout=chance.uniform(0.4, 1) * seconds if kills < KILLS else None)
                except subprocess.TimeoutExpired:
                    child.send_signal(signal.SIGKILL)
                    child.communicate()
                    kills += 1
                    continue
            assert child.returncode == 0, error
            break
        assert outcome(run) == expected
        runs += 1
    print(f"{kills} kills over {runs} runs: all bits as in the run that was left alone")


def outcome(run: Path) -> tuple[dict[str, bytes], list[dict[str, float]]]:
    """Every tensor's bits, and the metrics, both without timings."""
    tensors = {f"{name} {key}": value.tobytes() for name in ("best", "last")
               for key, value in load_file(run / f"{name}.safetensors").items() if key != "history"}  # fmt: skip
    timings = ("seconds", "samples_per_second")
    return tensors, [{k: v for k, v in record.items() if k not in timings} for record in gs.Run(run).history]
