"""The critical batch size by short trainings: against simulated tasks whose truth is known, and a real run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import simulation
from simulation import Device

from gearshift.__main__ import main
from gearshift.bench.batch import files
from gearshift.bench.batch.analysis import hyperbola
from gearshift.bench.batch.analysis.analyse import analyse, critical_batch
from gearshift.bench.batch.measure.critical_run import batches_around
from gearshift.bench.batch.records import Document
from gearshift.bench.batch.show import report

TRIALS = 100


def growing(first: float, last: float) -> np.ndarray:
    """Noise scales along the way to a target."""
    return np.geomspace(first, last, 20)


def test_advice_by_trainings_finds_the_truth() -> None:
    """Where B grows along the way and the noise scale is off by up to six times, b* is within 5 % of the least time.

    With the noise scale alone it often is not.
    """
    random, inside, without, covered = np.random.default_rng(0), 0, 0, 0
    for seed in range(TRIALS):
        first = 10 ** random.uniform(1.5, 3)
        scales = growing(first, first * random.uniform(1, 30))
        device = Device("cpu", 10 ** random.uniform(-4.5, -3.5), 10 ** random.uniform(-6.5, -5.5))
        truth = float(scales.mean())
        said = truth * 6.0 ** random.uniform(-1, 1)
        document = simulation.simulate([device], said, seed=seed)

        def excess(document: Document, device: Device = device, truth: float = truth) -> float:
            batches = np.array(simulation.BATCHES, dtype=float)
            fine = np.geomspace(batches[0], batches[-1], 2000)
            times = (1 + truth / fine) * (device.t0 + fine * device.ts)
            batch = analyse(document).advice[0].batch
            return (1 + truth / batch) * (device.t0 + batch * device.ts) / times.min()

        without += excess(document) <= 1.05
        advised = analyse(document).advice[0].batch
        batches = batches_around(advised, document.task.rows)
        assert simulation.train(document, scales, batches, 0.1, seed) == pytest.approx(truth)
        found = critical_batch(document)
        assert found is not None
        inside += excess(document) <= 1.05
        covered += found.low <= truth <= found.high
    assert inside >= 0.95 * TRIALS and covered >= 0.85 * TRIALS, (inside, covered)
    assert without < 0.85 * TRIALS, without


def test_what_training_cannot_say_is_as_expected() -> None:
    """Batch sizes far below the critical one only say that it lies above; without an expectation it has no end."""
    batches, random = np.array([2.0, 8, 32, 128]), np.random.default_rng(0)
    steps = 1e6 / batches * np.exp(0.05 * random.standard_normal(4))
    error = np.full(4, 0.05)
    free, found = hyperbola.fit(batches, steps, error), hyperbola.fit(batches, steps, error, 3000.0)
    assert 1000 < found.critical.value < 12_000 and found.critical.high < 1e6 < free.critical.high
    told = np.array([8.0, 64, 512, 4096])
    steps = 50 * (1 + 400 / told)
    clear = hyperbola.fit(told, steps, np.full(4, 0.05), 4000.0)
    assert clear.critical.value == pytest.approx(400, rel=0.1)


def test_without_trainings_the_interval_is_wide() -> None:
    """The noise scale is a prediction, often several times off: the report says so, and b* has a range."""
    document = simulation.simulate([Device("cpu", 2e-4, 1e-6)], 400)
    found, first = critical_batch(document), analyse(document).advice[0]
    assert found is not None and found.value == 400 and found.low < 40 and found.high > 4000
    assert first.low_critical < first.batch / 2 and first.high_critical > 2 * first.batch
    assert "was not measured by training" in report.critical(document)
    simulation.train(document, growing(100, 1000), [64, 256], 0.1)  # two batch sizes make no hyperbola
    assert critical_batch(document) == found and "too few trainings" in report.critical(document)
    simulation.train(document, growing(100, 1000), [16, 64, 256, 1024], 0.1)
    assert "critical batch size B = " in report.critical(document)


def test_batches_around() -> None:
    """Four, in fourfold steps, of at most all rows and at least one."""
    assert batches_around(128, 50_000) == [128, 512, 32, 2048]
    assert batches_around(512, 1258) == [512, 128, 32, 8]
    assert batches_around(1, 50_000) == [1, 4, 16, 64]


@pytest.mark.slow
def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Trainings on the digits are in the file and in the report."""
    out = tmp_path / "bench.json"
    options = ["bench", "--backends", "numba", "--batch-sizes", "8,64,512", "--budget", "3s", "--out", str(out)]
    options += ["--set", "model.hidden=[16]", "--set", "model.dropout=0.0", "--set", "optimizer.lr=0.01"]
    with pytest.raises(SystemExit) as ended:
        main(options)
    assert not ended.value.code
    found = files.read(out).trainings
    assert found is not None and found.target > 0 and found.trials
    assert all(trial.taken > 0 for trial in found.trials)
    assert "critical batch size" in capsys.readouterr().out
