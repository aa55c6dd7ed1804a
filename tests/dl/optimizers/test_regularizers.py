"""L1 by its subgradient and by soft-thresholding: against PyTorch and a transcription, and the zeros it promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.backends.errors import ConfigurationError, NonFiniteLoss
from gearshift.dl.experiment.build import build_regularizer
from gearshift.dl.experiment.config import parse

BACKENDS = ("numpy", "numba")
RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((24, 5))
Y = RANDOM.integers(0, 3, 24)
STRENGTH, RATE, STEPS = 0.02, 0.05, 200


def net() -> gs.Sequential:
    return gs.Sequential(gs.Linear(5, 7), gs.Tanh(), gs.Linear(7, 3), dtype="float64").init(2)


def trained(regularizer: gs.Regularizer, optimizer: gs.Optimizer, backend: str, **given: Any) -> gs.Sequential:
    model = net()
    trainer = gs.Trainer(
        model, gs.CrossEntropyLoss(), optimizer, regularizer=regularizer, backend=backend, clip_norm=0.5, **given
    )
    trainer.fit(X, Y, epochs=STEPS, batch_size=24, verbose=False)
    return model


def by_torch(torch: Any, name: str, subgradient: bool) -> dict[str, np.ndarray]:
    """Weights after as many steps of PyTorch; the rate halves every 50 steps, and biases have twice the rate."""
    w = {key: torch.tensor(array, requires_grad=True) for key, array in net().state_dict().items()}
    rates = [RATE if key.endswith("weight") else 2 * RATE for key in w]
    groups = [{"params": [array], "lr": rate} for array, rate in zip(w.values(), rates, strict=True)]
    optimizer = getattr(torch.optim, name)(groups)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 50, 0.5)
    for step in range(STEPS):
        optimizer.zero_grad()
        z = torch.tanh(torch.tensor(X) @ w["0.weight"] + w["0.bias"]) @ w["2.weight"] + w["2.bias"]
        torch.nn.functional.cross_entropy(z, torch.tensor(Y)).backward()
        for key, array in w.items():
            if subgradient and key.endswith("weight"):
                array.grad += STRENGTH * torch.sign(array.detach())
        torch.nn.utils.clip_grad_norm_(w.values(), 0.5)
        optimizer.step()
        schedule.step()
        for key, array in w.items():
            if not subgradient and key.endswith("weight"):
                array.data = torch.nn.functional.softshrink(array.data, STRENGTH * RATE * 0.5 ** (step // 50))
    return {key: array.detach().numpy() for key, array in w.items()}


@pytest.mark.torch
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", [gs.L1, gs.SoftThreshold])
@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_200_steps_as_torch(name: str, kind: Any, backend: str) -> None:
    torch = pytest.importorskip("torch")
    given = {"schedule": gs.StepDecay(50, 0.5), "groups": [gs.ParameterGroup("*.bias", lr=2 * RATE)]}
    mine = trained(kind(STRENGTH), getattr(gs, name)(lr=RATE), backend, **given).state_dict()
    theirs = by_torch(torch, name, kind is gs.L1)
    assert max(np.max(np.abs(value - theirs[key])) for key, value in mine.items()) <= 1e-10


@pytest.mark.parametrize("backend", BACKENDS)
def test_soft_thresholding_finds_the_zeros_of_the_lasso_and_the_subgradient_none(backend: str) -> None:
    """Orthonormal columns: the minimum is known, each coefficient of least squares moved to 0 by n λ / 2."""
    x, _ = np.linalg.qr(RANDOM.standard_normal((40, 6)))
    truth = np.array([3.0, -2.0, 0.02, 0.0, 1.0, -0.01])
    y = x @ truth
    ends = {}
    for kind in (gs.SoftThreshold, gs.L1):
        model = gs.Sequential(gs.Linear(6, 1, bias=False), dtype="float64").init(1)
        trainer = gs.Trainer(model, gs.MSELoss(), gs.SGD(lr=10), regularizer=kind(0.01), backend=backend)
        trainer.fit(x, y, epochs=60, batch_size=40, verbose=False)
        ends[kind] = model.state_dict()["0.weight"][:, 0]
    wanted = np.sign(truth) * np.maximum(np.abs(truth) - 40 * 0.01 / 2, 0)
    assert np.max(np.abs(ends[gs.SoftThreshold] - wanted)) <= 1e-12
    assert np.array_equal(ends[gs.SoftThreshold] == 0, wanted == 0)
    assert np.all(ends[gs.L1] != 0)


@pytest.mark.parametrize("kind", [gs.L1, gs.SoftThreshold])
def test_a_run_goes_on_to_the_same_bits(kind: Any, tmp_path: Path) -> None:
    ends = []
    for parts in ((6,), (2, 4)):
        model = net()
        for number, epochs in enumerate(parts):
            trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(), regularizer=kind(0.1), backend="numba")
            if number:
                trainer.load(tmp_path / "run.safetensors")
            trainer.fit(X, Y, epochs=epochs, batch_size=7, verbose=False)
            trainer.save(tmp_path / "run.safetensors")
        ends.append(trainer.model.state_dict())
    assert all(np.array_equal(ends[0][key], value) for key, value in ends[1].items())


@pytest.mark.parametrize("kind", [gs.L1, gs.SoftThreshold])
def test_a_failed_step_changes_no_weight(kind: Any) -> None:
    model = gs.Sequential(gs.Linear(2, 1), dtype="float64").init(0)
    before = model.state_dict()
    trainer = gs.Trainer(model, gs.MSELoss(), gs.SGD(), regularizer=kind(0.1), backend="numba")
    with pytest.raises(NonFiniteLoss, match=r"step 0 .*learning rate 0\.001.*layer"):
        trainer.fit(np.full((4, 2), 1e200), np.zeros(4), verbose=False)
    assert all(np.array_equal(before[key], value) for key, value in model.state_dict().items())


def test_from_a_configuration_and_refusals() -> None:
    assert build_regularizer(parse({})) is None
    assert repr(build_regularizer(parse({"train": {"l1": 0.01}}))) == "L1(0.01)"
    assert repr(build_regularizer(parse({"train": {"soft_threshold": 0.01}}))) == "SoftThreshold(0.01)"
    with pytest.raises(ConfigurationError, match="the same penalty"):
        build_regularizer(parse({"train": {"l1": 0.01, "soft_threshold": 0.01}}))
    with pytest.raises(ConfigurationError, match=r"L1: strength is -1"):
        gs.L1(-1)
    with pytest.raises(ConfigurationError, match=r"regularizer is 0\.1"):
        gs.Trainer(net(), gs.CrossEntropyLoss(), gs.SGD(), regularizer=0.1)  # pyright: ignore[reportArgumentType]
