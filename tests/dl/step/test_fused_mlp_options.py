"""Clipping, L1 penalties and Nesterov's momentum in the fused MLP, against the operations in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.backends.errors import NonFiniteLoss
from gearshift.backends.thread_pool import ThreadPool
from gearshift.dl.step.dense_layout import BLOCK
from gearshift.dl.step.dense_plan import DensePlan
from gearshift.dl.training.loop import Loop

RANDOM = np.random.default_rng(0)
ROWS = BLOCK + 90
DATA = gs.Dataset(RANDOM.normal(size=(ROWS, 30)), RANDOM.integers(0, 10, ROWS))
OPTIONS: dict[str, dict[str, Any]] = {
    "clip_norm": {"clip_norm": 0.4},
    "clip_norm of no effect": {"clip_norm": 1e6},
    "before the update": {"clip_value": 0.005, "regularizer": gs.L1(0.01)},
    "after the update": {"regularizer": gs.SoftThreshold(0.1), "optimizer": gs.Nesterov(0.05, weight_decay=1e-3)},
    "all": {"clip_norm": 0.4, "clip_value": 0.05, "regularizer": gs.L1(0.01), "optimizer": gs.Nesterov(0.05)},
}


def trainer(backend: str, dtype: str = "float64", **given: Any) -> gs.Trainer:
    layers = gs.Linear(30, 50), gs.ReLU(), gs.Linear(50, 37, bias=False), gs.Tanh(), gs.Linear(37, 10)
    given = {"optimizer": gs.SGD(0.1), "groups": [gs.ParameterGroup("4.*", lr=0.02)]} | given
    return gs.Trainer(gs.Sequential(*layers, dtype=dtype), gs.CrossEntropyLoss(), backend=backend, **given)


def weights(run: gs.Trainer, batch: int, epochs: int = 2) -> dict[str, np.ndarray]:
    run.fit(DATA, epochs=epochs, batch_size=batch, verbose=False)
    return {name: np.array(value) for name, value in run.model.state_dict().items()}


@pytest.mark.parametrize("case", OPTIONS)
def test_as_the_operations(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over one block of rows and over several, in one part and in several."""
    for batch, parts in ((13, 1), (13, 3), (ROWS, 2)):
        monkeypatch.setattr(ThreadPool, "parts", lambda *_, parts=parts: parts)
        loop, listed = trainer("numba", **OPTIONS[case]), trainer("numpy", **OPTIONS[case])
        assert isinstance(Loop(loop, DATA, None, batch).plan, DensePlan)
        found, expected = weights(loop, batch), weights(listed, batch)
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("batch", [20, 100, ROWS])
def test_float32(batch: int) -> None:
    """Also on a matrix unit, whose gradient is computed transposed."""
    runs = trainer("numba", "float32", **OPTIONS["all"]), trainer("numpy", **OPTIONS["all"])
    found, exact = (weights(run, batch, 1) for run in runs)
    for name, value in exact.items():
        assert np.abs(found[name] - value).max() < 1e-5 * max(np.abs(value).max(), 0.1), name


@pytest.mark.parametrize("threads", [1, 3])
def test_bits_do_not_depend_on_the_number_of_threads(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for pool in (ThreadPool(2), ThreadPool(threads)):
        monkeypatch.setattr(ThreadPool, "parts", lambda *_: 2)
        monkeypatch.setattr("gearshift.dl.step.plans.thread_pool", lambda pool=pool: pool)
        run = trainer("numba", "float32", **OPTIONS["all"])
        found.append([value.tobytes() for value in weights(run, 37).values()])
    assert found[0] == found[1]


def test_the_norm_of_the_update_is_the_bound() -> None:
    """One step of gradient descent with a rate of 1 moves the weights by the clipped gradient."""
    run = trainer("numba", optimizer=gs.SGD(1.0), clip_norm=1e-3, groups=())
    before = weights(run, ROWS, 0)
    after = weights(run, ROWS, 1)
    moved = np.sqrt(sum(((after[name] - before[name]) ** 2).sum() for name in before))
    assert moved == pytest.approx(1e-3, rel=1e-2)  # the norm is divided by itself + 1e-6


@pytest.mark.parametrize("case", ["after the update", "clip_norm"])
def test_a_loss_that_is_not_finite_leaves_the_weights(case: str) -> None:
    x = np.array(DATA.x)
    x[-1] = 1e308
    run = trainer("numba", **OPTIONS[case])
    before = weights(run, ROWS, 0)
    with pytest.raises(NonFiniteLoss, match="at step 0"):
        run.fit(gs.Dataset(x, DATA.y), epochs=2, batch_size=ROWS, verbose=False)
    for name, value in run.model.state_dict().items():
        assert np.asarray(value).tobytes() == before[name].tobytes(), name


def test_the_same_bits_after_resuming(tmp_path) -> None:
    straight, first, second = (trainer("numba", "float32", **OPTIONS["all"]) for _ in range(3))
    expected = weights(straight, 40, 3)
    weights(first, 40, 1)
    first.save(tmp_path / "run")
    second.load(tmp_path / "run")
    for name, value in weights(second, 40, 2).items():
        assert value.tobytes() == expected[name].tobytes(), name
