"""Skipped steps of float16: they count for the schedule and not for the optimizer, as with PyTorch's GradScaler."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.dl.step import state
from gearshift.kernels.updates.loss_scale import FIRST

SKIPPED = 5  # of the first steps, whose gradients of some 20 are beyond float16's 65,504 from a scale of 4,096 on
FITS = FIRST / 2**SKIPPED
RANDOM = np.random.default_rng(0)
X = RANDOM.uniform(0.1, 0.9, (1, 6)).astype(np.float32)
Y = RANDOM.uniform(70, 90, (1, 8)).astype(np.float32)
OPTIMIZERS: dict[str, Callable[[], gs.Optimizer]] = {
    "Adam": lambda: gs.Adam(lr=0.05),
    "SGD": lambda: gs.SGD(lr=1e-3, momentum=0.9, dampening=0.5),
    "Adagrad": lambda: gs.Adagrad(lr=0.5, lr_decay=0.2),
}


def trainer(name: str, backend: str = "numpy", scale: float = FIRST, **given: Any) -> gs.Trainer:
    model = gs.Sequential(gs.Linear(6, 8)).init(1)
    run = gs.Trainer(model, gs.MSELoss(), OPTIMIZERS[name](), backend=backend, precision="float16", **given)
    rescale(run, scale)
    return run


def rescale(run: gs.Trainer, scale: float) -> None:
    assert run.state.scale is not None
    run.state.scale[0] = scale


def fit(run: gs.Trainer, steps: int) -> None:
    run.fit(X, Y, epochs=steps, batch_size=1, verbose=False)


def bits(run: gs.Trainer) -> bytes:
    return b"".join(value.tobytes() for value in run.model.state_dict().values())


@pytest.mark.parametrize("backend", ["numpy", pytest.param("cupy", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_does_not_count_skipped_steps(
    name: str, backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (status := gs.backends.available()[backend]).runs:
        pytest.skip(f"backend {backend} does not run here: {status.reason}")
    monkeypatch.setattr(state, "TABLE", 4)  # so that steps are skipped across its ends
    plain, run = trainer(name, backend, FITS), trainer(name, backend)
    start = bits(run)
    fit(run, SKIPPED)
    assert bits(run) == start and run.state.scale is not None and run.state.scale[0] == FITS
    for steps in 3, 4:
        fit(run, steps)
        fit(plain, steps)
        assert bits(run) == bits(plain) != start
        rescale(run, FITS * 8)
        fit(run, 3)
        assert bits(run) == bits(plain) and run.state.scale[0] == FITS
    run.save(tmp_path / "a.safetensors")
    resumed = trainer(name, backend)
    resumed.load(tmp_path / "a.safetensors")
    for other in (run, resumed, plain):
        fit(other, 2)
    assert bits(run) == bits(resumed) == bits(plain)


def test_a_scale_that_is_none_is_refused_and_nothing_changes() -> None:
    run, other = trainer("Adam"), trainer("Adam")
    fit(other, SKIPPED + 2)
    tensors, before = other.state.pack(), bits(run)
    for wrong in ([np.nan, 0, 0], [0, 0, 0], [1, 0, np.inf], [1, 0, -1]):
        with pytest.raises(gs.CheckpointError, match=r"'loss scale' is .*; expected a number above 0"):
            run.state.unpack({**tensors, "loss scale": np.array(wrong, np.float32)}, 7, 0)
        assert bits(run) == before and run.state.step == 0


@pytest.mark.torch
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_schedule_and_count_are_those_of_pytorchs_grad_scaler(name: str) -> None:
    torch = pytest.importorskip("torch")
    run = trainer(name, schedule=gs.InverseTimeDecay(delta=0.2))
    layer = torch.nn.Linear(6, 8)
    before = {key: value.copy() for key, value in run.model.state_dict().items()}
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(before["0.weight"].T))
        layer.bias.copy_(torch.from_numpy(before["0.bias"]))
    theirs = {
        "Adam": lambda p: torch.optim.Adam(p, lr=0.05),
        "SGD": lambda p: torch.optim.SGD(p, lr=1e-3, momentum=0.9, dampening=0.5),
        "Adagrad": lambda p: torch.optim.Adagrad(p, lr=0.5, lr_decay=0.2),
    }[name](layer.parameters())
    scaler = torch.amp.GradScaler("cpu", init_scale=FIRST)
    schedule = torch.optim.lr_scheduler.LambdaLR(theirs, lambda step: 1 / (1 + 0.2 * step))
    steps = SKIPPED + 12
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the schedule moves before the optimizer does
        for _ in range(steps):
            theirs.zero_grad()
            with torch.autocast("cpu", dtype=torch.float16):
                outputs = layer(torch.from_numpy(X))
            scaler.scale(torch.nn.functional.mse_loss(outputs.float(), torch.from_numpy(Y))).backward()
            scaler.step(theirs)
            scaler.update()
            schedule.step()
    fit(run, steps)
    assert run.state.scale is not None and scaler.get_scale() == run.state.scale[0] == FITS
    for key, want in (("0.weight", layer.weight.detach().numpy().T), ("0.bias", layer.bias.detach().numpy())):
        moved = np.abs(want - before[key]).max()
        assert np.abs(run.model.state_dict()[key] - want).max() < 5e-3 * moved
