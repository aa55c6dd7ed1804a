"""What an autoencoder's run says about rows of a file: in the units of the data, and without targets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.__main__ import main
from gearshift.dl.experiment.run_files import BEST

RANDOM = np.random.default_rng(3)
PLANE = RANDOM.normal(size=(300, 2)) @ RANDOM.normal(size=(2, 5)) + 0.05 * RANDOM.normal(size=(300, 5))
X = (PLANE * [1, 10, 0.1, 3, 100] + [0, 50, -3, 0, 7]).astype(np.float32)
OPTIONS = ["autoencoder.code=2", "model.hidden=[]", "optimizer.lr=0.03", "train.epochs=60", "data.test=0.2"]


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    with pytest.raises(SystemExit) as ended:
        main([*map(str, arguments), "--backend", "numpy", "--json"])
    printed = capsys.readouterr()
    assert not ended.value.code, printed.err
    return json.loads(printed.out)


def trained(folder: Path, capsys: pytest.CaptureFixture[str], kind: str = "undercomplete", x: np.ndarray = X) -> Any:
    """The run's path, and what training printed."""
    np.savez(folder / "x.npz", x=x, y=np.arange(len(x)) % 2)
    run = folder / "run"
    settings = [f"data.source={folder / 'x.npz'}", f"autoencoder.kind={kind}", *OPTIONS]
    words = [word for setting in settings for word in ("--set", setting)]
    return run, call(capsys, "train", "--run", run, "--quiet", *words)


def saved(folder: Path, x: np.ndarray) -> list[Path]:
    """Files of the same rows: with other targets, without, and as one array."""
    np.savez(folder / "labelled.npz", x=x, y=np.zeros(len(x)))
    np.savez(folder / "rows.npz", x=x)
    np.save(folder / "rows.npy", x)
    return [folder / name for name in ("labelled.npz", "rows.npz", "rows.npy")]


@pytest.mark.parametrize("kind", ["undercomplete", "stacked"])
def test_answers_have_the_units_of_the_data(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two numbers nearly determine these rows; the loss is that of rows divided by their deviations."""
    run, printed = trained(tmp_path, capsys, kind)
    x = gs.load_dataset(str(tmp_path / "x.npz"), seed=0, test=0.2).test.x
    for path in saved(tmp_path, x):
        assert call(capsys, "evaluate", run, "--input", path)[str(path)] == printed["test"]
    call(capsys, "predict", run, "--input", path, "--output", tmp_path / "answers.npy")
    answers = np.load(tmp_path / "answers.npy")
    errors = ((answers - x) ** 2).mean(axis=0)
    assert (errors < 0.05 * X.var(axis=0)).all()
    train = gs.load_dataset(str(tmp_path / "x.npz"), seed=0, test=0.2).train.x.astype(np.float64)
    assert printed["test"]["mse"] == pytest.approx(errors.mean(), rel=1e-5)
    assert printed["test"]["loss"] == pytest.approx((errors / train.var(axis=0)).mean(), rel=1e-4)
    assert "r2" not in printed["test"]
    assert gs.load(run).evaluate(x, x)["mse"] == pytest.approx(errors.mean(), rel=1e-5)


def test_bytes_are_compared_as_shares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = RANDOM.integers(0, 256, (200, 6)).astype(np.uint8)
    run, printed = trained(tmp_path, capsys, x=x)
    rows = gs.load_dataset(str(tmp_path / "x.npz"), seed=0, test=0.2).test.x
    for path in saved(tmp_path, rows):
        assert call(capsys, "evaluate", run, "--input", path)[str(path)] == printed["test"]
    z, share = gs.load(run)(rows).astype(np.float64), rows / 255
    assert printed["test"]["loss"] == pytest.approx((np.logaddexp(0, z) - share * z).mean(), rel=1e-5)


def test_a_run_of_an_older_version(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It learned scaled rows, and its file does not say so."""
    run, printed = trained(tmp_path, capsys)
    model = gs.load(run)
    model.target_scaling = None
    model.save(run / BEST)
    assert call(capsys, "evaluate", run)["test"] == pytest.approx(printed["test"], rel=1e-4)
    found = call(capsys, "evaluate", run, "--input", saved(tmp_path, X)[1])[str(tmp_path / "rows.npz")]
    assert found["mse"] < 0.05 * X.var(axis=0).mean()
    call(capsys, "train", "--resume", "--run", run, "--set", "train.epochs=61", "--quiet")


def test_a_table_is_its_own_target(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also one with the column that was the target, or without it."""
    names, path = ["a", "b", "c", "d", "e"], tmp_path / "rows.csv"
    lines = [",".join([*map(str, row), "yes" if row[0] > 0 else "no"]) for row in X.tolist()]
    path.write_text("\n".join([",".join([*names, "big"]), *lines]) + "\n")
    run, words = tmp_path / "run", [word for option in OPTIONS for word in ("--set", option)]
    call(capsys, "train", "--run", run, "--set", f"data.source={path}", "--set", "autoencoder.kind=sparse", *words)
    whole = call(capsys, "evaluate", run, "--input", path)[str(path)]
    path.write_text("\n".join([",".join(names), *(line.rpartition(",")[0] for line in lines)]) + "\n")
    assert call(capsys, "evaluate", run, "--input", path)[str(path)] == whole
