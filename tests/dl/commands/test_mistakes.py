"""Mistakes end in one line and an exit code; nothing that was saved is lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import gearshift as gs
from gearshift.__main__ import main
from gearshift.backends import registry

QUICK = ["--set", "train.epochs=3", "--set", "model.hidden=[8]", "--backend", "numpy"]


def call(*arguments: object, code: int = 0) -> None:
    """Runs a command in this process and checks its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert (ended.value.code or 0) == code


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "optimizer.lrr=1"], ["optimizer.lrr", "Adam", "lr"]),
        (["--set", "train.epoch=1"], ["train.epoch", "epochs"]),
        (["--set", "trian.epochs=1"], ["trian", "train"]),
        (["--set", "train.epochs=many"], ["train.epochs", "many", "integer"]),
        (["--set", "train.epochs=0"], ["train.epochs", "0", "1"]),
        (["--set", "nonsense"], ["nonsense", "section.key=value"]),
        (["--set", "optimizer.lr=-1"], ["optimizer.lr", "-1"]),
        (["--set", "optimizer.betas=[0.9, 2.0]"], ["betas", "2.0"]),
        (["--set", "optimizer.name=Adamm"], ["optimizer.name", "Adamm"]),
        (["--set", "data.source=missing.npz"], ["missing.npz"]),
        (["--set", "model.hidden=[0]"], ["model.hidden.0", "is 0", "1"]),
        (["--set", "loss.name=MSELoss"], ["loss.name", "data.labels"]),
        (["--set", "train.monitor=nothing", "--set", "train.patience=1"], ["nothing", "validation_loss"]),
        (["--set", "train.monitor=validation_los"], ["train.monitor", "validation_los'", "validation_loss"]),
        (["--backend", "cupy"], ["cupy"]),
        (["--backend", "gpu"], ["gpu", "numba"]),
        (["missing.toml"], ["missing.toml"]),
        (["--set", "optimizer.lr=true"], ["optimizer.lr", "True"]),
        (["--set", "optimizer.lr='0.001'"], ["optimizer.lr", "0.001"]),
    ],
)
def test_mistakes_end_in_one_line_and_exit_code_2(
    arguments: list[str], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line names the thing, its value and what was expected."""
    if arguments == ["--backend", "cupy"] and gs.backends.available()["cupy"].runs:
        pytest.skip("a GPU is here")
    call("train", "--run", tmp_path / "run", "--quiet", *arguments, code=2)
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(error) == 1
    assert all(word in error[0] for word in words), error[0]


def test_a_run_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --resume a directory with a run is refused; with another configuration too."""
    call("train", "--run", tmp_path, *QUICK)
    before = (tmp_path / "last.safetensors").read_bytes()
    call("train", "--run", tmp_path, *QUICK, code=2)
    assert "--resume" in capsys.readouterr().err
    call("train", "--run", tmp_path, "--resume", "--set", "optimizer.lr=0.5", code=2)
    assert "optimizer.lr" in capsys.readouterr().err
    assert (tmp_path / "last.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"y": np.zeros(60, int)}, ["every row has the label 0", "two classes"]),
        ({"x": np.full((60, 2), 1e200) * np.arange(120).reshape(60, 2)}, ["column 0", "variance"]),
    ],
)
def test_data_that_teach_nothing_are_refused(
    arrays: dict[str, np.ndarray], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    np.savez(tmp_path / "data.npz", **{"x": x, "y": np.arange(60) % 2, **arrays})
    call("train", "--run", tmp_path / "run", *QUICK, "--set", f"data.source={tmp_path / 'data.npz'}", code=2)
    [error] = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("backend ")]
    assert error.startswith("error: ") and all(word in error for word in words), error


@pytest.mark.parametrize(
    "arguments",
    [
        ["lr", "--plot", "no/picture.svg"],
        ["lr", "--plot", "picture.abc"],
        ["lr", "--out", "no/trials.json"],
        ["search", "some.toml", "--plot", "picture.abc"],
        ["search", "some.toml", "--out", "."],
        ["predict", "run", "--input", "x.npy", "--output", "no/y.npy"],
    ],
)
def test_a_file_that_cannot_be_written_is_refused_at_once(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    call(*arguments, code=2)
    assert capsys.readouterr().err.startswith(f"error: {arguments[-2]} {arguments[-1]}")


def test_a_wrong_number_of_threads_is_no_reason_to_take_another_backend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    registry._forget()
    monkeypatch.setenv("GEARSHIFT_THREADS", "many")
    call("train", "--run", tmp_path, "--quiet", code=2)
    assert "GEARSHIFT_THREADS is 'many'" in capsys.readouterr().err
    monkeypatch.undo()
    registry._forget()


def test_an_error_about_a_file_begins_with_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    call("train", "--run", tmp_path / "file", *QUICK, code=2)
    assert f"error: {tmp_path / 'file'}: it is a file; expected a directory" in capsys.readouterr().err


def test_a_loss_that_is_not_finite_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names step, rate and layer; what was saved stays."""
    with np.errstate(all="ignore"):
        call("train", "--run", tmp_path, *QUICK, "--set", "optimizer.name=SGD", "--set", "optimizer.lr=1e30", code=1)
    error = capsys.readouterr().err
    assert "step" in error and "1e+30" in error and "layer" in error


def test_a_mistake_leaves_the_directory_free(tmp_path: Path) -> None:
    """A run that never trained can be begun again, corrected."""
    call("train", "--run", tmp_path, *QUICK, "--set", "train.patience=1", "--set", "train.monitor=nothing", code=2)
    call("train", "--run", tmp_path, *QUICK)


def test_text_needs_layers_for_sequences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("abcdefgh" * 200)
    call("train", "--set", f"data.source={tmp_path / 'a.txt'}", code=2)
    assert "a label for each token, as text has; give the model layers for sequences" in capsys.readouterr().err


def test_a_file_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.toml").write_text("")
    call("train", "--run", tmp_path / "a.toml", *QUICK, code=2)
    assert "it is a file; expected a directory" in capsys.readouterr().err


def test_a_number_instead_of_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    call("train", "--set", "model.hidden=64", code=2)
    assert "model.hidden is 64; expected a list, as [64]" in capsys.readouterr().err
