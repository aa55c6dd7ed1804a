"""The optimizers beyond SGD and Adam: 200 steps in float64 as PyTorch or their formulas, by hand and in a Trainer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from built_in import built_in

import gearshift as gs
from gearshift.backends.errors import ConfigurationError, NonFiniteLoss
from gearshift.dl.experiment.build import build_optimizer
from gearshift.dl.experiment.config import parse

STEPS = 200
SCALES = np.geomspace(0.01, 3, 35).reshape(7, 5)
TOLERANCE = 1e-10


def start() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((7, 5))


def gradient(p: np.ndarray, step: int) -> np.ndarray:
    """That of a noisy, badly scaled quadratic: it depends on where an optimizer has got to."""
    return p * SCALES + np.random.default_rng(step).standard_normal(p.shape)


def by_hand(optimizer: gs.Optimizer) -> np.ndarray:
    p = start()
    state = optimizer.init(p)
    for step in range(STEPS):
        if isinstance(optimizer, gs.Nesterov):
            optimizer.look_ahead(p, state)
        optimizer.update(p, gradient(p, step), state)
    return p


def polyak(lr: float, alpha: Callable[[int], float], decay: float = 0.0) -> np.ndarray:
    p, v = start(), np.zeros((7, 5))
    for step in range(STEPS):
        v = alpha(step) * v - lr * (gradient(p, step) + decay * p)
        p = p + v
    return p


def sutskever(lr: float, alpha: Callable[[int], float], decay: float = 0.0) -> np.ndarray:
    p, v = start(), np.zeros((7, 5))
    for step in range(STEPS):
        ahead = p + alpha(step) * v
        v = alpha(step) * v - lr * (gradient(ahead, step) + decay * ahead)
        p = p + v
    return p


def jacobs(lr: float, kappa: float, phi: float, theta: float) -> np.ndarray:
    p = start()
    rates, trend = np.full_like(p, lr), np.zeros_like(p)
    for step in range(STEPS):
        g = gradient(p, step)
        rates = np.where(trend * g > 0, rates + kappa, rates)
        rates = np.where(trend * g < 0, rates * (1 - phi), rates)
        trend = (1 - theta) * g + theta * trend
        p = p - rates * g
    return p


def adagrad(lr: float, eps: float) -> np.ndarray:
    p, r = start(), np.zeros((7, 5))
    for step in range(STEPS):
        g = gradient(p, step)
        r = r + g * g
        p = p - lr / (eps + np.sqrt(r)) * g
    return p


def zeiler(rho: float, eps: float) -> np.ndarray:
    p = start()
    r, u = np.zeros_like(p), np.zeros_like(p)
    for step in range(STEPS):
        g = gradient(p, step)
        r = rho * r + (1 - rho) * g * g
        delta = -np.sqrt(u + eps) / np.sqrt(r + eps) * g
        u = rho * u + (1 - rho) * delta * delta
        p = p + delta
    return p


def ramp(step: int) -> float:
    return 0.5 + 0.4 * min(1, step / 120)


FORMULAS: dict[str, tuple[gs.Optimizer, Callable[[], np.ndarray]]] = {
    "Momentum": (gs.Momentum(lr=0.02), lambda: polyak(0.02, lambda step: 0.9)),
    "Momentum, decayed": (gs.Momentum(lr=0.02, weight_decay=0.1), lambda: polyak(0.02, lambda step: 0.9, 0.1)),
    "Momentum, rising": (gs.Momentum(lr=0.02, momentum=gs.Ramp(0.5, 0.9, 120)), lambda: polyak(0.02, ramp)),
    "Nesterov": (gs.Nesterov(lr=0.02), lambda: sutskever(0.02, lambda step: 0.9)),
    "Nesterov, decayed": (gs.Nesterov(lr=0.02, weight_decay=0.1), lambda: sutskever(0.02, lambda step: 0.9, 0.1)),
    "Nesterov, rising": (gs.Nesterov(lr=0.02, momentum=gs.Ramp(0.5, 0.9, 120)), lambda: sutskever(0.02, ramp)),
    "Adagrad": (gs.Adagrad(lr=0.1, eps=1e-6), lambda: adagrad(0.1, 1e-6)),
    "Adadelta": (gs.Adadelta(rho=0.95, eps=1e-5), lambda: zeiler(0.95, 1e-5)),
    "DeltaBarDelta": (gs.DeltaBarDelta(lr=0.02, kappa=1e-3), lambda: jacobs(0.02, 1e-3, 0.1, 0.7)),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_200_steps_as_the_formula(name: str) -> None:
    optimizer, formula = FORMULAS[name]
    assert np.max(np.abs(by_hand(optimizer) - formula())) <= TOLERANCE


@pytest.mark.torch
@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("Adagrad", {}),
        ("Adagrad", {"lr": 0.1, "lr_decay": 0.01, "weight_decay": 0.05, "initial_accumulator_value": 0.3, "eps": 1e-6}),
        ("Adadelta", {}),
        ("Adadelta", {"lr": 0.5, "rho": 0.95, "eps": 1e-5, "weight_decay": 0.05}),
    ],
)
def test_200_steps_as_torch(name: str, given: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    p = torch.tensor(start(), requires_grad=True)
    theirs = getattr(torch.optim, name)([p], **given)
    mine = getattr(gs, name)(**given)
    for step in range(STEPS):
        p.grad = torch.from_numpy(gradient(p.detach().numpy(), step))
        theirs.step()
    assert np.max(np.abs(by_hand(mine) - p.detach().numpy())) <= TOLERANCE
    for key, value in vars(getattr(gs, name)()).items():
        assert getattr(torch.optim, name)([p]).defaults[key] == value, key


@pytest.mark.parametrize("clip_norm", [None, 0.5])
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_trainer_takes_nesterov_s_gradient_ahead(backend: str, clip_norm: float | None) -> None:
    """Against the formula with `value_and_grad`, the bias not decayed, under a schedule."""
    random = np.random.default_rng(1)
    x, y, schedule = random.standard_normal((9, 4)), random.integers(0, 3, 9), gs.StepDecay(20, gamma=0.5)
    model, other = (gs.Sequential(gs.Linear(4, 6), gs.Tanh(), gs.Linear(6, 3), dtype="float64") for _ in range(2))
    trainer = gs.Trainer(
        model.init(2),
        gs.CrossEntropyLoss(),
        gs.Nesterov(lr=0.1, weight_decay=0.01),
        schedule=schedule,
        clip_norm=clip_norm,
        backend=backend,
    )
    p = other.init(2).state_dict()
    v = {name: np.zeros_like(value) for name, value in p.items()}
    for step in range(60):
        ahead = {name: p[name] + 0.9 * v[name] for name in p}
        other.load_state_dict(ahead)
        _, grads = gs.value_and_grad(other, gs.CrossEntropyLoss(), x, y)
        norm = np.sqrt(sum(np.sum(g * g) for g in grads.values()))
        clip = 1.0 if clip_norm is None else min(1.0, clip_norm / (norm + 1e-6))
        for name, g in grads.items():
            g = g * clip + (0.01 if name.endswith("weight") else 0) * ahead[name]
            v[name] = 0.9 * v[name] - 0.1 * schedule(step) * g
            p[name] = p[name] + v[name]
    trainer.fit(x, y, epochs=60, batch_size=9, verbose=False)
    assert max(np.max(np.abs(value - p[name])) for name, value in model.state_dict().items()) <= TOLERANCE


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_failed_step_of_nesterov_leaves_the_weights_of_the_step_before(backend: str) -> None:
    x = np.ones((6, 2))
    model = gs.Sequential(gs.Linear(2, 1), dtype="float64").init(0)
    trainer = gs.Trainer(model, gs.MSELoss(), gs.Nesterov(lr=0.05), backend=backend)
    trainer.fit(x, np.zeros(6), epochs=3, batch_size=6, verbose=False)
    before = model.state_dict()
    with pytest.raises(NonFiniteLoss, match="not finite at step 3"):
        trainer.fit(np.where(np.arange(6)[:, None] == 4, 1e200, x), np.zeros(6), epochs=1, batch_size=6, verbose=False)
    assert all(np.array_equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_trainer_drives_delta_bar_delta_on_the_full_batch_only(backend: str) -> None:
    random = np.random.default_rng(1)
    x, y = random.standard_normal((12, 4)), random.standard_normal((12, 2))
    model, other = (gs.Sequential(gs.Linear(4, 2), dtype="float64").init(2) for _ in range(2))
    trainer = gs.Trainer(model, gs.MSELoss(), gs.DeltaBarDelta(lr=0.02), backend=backend)
    with pytest.raises(ConfigurationError, match=r"batch_size is 5, .* all 12 rows; use batch_size=12"):
        trainer.fit(x, y, batch_size=5, verbose=False)
    trainer.fit(x, y, epochs=40, batch_size=12, verbose=False)
    optimizer, p = gs.DeltaBarDelta(lr=0.02), other.state_dict()
    state = optimizer.init(p)
    for _ in range(40):
        other.load_state_dict(p)
        optimizer.update(p, gs.value_and_grad(other, gs.MSELoss(), x, y)[1], state)
    assert max(np.max(np.abs(value - p[name])) for name, value in model.state_dict().items()) <= TOLERANCE


def test_nesterov_by_hand_needs_its_order() -> None:
    optimizer, p = gs.Nesterov(), np.ones(3)
    state = optimizer.init(p)
    with pytest.raises(ConfigurationError, match="look_ahead"):
        optimizer.update(p, p.copy(), state)
    optimizer.look_ahead(p, state)
    with pytest.raises(ConfigurationError, match="look_ahead"):
        optimizer.look_ahead(p, state)


@pytest.mark.parametrize(
    "make",
    [
        lambda: gs.Momentum(momentum=1.0),
        lambda: gs.Momentum(momentum={"begin": 1}),
        lambda: gs.Nesterov(lr=-1),
        lambda: gs.Adagrad(lr_decay=-1),
        lambda: gs.Adagrad(eps=-1),
        lambda: gs.Adadelta(rho=1.0),
        lambda: gs.DeltaBarDelta(lr=0),
        lambda: gs.DeltaBarDelta(phi=1.5),
    ],
)
def test_arguments_out_of_range_are_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"Momentum|Nesterov|Ada|DeltaBarDelta"):
        make()


@pytest.mark.parametrize("name", built_in(gs.Optimizer.registered))
def test_every_optimizer_is_made_from_a_configuration_with_its_own_default_rate(name: str) -> None:
    made = build_optimizer(parse({"optimizer": {"name": name}}))
    assert repr(made) == repr(getattr(gs, name)())
    rate = build_optimizer(parse({"optimizer": {"name": name, "lr": 0.25}})).lr
    assert rate == 0.25


def test_momentum_rises_from_a_configuration() -> None:
    table = {"optimizer": {"name": "Momentum", "momentum": {"start": 0.5, "stop": 0.9, "steps": 100}}}
    made = build_optimizer(parse(table))
    assert [made.constants(step, 1.0)[1] for step in (0, 50, 100, 900)] == pytest.approx([0.5, 0.7, 0.9, 0.9])
