"""What a new user meets on the command line: help, hints, and mistakes that one line explains."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gearshift.__main__ import application, main
from gearshift.dl.training import progress

QUICK = ["--set", "train.epochs=1", "--set", "model.hidden=[4]", "--backend", "numpy"]


def call(*arguments: object, code: int = 0) -> None:
    """Runs a command in this process and checks its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert (ended.value.code or 0) == code


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty rows of two classes."""
    path = tmp_path_factory.mktemp("data") / "rows.npz"
    x = np.random.default_rng(0).normal(size=(60, 3))
    np.savez(path, x=x, y=(x[:, 0] > 0).astype(int))
    return path


def test_every_summary_of_help_is_whole(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    call("--help")
    listed = capsys.readouterr().out.partition("Commands:")[2].strip().splitlines()
    assert len(listed) == len(application().registered_commands)
    assert [line for line in listed if not line.endswith(".") or line.endswith("...")] == []


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("optimizer.name=adam", "did you mean 'Adam'?"),
        ("model.activation=ReLU", "did you mean 'relu'?"),
        ("schedule.name=cos", "did you mean 'cosine'?"),
        ("data.source=''", "data.source is ''"),
    ],
)
def test_a_value_that_is_nearly_right(setting: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    call("train", "--set", setting, code=2)
    assert expected in capsys.readouterr().err


def test_a_file_as_editors_on_windows_write_it(tmp_path: Path, rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A byte-order mark is no mistake; another encoding is, and the line is named."""
    marked, latin = tmp_path / "marked.toml", tmp_path / "latin.toml"
    marked.write_bytes(b"\xef\xbb\xbf[train]\nseed = 1\n")
    latin.write_bytes(b"[train]\n# caf\xe9\nseed = 1\n")
    call("train", marked, "--set", f"data.source={rows}", "--run", tmp_path / "run", *QUICK)
    call("train", latin, code=2)
    assert "not UTF-8 text, line 2" in capsys.readouterr().err


def test_search_of_a_file_for_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "gearshift.toml"
    path.write_text("[data]\nsource = 'digits'\n[train]\nepochs = 2\n")
    call("search", path, code=2)
    said = capsys.readouterr().err
    assert "the section [search] is missing, which lists what to try" in said and "train" not in said


def test_resume_names_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Otherwise a new one would begin, of 60 epochs and unasked."""
    call("train", "--resume", "--set", "train.epochs=1", *QUICK, code=2)
    assert "expected --run" in capsys.readouterr().err


def test_what_is_learned_is_said(tmp_path: Path, rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "a run"
    call("train", "--set", f"data.source={rows}", "--run", run, *QUICK)
    said = capsys.readouterr().err
    assert "rows: 42 rows of 3, 2 classes; 6 for validation, 12 for the test" in said
    assert f"gearshift evaluate '{run}'" in said, "a path with a space is quoted"
    aside = ["--set", "data.validation=0", "--set", "data.test=0"]
    call("train", "--set", f"data.source={rows}", *aside, "--run", tmp_path / "all", *QUICK)
    assert "gearshift evaluate" not in capsys.readouterr().err, "there is nothing to evaluate it on"


def test_predict_knows_files_by_their_suffix(tmp_path: Path, rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("predict", tmp_path, "--input", tmp_path / "x.xls", "--output", tmp_path / "answers.npy", code=2)
    assert "--input" in capsys.readouterr().err
    call("predict", tmp_path, "--input", rows, "--output", tmp_path / "answers.json", code=2)
    assert "expected a file .npy, .csv" in capsys.readouterr().err


def test_years_are_no_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, random = tmp_path / "years.npz", np.random.default_rng(0)
    np.savez(path, x=random.normal(size=(60, 3)), y=1900 + np.arange(60))
    call("train", "--set", f"data.source={path}", code=2)
    said = capsys.readouterr().err
    assert "60 classes, and the rarest has 1 of 60 rows" in said and "set data.labels = 'values'" in said
    np.savez(path, x=np.ones((2, 3)), y=[0, 1])
    call("train", "--set", f"data.source={path}", code=2)
    assert "too few rows, 2 in all, to set aside 1 for validation and 1 for test" in capsys.readouterr().err


def test_an_output_that_has_not_all_letters() -> None:
    """Windows redirects in an encoding without √, and a measurement shall not end in that."""
    measured = Path(__file__).parents[3] / "bench" / "results" / "batch-size-2-core-xeon.json"
    path = os.pathsep.join(entry for entry in sys.path if entry)
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "cp1252"}
    command = [sys.executable, "-m", "gearshift", "bench", "--from", str(measured)]
    found = subprocess.run(command, env=environment, capture_output=True, encoding="cp1252")
    assert found.returncode == 0, found.stderr
    assert "?(B" in found.stdout and "µs" in found.stdout


@pytest.mark.parametrize(("terminal", "expected"), [("xterm", progress.Bar), ("dumb", progress.Lines)])
def test_a_terminal_that_cannot_redraw_gets_lines(
    terminal: str, expected: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", terminal)
    assert type(progress.progress()) is expected
    monkeypatch.setattr(sys, "stderr", None)  # as under pythonw
    assert type(progress.progress()) is progress.Lines


def test_measures_of_a_run_that_diverges_stay_short() -> None:
    assert progress.measures({"loss": 1.09508162154e23, "accuracy": 0.5}) == "loss 1.095e+23  accuracy 0.5000"
