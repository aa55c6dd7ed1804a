"""Layers as objects: names, weights, copies, dtypes, summaries."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import gearshift as gs
from gearshift import ConfigurationError


def model() -> gs.Sequential:
    return gs.Sequential(
        gs.Standardize(3), gs.Linear(3, 5, init="he"), gs.Tanh(), gs.Dropout(0.2), gs.Linear(5, 2, bias=False)
    )


def test_names_and_round_trip() -> None:
    one, two = model().init(4), model()
    tensors = one.state_dict()
    assert set(tensors) == {"0.mean", "0.scale", "1.weight", "1.bias", "4.weight"}
    two.load_state_dict(tensors)
    tensors["1.weight"][...] = 0  # a copy
    assert all((value == one.state_dict()[name]).all() for name, value in two.state_dict().items())
    assert one.state_dict()["1.weight"].any()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"1.weight": np.zeros((5, 3))}, r"'1.weight' has shape \(5, 3\).*\(3, 5\)"),
        ({"9.weight": np.zeros(2)}, "unknown.*9.weight"),
        ({"1.bias": None}, "missing.*1.bias"),
    ],
)
def test_tensors_that_do_not_fit_change_nothing(change: dict[str, np.ndarray | None], words: str) -> None:
    net = model().init(0)
    before = net.state_dict()
    tensors = {name: value for name, value in {**before, **change}.items() if value is not None}
    with pytest.raises(gs.CheckpointError, match=words):
        net.load_state_dict(tensors)
    assert all((value == before[name]).all() for name, value in net.state_dict().items())


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_have_weights_of_their_own(duplicate) -> None:
    net = model()
    run = gs.Trainer(net, gs.MSELoss(), gs.SGD(0.1), backend="numba")
    x, y = np.random.default_rng(0).normal(size=(2, 8, 3)), np.ones((8, 2))
    run.fit(x[0], y, verbose=False)
    before = net.state_dict()
    other = duplicate(net)
    run.fit(x[1], y, verbose=False)
    assert all((value == before[name]).all() for name, value in other.state_dict().items())
    assert (net.state_dict()["1.weight"] != before["1.weight"]).any()
    taken = net.to_host().state_dict()
    run.fit(x[1], y, verbose=False)  # takes them in again
    assert (net.state_dict()["1.weight"] != taken["1.weight"]).any()


def test_float64_reaches_every_layer() -> None:
    net = gs.Sequential(gs.Sequential(gs.Standardize(3)), gs.Linear(3, 2), dtype="float64")
    inner = net[0][0]  # type: ignore[index]
    mean = np.array([1 / 3, 2 / 3, 1e9 + 1 / 7])
    inner.fit(mean, np.array([3.0, 0.0, 7.0]))
    assert (net.state_dict()["0.0.mean"] == mean).all()
    assert (net.state_dict()["0.0.scale"] == [1 / 3, 1, 1 / 7]).all()
    assert {value.dtype for value in net.astype("float32").state_dict().values()} == {np.dtype("float32")}


def test_initialisation() -> None:
    net = gs.Sequential(gs.Linear(300, 200), gs.Linear(200, 300, init="he")).init(1)
    weights = net.state_dict()
    bound = np.sqrt(6 / 500)
    assert np.abs(weights["0.weight"]).max() <= bound
    assert weights["0.weight"].std() == pytest.approx(bound / np.sqrt(3), rel=0.01)
    assert weights["1.weight"].std() == pytest.approx(np.sqrt(2 / 200), rel=0.02)
    assert not weights["0.bias"].any()


def test_summary() -> None:
    text = str(model().summary())
    assert "Linear(in_features=3, out_features=5, bias=True, init='he')" in text
    assert "(5,)" in text and "36 parameters" in text  # 3 + 3 + 15 + 5 + 10
    with pytest.raises(gs.ShapeError, match="input_shape"):
        gs.Sequential(gs.ReLU()).summary()
    assert "(7,)" in str(gs.Sequential(gs.ReLU()).summary((7,)))


def test_a_shared_layer_is_one() -> None:
    shared = gs.Linear(3, 3)
    net = gs.Sequential(shared, gs.Tanh(), shared)
    assert set(net.state_dict()) == {"0.weight", "0.bias"}
    assert len(net) == 3 and net[0] is net[2]


def test_a_name_of_the_library_s_is_refused() -> None:
    """Files of models know layers by name: another `Linear` would be built from them."""
    with pytest.raises(ConfigurationError, match="class Linear: the name is taken by a built-in class"):
        type("Linear", (gs.Layer,), {"__module__": "mine"})


def test_to_list_the_parameters_of_a_part_does_not_rename_them() -> None:
    """Another thread may be reading the names by which the whole model knows them."""
    model = gs.Sequential(gs.Linear(3, 4), gs.ReLU(), gs.Linear(4, 2))
    names = ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert [parameter.name for parameter in model.parameters()] == names
    assert [path for path, _ in model[2].named_parameters()] == ["weight", "bias"]
    model.summary()
    assert [parameter.name for _, parameter in model.named_parameters()] == names
    assert [path for path, _ in model.named_parameters()] == names
