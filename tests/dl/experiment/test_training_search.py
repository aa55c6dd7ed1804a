"""A search over keys of a training: runs as `train` makes them, halving, resuming, and mistakes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.__main__ import main
from gearshift.dl.experiment.training_search import prepare_training_search

BASE: dict[str, Any] = {
    "data": {"source": "digits"},
    "model": {"hidden": [8], "dropout": 0.0},
    "train": {"epochs": 4, "batch_size": 64},
    "backend": {"name": "numpy"},
}


def table(**search: Any) -> dict[str, Any]:
    return {**BASE, "search": search}


def call(*arguments: object, code: int = 0) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert (ended.value.code or 0) == code


def test_a_grid_is_the_runs_of_train(tmp_path: Path) -> None:
    """Each trial has the history that `gearshift train` gives; the best is first, and is loaded as a run."""
    trials = prepare_training_search(
        table(parameters={"optimizer.lr": [1e-4, 1e-2], "model.hidden": [[4]]}), tmp_path / "s"
    )
    told: list[int] = []
    trials.run(lambda done, best: told.append(done))
    assert told == [1, 2] and [row.parameters["optimizer.lr"] for row in trials.rows] == [1e-2, 1e-4]
    best = trials.rows[0]
    settings = ["optimizer.lr=0.01", "model.hidden=[4]", "model.dropout=0.0", "train.epochs=4", "train.batch_size=64"]
    words = [word for setting in settings for word in ("--set", setting)]
    call("train", "--run", tmp_path / "alone", "--backend", "numpy", "--quiet", *words)
    alone = gs.Run(tmp_path / "alone").history
    own = gs.Run(tmp_path / "s" / best.run).history
    assert own["validation_loss"] == alone["validation_loss"] and best.score == min(alone["validation_loss"])
    assert gs.load(tmp_path / "s" / best.run).predict(np.zeros((1, 64)), backend="numpy").shape == (1,)


def test_halving_trains_the_better_ones_on(tmp_path: Path) -> None:
    rates = [1e-6, 3e-2, 1e-5, 1e-2]
    search = table(method="halving", candidates=4, factor=2, parameters={"optimizer.lr": rates})
    trials = prepare_training_search(search, tmp_path / "s")
    assert trials.rungs() == [1, 2, 4] and trials.trainings() == 4 + 2 + 1
    trials.run()
    epochs = {row.parameters["optimizer.lr"]: row.epochs for row in trials.rows}
    assert sorted(epochs.values()) == [1, 1, 2, 4] and epochs[1e-6] == epochs[1e-5] == 1
    first = {row.parameters["optimizer.lr"]: gs.Run(tmp_path / "s" / row.run).history[0] for row in trials.rows}
    survivors = sorted(rates, key=lambda rate: first[rate]["validation_loss"])[:2]
    assert {rate for rate in rates if epochs[rate] > 1} == {*survivors}
    straight = prepare_training_search(
        table(parameters={"optimizer.lr": [trials.rows[0].parameters["optimizer.lr"]]}), tmp_path / "t"
    )
    straight.run()
    resumed = gs.Run(tmp_path / "s" / next(row.run for row in trials.rows if row.epochs == 4)).history
    if trials.rows[0].epochs == 4:
        assert resumed["loss"] == gs.Run(tmp_path / "t" / "trial-001").history["loss"]


def test_a_search_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    search = table(parameters={"optimizer.lr": [1e-3, 1e-2, 3e-2]})
    stopped = prepare_training_search(search, tmp_path / "s")

    def stop(done: int, best: float) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped.run(stop)
    kept = (tmp_path / "s" / "trial-001" / "last.safetensors").read_bytes()
    again = prepare_training_search(search, tmp_path / "s")
    again.run()
    assert (tmp_path / "s" / "trial-001" / "last.safetensors").read_bytes() == kept
    assert sorted(row.epochs for row in again.rows) == [4, 4, 4]
    with pytest.raises(gs.ConfigurationError, match="a search of other candidates"):
        prepare_training_search(table(parameters={"optimizer.lr": [1.0]}), tmp_path / "s")
    (tmp_path / "s" / "search.json").write_text("{")
    with pytest.raises(gs.ConfigurationError, match="is damaged"):
        prepare_training_search(search, tmp_path / "s")


def test_a_candidate_that_diverges_is_last(tmp_path: Path) -> None:
    search = table(parameters={"optimizer.lr": [1e30, 1e-2]})
    search["optimizer"] = {"name": "SGD"}
    trials = prepare_training_search(search, tmp_path / "s")
    trials.run()
    assert math.isnan(trials.rows[1].score) and trials.rows[1].parameters["optimizer.lr"] == 1e30


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"optimizer.rate": [1.0]}, "optimizer.rate"),
        ({"optimizr.lr": [1.0]}, "optimizr"),
        ({"optimizer.lr": []}, "an empty list"),
        ({"optimizer.lr": {"low": 1e-3, "high": 1e-1}}, "a grid needs a list"),
        ({"model.hidden": [0]}, "model.hidden"),
    ],
)
def test_mistakes_come_before_the_first_training(tmp_path: Path, parameters: Any, message: str) -> None:
    with pytest.raises(gs.ConfigurationError, match=message):
        prepare_training_search(table(parameters=parameters), tmp_path / "s").run()
    assert not (tmp_path / "s").exists()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = """
    [model]
    hidden = [4]
    [train]
    epochs = 2
    monitor = "validation_accuracy"
    [search]
    method = "random"
    candidates = 3
    [search.parameters]
    "optimizer.lr" = {low = 1e-4, high = 1e-1, log = true}
    """
    (tmp_path / "s.toml").write_text(text)
    options = ["--run", tmp_path / "s", "--backend", "numpy", "--quiet", "--plot", tmp_path / "s.png"]
    call("search", tmp_path / "s.toml", *options, "--out", tmp_path / "s.json", "--json")
    found, written = json.loads(capsys.readouterr().out), json.loads((tmp_path / "s.json").read_text())
    scores = [row["score"] for row in written["trials"]]
    assert scores == sorted(scores, reverse=True) and found["validation_accuracy"] == scores[0]
    assert (tmp_path / "s.png").read_bytes()[:4] == b"\x89PNG"
    options.remove("--quiet")
    call("search", tmp_path / "s.toml", *options)
    assert "next: gearshift evaluate" in capsys.readouterr().err
