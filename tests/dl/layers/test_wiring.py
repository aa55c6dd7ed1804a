"""Models that are graphs, from a configuration file: the model meant, files, and refusals that name the layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.backends.errors import ConfigurationError
from gearshift.dl.experiment.build import build, build_trainer
from gearshift.dl.experiment.config import parse, read, write
from gearshift.dl.layers.wiring import wire

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
        ([LINEAR, LINEAR], "'a' occurs twice"),
        ([LINEAR, {"kind": "Add"}], "reads 1 inputs; Add has 2"),
        ([LINEAR, {"kind": "Add", "inputs": ["a", "x"]}], "rows of one shape"),
        ([LINEAR, {"kind": "Linear", "inputs": ["x"]}], "the output of 'a' is not used"),
        ([{**LINEAR, "out_features": 5}], r"gives \(5,\); expected \(3,\)"),
        ([{"kind": "Activation"}], "'Activation' is no kind of layer"),
        ([{"kind": "Residual"}], "layers '0': Residual: no layers given"),
        ([{"kind": "Residual", "p": 1}], "Residual accepts only `layers`, not 'p'"),
        ([{"kind": "ReLU", "layers": [LINEAR]}], "'layers' is no argument of ReLU"),
        ([{"kind": "Residual", "layers": [LINEAR]}], "layers 0 has 'name'; layers in a Residual read the previous o"),
        ([{"kind": "Residual", "layers": [{"kind": "ReLu"}]}], "layers '0', layers 0: 'ReLu' is no kind .* 'ReLU'"),
        ([{"kind": "Residual", "layers": [{"kind": "Add"}]}], "layers 0 is Add, which reads 2 inputs"),
        (
            [{"kind": "Residual", "layers": [{"kind": "Linear", "out_features": 2}]}],
            r"Residual: its layers return \(2,\) for \(4,\); they must keep the shape",
        ),
        ([LINEAR, {"shares": "x"}], "shares 'x'; expected only the name of an earlier layer"),
    ],
)
def test_refusals(tables: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        wire(tables, 4, 3)


def test_several_inputs_and_outputs_by_name() -> None:
    tables = [
        {"name": "h", "kind": "Linear", "out_features": 5, "inputs": ["left"]},
        {"name": "wide", "kind": "Concatenate", "inputs": ["h", "right"]},
        {"name": "angle", "kind": "Linear", "inputs": ["wide"]},
        {"name": "kind", "kind": "Linear", "inputs": ["h"]},
    ]
    model = wire(tables, {"left": 3, "right": 2}, {"kind": 4, "angle": 1}, "float64").init(1)
    left, right = gs.Input(3), gs.Input(2)
    h = gs.Linear(3, 5)(left)
    angle = gs.Linear(7, 1)(gs.Concatenate()(h, right))
    assert repr(model) == repr(gs.Model([left, right], [gs.Linear(5, 4)(h), angle], "float64"))
    with pytest.raises(ConfigurationError, match="'angel' is no name of a layer, but an output; did you mean 'angle'"):
        wire(tables, {"left": 3, "right": 2}, {"kind": 4, "angel": 1})
    with pytest.raises(ConfigurationError, match=r"'h' is an output and gives \(5,\); expected \(6,\)"):
        wire(tables, {"left": 3, "right": 2}, {"kind": 4, "angle": 1, "h": 6})
    with pytest.raises(ConfigurationError, match="the output of 'middle' is not used"):
        wire(tables, {"left": 3, "middle": 1, "right": 2}, {"kind": 4, "angle": 1})


def test_two_outputs_with_two_losses_from_a_file_to_answers(tmp_path: Path) -> None:
    """The function that a model written by hand learns, and a run that is trained, evaluated and asked."""
    from gearshift.__main__ import main

    random = np.random.default_rng(0)
    x, labels, values = random.standard_normal((60, 4)), random.integers(0, 3, 60), random.standard_normal((60, 2))
    np.savez(tmp_path / "two.npz", x=x, y=np.column_stack([labels, values]))
    (tmp_path / "two.toml").write_text(
        """
        [data]
        source = "two.npz"
        standardize = false
        standardize_target = false
        [model]
        dtype = "float64"
        [[model.layers]]
        name = "h"
        kind = "Linear"
        out_features = 6
        [[model.layers]]
        name = "place"
        kind = "Linear"
        [[model.layers]]
        name = "class"
        kind = "Linear"
        inputs = ["h"]
        [loss.heads.class]
        loss = "CrossEntropyLoss"
        outputs = 3
        [loss.heads.place]
        outputs = 2
        weight = 0.5
        [train]
        epochs = 3
        """.replace('"two.npz"', f'"{tmp_path / "two.npz"}"')
    )
    configuration = read(tmp_path / "two.toml")
    splits, trainer = build(configuration, "numpy")
    a = gs.Input(4)
    h = gs.Linear(4, 6)(a)
    by_hand = gs.Sequential(gs.Model(a, [gs.Linear(6, 3)(h), gs.Linear(6, 2)(h)]), dtype="float64")
    heads = {"class": gs.Head(gs.CrossEntropyLoss(), 3), "place": gs.Head(gs.MSELoss(), 2, weight=0.5)}
    other = gs.Trainer(by_hand, gs.JointLoss(**heads), gs.Adam(), backend="numpy")
    for run in (trainer, other):
        run.fit(splits.train, epochs=3, batch_size=32, verbose=False)
    assert trainer.evaluate(splits.test) == other.evaluate(splits.test)
    assert set(trainer.evaluate(splits.test)) == {"loss", "class_loss", "class_accuracy", "place_loss", "place_r2"}
    (tmp_path / "resolved.toml").write_text(write(configuration))
    assert read(tmp_path / "resolved.toml") == configuration
    np.save(tmp_path / "x.npy", x[:5])
    run = str(tmp_path / "run")
    for command in (
        ["train", str(tmp_path / "two.toml"), "--run", run, "--backend", "numpy", "--quiet"],
        ["evaluate", run, "--backend", "numpy"],
        ["predict", run, "--input", str(tmp_path / "x.npy"), "--output", str(tmp_path / "y.npy")],
    ):
        with pytest.raises(SystemExit) as ended:
            main(command)
        assert not ended.value.code
    answers = np.load(tmp_path / "y.npy")
    assert answers.shape == (5, 3) and set(answers[:, 0]) <= {0, 1, 2}
    assert repr(gs.Run(run).loss) == repr(other.loss)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["loss.name=JointLoss"], "JointLoss needs heads"),
        (["loss.name=HingeLoss", "loss.heads={a={}}"], "a loss, HingeLoss, and there are heads"),
        (["loss.heads={a={outputs=0}}"], "loss.heads.a.outputs is 0; expected a number of at least 1"),
        (["loss.heads={a={loss='MSLoss'}}"], "loss.heads.a.loss is 'MSLoss'; did you mean 'MSELoss'"),
        (["model.inputs={a=3}", "model.layers=[{kind='Linear'}]"], r"model.inputs are .*, together 3 wide; .* 64"),
        (["model.layers=[{kind='Embedding', embedding_dim=10}]"], r"gives \(10,\)|set data.standardize to false"),
    ],
)
def test_refusals_of_a_configuration(settings: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        build(parse({}, settings), "numpy")


def test_the_transformer_of_the_examples_from_a_text_to_characters(tmp_path: Path) -> None:
    """The network of characters.py, whose first block is a layer and whose second is written out."""
    (tmp_path / "t.txt").write_text("the quick brown fox jumps over the lazy dog\n" * 30)
    file = Path(gs.__path__[0]) / "examples" / "characters.toml"
    settings = [f"data.source={tmp_path / 't.txt'}", "train.epochs=1", "model.dtype=float64"]
    splits, trainer = build(read(file, settings), "numpy")
    count = len(splits.classes)
    assert count == 28 and trainer.model.classes == splits.classes.tolist()
    by_hand = gs.Sequential(
        gs.Embedding(count, 64, length=64),
        gs.TransformerBlock(64, 4),
        gs.TransformerBlock(64, 4),
        gs.LayerNorm(64),
        gs.Linear(64, count),
    )
    assert sorted(p.shape for p in trainer.model.parameters()) == sorted(p.shape for p in by_hand.parameters())
    before = trainer.evaluate(splits.test)["loss"]
    trainer.fit(splits.train, epochs=5, batch_size=4, verbose=False)
    assert trainer.evaluate(splits.test)["loss"] < before - 0.5
    with pytest.raises(ConfigurationError, match="which reads tokens"):
        build(read(file, [*settings, "data.standardize=true"]), "numpy")


def test_more_than_two_inputs_are_joined(tmp_path: Path) -> None:
    """In Python and in a configuration: sums and columns in the order of the inputs, also after saving."""
    x = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    parts = [x[:, :2], x[:, 2:4], x[:, 4:]]
    inputs = [gs.Input(2), gs.Input(2), gs.Input(2)]
    for join, expected in ((gs.Add(), sum(parts)), (gs.Concatenate(), x)):
        model = gs.Model(inputs, join(*inputs))
        np.testing.assert_allclose(model.outputs(x, backend="numpy"), expected, rtol=1e-6)
        model.save(tmp_path / "m.safetensors")
        np.testing.assert_allclose(gs.load(tmp_path / "m.safetensors")(x), expected, rtol=1e-6)
    tables = [{"kind": "Concatenate", "inputs": ["a", "b", "c"]}, {"kind": "Linear", "init": "uniform(0, 1)"}]
    wired = wire(tables, {"a": 2, "b": 2, "c": 2}, 3).init(0)
    weights = wired.state_dict()
    name = next(name for name in weights if name.endswith("weight"))
    np.testing.assert_allclose(wired.outputs(x, backend="numpy"), x @ weights[name], rtol=1e-5, atol=1e-6)
