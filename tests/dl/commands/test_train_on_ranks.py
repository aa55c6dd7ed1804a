"""``mpiexec -n 2 gearshift train``: one run directory, whatever happens to a rank, and the rows of one process."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from launched import MPIEXEC, launch, needs_mpi, processes, run
from safetensors.numpy import load_file

pytestmark = needs_mpi
KILLS = int(os.environ.get("GEARSHIFT_KILLS", "6")) // 3
WORDS = ["-m", "gearshift", "train", "--quiet", "--set", "model.dropout=0.2"]


def begun(folder: Path, size: int, *words: object, endless: bool = True) -> subprocess.Popen[str]:
    """Ranks that have written their first checkpoint."""
    more = ["--set", "train.epochs=100000", "--set", "checkpoint.every_seconds=0.1"] if endless else []
    process = launch(size, *WORDS, "--run", folder, *more, *words)
    end = time.monotonic() + 60
    while not (folder / "last.safetensors").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)
    return process


def said(process: subprocess.Popen[str], seconds: float) -> str:
    """What ranks say that must end within some seconds; none of them is left."""
    ranks = processes(process.pid)
    try:
        _, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        for rank in ranks.values():
            os.kill(rank, signal.SIGKILL)
        raise
    end = time.monotonic() + 5
    while any(Path(f"/proc/{rank}").exists() for rank in ranks.values()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return errors


def waits_for_ranks() -> bool:
    """Whether the launcher passes signals on and waits: MPICH's does; Open MPI's kills ranks a moment later."""
    assert MPIEXEC is not None
    return "HYDRA" in subprocess.run([MPIEXEC, "--version"], capture_output=True, text=True).stdout


def go_on(folder: Path, size: int) -> str:
    return f"go on with: mpiexec -n {size} gearshift train --resume --run {folder}"


@pytest.mark.slow
def test_a_run_of_several_ranks_is_that_of_one(tmp_path: Path) -> None:
    """Begun with two ranks, it goes on with three and then with one, to the weights of one process."""
    words = ["--set", "backend.name='numpy'", "--set", "model.dtype='float64'"]
    for epochs, size in ((1, 2), (2, 3), (3, 1)):
        resumed = ["--resume"] if epochs > 1 else []
        ended = run(size, *WORDS, *words, *resumed, "--run", tmp_path / "a", "--set", f"train.epochs={epochs}")
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.count("test: loss") == 1
    assert run(1, *WORDS, *words, "--run", tmp_path / "b", "--set", "train.epochs=3").returncode == 0
    a, b = (load_file(tmp_path / name / "last.safetensors") for name in "ab")
    weights = [name for name in a if name.startswith(("model.", "optimizer."))]
    assert max(np.max(np.abs(a[name] - b[name])) for name in weights) <= 1e-12


@pytest.mark.parametrize("number", [pytest.param(n, marks=[pytest.mark.slow] * (n > 0)) for n in range(KILLS)])
def test_a_killed_rank_ends_all_and_loses_nothing(number: int, tmp_path: Path) -> None:
    chance, folder = random.Random(number), tmp_path / "run"
    size = 2 + number % 2
    process = begun(folder, size)
    lost = chance.randrange(size)
    time.sleep(chance.uniform(0, 0.5))
    os.kill(processes(process.pid)[lost], signal.SIGKILL)
    errors = said(process, 30)
    assert process.returncode
    assert errors.count("so all ranks end") == 1
    assert f"rank {lost} of {size} died, so all ranks end; {go_on(folder, size)}" in errors
    ended = run(2, *WORDS, "--resume", "--run", folder, "--set", "train.epochs=1", "--set", "train.patience=0")
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("lost", [pytest.param(0, marks=pytest.mark.long), pytest.param(1, marks=pytest.mark.slow)])
def test_a_stopped_rank_ends_all(lost: int, tmp_path: Path) -> None:
    process = begun(tmp_path / "run", 2)
    os.kill(processes(process.pid)[lost], signal.SIGSTOP)
    errors = said(process, 30)
    assert process.returncode == 1
    assert f"rank {lost} of 2 has shown no sign of life for 15 s, so all ranks end; " in errors
    assert go_on(tmp_path / "run", 2) in errors


@pytest.mark.parametrize(
    ("sign", "to_all"),
    [
        pytest.param(signal.SIGINT, True, id="Ctrl-C"),
        pytest.param(signal.SIGTERM, False, id="SIGTERM to one rank"),
        pytest.param(signal.SIGTERM, True, id="SIGTERM", marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, False, id="SIGINT to one rank", marks=pytest.mark.slow),
    ],
)
def test_signals_save_and_end_all_ranks(sign: signal.Signals, to_all: bool, tmp_path: Path) -> None:
    process = begun(tmp_path / "run", 2)
    if to_all and not waits_for_ranks():
        os.kill(process.pid, signal.SIGTERM)
        process.communicate()
        pytest.skip("this launcher kills ranks a moment after it was interrupted")
    os.kill(process.pid if to_all else processes(process.pid)[1], sign)
    errors = said(process, 30)
    assert process.returncode == 128 + sign
    step = errors.partition("stopped at step ")[2].partition(";")[0]
    assert int(step) and errors.count("stopped at") == 1
    assert go_on(tmp_path / "run", 2) in errors


def test_mistakes_are_told_once(tmp_path: Path) -> None:
    for words, text in (
        ([*WORDS, "nowhere.toml"], "error: cannot read configuration nowhere.toml"),
        ([*WORDS, "--run", tmp_path, "--set", "train.batch_size=1"], "error: batch_size has 1 rows for 2 ranks"),
        (["-m", "gearshift", "doctor"], "error: gearshift doctor runs in one process, and mpiexec started 2"),
    ):
        ended = run(2, *words)
        assert ended.returncode == 2
        assert ended.stderr.count("error: ") == 1 and text in ended.stderr
