"""`--quiet`, `--json` and `--log-level`: of every command."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.main import get_command

import gearshift as gs
from gearshift.__main__ import application, main

RESULTS = Path(str(gs.__file__)).parent / "bench" / "results"
COMMANDS: dict[str, Any] = get_command(application()).commands  # pyright: ignore[reportAttributeAccessIssue]
QUICK = ["--set", "train.epochs=1", "--set", "model.hidden=[4]"]


def call(*arguments: object, code: int = 0) -> None:
    """Runs a command in this process and checks its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert (ended.value.code or 0) == code


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, rows of a file, and a search."""
    path = tmp_path_factory.mktemp("quiet")
    x = np.random.default_rng(0).normal(size=(60, 3))
    np.savez(path / "rows.npz", x=x, y=(x[:, 0] > 0).astype(int))
    (path / "search.toml").write_text(
        '[data]\nsource = "rows.npz"\n[train]\nepochs = 1\n[search.parameters]\n"optimizer.lr" = [0.1, 0.01]\n'
    )
    call("train", *QUICK, "--set", f"data.source={path / 'rows.npz'}", "--run", path / "run", "--backend", "numpy")
    return path


WORDS: dict[str, list[str]] = {
    "train": ["--run", "new", *QUICK, "--set", "data.source=rows.npz"],
    "search": ["search.toml", "--run", "searched"],
    "lr": ["--rates", "0.01,0.1,1e3", "--iterations", "3", *QUICK],
    "evaluate": ["run"],
    "predict": ["run", "--input", "rows.npz", "--output", "answers.csv"],
    "export": ["run", "model.onnx"],
    "doctor": [],
    "bench": ["--from", str(RESULTS / "batch-size-2-core-xeon.json")],
    "compare": [str(RESULTS / "batch-size-2-core-xeon.json")] * 2,
    "peers": ["--from", str(RESULTS / "peers-2-core-xeon-1.json")],
    "init": ["new.toml"],
    "schema": [],
}


def test_every_command_is_tried() -> None:
    assert WORDS.keys() == COMMANDS.keys()


@pytest.mark.parametrize("name", WORDS)
def test_quiet_and_json(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One JSON object on standard output, and nothing on standard error."""
    if name == "export":
        pytest.importorskip("onnx")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GEARSHIFT_BACKEND", "numpy")
    call(name, *WORDS[name], "--json", "--quiet")
    printed = capsys.readouterr()
    assert isinstance(json.loads(printed.out), dict) and printed.err == ""


def test_quiet_still_warns(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("lr", *QUICK, "--rates", "1e-5,1e-2", "--iterations", "20", "--backend", "numpy", "--quiet")
    said = capsys.readouterr().err
    assert "is the largest that was tried" in said and "next:" not in said
    call("train", "--quiet", "--set", "train.epochs=x", code=2)
    assert "train.epochs" in capsys.readouterr().err


@pytest.mark.parametrize(("level", "heard"), [("debug", 3), ("info", 2), ("warning", 1), ("error", 0)])
def test_log_levels(level: str, heard: int, capsys: pytest.CaptureFixture[str]) -> None:
    """The library's log is said from the level on; another `main` begins with the default."""
    call("--log-level", level, "doctor", "--json")
    capsys.readouterr()
    log = logging.getLogger("gearshift.test")
    for one in (logging.DEBUG, logging.INFO, logging.WARNING):
        log.log(one, "said")
    assert capsys.readouterr().err.count("said") == heard
    call("doctor", "--json")
    assert logging.getLogger("gearshift").level == logging.INFO


def test_an_unknown_level_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    call("--log-level", "loud", "doctor", code=2)
    assert "--log-level is 'loud'; expected one of: debug, info, warning, error" in capsys.readouterr().err
