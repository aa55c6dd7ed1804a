"""Numbers at the edges of what is given: huge, tiny, all alike, few; float64 NumPy, PyTorch or closed forms decide."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift import backends
from gearshift.dl.graph.graph import Graph
from gearshift.kernels.activations.activation import ACTIVATION, ACTIVATION_BACKWARD, RELU, SIGMOID, TANH
from gearshift.kernels.activations.gelu import GELU
from gearshift.kernels.activations.softplus import SOFTPLUS
from gearshift.kernels.losses.binary_cross_entropy import BINARY_CROSS_ENTROPY
from gearshift.kernels.losses.softmax_cross_entropy import SOFTMAX_CROSS_ENTROPY
from gearshift.kernels.norms.batch_norm import BATCH_NORM
from gearshift.kernels.norms.layer_norm import LAYER_NORM
from gearshift.kernels.operation import Operation
from gearshift.kernels.sequences.softmax import SOFTMAX

BACKENDS = ["numpy", "numba"]
RANDOM = np.random.default_rng(0)
SIZES = [0, 1e-45, 1e-38, 1e-30, 1e-8, 0.5, 5, 20, 88, 89, 104, 200, 1e4, 1e10, 1e30, 3e38]
EDGES = np.array([*SIZES, *(-size for size in SIZES)], dtype=np.float32).astype(np.float64)
X = RANDOM.standard_normal((60, 4)).astype(np.float32)
X[:10] = 0
X[10:15] *= 1e-38
X[15:20] *= 100
LABELS, VALUES = RANDOM.integers(0, 3, 60), RANDOM.standard_normal((60, 2))


def softplus(z: np.ndarray) -> np.ndarray:
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def sigmoid(z: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(z))
    return np.where(z < 0, e, 1) / (1 + e)


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


PAIRS = np.stack(np.meshgrid(EDGES, EDGES), axis=-1).reshape(-1, 2)
COLUMN, ONE = EDGES[:, None], np.ones((len(EDGES), 1))
MODERATE, SLOPE = COLUMN[np.abs(COLUMN[:, 0]) <= 1e10], np.sqrt(2 / np.pi)  # beyond, x³ is too large for float32
GIVEN = (np.arange(len(EDGES)) % 2).astype(np.float64)[:, None]
SIGN, CLASSES = 2 * GIVEN - 1, np.arange(len(PAIRS)) % 2
HOT = np.eye(2)[CLASSES]


def logarithms(z: np.ndarray) -> np.ndarray:
    shifted = z - z.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def operation_of(loss: gs.Loss) -> Operation:
    """The operation of a loss that is a formula."""
    graph = Graph("float32", train=True)
    prediction = graph.batch((1,))
    loss.score(graph, prediction, loss.target(graph, prediction), None)
    return graph.nodes[-1].operation


CASES: dict[str, tuple[Operation, list[np.ndarray], dict[str, Any], list[np.ndarray | None], float]] = {
    "relu": (ACTIVATION, [COLUMN], {"activation": RELU}, [np.maximum(COLUMN, 0)], 0),
    "tanh": (ACTIVATION, [COLUMN], {"activation": TANH}, [np.tanh(COLUMN)], 1e-6),
    "sigmoid": (ACTIVATION, [COLUMN], {"activation": SIGMOID}, [sigmoid(COLUMN)], 1e-6),
    "relu'": (ACTIVATION_BACKWARD, [ONE, np.maximum(COLUMN, 0)], {"activation": RELU}, [1.0 * (COLUMN > 0)], 0),
    "softplus": (SOFTPLUS, [COLUMN], {}, [softplus(COLUMN)], 1e-6),
    "gelu": (GELU, [MODERATE], {}, [MODERATE / 2 * (1 + np.tanh(SLOPE * (MODERATE + 0.044715 * MODERATE**3)))], 1e-6),
    "binary cross-entropy": (
        BINARY_CROSS_ENTROPY,
        [COLUMN, GIVEN],
        {},
        [
            np.column_stack([softplus(-SIGN * COLUMN), (COLUMN > 0) == (GIVEN > 0.5)]),
            (sigmoid(COLUMN) - GIVEN) / len(COLUMN),
        ],
        1e-6,
    ),
    "hinge": (
        operation_of(gs.HingeLoss()),
        [COLUMN, SIGN],
        {},
        [
            np.column_stack([np.maximum(0, 1 - SIGN * COLUMN), (COLUMN > 0) == (SIGN > 0)]),
            np.where(1 - SIGN * COLUMN > 0, -SIGN, 0) / len(COLUMN),
        ],
        1e-6,
    ),
    "softmax": (
        SOFTMAX,
        [PAIRS.reshape(-1, 2, 2)],
        {"scale": 1.0, "causal": 0},
        [softmax(PAIRS).reshape(-1, 2, 2)],
        1e-6,
    ),
    "cross-entropy": (
        SOFTMAX_CROSS_ENTROPY,
        [PAIRS, CLASSES],
        {},
        [
            np.column_stack([-logarithms(PAIRS)[HOT == 1], PAIRS.argmax(axis=1) == CLASSES]),
            (softmax(PAIRS) - HOT) / len(PAIRS),
        ],
        1e-6,
    ),
    "layer norm of rows all alike": (
        LAYER_NORM,
        [np.repeat(np.array([[0.0], [1e6], [1e-30], [-3e4]]), 5, axis=1), np.ones(5), np.full(5, 0.5)],
        {"eps": 1e-5},
        [np.full((4, 5), 0.5), None],
        1e-6,
    ),
    "batch norm of one row": (
        BATCH_NORM,
        [np.array([[1e6, 0.0, -1e-30, 1e30]]), np.ones(4), np.full(4, 0.5)],
        {"eps": 1e-5},
        [np.full((1, 4), 0.5), None, None, None],
        1e-6,
    ),
}


@pytest.mark.parametrize("backend", ["reference", "numba"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_kernels_at_the_ends_of_their_range(name: str, dtype: str, backend: str) -> None:
    operation, inputs, attributes, expected, tolerance = CASES[name]
    tolerance = tolerance if dtype == "float32" else min(tolerance, 1e-14)
    given = [a.astype(dtype) if a.dtype.kind == "f" else a for a in inputs]
    width = inputs[0].shape[-1]
    shapes = [(2,) if want is None and name.startswith("layer") else (width,) for want in expected]
    outputs = [
        np.zeros(want.shape, dtype)
        if want is not None
        else np.zeros((len(inputs[0]), *shape) if name.startswith("layer") else shape, "float64")
        for want, shape in zip(expected, shapes, strict=True)
    ]
    if backend == "numba":
        backends.get("numba").bind(operation, (*given, *outputs), attributes)()
    else:
        with np.errstate(all="ignore"):
            operation.reference(np, *given, *outputs, **attributes)
    small = float(np.finfo(dtype).tiny) if tolerance else 0
    for got, want in zip(outputs, expected, strict=True):
        if want is not None:
            with np.errstate(over="ignore"):
                want = want.astype(dtype)
            assert np.allclose(got, want, rtol=tolerance, atol=max(small, tolerance / 10)), name


LOSSES = [
    (gs.CrossEntropyLoss(), LABELS, 3),
    (gs.SoftCrossEntropyLoss(), np.eye(3)[LABELS], 3),
    (gs.BCEWithLogitsLoss(), LABELS % 2, 1),
    (gs.MSELoss(), VALUES, 2),
    (gs.MulticlassHingeLoss(), LABELS, 3),
]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss[0]).__name__)
def test_harmless_underflow_raises_nothing(loss: tuple[gs.Loss, np.ndarray, int]) -> None:
    criterion, y, outputs = loss
    model = gs.Sequential(
        gs.Standardize(4).fit(X.mean(0), X.std(0)), gs.Linear(4, 8), gs.Sigmoid(), gs.Linear(8, outputs)
    )
    with np.errstate(all="raise"):
        trainer = gs.Trainer(model, criterion, gs.Adam(), schedule=gs.StepDecay(1, 1e-300), backend="numpy")
        trainer.fit(X, y, validation=(X[:5], y[:5]), epochs=2, batch_size=7, verbose=False)
        trainer.evaluate(X, y)
        trainer.predict(1000 * X)
        if type(criterion) not in (gs.MSELoss, gs.MulticlassHingeLoss):
            model.load_state_dict({k: 1e3 * v for k, v in model.state_dict().items()})
            probabilities = trainer.predict_proba(1e4 * X)
            assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_harmless_underflow_of_estimators_raises_nothing(solver: str) -> None:
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model = gs.MLPClassifier((5,), solver=solver, max_iter=5, random_state=0).fit(X, LABELS % 2)
        assert np.allclose(model.predict_proba(1e4 * X).sum(axis=1), 1)


def test_the_smaller_probability_of_two_is_not_a_difference_of_large_ones() -> None:
    z = np.array([[60.0], [-60.0], [0.0]])
    found = gs.BCEWithLogitsLoss().probabilities(z)
    assert np.allclose(found, np.hstack([sigmoid(-z), sigmoid(z)]), rtol=1e-14, atol=0)


@pytest.mark.parametrize("offset", [1e6, 1.6e9])
def test_features_far_from_zero_are_learned_in_float64_and_warned_of_in_float32(offset: float) -> None:
    z = RANDOM.standard_normal((500, 3))
    x, y = offset + z, z @ np.array([1.0, -2.0, 0.5])
    mean, deviation = gs.Splits(gs.Dataset(x, y)).standardization()
    for dtype in ("float64", "float32"):
        model = gs.Sequential(gs.Standardize(3).fit(mean, deviation), gs.Linear(3, 1), dtype=dtype)
        trainer = gs.Trainer(model, gs.MSELoss(), gs.Adam(lr=0.05), backend="numpy")
        if dtype == "float32":
            with pytest.warns(
                UserWarning, match=r"Standardize: feature \d has mean .* float32 numbers of that size are"
            ):
                trainer.predict(x)
        else:
            trainer.fit(x, y, epochs=12, verbose=False)
            assert np.mean((trainer.predict(x)[:, 0] - y) ** 2) < 1e-3


@pytest.mark.parametrize("value", [0.0, 14.62, 1e9, 1e-9, 1e30])
def test_features_that_do_not_vary_are_0_and_no_reason_to_warn(value: float) -> None:
    x = np.column_stack([np.full(50, value), RANDOM.standard_normal(50)])
    mean, deviation = gs.Splits(gs.Dataset(x, np.zeros(50))).standardization()
    model = gs.Sequential(gs.Standardize(2).fit(mean, deviation))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = gs.Trainer(model, gs.MSELoss(), gs.SGD(), backend="numpy").predict(x)
    assert not found[:, 0].any()


@pytest.mark.parametrize("name", ["SGD", "Momentum", "Nesterov", "Adagrad", "RMSprop", "Adam", "Adadelta"])
def test_gradients_of_zero_leave_the_weights(name: str) -> None:
    optimizer = getattr(gs, name)
    model = gs.Sequential(gs.Linear(4, 3)).init(0)
    before = model.state_dict()
    trainer = gs.Trainer(model, gs.HingeLoss(), optimizer(), clip_norm=1.0, backend="numpy")
    model.load_state_dict({"0.weight": before["0.weight"], "0.bias": np.full(3, 1e3)})
    trainer.fit(np.zeros((20, 4)), np.ones((20, 3)), epochs=2, batch_size=20, verbose=False)  # all margins are kept
    assert np.array_equal(model.state_dict()["0.weight"], before["0.weight"])
    assert (model.state_dict()["0.bias"] == 1e3).all()


@pytest.mark.parametrize("kind", [gs.Newton, gs.NewtonCG])
@pytest.mark.parametrize("backend", BACKENDS)
def test_newton_goes_from_zero_weights_as_reweighted_least_squares(kind: Any, backend: str) -> None:
    """Logistic regression: w ← w + (Xᵀ D X)⁻¹ Xᵀ (t − p), with D = p (1 − p)."""
    x, t = RANDOM.standard_normal((200, 3)), RANDOM.integers(0, 2, 200)
    model = gs.Sequential(gs.Linear(3, 1, bias=False), dtype="float64").init(0)
    model.load_state_dict({"0.weight": np.zeros((3, 1))})
    optimizer = kind(damping=0) if kind is gs.Newton else kind(damping=0, tol=1e-14)
    trainer = gs.Trainer(model, gs.BCEWithLogitsLoss(), optimizer, backend=backend)
    trainer.fit(x, t, epochs=3, batch_size=200, verbose=False)
    w = np.zeros(3)
    for _ in range(3):
        p = sigmoid(x @ w)
        w += np.linalg.solve((x.T * (p * (1 - p))) @ x, x.T @ (t - p))
    assert np.allclose(model.state_dict()["0.weight"][:, 0], w, rtol=0, atol=1e-10)
