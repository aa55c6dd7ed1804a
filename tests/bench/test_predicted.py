"""``python -m gearshift.bench.predicted``: the prediction in closed form, and the command at a tiny size."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import simulation
from launched import MPIEXEC, environment, needs_mpi
from simulation import Device

from gearshift.backends.errors import ConfigurationError
from gearshift.bench import predicted
from gearshift.bench.batch.records import SeparatedStep, Workers

T0, TS, ROWS = 5e-5, 5e-6, 60_000


def test_an_epoch_is_its_steps_and_their_all_reduces() -> None:
    """A device whose steps take t0 + ts·b, and half as long again where the update waits for the gradients."""
    document = simulation.simulate([Device("cpu", T0, TS)], noise=500, rows=ROWS)
    with pytest.raises(ConfigurationError, match="fewer than two batch sizes, or no network"):
        predicted.epoch(document, 1, 512)
    waiting = [SeparatedStep(batch=batch, seconds=1.5 * (T0 + TS * batch)) for batch in (1, 64, 256, 1024)]
    document.workers = Workers(
        backend="cpu",
        workers=[1, 2],
        bytes=2_680_000,
        latency=25e-6,
        bytes_per_second=1e9,
        measured=True,
        steps=waiting,
    )
    assert predicted.epoch(document, 1, 512) == pytest.approx(ROWS / 512 * (T0 + TS * 512), rel=0.03)
    both = 1.5 * (T0 + TS * 256) + 2 * 25e-6 + 2.68e-3
    assert predicted.epoch(document, 2, 512) == pytest.approx(ROWS / 512 * both, rel=0.03)


def test_the_summary_compares_medians() -> None:
    lines = predicted.summary([{1: 1.0, 2: 0.8}, {1: 1.1, 2: 0.7}, {1: 5.0, 2: 0.6}], [{1: 1.0, 2: 1.0}] * 3)
    assert lines[1].split()[:4] == ["1", "1100.000", "1000.000", "1.10"] and "within 15%" in lines[1]
    assert lines[2].split()[:4] == ["2", "700.000", "1000.000", "0.70"] and "NOT within 15%" in lines[2]


@needs_mpi
@pytest.mark.slow
def test_the_command_runs_the_bench_and_the_trainings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert MPIEXEC is not None
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(MPIEXEC).parent), os.environ["PATH"]]))
    monkeypatch.setenv("LD_LIBRARY_PATH", environment()["LD_LIBRARY_PATH"])
    words = ["--rounds", "1", "--batch", "16", "--hidden", "8", "--rows", "600", "--epochs", "2", "--budget", "3s"]
    assert predicted.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["ranks", "1", "2", "load"]
    assert all(float(number) > 0 for line in lines[1:3] for number in line.split()[1:3])


def test_mistakes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predicted, "launcher", lambda: None)
    with pytest.raises(SystemExit):
        predicted.main([])
    assert "two ranks need mpiexec and mpi4py, which are missing" in capsys.readouterr().err
    monkeypatch.setattr(predicted, "launcher", lambda: "mpiexec")
    with pytest.raises(SystemExit):
        predicted.main(["--epochs", "1"])
    assert "expected at least one round, two epochs and two rows in a batch" in capsys.readouterr().err
