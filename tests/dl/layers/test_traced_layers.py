"""Layers whose forward pass is a formula: with parameters, other layers, several inputs; errors at the user's line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.dl.graph.graph import Graph
from gearshift.kernels.tracing.expression import ordered

xp = gs.xp
X, Y = np.random.default_rng(0).normal(size=(20, 6)), np.random.default_rng(1).normal(size=(20, 2))


class Gated(gs.Layer):
    """y = x · sigmoid(g x)."""

    def __init__(self, features: int) -> None:
        self.features = features
        self.gate = gs.Parameter((features,), gs.initializers.Normal(1, 0.1))

    def forward(self, x: Any) -> Any:
        return x * xp.sigmoid(self.gate * x)


class Feed(gs.Layer):
    """A layer that calls others."""

    def __init__(self, features: int) -> None:
        self.features = features
        self.inner, self.norm, self.gated = gs.Linear(features, 5), gs.LayerNorm(5), Gated(5)
        self.out = gs.Parameter((5, features), gs.initializers.Normal(0, 0.5))

    def forward(self, x: Any) -> Any:
        return x + self.gated(self.norm(self.inner(x))) @ self.out


class Mix(gs.Layer):
    """A layer of two inputs."""

    def __init__(self) -> None:
        self.share = gs.Parameter((1,), gs.initializers.zeros)

    def forward(self, a: Any, b: Any) -> Any:
        share = xp.sigmoid(self.share)
        return share * a + (1 - share) * b


@gs.activation
def leaky(x: Any, *, slope: float = 0.01) -> Any:
    return xp.where(x > 0.0, x, slope * x)


def model() -> gs.Layer:
    x = gs.Input(6)
    h = Feed(6)(gs.Linear(6, 6)(x))
    return gs.Model(x, gs.Linear(6, 2)(leaky(slope=0.2)(Mix()(x, h)))).astype("float64").init(seed=3)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_gradients(backend: str) -> None:
    report = gs.check_gradients(model(), gs.MSELoss(), X, Y, backend=backend)
    assert report.ok, report


def test_backends_agree_and_files_hold_the_layers(tmp_path: Path) -> None:
    losses = {}
    for backend in ("numpy", "numba"):
        trainer = gs.Trainer(model(), gs.MSELoss(), gs.Adam(lr=0.01), backend=backend, seed=0)
        losses[backend] = trainer.fit(X, Y, epochs=3, batch_size=8, verbose=False)["loss"]
    assert np.allclose(losses["numpy"], losses["numba"], rtol=1e-10)
    trainer.save(tmp_path / "own.safetensors")
    assert np.array_equal(gs.load(tmp_path / "own.safetensors").predict(X), trainer.model.predict(X))


def test_array_code_without_a_backward_pass_is_traced() -> None:
    class Wave(gs.ArrayLayer):
        def __init__(self, features: int) -> None:
            self.features = features
            self.phase = gs.Parameter((features,), gs.initializers.zeros)

        def forward(self, xp: Any, x: Any, phase: Any) -> Any:
            return xp.sin(x + phase)

    own = gs.Sequential(Wave(6), gs.Linear(6, 2), dtype="float64").init(seed=0)
    assert gs.check_gradients(own, gs.MSELoss(), X, Y).ok


def test_a_named_class_is_found_by_configurations() -> None:
    assert gs.Layer.registered["leaky"] is leaky
    assert leaky(slope=0.5).config() == {"slope": 0.5}
    assert repr(leaky(slope=0.5)) == "leaky(slope=0.5)"


def test_a_formula_runs_on_numbers_too() -> None:
    x = np.array([-1.0, 2.0])
    assert np.array_equal(xp.maximum(x, 0.0), [0, 2])
    assert np.allclose(xp.softplus(x), np.log1p(np.exp(x)))
    assert np.allclose(xp.softmax(x), np.exp(x) / np.exp(x).sum())
    assert xp.concat([x, x]).shape == (4,)
    assert xp.mean(x) == 0.5


def test_numpys_functions_are_traced() -> None:
    class Own(gs.Layer):
        def forward(self, x: Any) -> Any:
            return np.concatenate([np.exp(-np.abs(x)), np.maximum(x, 0)], axis=1) + np.float64(1)

    own = gs.Sequential(Own(), gs.Linear(12, 2), dtype="float64").init(seed=0)
    assert gs.check_gradients(own, gs.MSELoss(), X, Y).ok


def refused(forward: Any) -> str:
    class Refused(gs.Layer, named=False):
        pass

    Refused.forward = lambda self, x: forward(x)  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises((gs.ConfigurationError, gs.ShapeError)) as caught:
        gs.value_and_grad(gs.Sequential(Refused(), gs.Linear(6, 2)), gs.MSELoss(), X, Y)
    return str(caught.value)


def assigned(x: Any) -> Any:
    x[:, 0] = 0.0
    return x


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (lambda x: x if x.sum(axis=1) > 0 else -x, "a Python condition (if, and, or, not, while) on an array"),
        (assigned, "an assignment to elements of an array; write x = gs.xp.where"),
        (lambda x: np.linalg.norm(x), "numpy.norm in a traced function; expected one of gs.xp: abs, "),
        (lambda x: np.arctan2(x, x), "numpy.arctan2 in a traced function; expected one of gs.xp"),
        (lambda x: np.add.reduce(x), "numpy.add in a traced function"),
        (lambda x: float(x), "use functions of gs.xp instead of those of math"),
        (lambda x: [row for row in x], "no loops over arrays"),
        (lambda x: x * np.ones(6), "an array of shape (6,) in a traced function; expected a number, or a gs.Parameter"),
        (lambda x: x + "a", "'a' in a traced function; expected an array of the function or a number"),
        (lambda x: x.mean(axis=0), "a reduction of (rows, 6) over axis 0, which is that of the rows"),
        (lambda x: x[0], "which chooses rows; expected all rows: x[:, …]"),
        (lambda x: x[:, 9], "index 9 is out of bounds"),
        (lambda x: x + x[:, :2], "add of arrays of shapes (rows, 6) and (rows, 2), which do not broadcast"),
        (lambda x: x * x.mean(axis=1), "one value a row needs the shape (rows, 1): keepdims=True, or x[:, None]"),
        (lambda x: x / x.shape[0], "the number of rows of a batch is not known"),
        (lambda x: x.reshape(3, -1), "expected the rows first"),
        (lambda x: x.reshape(-1, 4), "the numbers of elements differ"),
        (lambda x: x @ x, "matmul of (rows, 6) and (rows, 6)"),
        (lambda x: xp.concat([x, x], axis=0), "expected an axis other than that of the rows"),
        (lambda x: x.T, "'T' of an array in a traced function"),
    ],
)
def test_what_cannot_be_traced_is_refused_at_the_users_line(forward: Any, message: str) -> None:
    said = refused(forward)
    assert message in said
    assert "test_traced_layers.py, line " in said


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (lambda x: 3.0, "Refused: forward returns float; expected one array, computed from its inputs"),
        (lambda x: x.sum(axis=1), "Refused: forward returns an array of shape (rows,); expected (rows, features)"),
    ],
)
def test_what_forward_returns_is_checked(forward: Any, message: str) -> None:
    assert message in refused(forward)


def test_a_layer_without_a_forward_pass_says_so() -> None:
    class Empty(gs.Layer, named=False):
        pass

    with pytest.raises(gs.ConfigurationError, match=r"Empty: the layer has no forward\(x\)"):
        gs.value_and_grad(gs.Sequential(Empty(), gs.Linear(6, 2)), gs.MSELoss(), X, Y)


def test_the_generated_kernels_are_shown() -> None:
    trainer = gs.Trainer(model(), gs.MSELoss(), gs.SGD(), backend="numba", seed=0)
    said = trainer.explain(kernels=True)
    assert said.startswith("training runs operation by operation")
    for name in ("Gated", "Gated_backward", "leaky", "Mix_backward"):
        assert f"def {name}_kernel(start, stop, " in said
    assert "def " not in trainer.explain()


def test_names_of_functions_that_kernels_call_are_names_like_others() -> None:
    @gs.activation
    def exp(x: Any) -> Any:
        return xp.exp(-xp.abs(x))

    class Größe(gs.Layer, named=False):
        def forward(self, x: Any) -> Any:
            return xp.tanh(x)

    own = gs.Sequential(gs.Linear(6, 4), exp(), Größe(), gs.Linear(4, 2), dtype="float64").init(seed=0)
    assert gs.check_gradients(own, gs.MSELoss(), X, Y, backend="numba").ok


def test_what_is_known_is_not_computed_again() -> None:
    """Layers are called between two uses of one expression."""

    class Twice(gs.Layer, named=False):
        def __init__(self) -> None:
            self.inner = gs.Linear(6, 6)

        def forward(self, x: Any) -> Any:
            h = xp.tanh(x)
            return self.inner(h) + h

    graph = Graph("float64")
    graph.lower(Twice(), graph.batch((6,)))
    tanh = [
        node for node in graph.nodes if node.operation.formula and "tanh" in repr(ordered(node.operation.formula[1]))
    ]
    assert len(tanh) == 1


class Shared(gs.Layer):
    """One layer called twice."""

    def __init__(self) -> None:
        self.inner = gs.Linear(6, 6)

    def forward(self, x: Any) -> Any:
        return self.inner(x) * self.inner(2.0 * x)


class Listed(gs.Layer):
    """Layers in a list."""

    def __init__(self) -> None:
        self.experts = [gs.Linear(6, 6), gs.Sequential(gs.Linear(6, 3), gs.Tanh(), gs.Linear(3, 6))]
        self.gate = gs.Linear(6, 2)

    def forward(self, x: Any) -> Any:
        share = xp.softmax(self.gate(x))
        return share[:, :1] * self.experts[0](x) + share[:, 1:] * self.experts[1](x)


class Names(gs.Layer):
    """Inputs with the names of what kernels call, of each other's views and of Python's functions."""

    def __init__(self) -> None:
        for name in ("plus", "range", "real_", "in_0", "out_0", "v0", "abs"):
            setattr(self, name, gs.Parameter((6,), gs.initializers.Full(0.25)))

    def forward(self, a: Any) -> Any:
        own: Any = self
        total = own.plus * a + xp.tanh(own.range * a) + own.real_ * a * a + xp.sum(own.in_0 * a, axis=-1)[:, None]
        return total + xp.max(own.out_0 * a, axis=-1, keepdims=True) * own.v0 + own.abs


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("kind", [Shared, Listed, Names])
def test_shared_layers_lists_of_layers_and_names(kind: Any, backend: str, tmp_path: Path) -> None:
    own = gs.Sequential(kind(), gs.Linear(6, 2), dtype="float64").init(seed=0)
    assert gs.check_gradients(own, gs.MSELoss(), X, Y, backend=backend).ok
    if kind is Shared:
        w = own.state_dict()
        by_hand = (X @ w["0.inner.weight"]) * (2 * X @ w["0.inner.weight"])
        assert np.allclose(own.outputs(X, backend=backend), by_hand @ w["1.weight"], rtol=1e-12)
    own.save(tmp_path / "own.safetensors")
    assert np.array_equal(gs.load(tmp_path / "own.safetensors").outputs(X), own.outputs(X))


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_inputs_with_names_alike(backend: str) -> None:
    class Alike(gs.Layer, named=False):
        def forward(self, a: Any, a_: Any) -> Any:
            return xp.abs(a - a_) * a_ + xp.softmax(a)

    a, b = gs.Input(2), gs.Input(2)
    both = gs.Model([a, b], Alike()(a, b)).astype("float64")
    left, right = X[:, :2], X[:, 2:4]
    e = np.exp(left)
    want = abs(left - right) * right + e / e.sum(axis=1, keepdims=True)
    assert np.allclose(both.outputs(X[:, :4], backend=backend), want, rtol=1e-12)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_model_that_is_only_a_formula(backend: str) -> None:
    class Same(gs.Layer, named=False):
        def forward(self, x: Any) -> Any:
            return x[:] * 1.0

    assert np.array_equal(gs.Sequential(Same(), dtype="float64").outputs(X, backend=backend), X)


@pytest.mark.parametrize(
    ("index", "want"),
    [
        ((slice(None), [1, 0, 1], slice(None), 0), lambda z: z[:, :, :, 0][:, [1, 0, 1]]),
        ((slice(None), 1, slice(None), [1, 0]), lambda z: z[:, 1][:, :, [1, 0]]),
        ((slice(None), np.int64(1), None, range(2)), lambda z: z[:, 1][:, None, :2]),
        ((..., np.array([2, 0])), lambda z: z[..., [2, 0]]),
    ],
)
def test_indices(index: Any, want: Any) -> None:
    class Indexed(gs.Layer, named=False):
        def forward(self, x: Any) -> Any:
            found = xp.reshape(x, (-1, 2, 2, 3))[index]
            return xp.reshape(found, (-1, int(np.prod(found.shape[1:]))))

    z = np.random.default_rng(0).normal(size=(5, 12))
    expected = want(z.reshape(5, 2, 2, 3)).reshape(5, -1)
    own = gs.Sequential(gs.Linear(12, 12, bias=False), Indexed(), dtype="float64")
    own.load_state_dict({"0.weight": np.eye(12)})
    assert np.allclose(own.outputs(z), expected, rtol=1e-12)
    assert gs.check_gradients(own, gs.MSELoss(), z, np.zeros_like(expected)).ok


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (lambda x: gs.Linear(6, 6)(x), "which is no layer of it; make it an attribute in __init__"),
        (lambda x: xp.ones_like(x), "forward returns an array that does not depend on its inputs"),
        (lambda x: x[:, x > 0], "an index that is an array of the formula"),
        (lambda x: xp.take(x, x, axis=-1), "an index that is an array of the formula"),
        (lambda x: x[:, [True] * 6], "an index of truth values"),
    ],
)
def test_more_of_what_is_refused(forward: Any, message: str) -> None:
    assert message in refused(forward)


def test_names_of_every_layer_are_refused_for_parameters() -> None:
    class Wrong(gs.Layer, named=False):
        def __init__(self) -> None:
            self.parameters = gs.Parameter((3,), gs.initializers.ones)  # pyright: ignore

    with pytest.raises(gs.ConfigurationError, match="'parameters' is a name of every layer"):
        Wrong()
