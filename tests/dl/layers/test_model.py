"""Models that are graphs: gradients by central differences and as PyTorch, shared layers, files, refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from central_differences import central_differences

import gearshift as gs
from gearshift.backends.errors import CheckpointError, ConfigurationError, ShapeError
from gearshift.dl.layers.architecture import build

BACKENDS = ("numpy", "numba")
X = np.random.default_rng(0).standard_normal((9, 6))
Y = np.random.default_rng(1).integers(0, 3, 9)


def skip() -> gs.Model:
    x = gs.Input(6)
    h = gs.Tanh()(gs.Linear(6, 6)(x))
    h = gs.Add()(x, gs.Sigmoid()(gs.Linear(6, 6)(h)))
    return gs.Model(x, gs.Linear(6, 3)(gs.Add()(h, gs.GELU()(h))), dtype="float64")


def two_inputs() -> gs.Model:
    a, b = gs.Input(2), gs.Input(4)
    left, right = gs.Tanh()(gs.Linear(2, 5)(a)), gs.Softplus()(gs.Linear(4, 3)(b))
    return gs.Model([a, b], gs.Linear(8, 3)(gs.Concatenate()(left, right)), dtype="float64")


def shared() -> gs.Model:
    x, layer = gs.Input(6), gs.Linear(6, 6)
    return gs.Model(x, gs.Linear(6, 3)(gs.Tanh()(layer(gs.Tanh()(layer(x))))), dtype="float64")


def fork() -> gs.Model:
    x = gs.Input(6)
    h = gs.Linear(6, 4)(x)
    return gs.Model(x, gs.Linear(8, 3)(gs.Concatenate()(gs.ReLU()(h), gs.Sigmoid()(h))), dtype="float64")


def three_inputs() -> gs.Model:
    a, b, c = gs.Input(1), gs.Input(2), gs.Input(3)
    joined = gs.Concatenate()(gs.Concatenate()(c, a), b)
    return gs.Model([a, b, c], gs.Linear(6, 3)(gs.Tanh()(gs.Linear(6, 6)(joined))), dtype="float64")


MODELS: list[Callable[[], gs.Model]] = [skip, two_inputs, shared, fork, three_inputs]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("make", MODELS)
def test_gradient_is_that_of_central_differences(make: Callable[[], gs.Model], backend: str) -> None:
    model = make().init(3)
    _, grads = gs.value_and_grad(model, gs.CrossEntropyLoss(), X, Y, backend=backend)
    assert grads.keys() == model.state_dict().keys()
    for name, index, numeric in central_differences(model, gs.CrossEntropyLoss(), X, Y):
        assert abs(numeric - grads[name][index]) <= 1e-8 * (1 + abs(numeric))


def torch_skip(torch: Any, w: dict[str, Any], x: Any) -> Any:
    h = torch.tanh(x @ w["0.weight"] + w["0.bias"])
    h = x + torch.sigmoid(h @ w["2.weight"] + w["2.bias"])
    return (h + torch.nn.functional.gelu(h, approximate="tanh")) @ w["7.weight"] + w["7.bias"]


def torch_two_inputs(torch: Any, w: dict[str, Any], x: Any) -> Any:
    left = torch.tanh(x[:, :2] @ w["0.weight"] + w["0.bias"])
    right = torch.nn.functional.softplus(x[:, 2:] @ w["2.weight"] + w["2.bias"])
    return torch.cat([left, right], dim=1) @ w["5.weight"] + w["5.bias"]


@pytest.mark.torch
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("make", "theirs"), [(skip, torch_skip), (two_inputs, torch_two_inputs)])
def test_it_trains_as_in_torch(make: Callable[[], gs.Model], theirs: Callable[..., Any], backend: str) -> None:
    torch = pytest.importorskip("torch")
    model = make().init(3)
    w = {name: torch.tensor(array, requires_grad=True) for name, array in model.state_dict().items()}
    trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(lr=0.01), backend=backend)
    trainer.fit(X, Y, epochs=30, batch_size=9, verbose=False)
    optimizer = torch.optim.Adam(w.values(), lr=0.01)
    for _ in range(30):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(theirs(torch, w, torch.tensor(X)), torch.tensor(Y)).backward()
        optimizer.step()
    assert max(np.max(np.abs(v - w[name].detach().numpy())) for name, v in model.state_dict().items()) <= 1e-10
    with torch.no_grad():
        wanted = torch.softmax(theirs(torch, w, torch.tensor(X)), dim=1).numpy()
    assert np.max(np.abs(trainer.predict_proba(X) - wanted)) <= 1e-9


def test_a_chain_of_calls_is_a_sequential() -> None:
    x = gs.Input(6)
    graph = gs.Model(x, gs.Linear(5, 3)(gs.ReLU()(gs.Linear(6, 5)(x)))).init(1)
    chain = gs.Sequential(gs.Linear(6, 5), gs.ReLU(), gs.Linear(5, 3)).init(1)
    for model in (graph, chain):
        gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(), backend="numba").fit(X, Y, epochs=3, verbose=False)
    assert all(np.array_equal(value, chain.state_dict()[name]) for name, value in graph.state_dict().items())


def test_a_shared_layer_has_one_set_of_weights() -> None:
    assert list(shared().state_dict()) == ["0.weight", "0.bias", "3.weight", "3.bias"]


@pytest.mark.parametrize("make", MODELS)
def test_it_is_saved_and_loaded(make: Callable[[], gs.Model], tmp_path: Path) -> None:
    model = make().init(5)
    model.save(tmp_path / "model.safetensors")
    loaded = gs.load(tmp_path / "model.safetensors")
    assert loaded.describe() == model.describe()
    assert repr(loaded) == repr(model)
    values = [gs.value_and_grad(each, gs.CrossEntropyLoss(), X, Y)[0] for each in (model, loaded)]
    assert values[0] == values[1]


def test_a_model_is_a_layer_of_another() -> None:
    x = gs.Input(6)
    inner = gs.Model(x, gs.Add()(x, gs.Tanh()(gs.Linear(6, 6)(x))))
    outer = gs.Sequential(inner, gs.Linear(6, 3), dtype="float64").init(2)
    assert list(outer.state_dict()) == ["0.0.weight", "0.0.bias", "1.weight", "1.bias"]
    assert build(outer.describe()).state_dict().keys() == outer.state_dict().keys()
    w = outer.state_dict()
    h = X + np.tanh(X @ w["0.0.weight"] + w["0.0.bias"])
    trainer = gs.Trainer(outer, gs.CrossEntropyLoss(), gs.SGD(), backend="numba")
    assert np.array_equal(trainer.predict(X), np.argmax(h @ w["1.weight"] + w["1.bias"], axis=1))


def test_summary_walks_the_graph() -> None:
    rows = two_inputs().summary().rows
    assert [shape for _, _, shape, _ in rows] == [(5,), (5,), (3,), (3,), (8,), (3,)]
    assert sum(count for *_, count in rows) == two_inputs().summary().parameters == 57


def test_refusals() -> None:
    x, other = gs.Input(3), gs.Input(3)
    with pytest.raises(ConfigurationError, match="not among inputs"):
        gs.Model(x, gs.Add()(x, other))
    with pytest.raises(ConfigurationError, match="every item of inputs must be"):
        gs.Model([x, other], gs.Linear(3, 2)(x))
    with pytest.raises(ConfigurationError, match=r"called on \(int\); expected 1"):
        gs.Linear(6, 3)(3)
    with pytest.raises(ConfigurationError, match=r"called on \(Symbol\); expected 2"):
        gs.Add()(x)
    with pytest.raises(ConfigurationError, match="features is 0"):
        gs.Input(0)
    with pytest.raises(ShapeError, match=r"layer 1: Add expects rows of one shape.*\(3,\) and \(2,\)"):
        gs.Model(x, gs.Add()(x, gs.Linear(3, 2)(x))).summary()
    with pytest.raises(ShapeError, match="Model expects 3 features"):
        gs.value_and_grad(gs.Model(x, gs.Linear(3, 3)(x)), gs.CrossEntropyLoss(), X, Y)


def test_a_malformed_wiring_is_refused() -> None:
    description = skip().describe()
    description["wiring"]["calls"][1] = [99, 0]
    with pytest.raises(CheckpointError, match="malformed"):
        build(description)


def test_weights_that_fit_are_taken_for_fine_tuning() -> None:
    """The trunk is that of the trained model; the new head is drawn, and named."""
    trained = gs.Sequential(gs.Linear(4, 3), gs.ReLU(), gs.Linear(3, 10)).init(1)
    tuned = gs.Sequential(gs.Linear(4, 3), gs.ReLU(), gs.Linear(3, 2), gs.Tanh(), gs.Linear(2, 2))
    left = tuned.load_state_dict(trained.state_dict(), strict=False)
    assert left == ["2.weight", "2.bias", "4.weight", "4.bias"]
    np.testing.assert_array_equal(tuned.state_dict()["0.weight"], trained.state_dict()["0.weight"])
    assert tuned.state_dict()["2.weight"].any()
    with pytest.raises(gs.CheckpointError, match="no tensor has the name and the shape"):
        gs.Sequential(gs.Linear(9, 9)).load_state_dict(trained.state_dict(), strict=False)
    with pytest.raises(gs.CheckpointError, match="missing"):
        tuned.load_state_dict(trained.state_dict())
    assert trained.load_state_dict(trained.state_dict()) == []
