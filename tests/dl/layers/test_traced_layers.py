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
        (lambda x: float(x), "its values are not known yet"),
        (lambda x: [row for row in x], "its values are not known yet"),
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
    assert said.startswith("test_traced_layers.py, line ") or "test_traced_layers.py, line " in said


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
