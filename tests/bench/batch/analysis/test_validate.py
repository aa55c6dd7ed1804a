"""`gearshift bench --validate`: the hyperbola against a known truth, and training to a target."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import simulation
from simulation import Device

import gearshift as gs
from gearshift.__main__ import main
from gearshift.bench.batch import files
from gearshift.bench.batch.analysis import hyperbola
from gearshift.bench.batch.analysis.checked import check
from gearshift.bench.batch.measure.descent import SteppedTraining
from gearshift.bench.batch.records import Document, TrainingRun, Validation

TRIALS = 200
BATCHES = np.array([8, 16, 32, 64, 128, 256, 512, 1024, 2048], dtype=float)


def test_hyperbola_finds_the_truth() -> None:
    """The critical batch size within 15 % in 95 of 100 trials, and its interval covers in 90 of 100."""
    random, errors, covered = np.random.default_rng(0), [], 0
    for _ in range(TRIALS):
        truth, spread = 10 ** random.uniform(1.5, 3), 0.03
        steps = 300 * (1 + truth / BATCHES) * np.exp(spread * random.standard_normal(len(BATCHES)))
        found = hyperbola.fit(BATCHES, steps, np.full(len(BATCHES), spread))
        errors.append(abs(found.critical.value / truth - 1))
        covered += found.critical.low <= truth <= found.critical.high
        assert found.examples == pytest.approx(found.critical.value * found.steps)
    assert np.quantile(errors, 0.95) < 0.15
    assert covered >= 0.9 * TRIALS


def test_exact_hyperbola() -> None:
    """Without noise the fit is exact, up to the grid's 4 %."""
    found = hyperbola.fit(BATCHES, 70 * (1 + 400 / BATCHES), np.zeros(len(BATCHES)))
    assert found.critical.value == pytest.approx(400, rel=0.05) and found.steps == pytest.approx(70, rel=0.05)
    assert found.misfit < 0.02 and found.at(400) == pytest.approx(140, rel=0.02)


def simulated(truth: float, said: float, advised: int, factor: float = 1.0) -> Document:
    """A sweep of a made-up device, and training with another critical batch size than the noise scale says."""
    device, random = Device("cpu", 2e-4, 1e-6), np.random.default_rng(1)
    document = simulation.simulate([device], said)
    found = Validation(backend="cpu", advised=advised, target=0.1, steps=1000, rows=100)
    for batch in BATCHES.astype(int).tolist():
        rates = {1.0, factor} if batch == advised else {factor}
        for rate in rates:
            for seed in range(3):
                steps = 50 * (1 + truth / batch) * float(np.exp(0.02 * random.standard_normal()))
                steps *= 1 if rate == factor else 2
                found.trials.append(
                    TrainingRun(
                        batch=batch, factor=rate, lr=0.1, seed=seed, steps=steps, examples=batch * steps,
                        seconds=steps * (device.t0 + batch * device.ts), taken=math.ceil(steps),
                    )
                )  # fmt: skip
    found.trials.append(
        TrainingRun(batch=8, factor=4.0, lr=1, seed=0, steps=None, examples=None, seconds=None, taken=9)
    )
    document.validation = found
    return document


def test_check_says_how_far_off_the_prediction_was() -> None:
    """Four times too large a noise scale, and a rule whose rate is half of the best."""
    found = check(simulated(300, 1200, 512, factor=2.0))
    assert found is not None and found.hyperbola is not None
    assert found.hyperbola.critical.value == pytest.approx(300, rel=0.1)
    assert found.best in (128, 256, 512)  # √(300 · 200) = 245

    def time(batch: float) -> float:
        return (1 + 300 / batch) * (2e-4 + 1e-6 * batch)

    excess = found.excess
    assert excess is not None and excess.value == pytest.approx(time(512) / time(256), rel=0.05)
    assert excess.low <= excess.value <= excess.high < 1.1 * excess.low
    assert found.as_ruled == pytest.approx(2 * excess.value, rel=0.05)
    assert {point.factor for point in found.points} == {2.0} and {point.seeds for point in found.points} == {3}
    assert (
        found.best_batch in (128, 256) and found.best_batch_excess is not None and found.best_batch_excess.value < 1.1
    )
    right = check(simulated(300, 300, 256))
    assert right is not None and right.excess is not None and right.time_error < 0.05
    assert right.excess.value == pytest.approx(1, abs=0.05)


def test_nothing_to_check() -> None:
    """Without a validation, or where nothing reached the target."""
    assert check(simulation.simulate([Device("cpu", 2e-4, 1e-6)], 300)) is None
    document = simulated(300, 300, 256)
    assert document.validation is not None
    for trial in document.validation.trials:
        trial.steps = trial.examples = trial.seconds = None
    assert check(document) is None


def test_descent_arrives() -> None:
    """At the step where the loss, looked at after every one, first is at the target."""
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 5))
    data = gs.Dataset(x, (x.sum(axis=1) > 0).astype(int))

    def begin() -> SteppedTraining:
        model = gs.Sequential(gs.Linear(5, 2), dtype="float64")
        return SteppedTraining(gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(lr=0.05), backend="numpy"), data, 20)

    run, losses = begin(), []
    for _ in range(15):
        run.run(1)
        losses.append(run.loss())
    target = (losses[9] + losses[8]) / 2
    found = begin().until(target, 1, lambda steps, seconds: False)
    assert found.taken == 10 and found.steps is not None and 9 < found.steps < 10
    assert found.examples == pytest.approx(20 * found.steps) and found.seconds is not None and found.seconds > 0
    late = begin().until(target, 1, lambda steps, seconds: steps >= 5)
    assert late.steps is None and late.taken == 5


@pytest.mark.slow
def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A tiny validation is in the file and in the report; `--resume` does not begin it anew."""
    out = tmp_path / "bench.json"
    options = ["bench", "--backends", "numba", "--batch-sizes", "8,64,512", "--budget", "3s", "--out", str(out)]
    options += ["--set", "model.hidden=[16]", "--set", "model.dropout=0.0", "--set", "optimizer.lr=0.01", "--validate"]
    with pytest.raises(SystemExit) as ended:
        main(options)
    assert not ended.value.code
    document = files.read(out)
    found = document.validation
    assert found is not None and 0 < found.target < 1
    assert {trial.seed for trial in found.trials if trial.batch == found.advised} >= {0, 1, 2}
    shown = capsys.readouterr().out
    assert "Trained to a loss of" in shown and f"the advised batch size, {found.advised:,}, took" in shown
    with pytest.raises(SystemExit):
        main([*options, "--resume"])
    again = files.read(out).validation
    assert again is not None and again.trials[: len(found.trials)] == found.trials
    with pytest.raises(SystemExit) as ended:
        main([*options, "--no-noise"])
    assert ended.value.code == 2 and "--validate compares with the noise scale" in capsys.readouterr().err
