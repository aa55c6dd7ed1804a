"""A model answers by itself: as its trainer does, with the weights of the moment, and as NumPy computes it."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gearshift as gs

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(90, 4)).astype(np.float32)
KINDS = np.array(["owl", "cat", "dog"])[X[:, :3].argmax(axis=1)]


def trained(loss: gs.Loss, outputs: int, y: Any, **options: Any) -> gs.Trainer:
    """A small trainer that has learned a little."""
    model = gs.Sequential(gs.Linear(4, 8), gs.ReLU(), gs.Dropout(0.5), gs.Linear(8, outputs))
    for name, value in options.items():
        setattr(model, name, value)
    trainer = gs.Trainer(model, loss, gs.Adam(lr=0.02), backend="numpy", seed=1)
    trainer.fit(X, y, epochs=5, verbose=False)
    return trainer


@pytest.fixture
def classifier() -> gs.Trainer:
    names, labels = np.unique(KINDS, return_inverse=True)
    return trained(gs.CrossEntropyLoss(), 3, labels, classes=names.tolist())


def test_outputs_are_those_of_the_formula(classifier: gs.Trainer) -> None:
    model = classifier.model
    weights = model.state_dict()
    hidden = np.maximum(X @ weights["0.weight"] + weights["0.bias"], 0)
    expected = hidden @ weights["3.weight"] + weights["3.bias"]
    for found in (model(X), model(X.tolist()), model.outputs(X, backend="numpy"), model.outputs(X, backend="numba")):
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)
    np.testing.assert_array_equal(model.predict(X), np.unique(KINDS)[expected.argmax(axis=1)])
    exps = np.exp(expected - expected.max(axis=1, keepdims=True))
    np.testing.assert_allclose(model.predict_proba(X), exps / exps.sum(axis=1, keepdims=True), rtol=2e-5)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("layer", [gs.Dropout(0.5), gs.GaussianNoise(1.0), gs.KLSparsity()], ids=repr)
def test_layers_that_only_training_needs_answer_their_input(layer: gs.Layer, backend: str) -> None:
    np.testing.assert_array_equal(layer.outputs(X, backend=backend), X)
    trainer = gs.Trainer(gs.Sequential(layer), gs.MSELoss(), gs.SGD(), backend=backend)
    np.testing.assert_array_equal(trainer.predict(X), X)


def test_class_names_are_accepted_and_returned(classifier: gs.Trainer) -> None:
    model, labels = classifier.model, np.unique(KINDS, return_inverse=True)[1]
    by_name = model.evaluate(X, KINDS, backend="numpy", report=True)
    assert by_name == classifier.evaluate(X, labels, report=True)
    assert by_name["accuracy"] == pytest.approx(np.mean(model.predict(X) == KINDS))
    assert model.evaluate(gs.Dataset(X, labels), backend="numpy") == classifier.evaluate(X, labels)
    assert model.evaluate((X, KINDS, np.ones(90)), backend="numpy")["accuracy"] == by_name["accuracy"]
    with pytest.raises(gs.DataError, match=r"y\[0\] is 'cow'; the model's classes are 'cat', 'dog', 'owl'"):
        model.evaluate(X[:1], ["cow"])


def test_the_weights_are_those_of_the_moment_and_training_goes_on(classifier: gs.Trainer) -> None:
    """Answers in the middle of a training change nothing of it."""
    model, labels = classifier.model, np.unique(KINDS, return_inverse=True)[1]
    undisturbed = copy.deepcopy(classifier)
    seen = []

    class Watch(gs.Callback):
        def on_epoch_end(self, trainer: Any, record: dict[str, float]) -> None:
            seen.append((trainer.model.predict_proba(X, backend="numpy"), trainer.predict_proba(X)))

    classifier.fit(X, labels, epochs=3, verbose=False, callbacks=[Watch()])
    undisturbed.fit(X, labels, epochs=3, verbose=False)
    for own, trainers in seen:
        np.testing.assert_array_equal(own, trainers)
    assert not np.array_equal(seen[0][0], seen[1][0])
    for name, value in undisturbed.model.state_dict().items():
        np.testing.assert_array_equal(value, model.state_dict()[name])


@pytest.mark.parametrize(
    ("loss", "outputs", "y"),
    [
        (gs.MSELoss(), 1, X[:, 0] * 1000),
        (gs.BCEWithLogitsLoss(), 1, (X[:, 0] > 0).astype(int)),
        (gs.HingeLoss(), 1, np.sign(X[:, 0]).astype(int)),
        (gs.MulticlassHingeLoss(), 3, X[:, :3].argmax(axis=1)),
        (
            gs.JointLoss(kind=gs.Head(gs.CrossEntropyLoss(), 3), size=gs.Head(gs.MSELoss(), 1, weight=0.5)),
            4,
            (X[:, :3].argmax(axis=1), X[:, 3]),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_files_keep_the_loss(tmp_path: Path, loss: gs.Loss, outputs: int, y: Any) -> None:
    scaling = {"target_scaling": gs.TargetScaling.of(y)} if isinstance(loss, gs.MSELoss) else {}
    trainer = trained(loss, outputs, y, **scaling)
    trainer.save(tmp_path / "run.safetensors")
    trainer.model.save(tmp_path / "model.safetensors")
    for path in ("run.safetensors", "model.safetensors"):
        loaded = gs.load(tmp_path / path)
        assert repr(loaded.loss) == repr(loss)
        found, expected = loaded.predict(X, backend="numpy"), trainer.predict(X)
        if isinstance(expected, dict):
            assert all(np.array_equal(found[name], expected[name]) for name in expected)
        else:
            np.testing.assert_array_equal(found, expected)
        assert loaded.evaluate(X, y, backend="numpy") == trainer.evaluate(X, y)


def test_a_run_is_loaded_by_its_directory(tmp_path: Path) -> None:
    from gearshift.dl.experiment.config import parse, write
    from gearshift.dl.experiment.run_writer import RunWriter

    path = tmp_path / "run"
    names, labels = np.unique(KINDS, return_inverse=True)
    trainer = trained(gs.CrossEntropyLoss(), 3, labels, classes=names.tolist())
    writer = RunWriter(path, 60, "loss")
    with writer.opened():
        writer.begin(write(parse({})), trainer, resume=False)
        trainer.fit(X, labels, epochs=1, verbose=False, callbacks=[writer])
    for source in (path, str(path), gs.Run(path)):
        assert gs.load(source).predict(X[:5], backend="numpy").tolist() == names[trainer.predict(X[:5])].tolist()
    with pytest.raises(gs.ConfigurationError, match=r"is not a run: it holds no config.toml"):
        gs.load(tmp_path)
    with pytest.raises(gs.ConfigurationError, match="is not a run: there is no such directory"):
        gs.Run(tmp_path / "none")


def test_copies_and_changes_are_followed(classifier: gs.Trainer) -> None:
    model = classifier.model
    before = model.predict_proba(X, backend="numpy")
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other.predict_proba(X, backend="numpy"), before)
    other = copy.copy(model).astype("float64")
    assert other.predict_proba(X, backend="numpy").dtype == np.float64
    model.load_state_dict({name: 0 * value for name, value in model.state_dict().items()})
    np.testing.assert_allclose(model.predict_proba(X, backend="numpy"), 1 / 3, rtol=1e-6)


def test_a_model_of_an_unknown_loss_has_outputs_alone() -> None:
    model = gs.Sequential(gs.Linear(4, 3)).init(0)
    np.testing.assert_array_equal(model.predict(X, backend="numpy"), model(X))
    with pytest.raises(gs.ConfigurationError, match="the model's loss is not known"):
        model.predict_proba(X)
    model.loss = gs.CrossEntropyLoss()
    assert model.predict(X).dtype == np.int64 and model.predict_proba(X).shape == (90, 3)
    with pytest.raises(gs.ShapeError):
        model.predict(X[:, :2])


def test_damaged_losses(tmp_path: Path) -> None:
    from gearshift.dl.losses.described import loss_from

    assert loss_from(None) is None and loss_from({"name": "OfAnotherProgram"}) is None
    for broken in ({"name": "JointLoss", "heads": {"a": {}}}, {"name": "JointLoss", "heads": [1]}):
        with pytest.raises(gs.CheckpointError, match="the checkpoint's loss is malformed"):
            loss_from(broken)
