"""The commands on the real CuPy, in processes of their own, as a user runs them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from processes import run

TRAIN = ("-m", "gearshift", "train", "--set", "train.epochs=3", "--set", "model.hidden=[16]", "--backend")


def test_train_prints_the_losses_of_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = [re.findall(r"loss (\d\.\d+)", run(*TRAIN, name)) for name in ("numba", "cupy")]
    assert len(found[0]) == 7 and found[0] == found[1]  # of three epochs, twice each, and of the test
    folder = next((tmp_path / "runs").iterdir())
    assert re.search(r"loss \d", run("-m", "gearshift", "evaluate", str(folder), "--backend", "cupy"))


def test_bench_measures_and_explains(tmp_path: Path) -> None:
    network = ("--set", "model.hidden=[16]", "--batch-sizes", "8,64", "--budget", "10s", "--no-noise")
    said = run("-m", "gearshift", "bench", *network, "--backends", "cupy", "--out", str(tmp_path / "b.json"))
    assert "stand-in for an H100" in said
    points = json.loads((tmp_path / "b.json").read_text())["benchmarks"]
    assert [point["batch"] for point in points if "batch" in point] == [8, 64]
