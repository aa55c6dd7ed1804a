"""Weights of rows and classes in training and evaluation, precision and recall, and a loss small enough to stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.backends.errors import ConfigurationError, DataError
from gearshift.dl.data.reconstruction import reconstructing
from gearshift.dl.experiment import build as experiment
from gearshift.dl.experiment.config import parse

BACKENDS = ("numpy", "numba")
RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((30, 5))
Y = RANDOM.choice(3, 30, p=[0.7, 0.2, 0.1])
WEIGHT = RANDOM.integers(0, 4, 30).astype(float)
CLASSES = [0.5, 2.0, 4.0]


def net(outputs: int = 3) -> gs.Sequential:
    return gs.Sequential(gs.Linear(5, 6), gs.Tanh(), gs.Linear(6, outputs), dtype="float64").init(3)


@pytest.mark.torch
@pytest.mark.parametrize("backend", BACKENDS)
def test_class_weights_train_as_in_torch(backend: str) -> None:
    torch = pytest.importorskip("torch")
    model = net()
    w = {key: torch.tensor(array, requires_grad=True) for key, array in model.state_dict().items()}
    trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(lr=0.02), backend=backend)
    history = trainer.fit(X, Y, epochs=200, batch_size=30, class_weight=CLASSES, verbose=False)
    loss = torch.nn.CrossEntropyLoss(weight=torch.tensor(CLASSES, dtype=torch.float64))
    optimizer = torch.optim.Adam(w.values(), lr=0.02)
    for step in range(200):
        optimizer.zero_grad()
        hidden = torch.tanh(torch.tensor(X) @ w["0.weight"] + w["0.bias"])
        value = loss(hidden @ w["2.weight"] + w["2.bias"], torch.tensor(Y))
        value.backward()
        assert abs(history[step]["loss"] - value.item()) <= 1e-10
        optimizer.step()
    assert max(np.max(np.abs(v - w[key].detach().numpy())) for key, v in model.state_dict().items()) <= 1e-10


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("loss", "y"),
    [(gs.CrossEntropyLoss(), Y), (gs.MSELoss(), X[:, :3] ** 2), (gs.BCEWithLogitsLoss(), np.eye(3)[Y])],
    ids=["labels", "values", "binary"],
)
def test_a_row_of_weight_k_counts_as_k_rows(loss: gs.Loss, y: np.ndarray, backend: str) -> None:
    models = net(), net()
    repeated = np.repeat(np.arange(30), WEIGHT.astype(int))
    data = gs.Dataset(X, y, WEIGHT), gs.Dataset(X[repeated], y[repeated])
    ends = []
    for model, each in zip(models, data, strict=True):
        trainer = gs.Trainer(model, loss, gs.SGD(lr=0.1, momentum=0.9), backend=backend)
        trainer.fit(each, validation=each, epochs=20, batch_size=len(each), verbose=False)
        ends.append([*trainer.history["loss"], *trainer.history["validation_loss"], trainer.evaluate(each)["loss"]])
    assert np.max(np.abs(np.subtract(*ends))) <= 1e-12
    a, b = (model.state_dict() for model in models)
    assert max(np.max(np.abs(a[key] - b[key])) for key in a) <= 1e-12


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_only_ratios_of_weights_matter(scale: float) -> None:
    model = net()
    trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(lr=0.1), backend="numba")
    trainer.fit((X, Y, scale * WEIGHT), epochs=3, batch_size=7, verbose=False)
    other = gs.Trainer(net(), gs.CrossEntropyLoss(), gs.SGD(lr=0.1), backend="numba")
    other.fit((X, Y, WEIGHT), epochs=3, batch_size=7, verbose=False)
    a, b = model.state_dict(), other.model.state_dict()
    assert max(np.max(np.abs(a[key] - b[key])) for key in a) <= 1e-13


def test_balanced_classes_multiply_rows_weights() -> None:
    ends = []
    counts = np.bincount(Y)
    for data, given in (((X, Y, WEIGHT), "balanced"), ((X, Y, WEIGHT * 30 / (3 * counts[Y])), None)):
        trainer = gs.Trainer(net(), gs.CrossEntropyLoss(), gs.SGD(lr=0.1), backend="numpy")
        trainer.fit(data, epochs=5, batch_size=8, class_weight=given, verbose=False)
        ends.append(trainer.model.state_dict())
    assert max(np.max(np.abs(ends[0][key] - ends[1][key])) for key in ends[0]) <= 1e-13
    trainer = gs.Trainer(net(), gs.CrossEntropyLoss(), gs.SGD(lr=0.1), backend="numpy")
    trainer.fit(X, Y, class_weight={1: 2.0}, verbose=False)  # the others have 1


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (WEIGHT[:-1], "weight has 29 rows"),
        (-WEIGHT, "non-negative and not all zero"),
        (0 * WEIGHT, "non-negative and not all zero"),
        (WEIGHT[:, None], "one a row"),
        (np.where(np.arange(30) == 4, np.nan, WEIGHT), r"weight\[4\] is nan"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weight: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        gs.Dataset(X, Y, weight)


def test_class_weights_that_do_not_fit_are_refused() -> None:
    trainer = gs.Trainer(net(), gs.CrossEntropyLoss(), gs.SGD(), backend="numpy")
    with pytest.raises(ConfigurationError, match="class_weight has 2 weights; expected one for each of the 3 classes"):
        trainer.fit(X, Y, class_weight=[1, 2], verbose=False)
    with pytest.raises(ConfigurationError, match="expected 'balanced'"):
        trainer.fit(X, Y, class_weight="even", verbose=False)
    with pytest.raises(ConfigurationError, match=r"MSELoss\(\) learns numbers and has no classes"):
        gs.Trainer(net(), gs.MSELoss(), gs.SGD(), backend="numpy").fit(X, X[:, :3], class_weight="balanced")


def test_a_data_set_s_parts_keep_their_weights() -> None:
    data = gs.Dataset(X, Y, WEIGHT)
    assert np.array_equal(data[5:9].weight, WEIGHT[5:9])
    assert repr(data) == "Dataset(x=(30, 5) float64, y=(30,) int64, weight=(30,) float64)"


def test_precision_and_recall_are_those_of_the_counts() -> None:
    trainer = gs.Trainer(net(), gs.CrossEntropyLoss(), gs.Adam(lr=0.05), backend="numpy")
    trainer.model.classes = ["a", "b", "c"]
    trainer.fit(X, Y, epochs=30, verbose=False)
    answers, report = trainer.predict(X), trainer.report(X, Y)
    counts = np.zeros((3, 3))
    np.add.at(counts, (Y, answers), 1)
    assert np.allclose(report.precision, np.diag(counts) / np.maximum(counts.sum(axis=0), 1), atol=1e-15)
    assert np.allclose(report.recall, np.diag(counts) / counts.sum(axis=1), atol=1e-15)
    assert "b " in str(report)
    found = trainer.evaluate(X, Y, report=True)
    assert found["precision"] == pytest.approx(report.precision.mean(), rel=1e-14)
    assert found["recall"] == pytest.approx(report.recall.mean(), rel=1e-14)
    assert "precision" not in trainer.evaluate(X, Y)


@pytest.mark.parametrize(("loss", "signs"), [(gs.BCEWithLogitsLoss(), (0, 1)), (gs.HingeLoss(), (-1, 1))])
def test_precision_and_recall_of_two_classes_are_those_of_the_second(loss: gs.Loss, signs: tuple[int, int]) -> None:
    truth = X[:, 0] > 0.4
    y = np.where(truth, *signs[::-1]).astype(float)
    trainer = gs.Trainer(net(1), loss, gs.Adam(lr=0.05), backend="numpy")
    trainer.fit(X, y, epochs=20, verbose=False)
    yes = trainer.predict(X) == 1
    found = trainer.evaluate(X, y, report=True)
    assert found["precision"] == pytest.approx(np.sum(yes & truth) / np.sum(yes))
    assert found["recall"] == pytest.approx(np.sum(yes & truth) / np.sum(truth))


def test_what_has_no_classes_has_no_report() -> None:
    with pytest.raises(ConfigurationError, match="MSELoss has no classes"):
        gs.Trainer(net(), gs.MSELoss(), gs.SGD(), backend="numpy").report(X, X[:, :3])


def test_training_stops_at_a_loss_small_enough() -> None:
    trainer = gs.Trainer(net(), gs.CrossEntropyLoss(), gs.Adam(lr=0.02), backend="numba")
    history = trainer.fit(X, Y, epochs=500, loss_goal=0.3, verbose=False)
    assert history[-1]["loss"] <= 0.3 < history[-2]["loss"]
    assert trainer.stopped == "loss"
    with pytest.raises(ConfigurationError, match="loss_goal is 'low'"):
        trainer.fit(X, Y, loss_goal="low")  # pyright: ignore[reportArgumentType]


def test_configuration() -> None:
    assert parse({"train": {"class_weight": [1.0, 2.0], "loss_goal": 0.1}}).train.class_weight == [1.0, 2.0]
    assert parse({"train": {"class_weight": "balanced"}}).train.class_weight == "balanced"
    with pytest.raises(ConfigurationError, match="class_weight"):
        parse({"train": {"class_weight": "even"}})


def test_the_report_takes_labels_in_a_column_and_labels_of_tokens() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    trainer = gs.Trainer(net(), gs.CrossEntropyLoss(), gs.SGD(), backend="numpy")
    flat, column = trainer.report(X, Y), trainer.report(X, Y[:, None])
    assert np.array_equal(flat.precision, column.precision) and np.array_equal(flat.recall, column.recall)
    tokens = RANDOM.integers(0, 4, (20, 3))
    model = gs.Sequential(gs.Embedding(4, 5), gs.Linear(5, 4)).init(0)
    of_tokens = gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(), backend="numpy")
    x, y = tokens.astype(np.float32), (tokens + 1) % 4
    found, answers = of_tokens.report(x, y), of_tokens.predict(x)
    expected = sklearn.precision_score(y.ravel(), answers.ravel(), average=None, zero_division=0)
    assert found.precision == pytest.approx(expected)
    assert found.rows.sum() == 60


@pytest.mark.parametrize("weights", [{0: 0.5, 1: 2.0, 2: 4.0}, {np.int64(2): 4, 1: 2, 0: 0.5}, np.array(CLASSES)])
def test_every_form_of_class_weights_is_the_same(weights: Any) -> None:
    losses = []
    for form in (CLASSES, weights):
        trainer = gs.Trainer(net(), gs.CrossEntropyLoss(), gs.SGD(), backend="numpy")
        losses.append(trainer.fit(X, Y[:, None] if form is weights else Y, class_weight=form, verbose=False)["loss"])
    assert losses[0] == losses[1]


def test_a_mapping_leaves_the_other_classes_at_1() -> None:
    """Also where it names a class of which there are no rows."""
    losses = []
    for weights in ([1.0, 3.0, 1.0, 1.0], {1: 3.0, 3: 1.0}):
        trainer = gs.Trainer(net(4), gs.CrossEntropyLoss(), gs.SGD(), backend="numpy")
        losses.append(trainer.fit(X, Y, class_weight=weights, verbose=False)["loss"])
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (5, "class_weight is 5; expected 'balanced'"),
        ("even", "class_weight is 'even'; expected 'balanced'"),
        ({"a": 1.0}, "the key 'a', which is no class; expected keys of: 0, 1, 2"),
        ({"1": 1.0}, "the key '1', which is no class; expected keys of: 0, 1, 2"),
        ({7: 50.0}, "the key 7, which is no class; expected keys of: 0, 1, 2"),
        ({-1: 50.0}, "the key -1, which is no class"),
        ({1.0: 50.0}, r"the key 1\.0, which is no class"),
        ({1: float("nan")}, "of class 1 is nan; expected a finite number"),
        ({1: float("inf")}, "of class 1 is inf; expected a finite number"),
        ([1.0, -1.0, 1.0], r"of class 1 is -1\.0; expected a finite number of at least 0"),
        ([1.0, "b", 1.0], "of class 1 is 'b'"),
        ([0, 0, 0], r"\[0, 0, 0\] gives every row the weight 0"),
        ([1.0], "class_weight has 1 weights; expected one for each of the 3 classes: 0, 1, 2"),
        ([1.0] * 4, "class_weight has 4 weights"),
    ],
)
def test_class_weights_that_are_none(weights: Any, message: str) -> None:
    trainer = gs.Trainer(net(), gs.CrossEntropyLoss(), gs.SGD(), backend="numpy")
    with pytest.raises(ConfigurationError, match=message):
        trainer.fit(X, Y, class_weight=weights, verbose=False)
    assert trainer.step == 0


@pytest.mark.parametrize(
    ("loss", "y", "weights"),
    [
        (gs.BCEWithLogitsLoss(), (Y == 1).astype(int), {1: 5.0}),
        (gs.BCEWithLogitsLoss(), Y == 1, [1.0, 5.0]),
        (gs.BCEWithLogitsLoss(), (Y == 1).astype(float), {1: 5.0}),
        (gs.HingeLoss(), np.where(Y == 1, 1, -1), {1: 5.0}),
        (gs.HingeLoss(), np.where(Y == 1, 1.0, -1.0)[:, None], {-1: 1.0, 1: 5.0}),
        (gs.HingeLoss(), (Y == 1).astype(int), [1.0, 5.0]),
    ],
)
def test_class_weights_of_two_classes_are_weights_of_their_rows(loss: gs.Loss, y: np.ndarray, weights: Any) -> None:
    ends = []
    for options in ({"class_weight": weights}, {}):
        data = gs.Dataset(X, y) if options else gs.Dataset(X, y, np.where(Y == 1, 5.0, 1.0))
        trainer = gs.Trainer(net(1), loss, gs.SGD(lr=0.1), backend="numpy")
        ends.append(trainer.fit(data, epochs=3, verbose=False, **options)["loss"])
    assert ends[0] == ends[1]


def test_class_weights_go_by_the_classes_names_where_these_are_known() -> None:
    ends = []
    cases: list[tuple[Any, dict[Any, float]]] = [
        (None, {1: 3.0}),
        (["ant", "bee", "cow"], {"bee": 3.0}),
        ([2, 1, 0], {1: 3.0}),
    ]
    for names, weights in cases:
        model = net()
        model.classes = names
        trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(), backend="numpy")
        ends.append(trainer.fit(X, Y, class_weight=weights, verbose=False)["loss"])
    assert ends[0] == ends[1] == ends[2]
    model.classes = ["ant", "bee", "cow"]
    with pytest.raises(ConfigurationError, match="the key 1, which is no class; expected keys of: 'ant', 'bee', 'cow'"):
        trainer.fit(X, Y, class_weight={1: 3.0}, verbose=False)


@pytest.mark.parametrize("names", [["fine", "fraud"], [3, 8]])
def test_a_configuration_names_classes_as_the_data_do(names: list[Any], tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=X, y=np.array(names)[(Y == 1).astype(int)])
    settings = [f"data.source={tmp_path / 'd.npz'}", f"train.class_weight={{{names[1]} = 4.0}}"]
    configuration = parse({}, settings)
    splits, trainer = experiment.build(configuration, "numpy")
    assert experiment.class_weights(configuration, splits) == {names[1]: 4.0}
    found = trainer.fit(splits.train, class_weight=experiment.class_weights(configuration, splits), verbose=False)
    plain = experiment.build(parse({}, settings[:1]), "numpy")[1]
    assert found["loss"] == plain.fit(splits.train, class_weight=[1.0, 4.0], verbose=False)["loss"]


def test_class_weights_are_not_for_labels_of_tokens() -> None:
    tokens = RANDOM.integers(0, 4, (20, 3))
    model = gs.Sequential(gs.Embedding(4, 5), gs.Linear(5, 4))
    trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(), backend="numpy")
    with pytest.raises(DataError, match="class_weight needs a class for each row"):
        trainer.fit(tokens.astype(np.float32), tokens, class_weight="balanced", verbose=False)


def test_weights_stay_with_rows_that_are_their_own_targets() -> None:
    part = gs.Dataset(X, None, WEIGHT)
    assert np.array_equal(reconstructing(gs.Splits(part), False).train.weight, WEIGHT)
