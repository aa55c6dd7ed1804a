"""Files in and files out: `predict` and `evaluate` with tables, as a user calls them."""

from __future__ import annotations

import csv
import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.__main__ import main
from gearshift.dl.data.csv import read_csv

QUICK = ["--backend", "numpy", "--set", "model.hidden=[8]"]


def call(*arguments: object, code: int = 0) -> None:
    """Runs a command in this process and checks its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert (ended.value.code or 0) == code


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(newline="") as file:
        return [*csv.DictReader(file)]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as spreadsheets on the continent write it, with a date and missing numbers."""
    path, random = tmp_path_factory.mktemp("data") / "people.csv", np.random.default_rng(0)
    lines = ["id;age;city;joined;buys"]
    for number in range(240):
        age, city = random.uniform(18, 80), ("Oslo", "Rome")[number % 2]
        buys = "yes" if age + 30 * (city == "Rome") > 60 else "no"
        written = "" if number % 11 == 0 else f"{age:.2f}".replace(".", ",")
        lines.append(f"{number};{written};{city};2024-02-{1 + number % 28:02d};{buys}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def run(table: Path) -> Path:
    """A run on the table."""
    path = table.parent / "run"
    options = [f"data.source={table}", "data.drop=['id','joined']", "data.missing=mean", "train.epochs=8"]
    call("train", "--run", path, *QUICK, *[word for option in options for word in ("--set", option)])
    return path


def test_what_became_of_the_columns_is_printed_once(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = ["--set", f"data.source={table}", "--run", table.parent / "other", "--set", "train.epochs=1", *QUICK]
    call("train", *source, "--set", "data.missing=mean", code=2)
    assert "'joined' holds dates" in capsys.readouterr().err
    call("train", *source, "--set", "data.missing=mean", "--set", "data.drop=['joined']")
    printed = capsys.readouterr().err
    assert printed.count("2 categories, one feature each: Oslo, Rome") == 1
    assert "joined  dropped" in printed and "buys    the target" in printed


def test_csv_in_csv_out(run: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("predict", run, "--input", table, "--output", tmp_path / "answers.csv", "--backend", "numpy")
    answers, model = rows_of(tmp_path / "answers.csv"), gs.load(run)
    assert [*answers[0]] == ["row", "label", "probability_no", "probability_yes"]
    assert [int(row["row"]) for row in answers] == [*range(240)]
    x = model.preparation.apply(read_csv(table))[0]
    proba = model.predict_proba(x, backend="numpy")
    np.testing.assert_allclose([float(row["probability_yes"]) for row in answers], proba[:, 1], rtol=1e-6)
    assert [row["label"] for row in answers] == np.array(["no", "yes"])[proba.argmax(axis=1)].tolist()

    capsys.readouterr()
    call("evaluate", run, "--input", table, "--backend", "numpy", "--json")
    found = json.loads(capsys.readouterr().out)[str(table)]
    truth = [row["buys"] for row in csv.DictReader(table.read_text().splitlines(), delimiter=";")]
    assert found["accuracy"] == pytest.approx(np.mean([row["label"] for row in answers] == np.array(truth)))


def test_other_suffixes_agree(run: Path, table: Path, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.read_csv(table, sep=";", decimal=",")
    frame[["city", "age"]].to_parquet(tmp_path / "rows.parquet")
    for source in (table, tmp_path / "rows.parquet"):
        call("predict", run, "--input", source, "--output", tmp_path / f"{source.suffix[1:]}.npy", "--backend", "numpy")
    labels = np.load(tmp_path / "csv.npy")
    np.testing.assert_array_equal(labels, np.load(tmp_path / "parquet.npy"))
    np.testing.assert_array_equal(labels, gs.load(run).predict(frame[["age", "city"]], backend="numpy"))
    model = gs.load(run)
    model.save(tmp_path / "model.safetensors")
    call(
        "predict",
        tmp_path / "model.safetensors",
        "--input",
        table,
        "--output",
        tmp_path / "m.npy",
        "--backend",
        "numpy",
    )
    np.testing.assert_array_equal(labels, np.load(tmp_path / "m.npy"))


def test_an_unseen_category_is_told(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "new.csv").write_text("age;city\n20,5;Bonn\n;Rome\n")
    call("predict", run, "--input", tmp_path / "new.csv", "--output", tmp_path / "a.csv", "--backend", "numpy")
    assert "column 'city': 1 row with categories that were not in training ('Bonn')" in capsys.readouterr().err
    assert len(rows_of(tmp_path / "a.csv")) == 2


def test_a_regression_with_names_of_its_targets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 2))
    lines = ["a,b,price", *(f"{a},{b},{1000 + 300 * a - 100 * b}" for a, b in x)]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    source = ["--set", f"data.source={tmp_path / 't.csv'}", "--set", "train.epochs=40", "--set", "model.dropout=0"]
    call("train", "--run", tmp_path / "run", *QUICK, *source, "--set", "optimizer.lr=0.01", "--json")
    assert json.loads(capsys.readouterr().out)["test"]["r2"] > 0.9
    call(
        "predict", tmp_path / "run", "--input", tmp_path / "t.csv", "--output", tmp_path / "a.csv", "--backend", "numpy"
    )
    answers = np.array([float(row["price"]) for row in rows_of(tmp_path / "a.csv")])
    assert np.corrcoef(answers, 1000 + 300 * x[:, 0] - 100 * x[:, 1])[0, 1] > 0.95 and answers.mean() > 900


def test_npz_rows_with_targets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.random.default_rng(0).normal(size=(90, 3))
    arrays: dict[str, Any] = {"x": x, "y": np.where(x[:, 0] > 0, "up", "down"), "weight": np.ones(90)}
    np.savez(tmp_path / "t.npz", **arrays)
    call(
        "train",
        "--run",
        tmp_path / "run",
        *QUICK,
        "--set",
        f"data.source={tmp_path / 't.npz'}",
        "--set",
        "train.epochs=2",
    )
    capsys.readouterr()
    call("evaluate", tmp_path / "run", "--input", tmp_path / "t.npz", "--backend", "numpy", "--json")
    found = json.loads(capsys.readouterr().out)[str(tmp_path / "t.npz")]
    labels = gs.load(tmp_path / "run").predict(x, backend="numpy")
    assert found["accuracy"] == pytest.approx(np.mean(labels == arrays["y"]))
    np.save(tmp_path / "x.npy", x)
    call("evaluate", tmp_path / "run", "--input", tmp_path / "x.npy", code=2)
    assert "it has no targets" in capsys.readouterr().err


def test_the_printed_command_predicts_a_file_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a folder its x.npy, of an archive with x itself; of others there is none."""
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).normal(size=(60, 3))
    arrays = {"x": x, "y": (x[:, 0] > 0).astype(int)}
    Path("folder").mkdir()
    for name, array in arrays.items():
        np.save(f"folder/{name}.npy", array)
    np.savez("parts.npz", x_train=arrays["x"], y_train=arrays["y"])
    for source, there in (("folder", True), ("parts.npz", False), ("digits", False)):
        run = f"run of {source}"
        call("train", *QUICK, "--set", f"data.source={source}", "--set", "train.epochs=1", "--run", run)
        found = re.findall("next: gearshift (predict .*)", capsys.readouterr().err)
        assert bool(found) == there
        for line in found:
            call(*shlex.split(line))
            assert len(Path("answers.csv").read_text().splitlines()) == 61


def table_of(path: Path, rows: list[str]) -> Path:
    path.write_text("\n".join(["size,garden,price", *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A table in which some values are missing, and a run that left these rows out."""
    folder, random = tmp_path_factory.mktemp("homes"), np.random.default_rng(1)
    rows = [f"{size:.1f},{'yes' if size > 60 else 'no'},{3 * size:.1f}" for size in random.uniform(20, 200, 90)]
    rows[7], rows[30], rows[61] = ",no,80", "50,,90", "70,yes,"
    path, run = table_of(folder / "homes.csv", rows), folder / "run"
    options = [f"data.source={path}", "data.missing=drop", "train.epochs=2"]
    call("train", "--run", run, *QUICK, *[word for option in options for word in ("--set", option)])
    return path, run


def test_rows_that_training_left_out(homes: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """An evaluation leaves them out, too; nothing is predicted of them, so no command is printed that would."""
    path, run = homes
    call("train", "--run", run, "--resume", "--set", "train.epochs=3", "--backend", "numpy")
    assert "next: gearshift evaluate" in (printed := capsys.readouterr().err) and "gearshift predict" not in printed
    call("evaluate", run, "--input", path, "--json", "--backend", "numpy")
    printed = capsys.readouterr()
    assert "3 of 90 rows have missing values and are left out, as in training" in printed.err
    whole = [line for line in path.read_text().splitlines()[1:] if "," not in (line[0], line[-1]) and ",," not in line]
    assert len(whole) == 87
    other = table_of(path.with_name("whole.csv"), whole)
    call("evaluate", run, "--input", other, "--json", "--backend", "numpy")
    assert json.loads(capsys.readouterr().out)[str(other)] == json.loads(printed.out)[str(path)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ["50,yes,1", "60,maybe,2"],
            "line 3, column 'garden': the value is 'maybe', expected yes or no, or true or false",
        ),
        (["50,yes,1", "large,no,3", "small,no,2"], "line 3, column 'size': the value is 'large', expected a number"),
        (
            ["2024-01-02,yes,1", "2024-01-03,no,2"],
            "line 2, column 'size': the value is '2024-01-02', expected a number",
        ),
    ],
)
def test_the_cell_that_does_not_fit_is_named(
    homes: tuple[Path, Path], rows: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = table_of(tmp_path / "bad.csv", rows)
    call("predict", homes[1], "--input", path, "--output", tmp_path / "a.csv", "--backend", "numpy", code=2)
    assert message in capsys.readouterr().err


def test_a_missing_target_is_named(table: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In an evaluation; a prediction does not need it."""
    lines = table.read_text().splitlines()
    lines[4] = lines[4].rpartition(";")[0] + ";"
    path = tmp_path / "some.csv"
    path.write_text("\n".join(lines) + "\n")
    call("evaluate", run, "--input", path, "--backend", "numpy", code=2)
    assert (
        "some.csv, line 5, column 'buys': the target is missing; fill it, or leave the row out"
        in capsys.readouterr().err
    )
    call("predict", run, "--input", path, "--output", tmp_path / "a.csv", "--backend", "numpy")
