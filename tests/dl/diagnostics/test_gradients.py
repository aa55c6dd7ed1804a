"""Gradients against central differences and PyTorch, and the sharing of memory that must not change them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from central_differences import central_differences
from hypothesis import given, settings
from hypothesis import strategies as st

import gearshift as gs
from gearshift.dl.graph.graph import Graph, Value
from gearshift.dl.layers.initializers import ones
from gearshift.dl.step import plan
from gearshift.kernels.activations.activation import ACTIVATION, SIGMOID, TANH
from gearshift.kernels.arrays.add import ADD

TOLERANCE = 2e-9  # of central differences: at their best step, ε^(1/3), ε^(2/3) ≈ 4e-11 times third derivatives


class Scale(gs.ArrayLayer):
    """y = x² · s: array code with a parameter."""

    def __init__(self, features: int) -> None:
        self.features = features
        self.s = gs.Parameter((features,), ones)

    def forward(self, xp: Any, x: Any, s: Any) -> Any:
        return x * x * s

    def backward(self, xp: Any, dy: Any, x: Any, y: Any, s: Any) -> tuple[Any, ...]:
        return 2 * x * s * dy, xp.sum(dy * x * x, axis=0)


class Fork(gs.Layer):
    """y = tanh(x) + sigmoid(x): x is read twice, so that its gradients meet."""

    def lower(self, graph: Graph, x: Value) -> Value:
        left, right, y = (graph.batch(x.shape) for _ in range(3))
        graph.apply(ACTIVATION, (x,), (left,), activation=TANH)
        graph.apply(ACTIVATION, (x,), (right,), activation=SIGMOID)
        graph.apply(ADD, (left, right), (y,))
        return y


class Bypass(gs.Layer):
    """y = x + f(x), with layers inside."""

    def __init__(self, inside: gs.Layer) -> None:
        self.inside = inside

    def lower(self, graph: Graph, x: Value) -> Value:
        y = graph.batch(x.shape)
        graph.apply(ADD, (x, graph.lower(self.inside, x, "inside")), (y,))
        return y


class Twice(gs.Layer):
    """y = x + x: both inputs of one operation are one value."""

    def lower(self, graph: Graph, x: Value) -> Value:
        y = graph.batch(x.shape)
        graph.apply(ADD, (x, x), (y,))
        return y


class Doubled(gs.Layer):
    """y = f(f(x)) with one set of weights."""

    def __init__(self, inside: gs.Layer) -> None:
        self.inside = inside

    def lower(self, graph: Graph, x: Value) -> Value:
        return graph.lower(self.inside, graph.lower(self.inside, x, "inside"), "inside")


def models() -> dict[str, list[gs.Layer]]:
    """Lists of layers from 5 features to 4 outputs."""
    shared = gs.Linear(5, 5)
    statistics = gs.Standardize(5)
    statistics.fit(np.linspace(-1, 1, 5), np.linspace(0.5, 2, 5))
    return {
        "linear": [gs.Linear(5, 4)],
        "no bias": [gs.Linear(5, 6, bias=False), gs.Tanh(), gs.Linear(6, 4, bias=False)],
        "relu": [gs.Linear(5, 7, init="he"), gs.ReLU(), gs.Linear(7, 4)],
        "tanh": [gs.Linear(5, 7), gs.Tanh(), gs.Linear(7, 4)],
        "sigmoid": [gs.Linear(5, 7), gs.Sigmoid(), gs.Linear(7, 4)],
        "no bias before relu": [gs.Linear(5, 7, bias=False), gs.ReLU(), gs.Linear(7, 4)],
        "two activations": [gs.Linear(5, 7), gs.Tanh(), gs.Sigmoid(), gs.Linear(7, 4)],
        "activation last": [gs.Linear(5, 4), gs.Sigmoid()],
        "activation first": [gs.Tanh(), gs.Linear(5, 4)],
        "dropout": [gs.Linear(5, 9), gs.Tanh(), gs.Dropout(0.4), gs.Linear(9, 4)],
        "two dropouts": [gs.Dropout(0.3), gs.Linear(5, 9), gs.Dropout(0.5), gs.Tanh(), gs.Linear(9, 4)],
        "standardize": [statistics, gs.Linear(5, 4), gs.Tanh()],
        "array layer": [gs.Linear(5, 6), Scale(6), gs.Linear(6, 4)],
        "fork": [gs.Linear(5, 6), Fork(), gs.Linear(6, 4)],
        "two forks": [gs.Linear(5, 6), Fork(), Fork(), gs.Linear(6, 4)],
        "residual": [gs.Linear(5, 6), Bypass(gs.Sequential(gs.Linear(6, 6), gs.Tanh())), gs.Tanh(), gs.Linear(6, 4)],
        "residual around an activation": [gs.Linear(5, 6), Bypass(gs.Tanh()), gs.Linear(6, 4)],
        "twice": [gs.Linear(5, 4), Twice(), gs.Tanh()],
        "doubled": [Doubled(gs.Sequential(gs.Linear(5, 5), gs.Tanh())), gs.Linear(5, 4)],
        "shared": [shared, gs.Tanh(), shared, gs.Sigmoid(), gs.Linear(5, 4)],
        "nested": [gs.Sequential(gs.Linear(5, 6), gs.Sequential(gs.Tanh(), gs.Dropout(0.2))), gs.Linear(6, 4)],
    }


NAMES = list(models())
BACKENDS = ["numpy", "numba"]


def made(name: str) -> gs.Sequential:
    """A model in float64 whose biases and scales are not 0 and 1."""
    model = gs.Sequential(*models()[name], dtype="float64").ensure_initialized(3)
    random = np.random.default_rng(4)
    trained = {parameter.name for parameter in model.parameters() if parameter.trained}
    model.load_state_dict(
        {
            key: value + 0.1 * random.standard_normal(value.shape) if key in trained else value
            for key, value in model.state_dict().items()
        }
    )
    return model


def problem(loss: str, rows: int = 6) -> tuple[gs.Loss, np.ndarray, np.ndarray]:
    random = np.random.default_rng(2)
    x = random.standard_normal((rows, 5))
    if loss == "cross-entropy":
        return gs.CrossEntropyLoss(), x, random.integers(0, 4, rows)
    if loss == "binary cross-entropy":
        return gs.BCEWithLogitsLoss(), x, random.uniform(size=(rows, 4))
    return gs.MSELoss(), x, random.standard_normal((rows, 4))


def worst_difference(model: gs.Sequential, loss: gs.Loss, x: Any, y: Any, backend: str) -> float:
    """The greatest difference from central differences, over every weight, relative to 1 + |gradient|."""
    _, grads = gs.value_and_grad(model, loss, x, y, seed=8, step=5, backend=backend)
    weights = model.state_dict()
    assert grads.keys() == {parameter.name for parameter in model.parameters() if parameter.trained}
    assert all(grad.dtype == np.float64 and grad.shape == weights[name].shape for name, grad in grads.items())
    return max(
        abs(numeric - grads[name][index]) / (1 + abs(numeric))
        for name, index, numeric in central_differences(model, loss, x, y, seed=8, step=5)
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("loss", ["cross-entropy", "squared error", "binary cross-entropy"])
@pytest.mark.parametrize("name", NAMES)
def test_gradient_is_that_of_central_differences(name: str, loss: str, backend: str) -> None:
    assert worst_difference(made(name), *problem(loss), backend) <= TOLERANCE


@pytest.mark.parametrize("backend", BACKENDS)
def test_targets_of_one_dimension(backend: str) -> None:
    random = np.random.default_rng(6)
    model = gs.Sequential(gs.Linear(5, 3), gs.Tanh(), gs.Linear(3, 1), dtype="float64").init(1)
    x, y = random.standard_normal((7, 5)), random.standard_normal(7)
    assert worst_difference(model, gs.MSELoss(), x, y, backend) <= TOLERANCE
    flat, column = (gs.value_and_grad(model, gs.MSELoss(), x, t, backend=backend) for t in (y, y[:, None]))
    assert flat[0] == column[0]
    assert flat[0] == pytest.approx(np.mean((model_output(model, x)[:, 0] - y) ** 2), rel=1e-13)


def model_output(model: gs.Sequential, x: np.ndarray) -> np.ndarray:
    w = model.state_dict()
    return np.tanh(x @ w["0.weight"] + w["0.bias"]) @ w["2.weight"] + w["2.bias"]


def in_torch(layers: Any, weights: dict[str, Any], x: Any, torch: Any) -> Any:
    """The model in PyTorch, with the weights under Gearshift's names."""
    names = {id(parameter): parameter.name for parameter in layers.parameters()}
    for layer in layers:
        if isinstance(layer, gs.Linear):
            x = x @ weights[names[id(layer.weight)]]
            x = x if layer.bias is None else x + weights[names[id(layer.bias)]]
        elif isinstance(layer, gs.Standardize):
            x = (x - weights[names[id(layer.mean)]]) * weights[names[id(layer.scale)]]
        elif isinstance(layer, Scale):
            x = x * x * weights[names[id(layer.s)]]
        elif isinstance(layer, Fork):
            x = torch.tanh(x) + torch.sigmoid(x)
        elif isinstance(layer, Twice):
            x = x + x
        else:
            x = {gs.ReLU: torch.relu, gs.Tanh: torch.tanh, gs.Sigmoid: torch.sigmoid}[type(layer)](x)
    return x


@pytest.mark.torch
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("loss", ["cross-entropy", "squared error", "binary cross-entropy"])
@pytest.mark.parametrize(
    "name", [n for n in NAMES if not any(w in n for w in ("dropout", "residual", "nest", "doubl"))]
)
def test_gradient_is_that_of_torch(name: str, loss: str, backend: str) -> None:
    torch = pytest.importorskip("torch")
    model, (criterion, x, y) = made(name), problem(loss, rows=33)
    value, grads = gs.value_and_grad(model, criterion, x, y, backend=backend)
    weights = {key: torch.tensor(array, requires_grad=True) for key, array in model.state_dict().items()}
    functional = torch.nn.functional
    theirs = {
        "cross-entropy": functional.cross_entropy,
        "squared error": functional.mse_loss,
        "binary cross-entropy": functional.binary_cross_entropy_with_logits,
    }[loss]
    result = theirs(in_torch(model, weights, torch.tensor(x), torch), torch.tensor(y))
    result.backward()
    assert abs(value - result.item()) <= 1e-13
    assert max(np.max(np.abs(grad - weights[key].grad.numpy())) for key, grad in grads.items()) <= 1e-13


@pytest.mark.parametrize("name", NAMES)
def test_backends_agree(name: str) -> None:
    model, (loss, x, y) = made(name), problem("cross-entropy", rows=17)
    (value, grads), (other, others) = (gs.value_and_grad(model, loss, x, y, backend=b) for b in BACKENDS)
    assert abs(value - other) <= 1e-14
    assert max(np.max(np.abs(grads[key] - others[key])) for key in grads) <= 1e-14


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", NAMES)
def test_shared_memory_changes_no_bit(name: str, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, (loss, x, y) = made(name), problem("cross-entropy", rows=9)
    shared = gs.value_and_grad(model, loss, x, y, backend=backend)
    monkeypatch.setattr(plan, "share_memory", lambda graph: {})
    apart = gs.value_and_grad(model, loss, x, y, backend=backend)
    assert shared[0] == apart[0]
    assert all(shared[1][key].tobytes() == apart[1][key].tobytes() for key in apart[1])


LAYERS = st.sampled_from(
    ["linear", "no bias", "relu", "tanh", "sigmoid", "dropout", "fork", "twice", "scale", "residual"]
)


@settings(max_examples=40, deadline=None)
@given(kinds=st.lists(LAYERS, min_size=1, max_size=6), rows=st.integers(1, 9), backend=st.sampled_from(BACKENDS))
def test_shared_memory_changes_no_bit_of_any_chain(kinds: list[str], rows: int, backend: str) -> None:
    make = {
        "linear": lambda: gs.Linear(5, 5),
        "no bias": lambda: gs.Linear(5, 5, bias=False),
        "relu": gs.ReLU,
        "tanh": gs.Tanh,
        "sigmoid": gs.Sigmoid,
        "dropout": lambda: gs.Dropout(0.3),
        "fork": Fork,
        "twice": Twice,
        "scale": lambda: Scale(5),
        "residual": lambda: Bypass(gs.Sequential(gs.Linear(5, 5), gs.ReLU())),
    }
    model = gs.Sequential(gs.Linear(5, 5), *(make[kind]() for kind in kinds), gs.Tanh(), dtype="float64").init(1)
    random = np.random.default_rng(rows)
    x, y = random.standard_normal((rows, 5)), random.standard_normal((rows, 5))
    shared = gs.value_and_grad(model, gs.MSELoss(), x, y, backend=backend)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "share_memory", lambda graph: {})
        apart = gs.value_and_grad(model, gs.MSELoss(), x, y, backend=backend)
    assert shared[0] == apart[0]
    assert all(shared[1][key].tobytes() == apart[1][key].tobytes() for key in apart[1])


def test_memory_is_shared_at_all() -> None:
    """Or the tests above say nothing: after a linear layer without bias, ReLU writes in place."""
    graph = Graph("float64")
    x = graph.batch((5,))
    graph.outputs.add(graph.lower(gs.Sequential(gs.Linear(5, 7, bias=False), gs.ReLU(), gs.Linear(7, 2)), x))
    assert len(plan.share_memory(graph)) >= 1


def test_dropout_s_mask_is_that_of_seed_and_step() -> None:
    model, (loss, x, y) = made("dropout"), problem("cross-entropy")

    def value(**given: Any) -> float:
        return gs.value_and_grad(model, loss, x, y, **given)[0]

    assert value(seed=1, step=2) == value(seed=1, step=2)
    assert len({value(), value(seed=1), value(step=1), value(train=False)}) == 4
    assert value(train=False) == value(train=False, seed=1, step=1)


def test_the_model_s_dtype_is_that_of_the_gradient() -> None:
    model, (loss, x, y) = made("relu"), problem("cross-entropy")
    exact_loss, exact = gs.value_and_grad(model, loss, x, y)
    value, grads = gs.value_and_grad(model.astype("float32"), loss, x, y)
    assert all(grad.dtype == np.float32 for grad in grads.values())
    assert abs(value - exact_loss) <= 1e-6 * abs(exact_loss)
    assert max(np.max(np.abs(grads[key] - exact[key])) for key in exact) <= 1e-6


def test_weights_do_not_change() -> None:
    model, (loss, x, y) = made("tanh"), problem("cross-entropy")
    before = model.state_dict()
    gs.value_and_grad(model, loss, x, y)
    assert all(np.array_equal(before[key], value) for key, value in model.state_dict().items())
