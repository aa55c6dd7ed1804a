"""Optimizers that are a formula: against PyTorch and closed forms, by hand and in a Trainer; and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.backends.errors import ConfigurationError
from gearshift.dl.experiment.build import build_optimizer
from gearshift.dl.experiment.config import parse

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 4)), RNG.normal(size=(60, 2))
STEPS, LR, DECAY = 40, 0.05, 0.1
xp = gs.xp


@gs.optimizer
def own_adam(p, g, m, v, *, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, step):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    return p - lr * (m / (1 - beta1**step)) / (xp.sqrt(v / (1 - beta2**step)) + eps), m, v


@gs.optimizer
def own_lion(p, g, mean, *, lr=1e-4, beta1=0.9, beta2=0.99, weight_decay=0.0):
    direction = xp.sign(beta1 * mean + (1 - beta1) * g)
    return p - lr * (direction + weight_decay * p), beta2 * mean + (1 - beta2) * g


@gs.optimizer
def sign_descent(p, g, *, lr=1e-3):
    return p - lr * xp.sign(g)


@gs.optimizer
def four_states(p, g, row, scale, rate, i, *, lr=1e-3):
    """Names that the kernels use themselves."""
    row, scale, rate, i = row + g, scale + 2.0 * g, 0.5 * rate + g, g
    return p - lr * (row + 0.5 * scale + rate + i) / 4.0, row, scale, rate, i


@gs.optimizer
def heavy_ball(p, g, before, *, lr=0.1):
    """A result that is another argument as it was."""
    return p - lr * g + 0.5 * (p - before), p


@gs.optimizer
def delayed(p, g, last, one_before, *, lr=0.1):
    return p - lr * one_before, g, last


def adam(steps: list[Callable[[np.ndarray], np.ndarray]], p: np.ndarray) -> np.ndarray:
    m = v = np.zeros_like(p)
    for t, gradient in enumerate(steps, 1):
        g = gradient(p) + DECAY * p
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        p = p - LR * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return p


def lion(steps: list[Callable[[np.ndarray], np.ndarray]], p: np.ndarray) -> np.ndarray:
    m = np.zeros_like(p)
    for gradient in steps:
        g = gradient(p)
        p = p - LR * (np.sign(0.9 * m + 0.1 * g) + DECAY * p)
        m = 0.99 * m + 0.01 * g
    return p


def signs(steps: list[Callable[[np.ndarray], np.ndarray]], p: np.ndarray) -> np.ndarray:
    for gradient in steps:
        p = p - LR * np.sign(gradient(p) + DECAY * p)
    return p


def sums(steps: list[Callable[[np.ndarray], np.ndarray]], p: np.ndarray) -> np.ndarray:
    total = recent = np.zeros_like(p)
    for gradient in steps:
        g = gradient(p) + DECAY * p
        total, recent = total + g, 0.5 * recent + g
        p = p - LR * (2 * total + recent + g) / 4
    return p


def ball(steps: list[Callable[[np.ndarray], np.ndarray]], p: np.ndarray) -> np.ndarray:
    before = np.zeros_like(p)
    for gradient in steps:
        p, before = p - LR * (gradient(p) + DECAY * p) + 0.5 * (p - before), p
    return p


def delay(steps: list[Callable[[np.ndarray], np.ndarray]], p: np.ndarray) -> np.ndarray:
    gradients = [np.zeros_like(p)] * 2
    for gradient in steps:
        gradients.append(gradient(p) + DECAY * p)
        p = p - LR * gradients[-3]
    return p


FORMULAS: dict[str, tuple[Callable[..., gs.Optimizer], Callable[..., np.ndarray]]] = {
    "adam": (own_adam, adam),
    "lion": (own_lion, lion),
    "signs": (sign_descent, signs),
    "sums": (four_states, sums),
    "ball": (heavy_ball, ball),
    "delay": (delayed, delay),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_arrays(name: str) -> None:
    own, formula = FORMULAS[name]
    noise = [RNG.normal(size=(3, 4)) for _ in range(STEPS)]
    optimizer, p = own(lr=LR, weight_decay=DECAY), np.ones((3, 4))
    state = optimizer.init(p)
    for one in noise:
        optimizer.update(p, 0.3 * p + one, state)
    want = formula([lambda p, one=one: 0.3 * p + one for one in noise], np.ones((3, 4)))
    assert np.allclose(p, want, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("name", FORMULAS)
def test_training(name: str, backend: str) -> None:
    """Of weights with decay; the gradient of linear regression is known. Two groups have different rates."""
    own, formula = FORMULAS[name]
    model = gs.Sequential(gs.Linear(4, 2, bias=False), dtype="float64").init(seed=1)
    start = model.state_dict()["0.weight"]
    trainer = gs.Trainer(model, gs.MSELoss(), own(lr=LR, weight_decay=DECAY), backend=backend, seed=0)
    trainer.fit(X, Y, epochs=STEPS, batch_size=60, verbose=False)
    gradient = lambda w: 2 * X.T @ (X @ w - Y) / Y.size  # noqa: E731
    assert np.allclose(model.state_dict()["0.weight"], formula([gradient] * STEPS, start), rtol=1e-9)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_it_resumes_to_the_same_bits(backend: str, tmp_path: Path) -> None:
    def made() -> gs.Trainer:
        model = gs.Sequential(gs.Linear(4, 8), gs.Tanh(), gs.Linear(8, 2))
        schedule = gs.InverseTimeDecay(delta=0.1)
        return gs.Trainer(model, gs.MSELoss(), own_adam(lr=0.01), schedule=schedule, backend=backend, seed=0)

    whole, first, second = made(), made(), made()
    whole.fit(X, Y, epochs=6, batch_size=16, verbose=False)
    first.fit(X, Y, epochs=3, batch_size=16, verbose=False)
    first.save(tmp_path / "half.safetensors")
    second.load(tmp_path / "half.safetensors")
    second.fit(X, Y, epochs=3, batch_size=16, verbose=False)
    for name, array in whole.model.state_dict().items():
        assert array.tobytes() == second.model.state_dict()[name].tobytes()


def test_biases_do_not_decay() -> None:
    model = gs.Sequential(gs.Linear(4, 2), dtype="float64").init(seed=1)
    model.load_state_dict({"0.weight": np.ones((4, 2)), "0.bias": np.ones(2)})
    trainer = gs.Trainer(model, gs.MSELoss(), own_lion(lr=1.0, weight_decay=0.5), seed=0)
    zero = np.zeros((8, 4))
    trainer.fit(zero, np.ones((8, 2)), epochs=1, batch_size=8, verbose=False)  # a gradient of 0
    assert np.array_equal(model.state_dict()["0.weight"], np.full((4, 2), 0.5))
    assert np.array_equal(model.state_dict()["0.bias"], np.ones(2))


def test_a_network_runs_in_the_compiled_loop() -> None:
    model = gs.Sequential(gs.Linear(4, 8), gs.ReLU(), gs.Linear(8, 2))
    for own in (own_adam, own_lion, sign_descent):
        assert "one compiled loop" in gs.Trainer(model, gs.MSELoss(), own(), backend="numba").explain()
    four = gs.Trainer(model, gs.MSELoss(), four_states(), backend="numba")
    assert "does not cover the optimizer" in four.explain()
    assert "four_states_update" in four.explain(kernels=True)


def test_a_configuration_knows_it_by_name() -> None:
    configuration = parse({"data": {"source": "digits"}, "optimizer": {"name": "own_lion", "beta1": 0.8}})
    assert repr(build_optimizer(configuration)) == "own_lion(lr=0.0001, beta1=0.8, beta2=0.99, weight_decay=0.0)"
    wrong = parse({"data": {"source": "digits"}, "optimizer": {"name": "own_lion", "beta": 0.8}})
    with pytest.raises(ConfigurationError, match=r"optimizer.beta is not an argument of own_lion; did you mean 'beta"):
        build_optimizer(wrong)


def total(p, g, *, lr):
    return p - lr * g.mean()


def branch(p, g, *, lr, fast=1.0):
    return p - 2 * lr * g if fast else p - lr * g


def too_few(p, g, mean, *, lr):
    return p - lr * g


def other_arrays(p, *, lr):
    return p


def no_rate(p, g, *, eps=1e-8):
    return p - eps * g


REFUSED: dict[str, tuple[Any, str]] = {
    "total": (total, r"test_own_optimizers.py, line \d+: a reduction .* rows are independent"),
    "branch": (branch, r"test_own_optimizers.py, line \d+: .*gs.xp.where"),
    "too few": (too_few, r"too_few returns 1 of 2 values; expected the new p, mean, in this order"),
    "other arrays": (other_arrays, r"other_arrays\(p, \*, lr\): expected \(p, g, \*states, \*, lr"),
    "no rate": (no_rate, r"no_rate\(p, g, \*, eps=1e-08\): expected \(p, g, \*states, \*, lr"),
    "lambda": (lambda p, g, *, lr: p, "define it by def"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str) -> None:
    formula, message = REFUSED[name]
    with pytest.raises(ConfigurationError, match=message):
        gs.optimizer(formula)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"beta3": 1.0}, "own_lion: beta3 is unknown; expected lr, beta1, beta2, weight_decay"),
        ({"lr": "fast"}, "own_lion: lr is 'fast'; expected a number"),
        ({"lr": -1.0}, "own_lion: lr is -1.0; expected a finite number of at least 0"),
        ({"weight_decay": -1.0}, "own_lion: weight_decay is -1.0; expected a finite number of at least 0"),
    ],
)
def test_arguments(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        own_lion(**given)
    with pytest.raises(ConfigurationError, match="own_adam: step is unknown"):
        own_adam(step=3)


@pytest.mark.torch
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_adam_is_torch_s(backend: str) -> None:
    torch = pytest.importorskip("torch")
    model = gs.Sequential(gs.Linear(4, 8), gs.Tanh(), gs.Linear(8, 2), dtype="float64").init(seed=1)
    weights = {name: torch.tensor(value, requires_grad=True) for name, value in model.state_dict().items()}
    theirs = torch.optim.Adam(list(weights.values()), lr=0.01)
    for _ in range(STEPS):
        theirs.zero_grad()
        h = torch.tanh(torch.tensor(X) @ weights["0.weight"] + weights["0.bias"])
        loss = torch.nn.functional.mse_loss(h @ weights["2.weight"] + weights["2.bias"], torch.tensor(Y))
        loss.backward()
        theirs.step()
    gs.Trainer(model, gs.MSELoss(), own_adam(lr=0.01), backend=backend, seed=0).fit(
        X, Y, epochs=STEPS, batch_size=60, verbose=False
    )
    for name, value in model.state_dict().items():
        assert np.allclose(value, weights[name].detach().numpy(), rtol=1e-9, atol=1e-12)
