"""Runs of house prices, whose targets are scaled by default: measures, predictions and advice in money."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_squared_error, r2_score

import gearshift as gs
from gearshift.__main__ import main
from gearshift.dl.experiment import build as experiment
from gearshift.dl.experiment.config import parse

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(200, 4))
DEGREES = np.round(10 * X[:, 0] + 3).astype(int)
SIGNS = np.where(X[:, 0] > 0, 1, -1)


def strict(text: str | bytes) -> Any:
    """JSON by the letter."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """House prices: features of ordinary size, and a target of some hundred thousand."""
    rng, n = np.random.default_rng(0), 600
    area, rooms, age = rng.normal(120, 40, n), rng.integers(1, 8, n), rng.uniform(0, 80, n)
    price = 60000 + 1800 * area + 9000 * rooms - 700 * age + rng.normal(0, 15000, n)
    path = tmp_path_factory.mktemp("homes") / "homes.csv"
    rows = zip(area, rooms, age, price, strict=True)
    path.write_text("area,rooms,age,price\n" + "".join(f"{a:.1f},{r},{g:.1f},{p:.2f}\n" for a, r, g, p in rows))
    return path


def command(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    with pytest.raises(SystemExit) as end:
        main([*arguments])
    out = capsys.readouterr()
    assert end.value.code == code, out.err
    return out.out, out.err


def test_a_run_of_prices_answers_in_money(homes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, settings = str(tmp_path / "run"), ["--set", f"data.source={homes}", "--set", "model.dropout=0"]
    options = ["--backend", "numpy", "--quiet", *settings]
    first, _ = command(capsys, "train", "--json", "--run", run, *options, "--set", "train.epochs=15")
    test = strict(first)["test"]
    splits = experiment.load(parse({}, [f"data.source={homes}"]))
    line = LinearRegression().fit(splits.train.x, splits.train.y)
    assert test["r2"] > line.score(splits.test.x, splits.test.y) - 0.05
    again, _ = command(capsys, "evaluate", run, "--json", "--backend", "numpy")
    assert strict(again)["test"] == test
    np.save(tmp_path / "x.npy", splits.test.x)
    command(capsys, "predict", run, "--input", str(tmp_path / "x.npy"), "--output", str(tmp_path / "y.npy"))
    answers = np.load(tmp_path / "y.npy")
    assert answers.dtype == np.float64
    assert r2_score(splits.test.y, answers) == pytest.approx(test["r2"], abs=1e-6)
    assert mean_squared_error(splits.test.y, answers) == pytest.approx(test["loss"], rel=1e-4)
    assert np.array_equal(
        gs.Trainer(gs.Run(run).model, gs.Run(run).loss, gs.SGD(), backend="numpy").predict(splits.test.x), answers
    )
    # stopped and resumed, to the same bits
    whole = str(tmp_path / "whole")
    command(capsys, "train", "--run", whole, *options, "--set", "train.epochs=17")
    command(capsys, "train", "--resume", "--run", run, *options, "--set", "train.epochs=17")
    assert gs.Run(run).history["loss"] == gs.Run(whole).history["loss"]
    assert gs.Run(run).history["validation_loss"][-1] == pytest.approx(test["loss"], rel=0.5)


def test_scaling_is_turned_off_by_its_key_and_never_meets_classes(homes: Path, tmp_path: Path) -> None:
    plain = experiment.build(parse({}, [f"data.source={homes}", "data.standardize_target=false"]), "numpy")[1]
    assert plain.model.target_scaling is None
    assert experiment.build(parse({}, []), "numpy")[1].model.target_scaling is None
    own = parse({}, [f"data.source={homes}", "autoencoder.kind=sparse", "data.standardize_target=false"])
    assert experiment.build(own, "numpy")[1].model.target_scaling is None
    shares = RANDOM.dirichlet(np.ones(3), 60)
    np.savez(tmp_path / "shares.npz", x=X[:60], y=shares)
    soft = parse({}, [f"data.source={tmp_path / 'shares.npz'}", "loss.name=SoftCrossEntropyLoss"])
    assert experiment.build(soft, "numpy")[1].model.target_scaling is None


def test_lr_prints_no_line_to_paste_where_nothing_was_learned(homes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--set", f"data.source={homes}", "--backend", "numpy", "--rates", "1e-3", "--iterations", "20"]
    out, err = command(capsys, "lr", *options, "--set", "data.standardize_target=false", code=2)
    assert "next:" not in err + out and "optimizer.lr" not in out
    assert "nothing was learned" in err and "data.standardize_target" in err
    _, err = command(capsys, "lr", *options)
    assert "next: gearshift train" in err


def test_bench_works_on_targets_that_are_scaled_already(homes: Path) -> None:
    given = parse({}, [f"data.source={homes}"])
    splits = experiment.load(given)
    configuration, scaled = experiment.with_learned_targets(given, splits)
    y = splits.train.y
    assert scaled.train.y == pytest.approx((y - y.mean()) / y.std(), abs=1e-6)
    assert scaled.test.y == pytest.approx((splits.test.y - y.mean()) / y.std(), abs=1e-6)
    run = experiment.build_trainer(configuration, scaled, "numpy")
    assert run.model.target_scaling is None
    digits = parse({}, [])
    splits = experiment.load(digits)
    assert experiment.with_learned_targets(digits, splits) == (digits, splits)
