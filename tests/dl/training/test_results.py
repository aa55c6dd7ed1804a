"""Confusion, curves and the CSV log: compared with scikit-learn and pandas."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

import gearshift as gs
from gearshift.__main__ import main

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(300, 4)).astype(np.float32)
LABELS = (X[:, :3] + RANDOM.normal(size=(300, 3))).argmax(axis=1)


@pytest.fixture(scope="module")
def run() -> gs.Trainer:
    model = gs.Sequential(gs.Linear(4, 3))
    model.classes = ["ape", "bat", "cow"]
    trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(lr=0.05), backend="numpy")
    trainer.fit(X, LABELS, epochs=5, verbose=False)
    return trainer


@pytest.mark.parametrize("weighted", [False, True])
def test_confusion_and_f1(run: gs.Trainer, weighted: bool) -> None:
    weight = RANDOM.random(300) if weighted else None
    report, answers = run.report((X, LABELS, weight)), run.predict(X)
    expected = metrics.confusion_matrix(LABELS, answers, sample_weight=weight)
    np.testing.assert_allclose(report.confusion, expected)
    per_class: Any = None
    f1 = metrics.f1_score(LABELS, answers, average=per_class, sample_weight=weight)
    np.testing.assert_allclose(report.f1, f1)
    assert report.accuracy == pytest.approx(metrics.accuracy_score(LABELS, answers, sample_weight=weight))
    true, predicted, rows = report.confused[0]
    assert rows == pytest.approx((expected - np.diag(np.diag(expected))).max())
    assert f"rows of class {true} predicted as {predicted}" in str(report)


def test_curves(run: gs.Trainer) -> None:
    curves, proba = run.curves(X, LABELS), run.predict_proba(X)
    assert [*curves.roc] == ["ape", "bat", "cow"]
    for place, name in enumerate(curves.roc):
        own, p = place == LABELS, proba[:, place]
        assert curves.roc[name].area == pytest.approx(metrics.roc_auc_score(own, p))
        assert curves.roc[name].area == pytest.approx(np.trapezoid(curves.roc[name].y, curves.roc[name].x))
        assert curves.precision_recall[name].area == pytest.approx(metrics.average_precision_score(own, p))
        assert curves.shares[name] == pytest.approx(own.mean())
    assert "ROC area" in str(curves)
    with pytest.raises(gs.DataError, match="no rows are of class 'ape'"):
        run.curves(X[LABELS > 0], LABELS[LABELS > 0])
    two = gs.Trainer(gs.Sequential(gs.Linear(4, 1)), gs.BCEWithLogitsLoss(), gs.SGD(), backend="numpy")
    assert [*two.curves(X, LABELS > 1).roc] == ["1"]


def test_pictures(run: gs.Trainer, tmp_path: Path) -> None:
    """Axes have names, points are those of the numbers, and files are pictures."""
    pytest.importorskip("matplotlib")
    report, curves = run.report(X, LABELS), run.curves(X, LABELS)
    figure = gs.plots.confusion(report, tmp_path / "c.png")
    written = sorted(text.get_text() for text in figure.axes[0].texts)
    assert written == sorted(f"{count:g}" for count in report.confusion.ravel() if count)
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("predicted class", "true class")
    for draw, own in ((gs.plots.roc, curves.roc), (gs.plots.precision_recall, curves.precision_recall)):
        axes = draw(curves, tmp_path / "r.png").axes[0]
        np.testing.assert_array_equal(axes.lines[0].get_ydata(), own["ape"].y)
        assert len(axes.get_xticks()) >= 3
    values = gs.Trainer(gs.Sequential(gs.Linear(4, 1)), gs.MSELoss(), gs.SGD(), backend="numpy")
    axes = gs.plots.residuals(values, X, X[:, 0], tmp_path / "v.png").axes[0]
    shown = axes.collections[0].get_offsets()
    answers = values.predict(X)[:, 0]
    np.testing.assert_allclose(shown, np.column_stack([answers, X[:, 0] - answers]), rtol=1e-5, atol=1e-6)
    assert all((tmp_path / name).read_bytes()[:4] == b"\x89PNG" for name in ("c.png", "r.png", "v.png"))
    with pytest.raises(gs.ConfigurationError, match="does not compare values"):
        gs.plots.residuals(run, X, LABELS)


def test_the_csv_log_is_the_history(tmp_path: Path) -> None:
    class Extra(gs.Callback):
        """Adds a value from the second epoch on."""

        def on_epoch_end(self, trainer: Any, record: dict[str, float]) -> None:
            if trainer.epoch > 1:
                record["extra"] = float(trainer.epoch)

    model = gs.Sequential(gs.Linear(4, 3))
    trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(), backend="numpy")
    log = gs.CSVLogger(tmp_path / "log.csv")
    for _ in range(2):
        trainer.fit(X, LABELS, epochs=2, callbacks=[Extra(), log], verbose=False)
    with (tmp_path / "log.csv").open(newline="") as file:
        rows = [*csv.DictReader(file)]
    assert len(rows) == 4 and rows[0]["extra"] == ""
    for row, record in zip(rows, trainer.history, strict=True):
        assert {name: float(value) for name, value in row.items() if value} == record


def test_the_command_draws_and_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    names = np.array(["ape", "bat", "cow"])
    np.savez(tmp_path / "kinds.npz", x=X, y=names[LABELS])
    np.savez(tmp_path / "values.npz", x=X, y=X[:, 0] * 3.5)
    np.savez(tmp_path / "plane.npz", x=X[:, :2], y=names[LABELS])
    of_classes = ["confusion", "precision-recall", "roc"]
    drawn = {"kinds": of_classes, "values": ["residuals"], "plane": sorted([*of_classes, "decision-boundary"])}
    for source, pictures in drawn.items():
        run, quick = tmp_path / source, ["--backend", "numpy", "--quiet", "--set", "train.epochs=2"]
        data = ["--set", f"data.source={tmp_path / source}.npz"]
        for arguments in (
            ["train", "--run", run, *quick, *data],
            ["evaluate", run, "--plots", tmp_path / f"{source}-plots", "--backend", "numpy"],
        ):
            with pytest.raises(SystemExit) as ended:
                main([str(argument) for argument in arguments])
            assert not ended.value.code
        assert sorted(path.stem for path in (tmp_path / f"{source}-plots").iterdir()) == pictures
    assert "ROC area" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["evaluate", str(tmp_path / "kinds"), "--report", "--json", "--backend", "numpy"])
    found = json.loads(capsys.readouterr().out)
    confusion = np.array(found["classes"]["confusion"])
    assert found["classes"]["names"] == ["ape", "bat", "cow"] and confusion.sum() == 60
    assert np.trace(confusion) / 60 == pytest.approx(found["test"]["accuracy"])


def test_tensorboard_reads_the_history(run: gs.Trainer, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    model = gs.Sequential(gs.Linear(4, 3))
    trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(), backend="numpy")
    board = gs.TensorBoard(tmp_path / "board")
    history = trainer.fit(X, LABELS, validation=(X, LABELS), epochs=3, callbacks=[board], verbose=False)
    events = reader.EventAccumulator(str(tmp_path / "board"))
    events.Reload()
    for name, column in (("loss", "loss"), ("validation/accuracy", "validation_accuracy"), ("lr", "lr")):
        found = events.Scalars(name)
        assert [event.step for event in found] == history["step"]
        np.testing.assert_allclose([event.value for event in found], history[column], rtol=1e-6)


def test_results_show_themselves_in_a_notebook(run: gs.Trainer) -> None:
    pytest.importorskip("matplotlib")
    assert "<svg" in run.history._repr_html_() and "loss" in run.history._repr_html_()
    assert gs.History()._repr_html_() == "<pre>History(0 epochs)</pre>"
    assert "<pre>class" in run.report(X, LABELS)._repr_html_() and "<pre>class" in run.curves(X, LABELS)._repr_html_()
