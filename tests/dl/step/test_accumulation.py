"""Minibatches in parts: the same steps, less memory, the same errors, and the bits of a run that is resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.backends.errors import ConfigurationError, NonFiniteLoss
from gearshift.dl.training.loop import Loop

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((50, 4))
Y = RANDOM.integers(0, 3, 50)


def trainer(optimizer: gs.Optimizer, backend: str, **given: Any) -> gs.Trainer:
    model = gs.Sequential(gs.Linear(4, 6), gs.Tanh(), gs.Linear(6, 3), dtype="float64").init(2)
    return gs.Trainer(model, gs.CrossEntropyLoss(), optimizer, backend=backend, **given)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("parts", [2, 3, 16, 99])
@pytest.mark.parametrize("name", ["SGD", "Adam", "Nesterov"])
def test_200_steps_as_of_whole_minibatches(name: str, parts: int, backend: str) -> None:
    """Batches of 16, 16, 16 and 2 rows; rows have weights, and the gradient is clipped."""
    weight = RANDOM.uniform(0.1, 2, 50)
    whole, split = (trainer(getattr(gs, name)(lr=0.02), backend, clip_norm=0.5) for _ in range(2))
    for run, accumulate in ((whole, 1), (split, parts)):
        run.fit((X, Y, weight), epochs=50, batch_size=16, accumulate=accumulate, verbose=False)
    assert split.step == 200
    assert np.max(np.abs(np.subtract(whole.history["loss"], split.history["loss"]))) <= 1e-10
    a, b = whole.model.state_dict(), split.model.state_dict()
    assert max(np.max(np.abs(a[key] - b[key])) for key in a) <= 1e-10


def test_nesterov_s_weights_move_ahead_once_a_step_in_every_precision() -> None:
    """With a copy in fewer bits, too, whose operation is another."""
    ends = []
    for accumulate in (1, 4):
        model = gs.Sequential(gs.Linear(4, 6), gs.Tanh(), gs.Linear(6, 3)).init(2)
        optimizer = gs.Nesterov(lr=0.05, momentum=0.9)
        run = gs.Trainer(model, gs.CrossEntropyLoss(), optimizer, backend="numpy", precision="bfloat16")
        run.fit(X, Y, epochs=20, batch_size=16, accumulate=accumulate, verbose=False)
        ends.append(np.concatenate([value.ravel() for value in model.state_dict().values()]))
    assert np.linalg.norm(ends[0] - ends[1]) <= 0.02 * np.linalg.norm(ends[0])


def test_activations_take_a_part_of_the_memory() -> None:
    runs = [Loop(trainer(gs.Adam(), "numba", clip_norm=1.0), gs.Dataset(X, Y), None, 48, accumulate=k) for k in (1, 4)]
    whole, split = (run.plan for run in runs)
    assert (whole.capacity, split.capacity) == (48, 12)
    assert whole.bytes - split.bytes >= 36 * 8 * (4 + 6 + 3)  # at least the input and what the layers give


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_step_that_is_not_finite_is_named_wherever_it_lies(backend: str) -> None:
    for row in (0, 13, 49):
        model = gs.Sequential(gs.Linear(4, 3), dtype="float64").init(2)
        run = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Nesterov(lr=0.1), backend=backend)
        before = run.model.state_dict()
        x = np.where(np.arange(50)[:, None] == row, 1.7e308, X)
        with pytest.raises(NonFiniteLoss, match=r"step 0 .*learning rate 0\.1.*layer '0'"):
            run.fit(x, Y, batch_size=50, accumulate=4, verbose=False)
        assert all(np.array_equal(before[key], value) for key, value in run.model.state_dict().items())


def test_a_run_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    ends = []
    for epochs in ((6,), (2, 4)):
        for number, count in enumerate(epochs):
            run = trainer(gs.Adam(), "numba")
            if number:
                run.load(tmp_path / "run.safetensors")
            run.fit(X, Y, epochs=count, batch_size=16, accumulate=3, verbose=False)
            run.save(tmp_path / "run.safetensors")
        ends.append(run.model.state_dict())
    assert all(np.array_equal(ends[0][key], value) for key, value in ends[1].items())


def test_refusals() -> None:
    with pytest.raises(ConfigurationError, match="accumulate is 0"):
        trainer(gs.Adam(), "numpy").fit(X, Y, accumulate=0)
    with pytest.raises(ConfigurationError, match="takes a batch as a whole"):
        trainer(gs.Newton(), "numpy").fit(X, Y, accumulate=2)
