# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
"""What first users pass by mistake ends in an error that names it, and what to pass instead."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gearshift as gs

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(60, 4)), RANDOM.integers(0, 3, 60)


def trainer(**options: Any) -> gs.Trainer:
    model = gs.Sequential(gs.Linear(4, 8), gs.ReLU(), gs.Linear(8, 3))
    return gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(), backend="numpy", **options)


def fit(x: Any, y: Any = Y, **options: Any) -> gs.History:
    return trainer().fit(x, y, epochs=1, verbose=False, **options)


class Loader:
    """Like PyTorch's: iterable, and no array."""

    def __iter__(self) -> Any:
        yield X, Y


class NoTuple(gs.ArrayLayer):
    def forward(self, xp: Any, x: Any) -> Any:
        return 2 * x

    def backward(self, xp: Any, dy: Any, x: Any, y: Any) -> Any:
        return 2 * dy


class Summed(gs.ArrayLayer):
    def forward(self, xp: Any, x: Any) -> Any:
        return x.sum(axis=1)

    def backward(self, xp: Any, dy: Any, x: Any, y: Any) -> Any:
        return (dy,)


class NotStored(gs.Layer):
    def __init__(self, features: int) -> None:
        self.inner = gs.Linear(features, features)

    def forward(self, x: Any) -> Any:
        return self.inner(x)


def learn(layer: gs.Layer) -> None:
    model = gs.Sequential(gs.Linear(4, 8), layer, gs.Linear(8, 3))
    run = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(), backend="numpy")
    run.fit(X, Y, epochs=1, verbose=False)


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda: fit(None), "x is None, expected an array"),
        (lambda: fit(Loader(), None), "x is a Loader, expected an array; .* use gs.Batches"),
        (lambda: fit(row for row in X), "x is a generator, expected an array"),
        (lambda: fit(X[:, 0]), r"expected \(n, features\) or \(n, …\); for one feature use x.reshape\(-1, 1\)"),
        (lambda: fit(X[:0], Y[:0]), "expected at least one row and one feature"),
        (lambda: gs.Dataset(X, Y, classes=["a", "b"]), "y has the label 2, and classes has 2 names"),
        (lambda: fit(X, validation=X), "validation: y is missing"),
        (lambda: fit(X, validation=(X[:, :2], Y)), r"validation: x has rows of shape \(2,\), expected \(4,\)"),
        (lambda: fit(X, validation=(X * np.nan, Y)), r"validation: x\[0, 0\] is nan"),
        (
            lambda: fit(X, validation=0.001),
            "sets aside 1 row for .* has 17 of 60 rows; set aside at least 3 rows for val",
        ),
        (lambda: fit(X, callbacks=gs.Callback()), r"callbacks is .*; expected a list, as callbacks=\[…\]"),
        (lambda: gs.Batches(iter([])), "per_epoch is None; .* a source without a length needs it"),
        (lambda: gs.Trainer(gs.Linear(4, 3), "mse", gs.Adam()), r"expected a gearshift Loss, such as gs.MSELoss\(\)"),
        (lambda: gs.Trainer(gs.Linear(4, 3), gs.MSELoss(), "adam"), r"a gearshift Optimizer, such as gs.Adam\(\)"),
        (lambda: trainer(schedule=gs.OneCycle), "schedule is <class .*>; expected a gearshift Schedule"),
        (lambda: gs.Sequential([gs.Linear(4, 3)]), r"item 0 is a list; write gs.Sequential\(\*layers\)"),
        (lambda: gs.Concatenate()([gs.Input(2), gs.Input(2)]), r"called on \(a list\); expected 2 outputs"),
        (lambda: gs.Model(gs.Input(4), gs.Linear(4, 3)), "output is Linear.*; expected a gs.Input, or a layer called"),
        (lambda: trainer().outputs_of(gs.Linear(4, 3), X), r"is no layer of the model; expected one, as model\[0\]"),
        (lambda: gs.Inference("run"), "model is 'run'; expected a gearshift Layer, as gs.load returns"),
        (lambda: gs.Hessian(gs.MSELoss(), gs.Linear(4, 3), X, Y), r"model is MSELoss\(\); expected a gearshift Layer"),
        (lambda: gs.check_gradients(gs.Linear(4, 3), "mse", X, Y), "loss is 'mse'; expected a gearshift Loss"),
        (lambda: gs.gradient_noise("a", gs.MSELoss(), X, Y), "model is 'a'; expected a gearshift Layer"),
        (lambda: gs.bias_variance(lambda x, y: None, X, Y, X, Y), "fit returns None; expected a function"),
        (lambda: gs.load_dataset((X, Y)), "^source is a tuple, expected a name or a path; arrays need no load_dataset"),
        (lambda: gs.load_torch_state_dict(gs.Linear(4, 3), gs.Linear(4, 3)), r"a Linear; pass module.state_dict\(\)"),
        (lambda: learn(NoTuple()), "NoTuple: backward returns no tuple, expected a tuple of 1"),
        (lambda: learn(Summed()), r"Summed: forward returns \(32,\), expected \(32, 8\)"),
        (lambda: NotStored(4).config(), "argument 'features' is not stored; write self.features = features"),
    ],
)
def test_a_mistake_is_named(mistake: Callable[[], Any], words: str) -> None:
    with pytest.raises(gs.GearshiftError, match=words):
        mistake()


def test_targets_of_sequences_that_are_not_pooled() -> None:
    model = gs.Sequential(gs.Embedding(5, 4, length=4), gs.Linear(4, 3))
    run = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(), backend="numpy")
    with pytest.raises(gs.ShapeError, match=r"1 label a row, .* put gs.MeanPooling\(\) before the last layer"):
        run.fit(np.zeros((60, 4), int), Y, epochs=1, verbose=False)


def test_batches_of_two_sizes() -> None:
    with pytest.raises(gs.ShapeError, match=r"leave a smaller last batch out, as DataLoader\(drop_last=True\) does"):
        trainer().fit(gs.Batches([(X[:32], Y[:32]), (X[32:], Y[32:])]), epochs=1, verbose=False)


def test_one_where_several_are_usual() -> None:
    assert len(trainer(groups=gs.ParameterGroup("0.*", lr=0.1)).groups) == 1
    assert str(gs.autoencoder(6, 2, hidden=4)) == str(gs.autoencoder(6, 2, hidden=[4]))


def test_a_method_that_is_never_called(caplog: pytest.LogCaptureFixture) -> None:
    class Wrong(gs.Callback):
        def on_batch_end(self) -> None: ...
        def on_click(self) -> None: ...

    with caplog.at_level(logging.WARNING, "gearshift"):
        fit(X, callbacks=[Wrong()])
    assert "Wrong.on_batch_end is never called; the hooks are on_train_begin" in caplog.text


def test_a_record_that_is_not_there() -> None:
    with pytest.raises(KeyError, match="'val_loss' is not recorded; these are: epoch, step, loss, accuracy"):
        fit(X)["val_loss"]


def test_python_suggests_a_public_name() -> None:
    done = subprocess.run([sys.executable, "-c", "import gearshift as gs; gs.Relu"], capture_output=True, text=True)
    assert "Did you mean: 'ReLU'?" in done.stderr


def test_plots_name_what_they_draw() -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(
        gs.ConfigurationError, match=r"roc: got a Trainer; expected what trainer.curves\(x, y\) returns"
    ):
        gs.plots.roc(trainer())
