"""Schedules of one cycle and of plateaus, compared with PyTorch's, and functions as schedules."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gearshift as gs

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = X @ np.array([1.0, 2.0, 3.0], np.float32)


def trainer(schedule: Any, lr: float = 0.1) -> gs.Trainer:
    return gs.Trainer(gs.Sequential(gs.Linear(3, 1)), gs.MSELoss(), gs.SGD(lr=lr), schedule=schedule, backend="numpy")


@pytest.mark.torch
@pytest.mark.parametrize("steps", [1, 7, 50])
def test_one_cycle_is_pytorch_s(steps: int) -> None:
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=max(steps, 2), cycle_momentum=False)
    ours = gs.OneCycle(max(steps, 2))
    for step in range(max(steps, 2)):
        assert ours(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        if step < max(steps, 2) - 1:
            optimizer.step()
            theirs.step()
    assert ours(10**6) == pytest.approx(4e-6)


@pytest.mark.torch
@pytest.mark.parametrize("monitor", ["validation_loss", "validation_accuracy"])
def test_plateaus_are_pytorch_s(monitor: str) -> None:
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(0)
    values = (np.linspace(1, 0.3, 60) + 0.1 * random.random(60)).tolist()
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer,
        mode="min" if monitor.endswith("loss") else "max",
        factor=0.5,
        patience=2,
        threshold=0.01,
        threshold_mode="abs",
        min_lr=0.1,
        eps=0,
    )
    ours, records = gs.ReduceOnPlateau(0.5, 2, monitor, min_delta=0.01, final=0.1), []
    for value in values:
        theirs.step(value)
        records.append({monitor: value})
        ours.observe(records)
        assert ours(0) == pytest.approx(optimizer.param_groups[0]["lr"])


def test_a_plateau_lowers_the_recorded_rate_and_resumes(tmp_path: Path) -> None:
    schedule = gs.ReduceOnPlateau(0.5, patience=0, monitor="loss", min_delta=100.0)  # nothing is an improvement
    run = trainer(schedule, lr=0.01)
    run.fit(X, Y, epochs=2, batch_size=40, verbose=False)
    run.save(tmp_path / "run.safetensors")
    straight = run.fit(X, Y, epochs=2, batch_size=40, verbose=False)
    assert straight["lr"] == pytest.approx([0.01, 0.01, 0.005, 0.0025])
    again = trainer(copy.deepcopy(gs.ReduceOnPlateau(0.5, patience=0, monitor="loss", min_delta=100.0)), lr=0.01)
    again.load(tmp_path / "run.safetensors")
    again.fit(X, Y, epochs=2, batch_size=40, verbose=False)
    assert again.history["lr"] == straight["lr"] and again.history["loss"] == straight["loss"]
    with pytest.raises(gs.ConfigurationError, match="monitor is 'validation_loss', which is not measured"):
        trainer(gs.ReduceOnPlateau()).fit(X, Y, epochs=2, verbose=False)


def test_a_function_is_a_schedule() -> None:
    """Each step has its rate: SGD's formula with the function's factors."""
    run = trainer(lambda step: 1 / (1 + step), lr=0.1)
    run.model.init(0)
    w, b = (run.model.state_dict()[name].astype(np.float64) for name in ("0.weight", "0.bias"))
    for step in range(5):
        error = X @ w + b - Y[:, None]
        rate = 0.1 / (1 + step)
        w, b = w - rate * 2 * X.T @ error / 40, b - rate * 2 * error.mean(axis=0)
    run.fit(X, Y, epochs=5, batch_size=40, verbose=False)
    np.testing.assert_allclose(run.model.state_dict()["0.weight"], w, rtol=1e-5)
    assert run.history["lr"] == pytest.approx([0.1 / (1 + step) for step in range(5)])
    run.schedule = lambda step: 0.0
    before = run.model.state_dict()
    run.fit(X, Y, epochs=1, batch_size=40, verbose=False)
    assert run.history[-1]["lr"] == 0 and np.array_equal(before["0.weight"], run.model.state_dict()["0.weight"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: trainer(lambda step: -1), "a function of the step that returns a factor of at least 0"),
        (lambda: trainer(lambda step: None), "a function of the step"),
        (lambda: gs.OneCycle(0), "steps is 0"),
        (lambda: gs.OneCycle(10, rise=1.0), "rise is 1.0"),
        (lambda: gs.ReduceOnPlateau(1.0), "gamma is 1.0"),
        (lambda: gs.ReduceOnPlateau(patience=-1), "patience is -1"),
    ],
)
def test_what_is_refused(make: Any, message: str) -> None:
    with pytest.raises(gs.ConfigurationError, match=message):
        make()
