"""Models that are graphs, from a configuration file: the model meant, files, and refusals that name the layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.backends.errors import ConfigurationError
from gearshift.dl.config import read, write
from gearshift.dl.experiment import build, build_trainer
from gearshift.dl.wiring import wire

TEXT = """
[data]
source = "digits"

[model]
dtype = "float64"

[[model.layers]]
name = "first"
kind = "Linear"
out_features = 12

[[model.layers]]
name = "h"
kind = "Tanh"

[[model.layers]]
name = "middle"
kind = "Linear"
out_features = 12
init = "he"

[[model.layers]]
kind = "BatchNorm1d"

[[model.layers]]
name = "again"
shares = "middle"

[[model.layers]]
name = "sum"
kind = "Add"
inputs = ["h", "again"]

[[model.layers]]
name = "wide"
kind = "Concatenate"
inputs = ["sum", "x"]

[[model.layers]]
name = "out"
kind = "Linear"

[train]
epochs = 1
"""


def test_it_is_the_model_written_by_hand(tmp_path: Path) -> None:
    (tmp_path / "graph.toml").write_text(TEXT)
    configuration = read(tmp_path / "graph.toml")
    splits, trainer = build(configuration, "numba")
    x, shared = gs.Input(64), gs.Linear(12, 12, init="he")
    h = gs.Tanh()(gs.Linear(64, 12)(x))
    total = gs.Add()(h, shared(gs.BatchNorm1d(12)(shared(h))))
    by_hand = gs.Model(x, gs.Linear(76, 10)(gs.Concatenate()(total, x)))
    scale = gs.Standardize(64).fit(*(part.reshape(-1) for part in splits.standardization()))
    other = gs.Trainer(
        gs.Sequential(scale, by_hand, dtype="float64"), gs.CrossEntropyLoss(), gs.Adam(), backend="numba"
    )
    ends = []
    for run in (trainer, other):
        run.fit(splits.train, epochs=1, batch_size=32, verbose=False)
        ends.append(run.evaluate(splits.test)["loss"])
        assert sum(array.size for array in run.model.state_dict().values()) == 2 * 64 + 780 + 156 + 48 + 770
    assert ends[0] == pytest.approx(ends[1], rel=0.2)  # parts are drawn in another order
    trainer.save(tmp_path / "run.safetensors")
    assert repr(gs.load(tmp_path / "run.safetensors")) == repr(trainer.model)
    (tmp_path / "resolved.toml").write_text(write(configuration))
    assert read(tmp_path / "resolved.toml") == configuration
    assert repr(build_trainer(configuration, splits, "numpy").model) == repr(trainer.model)


def test_the_function_is_that_of_its_parts() -> None:
    tables = [
        {"name": "a", "kind": "Linear", "out_features": 3},
        {"name": "b", "kind": "Sigmoid"},
        {"name": "sum", "kind": "Add", "inputs": ["a", "b"]},
    ]
    model = wire(tables, 4, 3, "float64").init(1)
    w, x = model.state_dict(), np.random.default_rng(0).standard_normal((5, 4))
    a = x @ w["0.weight"] + w["0.bias"]
    y = np.zeros((5, 3))
    value, _ = gs.value_and_grad(model, gs.MSELoss(), x, y)
    assert value == pytest.approx(np.mean((a + 1 / (1 + np.exp(-a))) ** 2), rel=1e-14)


LINEAR: dict[str, Any] = {"name": "a", "kind": "Linear", "out_features": 3}


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ([{"kind": "Linaer"}], r"layers '0': 'Linaer' is no kind of layer; did you mean 'Linear'"),
        ([{**LINEAR, "inputs": ["y"]}], r"layers 'a': 'y' is no name before it; expected one of: x"),
        ([{**LINEAR, "out_feature": 3}], r"'out_feature' is no argument of Linear; did you mean 'out_features'"),
        ([{"kind": "Linear", "out_features": 0}], "out_features is 0"),
        ([{"kind": "Linear"}, {"kind": "Linear"}], "missing 1 required positional argument: 'out_features'"),
        ([LINEAR, LINEAR], "'a' is there already"),
        ([LINEAR, {"kind": "Add"}], "reads 1 inputs; Add has 2"),
        ([LINEAR, {"kind": "Add", "inputs": ["a", "x"]}], "rows of one shape"),
        ([LINEAR, {"kind": "Linear", "inputs": ["x"]}], "nobody reads 'a'"),
        ([{**LINEAR, "out_features": 5}], r"gives \(5,\); expected \(3,\)"),
        ([LINEAR, {"shares": "x"}], "shares 'x'; expected a layer's name"),
    ],
)
def test_refusals(tables: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        wire(tables, 4, 3)
