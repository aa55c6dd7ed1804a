"""Hessian-vector products against PyTorch's double backward, closed forms and central differences of the gradient."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gearshift as gs
from gearshift.backends.errors import ShapeError
from gearshift.dl.diagnostics.hessian import Hessian
from gearshift.dl.layers.initializers import ones

BACKENDS = ["numpy", "numba"]
RANDOM = np.random.default_rng(0)
ROWS, FEATURES, OUTPUTS = 7, 4, 3
X = RANDOM.standard_normal((ROWS, FEATURES))
LABELS = RANDOM.integers(0, OUTPUTS, ROWS)
SHARES = RANDOM.dirichlet(np.ones(OUTPUTS), ROWS)
BINARY = RANDOM.integers(0, 2, (ROWS, OUTPUTS)).astype(np.float64)
VALUES = RANDOM.standard_normal((ROWS, OUTPUTS))


class Gate(gs.ArrayLayer):
    """y = x · exp(−s x²): array code with a parameter, of no operation that the library has."""

    def __init__(self, features: int) -> None:
        self.features = features
        self.s = gs.Parameter((features,), ones)

    def forward(self, xp: Any, x: Any, s: Any) -> Any:
        return x * xp.exp(-s * x * x)

    def backward(self, xp: Any, dy: Any, x: Any, y: Any, s: Any) -> tuple[Any, ...]:
        e = xp.exp(-s * x * x)
        return dy * e * (1 - 2 * s * x * x), xp.sum(-dy * x**3 * e, axis=0)


class Unknown(gs.ArrayLayer):
    """y = arcsinh x, by a function without a rule for dual numbers."""

    def forward(self, xp: Any, x: Any) -> Any:
        return xp.arcsinh(x)

    def backward(self, xp: Any, dy: Any, x: Any, y: Any) -> tuple[Any, ...]:
        return (dy / xp.sqrt(1 + x * x),)


LAYERS: dict[str, list[gs.Layer]] = {
    "linear": [gs.Linear(FEATURES, OUTPUTS)],
    "no bias": [gs.Linear(FEATURES, 5, bias=False), gs.Tanh(), gs.Linear(5, OUTPUTS, bias=False)],
    "relu": [gs.Linear(FEATURES, 6), gs.ReLU(), gs.Linear(6, OUTPUTS)],
    "tanh": [gs.Linear(FEATURES, 5), gs.Tanh(), gs.Linear(5, OUTPUTS)],
    "sigmoid": [gs.Linear(FEATURES, 5), gs.Sigmoid(), gs.Linear(5, 4), gs.Sigmoid(), gs.Linear(4, OUTPUTS)],
    "gelu": [gs.Linear(FEATURES, 5), gs.GELU(), gs.Linear(5, OUTPUTS)],
    "softplus": [gs.Linear(FEATURES, 5), gs.Softplus(), gs.Linear(5, OUTPUTS)],
    "activation last": [gs.Linear(FEATURES, OUTPUTS), gs.Tanh()],
    "dropout": [gs.Linear(FEATURES, 8), gs.Tanh(), gs.Dropout(0.4), gs.Linear(8, OUTPUTS)],
    "standardize": [gs.Standardize(FEATURES), gs.Linear(FEATURES, OUTPUTS), gs.Tanh()],
    "array layer": [gs.Linear(FEATURES, 5), Gate(5), gs.Linear(5, OUTPUTS)],
}
LOSSES: dict[str, tuple[gs.Loss, np.ndarray]] = {
    "cross-entropy": (gs.CrossEntropyLoss(), LABELS),
    "soft cross-entropy": (gs.SoftCrossEntropyLoss(), SHARES),
    "binary cross-entropy": (gs.BCEWithLogitsLoss(), BINARY),
    "squared error": (gs.MSELoss(), VALUES),
    "hinge": (gs.HingeLoss(), BINARY),
    "multi-class hinge": (gs.MulticlassHingeLoss(), LABELS),
}


def shaken(model: gs.Layer) -> Any:
    """The model in float64 with weights that are neither 0 nor 1."""
    model.astype("float64").init(3)
    random = np.random.default_rng(4)
    model.load_state_dict({k: v + 0.3 * random.standard_normal(v.shape) for k, v in model.state_dict().items()})
    return model


def made(name: str) -> gs.Sequential:
    return shaken(gs.Sequential(*LAYERS[name]))


def skipping() -> gs.Model:
    """Two inputs, a skip connection and a shared layer."""
    a, b = gs.Input(2), gs.Input(2)
    shared = gs.Linear(4, 4)
    h = gs.Tanh()(shared(gs.Concatenate()(a, b)))
    return shaken(gs.Model([a, b], gs.Linear(4, OUTPUTS)(gs.Add()(h, gs.Sigmoid()(shared(h))))))


def numeric(model: gs.Layer, loss: gs.Loss, y: Any, v: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Central differences of the gradient along v."""
    weights, h = model.state_dict(), 6e-6
    sides = []
    for side in (h, -h):
        model.load_state_dict({k: w + side * v.get(k, 0) for k, w in weights.items()})
        sides.append(gs.value_and_grad(model, loss, X, y, seed=8, step=5)[1])
    model.load_state_dict(weights)
    return {k: (sides[0][k] - sides[1][k]) / (2 * h) for k in v}


def direction(model: gs.Layer, seed: int = 9) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {p.name: random.standard_normal(p.shape) for p in model.parameters() if p.trained}


def worst(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> float:
    assert a.keys() == b.keys()
    return max(float(np.max(np.abs(a[k] - b[k]))) for k in a)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", [*LAYERS, "skipping"])
def test_product_is_that_of_central_differences(name: str, loss: str, backend: str) -> None:
    model = skipping() if name == "skipping" else made(name)
    criterion, y = LOSSES[loss]
    v = direction(model)
    product = gs.hessian_vector_product(model, criterion, X, y, v, seed=8, step=5, backend=backend)
    assert worst(product, numeric(model, criterion, y, v)) <= 5e-9


def in_torch(model: gs.Sequential, weights: dict[str, Any], x: Any, torch: Any) -> Any:
    for number, layer in enumerate(model):
        if isinstance(layer, gs.Linear):
            x = x @ weights[f"{number}.weight"]
            x = x if layer.bias is None else x + weights[f"{number}.bias"]
        elif isinstance(layer, Gate):
            x = x * torch.exp(-weights[f"{number}.s"] * x * x)
        elif isinstance(layer, gs.GELU):
            x = torch.nn.functional.gelu(x, approximate="tanh")
        elif isinstance(layer, gs.Softplus):
            x = torch.nn.functional.softplus(x)
        elif not isinstance(layer, gs.Standardize):
            x = {gs.ReLU: torch.relu, gs.Tanh: torch.tanh, gs.Sigmoid: torch.sigmoid}[type(layer)](x)
    return x


@pytest.mark.torch
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("loss", ["cross-entropy", "soft cross-entropy", "binary cross-entropy", "squared error"])
@pytest.mark.parametrize("name", [name for name in LAYERS if name not in ("dropout", "standardize")])
def test_product_is_that_of_torch(name: str, loss: str, backend: str) -> None:
    torch = pytest.importorskip("torch")
    model, (criterion, y) = made(name), LOSSES[loss]
    v = direction(model)
    weights = {k: torch.tensor(w, requires_grad=True) for k, w in model.state_dict().items()}
    theirs = {
        "cross-entropy": torch.nn.functional.cross_entropy,
        "soft cross-entropy": torch.nn.functional.cross_entropy,
        "binary cross-entropy": torch.nn.functional.binary_cross_entropy_with_logits,
        "squared error": torch.nn.functional.mse_loss,
    }[loss]
    value = theirs(in_torch(model, weights, torch.tensor(X), torch), torch.tensor(y))
    gradients = torch.autograd.grad(value, list(weights.values()), create_graph=True)
    along = sum((g * torch.tensor(v[k])).sum() for k, g in zip(weights, gradients, strict=True))
    products = torch.autograd.grad(along, list(weights.values()), materialize_grads=True)
    want = {k: product.numpy() for k, product in zip(weights, products, strict=True)}
    got = gs.hessian_vector_product(model, criterion, X, y, v, backend=backend)
    assert worst(got, want) <= 2e-14


@pytest.mark.parametrize("backend", BACKENDS)
def test_least_squares_has_the_hessian_that_is_known(backend: str) -> None:
    """Of the mean over rows of (x·w − y)²: 2 XᵀX / rows, wherever w is."""
    model = shaken(gs.Sequential(gs.Linear(FEATURES, 1, bias=False)))
    hessian = Hessian(model, gs.MSELoss(), X, VALUES[:, 0], backend=backend)
    assert hessian.shape == (FEATURES, FEATURES)
    assert np.max(np.abs(hessian.dense() - 2 * X.T @ X / ROWS)) <= 1e-15


def test_softmax_regression_has_the_hessian_that_is_known() -> None:
    """Blocks Σ p_j (δ_jk − p_k) x xᵀ / rows (Böhning 1992)."""
    model = shaken(gs.Sequential(gs.Linear(FEATURES, OUTPUTS, bias=False)))
    z = X @ model.state_dict()["0.weight"]
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    spread = np.einsum("rj,jk->rjk", p, np.eye(OUTPUTS)) - np.einsum("rj,rk->rjk", p, p)
    want = np.einsum("ra,rjk,rb->ajbk", X, spread, X).reshape(FEATURES * OUTPUTS, -1) / ROWS
    assert np.max(np.abs(Hessian(model, gs.CrossEntropyLoss(), X, LABELS).dense() - want)) <= 1e-16


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=3), st.integers(1, 9), st.integers(0, 99))
def test_the_hessian_is_symmetric_and_linear(hidden: list[int], rows: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    widths = [3, *hidden, 2]
    layers = [layer for a, b in itertools.pairwise(widths) for layer in (gs.Linear(a, b), gs.Tanh())]
    model = gs.Sequential(*layers, dtype="float64").init(seed)
    hessian = Hessian(model, gs.MSELoss(), random.standard_normal((rows, 3)), random.standard_normal((rows, 2)))
    matrix = hessian.dense()
    assert np.max(np.abs(matrix - matrix.T)) <= 1e-14
    v = random.standard_normal(hessian.size)
    assert np.allclose(hessian @ v, matrix @ v, rtol=0, atol=1e-13)


def test_made_once_it_follows_the_arena_s_weights() -> None:
    model, (loss, y) = made("tanh"), LOSSES["cross-entropy"]
    hessian = Hessian(model, loss, X, y)
    v = np.random.default_rng(1).standard_normal(hessian.size)
    before = hessian @ v
    hessian.arena.trained[...] *= 1.5
    hessian.refresh()
    model.load_state_dict({k: 1.5 * w for k, w in model.state_dict().items()})
    fresh = Hessian(model, loss, X, y)
    assert np.array_equal(hessian @ v, fresh @ v)
    assert np.array_equal(hessian.gradient(), fresh.gradient())
    assert not np.allclose(before, hessian @ v)


def test_float32_products_agree_with_float64_ones() -> None:
    model, (loss, y) = made("tanh"), LOSSES["cross-entropy"]
    v = direction(model)
    want = gs.hessian_vector_product(model, loss, X, y, v)
    got = gs.hessian_vector_product(model.astype("float32"), loss, X.astype(np.float32), y, v)
    assert all(array.dtype == np.float32 for array in got.values())
    assert worst(got, want) <= 2e-6


def test_functions_without_a_rule_leave_central_differences_and_a_warning() -> None:
    model = shaken(gs.Sequential(gs.Linear(FEATURES, 5), Unknown(), gs.Linear(5, OUTPUTS)))
    loss, y = LOSSES["cross-entropy"]
    hessian = Hessian(model, loss, X, y)
    v = direction(model)
    vector = np.concatenate([array.ravel() for array in v.values()])
    with pytest.warns(UserWarning, match=r"central differences.*Unknown.*'arcsinh'"):
        product = hessian @ vector
    assert not hessian.exact
    assert worst(hessian.unflatten(product), numeric(model, loss, y, v)) <= 1e-8
    assert np.array_equal(hessian.arena.pack(hessian.arena.values)["0.weight"], model.state_dict()["0.weight"])


def test_vectors_that_do_not_fit_are_refused() -> None:
    model, (loss, y) = made("linear"), LOSSES["cross-entropy"]
    with pytest.raises(ShapeError, match=r"shape \(3,\); expected \(15,\)"):
        Hessian(model, loss, X, y) @ np.ones(3)
    with pytest.raises(ShapeError, match=r"0.bias.*None; expected \(3,\)"):
        gs.hessian_vector_product(model, loss, X, y, {"0.weight": np.ones((FEATURES, OUTPUTS))})
