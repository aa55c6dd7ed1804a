"""An optimizer, an activation and a loss from outside the package: trained everywhere, saved and found by name."""

from __future__ import annotations

import itertools
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from built_in import built_in

import gearshift as gs
from gearshift.backends.errors import ConfigurationError
from gearshift.dl.experiment.build import build_loss, build_model, build_optimizer
from gearshift.dl.experiment.config import parse
from gearshift.dl.layers.activations import activations
from gearshift.dl.step.dense_plan import DensePlan
from gearshift.dl.training.loop import Loop
from gearshift.kernels.counters import FAILED, ROW
from gearshift.kernels.losses.loss import loss_operation
from gearshift.kernels.updates.update import constants, ranges, update_operation

RANDOM = np.random.default_rng(5)
X, Y = RANDOM.normal(size=(40, 5)), RANDOM.normal(size=(40, 2))
BETAS = 0.9, 0.99
LR = 2.0**-8
BACKENDS = ["numpy", "numba", pytest.param("cupy", marks=pytest.mark.gpu)]


def sign(c: Any, one: Any) -> Any:
    """A function that the loop below calls, which belongs to no package that Gearshift knows."""
    return one if c > 0 else -one if c < 0 else one - one


def lion(xp, p, g, m, bounds, factors, table, counters, clip):
    lr, beta1, gain1, beta2, gain2 = constants(table, counters)
    for part, rate, decay in ranges(bounds, factors, counters):
        d = g[part] * clip[0]
        p[part] -= lr * rate * (xp.sign(beta1 * m[part] + gain1 * d) + decay * p[part])
        m[part] = beta2 * m[part] + gain2 * d


def lion_loop(start, stop, p, g, m, bounds, factors, table, counters, clip):
    if counters[FAILED] >= 0:
        return
    row, scale = table[counters[ROW]], clip[0]
    one = scale / scale
    for r in range(bounds.shape[0]):
        rate, decay = row[0] * factors[r, 0], factors[r, 1]
        for i in range(max(start, bounds[r, 0]), min(stop, bounds[r, 1])):
            d = g[i] * scale
            p[i] -= rate * (sign(row[1] * m[i] + row[2] * d, one) + decay * p[i])
            m[i] = row[3] * m[i] + row[4] * d


class Lion(gs.Optimizer):
    """The sign of an average of gradients (Chen et al. 2023)."""

    operation = update_operation("lion", lion, lion_loop)
    slots = ("m",)

    def __init__(self, lr: float = 1e-4, betas: tuple[float, float] = BETAS, weight_decay: float = 0.0) -> None:
        super().__init__(lr, weight_decay)
        self.betas = betas

    def constants(self, step: int, lr: float) -> tuple[float, ...]:
        beta1, beta2 = self.betas
        return lr, beta1, 1 - beta1, beta2, 1 - beta2


class Swish(gs.Activation):
    """y = x · sigmoid(x)."""

    def forward(self, xp: Any, x: Any, *parameters: Any) -> Any:
        return x / (1 + xp.exp(-x))

    def backward(self, xp: Any, dy: Any, x: Any, y: Any, *parameters: Any) -> tuple[Any, ...]:
        s = 1 / (1 + xp.exp(-x))
        return (dy * (s + y * (1 - s)),)


def huber(xp, outputs, target, scores, gradient):
    d = outputs - target
    size = xp.abs(d)
    scores[:, 0] = xp.mean(xp.where(size <= 1, d * d / 2, size - 0.5), axis=1)
    gradient[...] = xp.where(size <= 1, d, xp.sign(d)) / d.size


def huber_loop(start, stop, outputs, target, scores, gradient):
    real = outputs.dtype.type
    rows, n = outputs.shape
    one, half, scale = real(1), real(0.5), real(1) / real(rows * n)
    for row in range(start, stop):
        total = real(0)
        for j in range(n):
            d = outputs[row, j] - target[row, j]
            total += half * d * d if abs(d) <= one else abs(d) - half
            gradient[row, j] = scale * min(max(d, -one), one)
        scores[row, 0] = total / real(n)


class OwnHuber(gs.MSELoss):
    """Squared up to an error of 1, linear beyond (Huber 1964)."""

    operation = loss_operation("huber", huber, huber_loop)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    status = gs.backends.available()[request.param]
    if not status.runs:
        pytest.skip(f"backend {request.param} does not run here: {status.reason}")
    return request.param


def trainer(backend: str, activation: type[gs.Layer] = Swish, precision: str | None = None, **given: Any) -> gs.Trainer:
    model = gs.Sequential(gs.Linear(5, 8), activation(), gs.Linear(8, 2), dtype=given.pop("dtype", "float32"))
    optimizer = given.pop("optimizer", Lion(lr=LR, weight_decay=0.125))
    return gs.Trainer(model, OwnHuber(), optimizer, backend=backend, seed=1, precision=precision, **given)


def fitted(run: gs.Trainer, epochs: int = 12) -> list[float]:
    return run.fit(X, Y, epochs=epochs, batch_size=len(X), verbose=False)["loss"]


def by_hand(weights: dict[str, np.ndarray], silu: bool, steps: int) -> tuple[list[float], dict[str, np.ndarray]]:
    """The same training written out in float64, with derivatives by central differences of a formula."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    m = {name: np.zeros_like(value) for name, value in w.items()}

    def loss(w: dict[str, np.ndarray]) -> float:
        z = X @ w["0.weight"] + w["0.bias"]
        h = z / (1 + np.exp(-z)) if silu else np.maximum(z, 0)
        d = np.abs(h @ w["2.weight"] + w["2.bias"] - Y)
        return float(np.mean(np.where(d <= 1, d**2 / 2, d - 0.5)))

    losses = []
    for _ in range(steps):
        losses.append(loss(w))
        gradients = {name: np.zeros_like(value) for name, value in w.items()}
        for name, value in w.items():
            for place in np.ndindex(value.shape):
                sides = []
                for h in (1e-6, -1e-6):
                    moved = {**w, name: value.copy()}
                    moved[name][place] += h
                    sides.append(loss(moved))
                gradients[name][place] = (sides[0] - sides[1]) / 2e-6
        for name, g in gradients.items():
            decay = 0.125 if "weight" in name else 0
            w[name] = w[name] - LR * (np.sign(BETAS[0] * m[name] + (1 - BETAS[0]) * g) + decay * w[name])
            m[name] = BETAS[1] * m[name] + (1 - BETAS[1]) * g
    return losses, w


@pytest.mark.parametrize("activation", [Swish, gs.ReLU])
def test_they_train_as_the_formulas_say(activation: type[gs.Layer], backend: str) -> None:
    run = trainer(backend, activation)
    run.model.ensure_initialized(1)
    losses, weights = by_hand(run.model.state_dict(), activation is Swish, 5)
    assert fitted(run, 5) == pytest.approx(losses, rel=1e-5)
    for name, value in run.model.state_dict().items():
        np.testing.assert_allclose(value, weights[name], rtol=0, atol=1e-5, err_msg=name)


def test_they_train_in_bfloat16(backend: str) -> None:
    precision = "bfloat16"
    if precision not in gs.backends.get(backend).precisions:
        with pytest.raises(ConfigurationError, match=precision):
            trainer(backend, precision=precision)
        return
    single, short = fitted(trainer("numpy")), fitted(trainer(backend, precision=precision))
    assert single[-1] < 0.95 * single[0]
    assert short == pytest.approx(single, rel=0.02)


def test_the_compiled_loop_takes_them(caplog: pytest.LogCaptureFixture) -> None:
    run = trainer("numba", gs.ReLU)
    assert isinstance(Loop(run, gs.Dataset(X, Y), None, 16).plan, DensePlan)
    assert run.explain() == "training runs as one compiled loop on backend numba"
    with caplog.at_level(logging.INFO, "gearshift"):
        fitted(trainer("numba"), 1)
    wanted = "training runs operation by operation: the compiled loop for plain MLPs does not cover Swish (layer '1')"
    assert [record.message for record in caplog.records].count(wanted) == 1
    assert trainer("numba").explain() == wanted


def test_they_are_saved_and_loaded_by_name(backend: str, tmp_path: Path) -> None:
    whole, begun, resumed = (trainer(backend) for _ in range(3))
    curve = fitted(whole, 6)
    begun.fit(X, Y, epochs=3, batch_size=len(X), verbose=False)
    begun.save(tmp_path / "run.safetensors")
    resumed.load(tmp_path / "run.safetensors")
    assert fitted(resumed, 3) == curve
    loaded = gs.load(tmp_path / "run.safetensors")
    assert [type(layer) for layer in loaded.children().values()] == [gs.Linear, Swish, gs.Linear]
    other = trainer(backend, optimizer=gs.SGD())
    with pytest.raises(gs.CheckpointError, match="optimizer Lion"):
        other.load(tmp_path / "run.safetensors")


def test_a_configuration_knows_them() -> None:
    table = {"optimizer": {"name": "Lion", "betas": [0.5, 0.6]}, "loss": {"name": "OwnHuber"}}
    configuration = parse({**table, "model": {"activation": "swish", "hidden": [3], "dropout": 0.0}})
    splits = gs.Splits(gs.Dataset(X, Y))
    optimizer, loss = build_optimizer(configuration), build_loss(configuration, splits)
    assert isinstance(optimizer, Lion) and (optimizer.lr, optimizer.betas) == (1e-4, [0.5, 0.6])
    assert type(loss) is OwnHuber
    kinds = [type(layer) for layer in build_model(configuration, splits, loss).children().values()]
    assert kinds == [gs.Standardize, gs.Linear, Swish, gs.Linear]
    assert type(build_autoencoder().children()["0"].children()["0"].children()["1"]) is Swish


def build_autoencoder() -> gs.Sequential:
    return gs.autoencoder(5, 2, [3], activation="swish")


FAMILIES = [(gs.Layer, "Linear"), (gs.Optimizer, "Adam"), (gs.Loss, "MSELoss"), (gs.Schedule, "Ramp")]


@pytest.mark.parametrize(("family", "name"), FAMILIES)
def test_a_built_in_name_is_refused(family: type, name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"class {name}: the name is taken"):
        type(name, (family,), {})
    assert family.registered[name] is getattr(gs, name)  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("family", [family for family, _ in FAMILIES])
def test_every_class_of_the_library_that_has_a_name_is_public(family: type) -> None:
    """A new one needs a line in __init__.pyi."""
    own = built_in(family.registered).values()  # pyright: ignore[reportAttributeAccessIssue]
    assert own and all(getattr(gs, kind.__name__) is kind for kind in own)


def test_families_do_not_mix() -> None:
    for a, b in itertools.combinations((gs.Layer, gs.Optimizer, gs.Loss, gs.Schedule), 2):
        assert not built_in(a.registered).keys() & built_in(b.registered).keys()
    assert {"relu", "tanh", "sigmoid", "gelu", "softplus", "maxout", "swish"} <= activations().keys()
