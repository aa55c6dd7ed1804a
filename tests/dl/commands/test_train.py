"""Training from the command line: runs, class names, measures, and the choice of the backend."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import gearshift as gs
from gearshift.__main__ import main

QUICK = ["--set", "train.epochs=3", "--set", "model.hidden=[8]", "--backend", "numpy"]


def call(*arguments: object, code: int = 0) -> None:
    """Runs a command in this process and checks its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert (ended.value.code or 0) == code


def test_train_evaluate_predict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run from the first command to labels on disk; `--json` prints one object alone."""
    run = tmp_path / "run"
    call("train", "--run", run, *QUICK, "--json")
    result = json.loads(capsys.readouterr().out)
    assert set(result["test"]) == {"loss", "accuracy"}
    names = {"config.toml", "environment.json", "metrics.jsonl", "best.safetensors", "last.safetensors"}
    assert names | {"learning-curve.png"} <= {path.name for path in run.iterdir()}
    call("evaluate", run, "--json", "--backend", "numpy")
    assert json.loads(capsys.readouterr().out)["test"] == result["test"]

    data = gs.load_dataset("digits", seed=0)
    np.save(tmp_path / "x.npy", data.test.x)
    call("predict", run, "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy")
    labels = np.load(tmp_path / "y.npy")
    assert np.mean(labels == data.classes[data.test.y]) == pytest.approx(result["test"]["accuracy"])
    call("predict", run, "--input", tmp_path / "x.npy", "--output", tmp_path / "p.npy", "--probabilities")
    probabilities = np.load(tmp_path / "p.npy")
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(data.classes[probabilities.argmax(axis=1)], labels)

    read = gs.Run(run)
    assert read.config["train"]["epochs"] == 3 and len(read.history) == 3
    assert read.environment["backend"] == "numpy"
    assert "Standardize" in repr(read.model)


def test_class_names_come_back(tmp_path: Path) -> None:
    """Text labels of a CSV are what `predict` writes."""
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 2))
    lines = ["a,b,kind"] + [f"{a},{b},{'up' if a > 0 else 'down'}" for a, b in x]
    (tmp_path / "data.csv").write_text("\n".join(lines) + "\n")
    np.save(tmp_path / "x.npy", np.array([[3.0, 0.0], [-3.0, 0.0]]))
    call(
        "train",
        "--run",
        tmp_path / "run",
        *QUICK,
        "--set",
        f"data.source={tmp_path / 'data.csv'}",
        "--set",
        "train.epochs=30",
    )
    call("predict", tmp_path / "run", "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy")
    assert np.load(tmp_path / "y.npy").tolist() == ["up", "down"]


def test_regression(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Float targets take the squared error, and no accuracy is claimed."""
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 3))
    np.savez(tmp_path / "data.npz", x=x, y=x @ [1.0, 2.0, 3.0])
    call("train", "--run", tmp_path / "run", *QUICK, "--set", f"data.source={tmp_path / 'data.npz'}", "--json")
    assert set(json.loads(capsys.readouterr().out)["test"]) == {"loss", "r2"}


def test_rows_of_whole_numbers_are_answered(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    x = random.integers(0, 9, (60, 2))
    np.savez(tmp_path / "data.npz", x=x, y=x[:, 0] > 4)
    np.save(tmp_path / "x.npy", x)
    call("train", "--run", tmp_path / "run", *QUICK, "--set", f"data.source={tmp_path / 'data.npz'}")
    call("predict", tmp_path / "run", "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy")
    assert len(np.load(tmp_path / "y.npy")) == 60


def test_best_follows_the_monitor(tmp_path: Path) -> None:
    """`best.safetensors` is the epoch whose monitored measure is the best, the first of equals."""
    watch = ["--set", "train.monitor=validation_accuracy", "--set", "train.epochs=6"]
    call("train", "--run", tmp_path / "whole", *QUICK, *watch)
    accuracy = gs.Run(tmp_path / "whole").history["validation_accuracy"]
    best = accuracy.index(max(accuracy)) + 1
    call("train", "--run", tmp_path / "short", *QUICK, *watch, "--set", f"train.epochs={best}")
    last, kept = load_file(tmp_path / "short" / "last.safetensors"), load_file(tmp_path / "whole" / "best.safetensors")
    for name, tensor in kept.items():
        assert tensor.tobytes() == last[name].tobytes(), name


def test_backend_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Configuration, then environment, then the option."""
    small = ["--set", "train.epochs=1", "--set", "model.hidden=[4]", "--quiet", "--set", "backend.name=numpy"]
    monkeypatch.delenv("GEARSHIFT_BACKEND", raising=False)
    call("train", "--run", tmp_path / "a", *small)
    assert gs.Run(tmp_path / "a").environment["backend"] == "numpy"
    monkeypatch.setenv("GEARSHIFT_BACKEND", "numba")
    call("train", "--run", tmp_path / "b", *small)
    assert gs.Run(tmp_path / "b").environment["backend"] == "numba"
    call("train", "--run", tmp_path / "c", *small, "--backend", "numpy")
    assert gs.Run(tmp_path / "c").environment["backend"] == "numpy"


def test_a_loss_of_two_classes_is_evaluated_as_itself_with_precision_and_recall(tmp_path: Path, capsys) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 4))
    np.savez(tmp_path / "two.npz", x=x, y=(x.sum(axis=1) > 0.5).astype(int))
    given = ["--set", f"data.source={tmp_path / 'two.npz'}", "--set", "loss.name=BCEWithLogitsLoss"]
    given += ["--set", "train.class_weight=balanced", "--set", "train.loss_goal=0.5", "--set", "train.epochs=40"]
    call("train", *QUICK, *given, "--run", tmp_path / "run", "--json")
    trained = json.loads(capsys.readouterr().out)
    call("evaluate", tmp_path / "run", "--report", "--json")
    test = json.loads(capsys.readouterr().out)["test"]
    assert test.keys() == {"loss", "accuracy", "precision", "recall"}
    assert test["loss"] == pytest.approx(trained["test"]["loss"])
    assert trained["epochs"] < 40
    call("evaluate", tmp_path / "run", "--report")
    assert "class  precision  recall      f1  rows" in capsys.readouterr().out
    call("train", "--resume", "--run", tmp_path / "run", "--quiet", "--json")  # its loss is small enough already
    assert json.loads(capsys.readouterr().out)["epochs"] == trained["epochs"]
