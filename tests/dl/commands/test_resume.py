"""Runs that were stopped, and go on to the same bits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
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


def process(*arguments: object, **options: object) -> subprocess.Popen[str]:
    """A command in a process of its own."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.Popen(
        [sys.executable, "-m", "gearshift", *map(str, arguments)],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
        **options,  # pyright: ignore[reportArgumentType, reportCallIssue]
    )


def same_state(one: Path, other: Path) -> None:
    """Two checkpoints hold the same bits, the history's timings apart."""
    first, second = load_file(one), load_file(other)
    assert first.keys() == second.keys()
    for name in first.keys() - {"history"}:
        tensor = first[name]
        assert tensor.tobytes() == second[name].tobytes(), name


def metrics(run: Path) -> list[dict[str, float]]:
    """The metrics without timings."""
    return [
        {name: value for name, value in record.items() if name not in ("seconds", "samples_per_second")}
        for record in gs.Run(run).history
    ]


def test_a_finished_run_says_how_to_train_further(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("train", "--run", tmp_path / "run", *QUICK)
    call("train", "--resume", "--run", tmp_path / "run")
    assert "all 3 epochs are done; to train further: --set train.epochs=6" in capsys.readouterr().err
    call("train", "--resume", "--run", tmp_path / "run", "--set", "train.epochs=4")
    assert "resuming at epoch 4" in capsys.readouterr().err
    assert len(gs.Run(tmp_path / "run").history) == 4


def test_resume_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    """Two epochs and two more equal four; metrics too."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    call("train", "--run", whole, *QUICK, "--set", "train.epochs=4")
    call("train", "--run", parts, *QUICK, "--set", "train.epochs=2")
    call("train", "--run", parts, "--resume", "--set", "train.epochs=4", "--backend", "numpy", "--quiet")
    same_state(whole / "last.safetensors", parts / "last.safetensors")
    same_state(whole / "best.safetensors", parts / "best.safetensors")
    assert metrics(whole) == metrics(parts)


def test_metrics_are_cut_back_to_the_checkpoint(tmp_path: Path) -> None:
    """Lines beyond the checkpoint and a torn last line go."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    call("train", "--run", whole, *QUICK)
    call("train", "--run", cut, *QUICK, "--set", "train.epochs=2")
    with (cut / "metrics.jsonl").open("ab") as file:
        file.write(b'{"epoch": 3, "loss": 9}\n{"epoch": 4, "lo')
    call("train", "--run", cut, "--resume", "--set", "train.epochs=3", "--backend", "numpy", "--quiet")
    assert metrics(cut) == metrics(whole)


def test_a_run_that_stopped_early_is_over(tmp_path: Path) -> None:
    """Resuming it trains no further epoch."""
    early = ["--set", "train.patience=1", "--set", "train.epochs=500", "--set", "optimizer.lr=0.05"]
    call("train", "--run", tmp_path, *QUICK, *early)
    before = metrics(tmp_path)
    assert len(before) < 500
    call("train", "--run", tmp_path, "--resume", "--quiet", "--backend", "numpy")
    assert metrics(tmp_path) == before


def test_resume_without_a_checkpoint_starts_afresh(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also in a directory that is not there."""
    call("train", "--run", tmp_path / "run", *QUICK, "--resume")
    assert "starting afresh" in capsys.readouterr().err
    assert len(gs.Run(tmp_path / "run").history) == 3


def test_a_schedule_keeps_the_length_that_it_began_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """More epochs on --resume do not stretch it, which is said; a length that is given does."""
    falling = [*QUICK, "--set", "schedule.name=linear", "--set", "schedule.final=0.5", "--set", "train.epochs=2"]
    call("train", "--run", tmp_path, *falling)
    begun = gs.Run(tmp_path).config["schedule"]["steps"]
    assert begun == gs.Run(tmp_path).history[-1]["step"]
    more = ["train", "--run", tmp_path, "--resume", "--backend", "numpy", "--quiet"]
    assert "schedule 'linear' ends" not in capsys.readouterr().err
    call(*more, "--set", "train.epochs=3")
    said = f"schedule 'linear' ends at step {begun:,} of {begun // 2 * 3:,}; the learning rate is 0.0005 from there on"
    assert f"{said}; to stretch it: --set schedule.steps={begun // 2 * 3}" in capsys.readouterr().err
    assert gs.Run(tmp_path).config["schedule"]["steps"] == begun
    assert gs.Run(tmp_path).history[-1]["lr"] == pytest.approx(0.5e-3)
    call(*more, "--set", "train.epochs=4", "--set", f"schedule.steps={2 * begun}")
    assert gs.Run(tmp_path).history[-1]["lr"] == pytest.approx(0.5e-3, rel=0.01)
    assert gs.Run(tmp_path).history[-1]["lr"] > 0.5e-3


def test_a_run_without_a_checkpoint_begins_again_with_its_own_configuration(tmp_path: Path) -> None:
    """What was killed in its first epoch has left nothing but its configuration."""
    call("train", "--run", tmp_path, *QUICK, "--set", "train.seed=3")
    for name in ("best", "last"):
        (tmp_path / f"{name}.safetensors").unlink()
    before = metrics(tmp_path)
    call("train", "--run", tmp_path, "--resume", "--backend", "numpy", "--quiet")
    assert gs.Run(tmp_path).config["train"]["seed"] == 3
    assert metrics(tmp_path) == before


def test_a_loss_of_exactly_0_is_no_goal_that_was_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A hinge loss reaches it, and the run still goes on when it is resumed to more epochs."""
    random = np.random.default_rng(0)
    x = np.concatenate([random.normal(-50, 1, (40, 2)), random.normal(50, 1, (40, 2))])
    np.savez(tmp_path / "far.npz", x=x, y=np.repeat([0, 1], 40))
    hinge = ["--set", f"data.source={tmp_path / 'far.npz'}", "--set", "loss.name=HingeLoss", "--set", "model.hidden=[]"]
    hinge += ["--set", "train.batch_size=100"]
    call("train", "--run", tmp_path / "run", *QUICK, *hinge, "--set", "optimizer.lr=1.0", "--set", "train.epochs=20")
    assert gs.Run(tmp_path / "run").history[-1]["loss"] == 0
    call("train", "--run", tmp_path / "run", "--resume", "--set", "train.epochs=22", "--backend", "numpy")
    assert len(gs.Run(tmp_path / "run").history) == 22
    assert "train.batch_size is 100: all 56 rows are taken at once" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_save_and_resume_to_the_same_bits(number: signal.Signals, code: int, tmp_path: Path) -> None:
    """A signal ends the run at a batch boundary with a checkpoint; a second writer is refused meanwhile."""
    run, whole = tmp_path / "run", tmp_path / "whole"
    shape = ["--backend", "numpy", "--set", "model.hidden=[64]", "--set", "train.batch_size=4"]
    with process("train", "--run", run, *shape, "--set", "train.epochs=100000") as trained:
        wait_for(run / "last.safetensors")
        if number == signal.SIGINT:  # once is enough
            with process("train", "--run", run, "--resume", "--set", "train.epochs=100000") as second:
                assert second.wait(60) == 2
                assert str(trained.pid) in second.stderr.read()  # pyright: ignore[reportOptionalMemberAccess]
        while trained.poll() is None:  # people press twice, also while Python ends
            trained.send_signal(number)
            time.sleep(0.02)
        assert trained.returncode == code
    epochs = len(gs.Run(run).history) + 1
    call("train", "--run", run, "--resume", "--set", f"train.epochs={epochs}", "--backend", "numpy", "--quiet")
    call("train", "--run", whole, *shape, "--set", f"train.epochs={epochs}", "--quiet")
    same_state(run / "last.safetensors", whole / "last.safetensors")
    assert metrics(run) == metrics(whole)


def wait_for(path: Path, seconds: float = 60) -> None:
    """Returns when the file is there."""
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not come"
        time.sleep(0.02)


def test_data_that_have_moved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run goes on with the same data at another place; other data are refused, and missing ones an error."""
    random, run = np.random.default_rng(0), tmp_path / "run"
    x, y = random.normal(size=(60, 3)), np.arange(60) % 2
    np.savez(tmp_path / "a.npz", x=x, y=y)
    call("train", "--run", run, *QUICK, "--set", f"data.source={tmp_path / 'a.npz'}")
    (tmp_path / "a.npz").rename(tmp_path / "b.npz")
    np.savez(tmp_path / "other.npz", x=2 * x, y=y)
    for command in (("evaluate", run), ("train", "--resume", "--run", run, "--set", "train.epochs=4")):
        capsys.readouterr()
        call(*command, code=2)
        assert f"if the data of {run} have moved, set data.source in {run / 'config.toml'}" in capsys.readouterr().err
    more = ["train", "--resume", "--run", run, "--set", "train.epochs=4", "--backend", "numpy"]
    call(*more, "--set", f"data.source={tmp_path / 'other.npz'}", code=2)
    assert "other values" in capsys.readouterr().err
    call(*more, "--set", f"data.source={tmp_path / 'b.npz'}")
    call("evaluate", run)
    assert len(gs.Run(run).history) == 4
