"""Losses against PyTorch, their formulas and central differences, and what they answer and refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from built_in import built_in

import gearshift as gs
from gearshift.backends.errors import ConfigurationError, DataError, ShapeError
from gearshift.dl.experiment.build import build_loss, build_model
from gearshift.dl.experiment.config import parse

ROWS, CLASSES = 23, 4
BACKENDS = ("numpy", "numba")
RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((ROWS, 5))
LABELS = RANDOM.integers(0, CLASSES, ROWS)
SHARES = RANDOM.dirichlet(np.ones(CLASSES), ROWS)
BINARY = RANDOM.integers(0, 2, (ROWS, CLASSES)).astype(np.float64)


def model(outputs: int = CLASSES) -> gs.Sequential:
    return gs.Sequential(gs.Linear(5, 6), gs.Tanh(), gs.Linear(6, outputs), dtype="float64").init(3)


def outputs_of(weights: dict[str, np.ndarray]) -> np.ndarray:
    return np.tanh(X @ weights["0.weight"] + weights["0.bias"]) @ weights["2.weight"] + weights["2.bias"]


def log_softmax(z: np.ndarray) -> np.ndarray:
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def multiclass_hinge(z: np.ndarray) -> float:
    others = np.where(np.arange(CLASSES) == LABELS[:, None], -np.inf, z).max(axis=1)
    return float(np.mean(np.maximum(0, 1 - (z[np.arange(ROWS), LABELS] - others))))


FORMULAS: dict[str, tuple[gs.Loss, np.ndarray, Callable[[np.ndarray], float]]] = {
    "soft labels": (gs.SoftCrossEntropyLoss(), SHARES, lambda z: -float(np.mean(np.sum(SHARES * log_softmax(z), 1)))),
    "logistic": (gs.BCEWithLogitsLoss(), BINARY, lambda z: float(np.mean(np.log1p(np.exp(z)) - BINARY * z))),
    "hinge": (gs.HingeLoss(), 2 * BINARY - 1, lambda z: float(np.mean(np.maximum(0, 1 - (2 * BINARY - 1) * z)))),
    "hinge of labels": (gs.HingeLoss(), BINARY, lambda z: float(np.mean(np.maximum(0, 1 - (2 * BINARY - 1) * z)))),
    "multi-class hinge": (gs.MulticlassHingeLoss(), LABELS, multiclass_hinge),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", FORMULAS)
def test_value_is_the_formula_s_and_gradient_that_of_central_differences(name: str, backend: str) -> None:
    loss, y, formula = FORMULAS[name]
    net = model()
    value, grads = gs.value_and_grad(net, loss, X, y, backend=backend)
    weights, h = net.state_dict(), 1e-6
    assert value == pytest.approx(formula(outputs_of(weights)), rel=1e-13)
    for key, grad in grads.items():
        for index in np.ndindex(*grad.shape):
            sides = []
            for side in (h, -h):
                moved = {other: array.copy() for other, array in weights.items()}
                moved[key][index] += side
                sides.append(formula(outputs_of(moved)))
            assert abs((sides[0] - sides[1]) / (2 * h) - grad[index]) <= 1e-7


@pytest.mark.torch
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("loss", "y", "theirs"),
    [
        (gs.BCEWithLogitsLoss(), BINARY, "binary_cross_entropy_with_logits"),
        (gs.SoftCrossEntropyLoss(), SHARES, "cross_entropy"),
    ],
)
def test_as_torch(loss: gs.Loss, y: np.ndarray, theirs: str, backend: str) -> None:
    torch = pytest.importorskip("torch")
    net = model()
    value, grads = gs.value_and_grad(net, loss, X, y, backend=backend)
    w = {key: torch.tensor(array, requires_grad=True) for key, array in net.state_dict().items()}
    z = torch.tanh(torch.tensor(X) @ w["0.weight"] + w["0.bias"]) @ w["2.weight"] + w["2.bias"]
    result = getattr(torch.nn.functional, theirs)(z, torch.tensor(y))
    result.backward()
    assert abs(value - result.item()) <= 1e-13
    assert max(np.max(np.abs(grad - w[key].grad.numpy())) for key, grad in grads.items()) <= 1e-13


def test_a_distribution_with_one_class_is_a_hard_label() -> None:
    hard = gs.value_and_grad(model(), gs.CrossEntropyLoss(), X, LABELS)
    soft = gs.value_and_grad(model(), gs.SoftCrossEntropyLoss(), X, np.eye(CLASSES)[LABELS])
    assert soft[0] == pytest.approx(hard[0], rel=1e-14)
    assert max(np.max(np.abs(soft[1][key] - grad)) for key, grad in hard[1].items()) <= 1e-15


@pytest.mark.parametrize("backend", BACKENDS)
def test_huge_logits_are_finite_and_nan_is_noticed(backend: str) -> None:
    net = gs.Sequential(gs.Linear(1, 1, bias=False), dtype="float64").init(0)
    net.load_state_dict({"0.weight": np.ones((1, 1))})
    x, y = np.array([[1e5], [-1e5]]), np.array([0.0, 0.0])
    value, grads = gs.value_and_grad(net, gs.BCEWithLogitsLoss(), x, y, backend=backend)
    assert value == 5e4
    assert grads["0.weight"][0, 0] == 5e4
    net.load_state_dict({"0.weight": np.full((1, 1), np.nan)})
    for loss in (gs.BCEWithLogitsLoss(), gs.HingeLoss()):
        assert np.isnan(gs.value_and_grad(net, loss, x, y, backend=backend)[0])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("loss", [gs.BCEWithLogitsLoss(), gs.HingeLoss(), gs.MulticlassHingeLoss()])
def test_it_learns_what_can_be_separated(loss: gs.Loss, backend: str) -> None:
    random = np.random.default_rng(1)
    x = random.standard_normal((200, 3))
    y = (x @ [1.0, -2.0, 0.5] > 0).astype(np.int64)
    outputs = 1 if loss.targets == "binary" else 2
    trainer = gs.Trainer(gs.Sequential(gs.Linear(3, outputs)), loss, gs.Adam(lr=0.05), backend=backend)
    trainer.fit(x, y, epochs=30, batch_size=20, verbose=False)
    assert trainer.evaluate(x, y)["accuracy"] >= 0.97
    assert np.mean(trainer.predict(x) == y) == pytest.approx(trainer.evaluate(x, y)["accuracy"])
    if isinstance(loss, gs.BCEWithLogitsLoss):
        probabilities = trainer.predict_proba(x)
        assert probabilities.shape == (200, 2)
        assert np.array_equal(np.argmax(probabilities, axis=1), trainer.predict(x))
    else:
        with pytest.raises(ConfigurationError, match="no probabilities"):
            trainer.predict_proba(x)


@pytest.mark.parametrize(
    ("loss", "y", "kind", "message"),
    [
        (gs.BCEWithLogitsLoss(), BINARY + 0.5, DataError, "from 0 to 1"),
        (gs.HingeLoss(), BINARY * 0.5, DataError, "all -1 or 1"),
        (gs.HingeLoss(), LABELS, ShapeError, "outputs"),
        (gs.SoftCrossEntropyLoss(), SHARES * 2, DataError, "together 1"),
        (gs.SoftCrossEntropyLoss(), LABELS, ShapeError, "rows of shape"),
        (gs.MulticlassHingeLoss(), LABELS + 1, DataError, "label from 0 to 3"),
    ],
)
def test_targets_that_do_not_fit_are_refused(loss: gs.Loss, y: Any, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message):
        gs.value_and_grad(model(), loss, X, y)


@pytest.mark.parametrize("name", built_in(gs.Loss.registered))
def test_every_loss_is_made_from_a_configuration(name: str) -> None:
    configuration = parse({"loss": {"name": name}, "model": {"hidden": [3]}})
    kind = gs.Loss.registered[name]
    y = RANDOM.standard_normal((ROWS, 3)) if kind.targets == "values" else LABELS % 2
    classes = None if kind.targets == "values" else np.array(["no", "yes"])
    splits = gs.Splits(gs.Dataset(X, y), classes=classes)
    loss = build_loss(configuration, splits)
    assert type(loss) is kind
    net = build_model(configuration, splits, loss)
    last = net[len(net) - 1]
    assert isinstance(last, gs.Linear)
    assert last.out_features == {"values": 3, "classes": 2, "binary": 1}[kind.targets]


def test_a_single_share_is_checked_too() -> None:
    trainer = gs.Trainer(gs.Linear(2, 1), gs.SoftCrossEntropyLoss(), gs.SGD(), backend="numpy")
    trainer.fit(np.eye(2), np.ones(2), verbose=False)
    with pytest.raises(DataError, match=r"y\[1\] is 0.5"):
        trainer.fit(np.eye(2), np.array([1.0, 0.5]), verbose=False)
