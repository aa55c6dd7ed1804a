"""Metrics of the user's own: as scikit-learn computes them, in the history, watched, and from TOML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

import gearshift as gs
from gearshift.__main__ import main

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(200, 4)).astype(np.float32)
LABELS = X[:, :3].argmax(axis=1)
VALIDATION = gs.Dataset(X[150:], LABELS[150:])


def trainer(loss: gs.Loss, outputs: int, seed: int = 0) -> gs.Trainer:
    return gs.Trainer(gs.Sequential(gs.Linear(4, outputs)), loss, gs.Adam(lr=0.02), backend="numpy", seed=seed)


def test_scorers_and_functions_of_a_classifier() -> None:
    def worst(y: Any, predictions: Any) -> float:
        return min(np.mean(predictions[y == label] == label) for label in range(3))

    run = trainer(gs.CrossEntropyLoss(), 3)
    named = {"mine": worst, "f1_macro": "f1_macro", "log": "neg_log_loss", "auc": "roc_auc_ovr"}
    history = run.fit(X[:150], LABELS[:150], validation=VALIDATION, epochs=2, metrics=named, verbose=False)
    y, answers, proba = LABELS[150:], run.predict(X[150:]), run.predict_proba(X[150:])
    expected = {
        "mine": worst(y, answers),
        "f1_macro": sklearn_metrics.f1_score(y, answers, average="macro"),
        "log": -sklearn_metrics.log_loss(y, proba),
        "auc": sklearn_metrics.roc_auc_score(y, proba, multi_class="ovr"),
    }
    for name, value in expected.items():
        assert history[-1][f"validation_{name}"] == pytest.approx(value, rel=1e-6)


def test_two_classes_and_values_in_their_units() -> None:
    run = trainer(gs.BCEWithLogitsLoss(), 1)
    y = (X[:, 0] > 0).astype(int)
    weight = RANDOM.random(50)
    held = gs.Dataset(X[150:], y[150:], weight)
    history = run.fit(X[:150], y[:150], validation=held, epochs=3, metrics=["roc_auc", "f1"], verbose=False)
    proba, answers = run.predict_proba(X[150:])[:, 1], run.predict(X[150:])
    assert history[-1]["validation_roc_auc"] == pytest.approx(
        sklearn_metrics.roc_auc_score(y[150:], proba, sample_weight=weight)
    )
    assert history[-1]["validation_f1"] == pytest.approx(
        sklearn_metrics.f1_score(y[150:], answers, sample_weight=weight)
    )
    run, targets = trainer(gs.MSELoss(), 1), 1000 + 50 * X[:, 0]
    run.model.target_scaling = gs.TargetScaling.of(targets)
    history = run.fit(
        X[:150],
        targets[:150],
        validation=(X[150:], targets[150:]),
        epochs=2,
        metrics=["r2", sklearn_metrics.mean_absolute_error],
        verbose=False,
    )
    answers = run.predict(X[150:])[:, 0]
    assert history[-1]["validation_r2"] == pytest.approx(sklearn_metrics.r2_score(targets[150:], answers))
    assert history[-1]["validation_mean_absolute_error"] == pytest.approx(np.abs(targets[150:] - answers).mean())


def test_a_metric_is_watched_in_its_direction_and_small_changes_do_not_count() -> None:
    values = iter([5.0, 4.0, 3.95, 3.93, 3.9])
    run = trainer(gs.CrossEntropyLoss(), 3)
    run.fit(
        X[:150],
        LABELS[:150],
        validation=VALIDATION,
        epochs=9,
        metrics={"my_error": lambda y, p: next(values)},
        monitor="validation_my_error",
        patience=3,
        min_delta=0.2,
        verbose=False,
    )
    assert run.stopped == "patience" and run.epoch == 5 and run.early_stopping.best_epoch == 2
    with pytest.raises(gs.ConfigurationError, match="min_delta is -1"):
        run.fit(X, LABELS, min_delta=-1, verbose=False)


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        (["f1_makro"], "'f1_makro' is no scorer of scikit-learn"),
        ([3], "3 is no metric"),
        (["f1_macro", "f1_macro"], "'f1_macro' occurs twice"),
        ({"a": lambda y, p: "many"}, "'a' cannot be computed"),
    ],
)
def test_what_is_refused(metrics: Any, message: str) -> None:
    with pytest.raises(gs.ConfigurationError, match=message):
        trainer(gs.CrossEntropyLoss(), 3).fit(X, LABELS, validation=VALIDATION, metrics=metrics, verbose=False)
    with pytest.raises(gs.ConfigurationError, match="metrics are computed on validation data"):
        trainer(gs.CrossEntropyLoss(), 3).fit(X, LABELS, metrics=["f1_macro"], verbose=False)


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [
        "train.metrics=['f1_macro']",
        "train.monitor=validation_f1_macro",
        "train.epochs=3",
        "model.hidden=[4]",
        "model.init=normal(0, 0.5)",
        "schedule.name=plateau",
        "schedule.patience=1",
    ]
    words = [word for option in options for word in ("--set", option)]
    run = str(tmp_path / "run")
    with pytest.raises(SystemExit) as ended:
        main(["train", "--run", run, "--backend", "numpy", "--quiet", *words])
    assert not ended.value.code
    history = gs.Run(run).history
    assert len(history["validation_f1_macro"]) == 3
    data = gs.load_dataset("digits", seed=0)
    best = gs.load(run).predict(data.validation.x, backend="numpy")
    f1 = sklearn_metrics.f1_score(data.classes[data.validation.y], best, average="macro")
    assert f1 == pytest.approx(max(history["validation_f1_macro"]))
    with pytest.raises(SystemExit) as ended:
        main(["train", "--set", "model.init=normal(0, zero)"])
    assert ended.value.code == 2 and "init 'normal(0, zero)' is not known" in capsys.readouterr().err
