"""Losses that are formulas: values, classes and binary targets, against PyTorch's losses and closed forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.backends.errors import ConfigurationError

RNG = np.random.default_rng(0)
X, W = RNG.normal(size=(60, 4)), RNG.normal(size=(4, 3))
Y, LABELS, ANSWERS = RNG.normal(size=(60, 3)), RNG.integers(0, 3, 60), RNG.integers(0, 2, (60, 3)).astype(float)


@gs.loss
def huber_formula(output: Any, target: Any, *, delta: float = 1.0) -> Any:
    d = gs.xp.abs(output - target)
    return gs.xp.where(d <= delta, 0.5 * d * d, delta * (d - 0.5 * delta)).mean(axis=-1)


@gs.loss(targets="classes")
def cross_entropy_formula(output: Any, target: Any) -> Any:
    right = gs.xp.arange(output.shape[-1]) == target[:, None]
    return -gs.xp.where(right, gs.xp.log_softmax(output), 0.0).sum(axis=-1)


@gs.loss(targets="binary")
def logistic_formula(output: Any, target: Any) -> Any:
    return (gs.xp.softplus(output) - target * output).mean(axis=-1)


def linear() -> gs.Layer:
    return gs.Sequential(gs.Linear(4, 3), dtype="float64").init(seed=1)


def huber_by_hand(d: np.ndarray, delta: float) -> tuple[np.ndarray, np.ndarray]:
    """Values and slopes of the closed form."""
    near = abs(d) <= delta
    return np.where(near, d * d / 2, delta * (abs(d) - delta / 2)), np.where(near, d, delta * np.sign(d))


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("delta", [0.3, 1.0, 5.0])
def test_values(backend: str, delta: float) -> None:
    model = linear()
    value, gradients = gs.value_and_grad(model, huber_formula(delta=delta), X, Y, backend=backend)
    weights = model.state_dict()
    d = X @ weights["0.weight"] + weights["0.bias"] - Y
    losses, slopes = huber_by_hand(d, delta)
    assert np.isclose(value, losses.mean(), rtol=1e-12)
    assert np.allclose(gradients["0.weight"], X.T @ slopes / d.size, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize(
    ("own", "built_in", "targets"),
    [
        (cross_entropy_formula(), gs.CrossEntropyLoss(), LABELS),
        (logistic_formula(), gs.BCEWithLogitsLoss(), ANSWERS),
    ],
)
def test_classes_and_binary_targets_are_those_of_the_built_in_losses(
    backend: str, own: gs.Loss, built_in: gs.Loss, targets: Any
) -> None:
    values, gradients = zip(
        *(gs.value_and_grad(linear(), one, X, targets, backend=backend) for one in (own, built_in)), strict=True
    )
    assert np.isclose(*values, rtol=1e-12)
    assert all(np.allclose(gradients[0][name], gradients[1][name], rtol=1e-11, atol=1e-14) for name in gradients[0])
    trained = [
        gs.Trainer(linear(), one, gs.Adam(lr=0.1), backend=backend, seed=0).fit(
            X, targets, epochs=3, batch_size=16, verbose=False
        )
        for one in (own, built_in)
    ]
    for metric in ("loss", "accuracy"):
        assert np.allclose(trained[0][metric], trained[1][metric], rtol=1e-9)


@gs.loss(targets="binary")
def squared_answers(output: Any, target: Any) -> Any:
    return ((gs.xp.sigmoid(output) - target) ** 2).sum(axis=-1)


@gs.loss
def distance_from_one(output: Any, target: Any) -> Any:
    return gs.xp.abs(output - 1.0).mean(axis=-1)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("columns", [1, 2])
def test_binary_targets_of_any_width_and_targets_that_are_not_used(backend: str, columns: int) -> None:
    model = gs.Sequential(gs.Linear(4, columns), dtype="float64").init(seed=1)
    weights = model.state_dict()
    z, t = X @ weights["0.weight"], ANSWERS[:, :columns]
    trainer = gs.Trainer(model, squared_answers(), gs.SGD(lr=0.0), backend=backend, seed=0)
    history = trainer.fit(X, t, epochs=1, batch_size=60, verbose=False)
    s = 1 / (1 + np.exp(-z))
    assert np.isclose(history["loss"][0], ((s - t) ** 2).sum(axis=1).mean(), rtol=1e-12)
    assert np.isclose(history["accuracy"][0], ((z > 0) == (t > 0.5)).mean(), rtol=1e-12)
    value, gradients = gs.value_and_grad(model, squared_answers(), X, t, backend=backend)
    assert np.allclose(gradients["0.weight"], X.T @ (2 * (s - t) * s * (1 - s)) / len(X), rtol=1e-11)
    value, gradients = gs.value_and_grad(model, distance_from_one(), X, t, backend=backend)
    assert np.isclose(value, abs(z - 1).mean(), rtol=1e-12)
    assert np.allclose(gradients["0.weight"], X.T @ np.sign(z - 1) / z.size, rtol=1e-11)


def test_a_formula_runs_in_the_compiled_loop_for_mlps() -> None:
    losses = {}
    for backend in ("numpy", "numba"):
        trainer = gs.Trainer(linear(), huber_formula(delta=0.5), gs.SGD(lr=0.1), backend=backend, seed=0)
        losses[backend] = trainer.fit(X, Y, epochs=3, batch_size=16, verbose=False)["loss"]
        if backend == "numba":
            assert "one compiled loop" in trainer.explain()
    assert np.allclose(losses["numpy"], losses["numba"], rtol=1e-11)


def test_sample_weights_and_joint_losses() -> None:
    weights = RNG.random(60)
    trainer = gs.Trainer(linear(), huber_formula(), gs.SGD(lr=0.1), backend="numpy", seed=0)
    got = trainer.evaluate(gs.Dataset(X, Y, weight=weights))["loss"]
    state = linear().state_dict()
    losses, _ = huber_by_hand(X @ state["0.weight"] + state["0.bias"] - Y, 1.0)
    assert np.isclose(got, np.average(losses.mean(axis=1), weights=weights), rtol=1e-12)
    joint = gs.JointLoss(a=gs.Head(huber_formula(), 2, weight=0.5), b=gs.Head(gs.MSELoss(), 1))
    value, _ = gs.value_and_grad(linear(), joint, X, Y)
    d = X @ state["0.weight"] + state["0.bias"] - Y
    assert np.isclose(value, 0.5 * huber_by_hand(d[:, :2], 1.0)[0].mean() + (d[:, 2] ** 2).mean(), rtol=1e-12)


def test_a_formula_that_needs_several_passes_trains_too() -> None:
    @gs.loss
    def mixed(output: Any, target: Any) -> Any:
        d = output - target
        turned = gs.xp.concat([d[:, 1:], d[:, :1]], axis=-1)
        return (d * turned).sum(axis=-1) ** 2

    value, gradients = gs.value_and_grad(linear(), mixed(), X, Y)
    state = linear().state_dict()
    d = X @ state["0.weight"] + state["0.bias"] - Y
    q = (d * np.roll(d, -1, axis=1)).sum(axis=1)
    slope = 2 * q[:, None] * (np.roll(d, -1, axis=1) + np.roll(d, 1, axis=1))
    assert np.isclose(value, (q**2).mean(), rtol=1e-12)
    assert np.allclose(gradients["0.weight"], X.T @ slope / len(X), rtol=1e-11)


def test_files_hold_the_name_and_the_constants(tmp_path: Path) -> None:
    trainer = gs.Trainer(linear(), huber_formula(delta=0.25), gs.SGD(lr=0.1), backend="numpy", seed=0)
    trainer.fit(X, Y, epochs=1, verbose=False)
    trainer.save(tmp_path / "model.safetensors")
    loaded = gs.load(tmp_path / "model.safetensors")
    assert repr(loaded.loss) == "huber_formula(delta=0.25)"
    other = gs.Trainer(linear(), huber_formula(delta=0.5), gs.SGD(lr=0.1), backend="numpy", seed=0)
    assert other.loss.describe() == {"name": "huber_formula", "arguments": {"delta": 0.5}}


def one_array(output: Any) -> Any:
    return output


def no_keyword(output: Any, target: Any, delta: float = 1.0) -> Any:
    return delta * (output - target)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: huber_formula(delta=[]),  # pyright: ignore[reportArgumentType]
            r"huber_formula: delta is \[\]; expected a number",
        ),
        (lambda: huber_formula(beta=1.0), "huber_formula: beta is unknown; expected delta"),
        (lambda: gs.loss(targets="labels"), "targets is 'labels'; expected one of: values, classes, binary"),
        (lambda: gs.loss(one_array), r"a loss takes two arrays, then keywords after \*"),
        (lambda: gs.loss(no_keyword), r"a loss takes two arrays"),
        (lambda: gs.loss(lambda output, target: output), "files know a formula by its name; define it by def"),
    ],
)
def test_errors_of_declarations(make: Any, message: str) -> None:
    with pytest.raises(gs.ConfigurationError, match=message):
        make()


@pytest.mark.parametrize(
    ("formula", "error", "message"),
    [
        (lambda o, t: (o - t) ** 2, gs.ShapeError, r"returns \(rows, 3\); expected one number a row"),
        (lambda o, t: 1.0, gs.ShapeError, "returns float; expected one number a row"),
        (lambda o, t: (t * t).mean(axis=-1), gs.ConfigurationError, "does not depend on the outputs"),
        (lambda o, t: (o - t).mean(), gs.ConfigurationError, r"test_formula.py, line \d+: a reduction of \(rows, 3\)"),
        (lambda o, t: o.mean(axis=-1) if o > t else t, gs.ConfigurationError, "a Python condition"),
    ],
)
def test_errors_of_formulas(formula: Any, error: type[Exception], message: str) -> None:
    def own(output: Any, target: Any) -> Any:
        return formula(output, target)

    with pytest.raises(error, match=message):
        gs.value_and_grad(linear(), gs.loss(own)(), X, Y)


def test_formulas_compute_on_numbers() -> None:
    output, target = np.zeros((2, 3)), np.full((2, 3), 2.0)
    assert np.allclose(huber_formula(delta=0.5).formula(output, target), 0.5 * (2 - 0.25))
    assert np.allclose(huber_formula.formula(output, target, delta=1.0), 1.5)  # pyright: ignore[reportCallIssue]
    log_shares = gs.FocalLoss.formula(output, np.array([0, 2]), gamma=0.0)  # its arange has numbers then
    assert np.allclose(log_shares, np.log(3))


def test_arguments_have_names() -> None:
    with pytest.raises(ConfigurationError, match=r"huber_formula: 1\.5 has no name; expected keywords: delta=…"):
        huber_formula(1.5)


def test_functions_that_are_not_there_are_named() -> None:
    with pytest.raises(AttributeError, match=r"gs.xp has no 'cumsum'; expected one of gs.xp: abs, .* gs.ArrayLayer"):
        _ = gs.xp.cumsum
