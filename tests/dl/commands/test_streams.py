"""Readers that go away, closed descriptors, a full disk behind standard output, and too little memory."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gearshift as gs
from gearshift.__main__ import described, exit_code

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX descriptors and limits")
PATH = os.pathsep.join(entry for entry in sys.path if entry)
ENVIRONMENT = {**os.environ, "PYTHONPATH": PATH}
GEARSHIFT = [sys.executable, "-m", "gearshift"]
TRAIN = ["train", "--backend", "numpy", "--set", "model.hidden=[4]", "--set", "train.epochs=40", "--run"]


def shell(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A line of shell in which $GS is the command."""
    environment = {**ENVIRONMENT, "GS": " ".join(GEARSHIFT)}
    return subprocess.run(["sh", "-c", text], cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_progress_that_nobody_reads_any_more_ends_no_training(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*GEARSHIFT, *TRAIN, str(tmp_path / "run")], stderr=subprocess.PIPE, env=ENVIRONMENT
    ) as child:
        assert child.stderr is not None
        assert child.stderr.readline().startswith(b"backend numpy")
        child.stderr.close()
    assert child.returncode == 0
    assert len(gs.Run(tmp_path / "run").history) == 40


def test_closed_descriptors(tmp_path: Path) -> None:
    """No file of the run is opened in their place and printed into."""
    done = shell(f"$GS {' '.join(TRAIN)} run >&- 2>&- <&-", tmp_path)
    assert done.returncode == 0
    assert len(gs.Run(tmp_path / "run").history) == 40


def test_a_result_that_nobody_reads_is_no_error_and_one_that_is_lost_is(tmp_path: Path) -> None:
    """The reader of a pipe may stop early; what a full disk drops is missing."""
    done = shell("{ $GS doctor; echo $? >code; } | true", tmp_path)
    assert (tmp_path / "code").read_text() == "0\n"
    assert "Error" not in done.stderr and "Exception" not in done.stderr
    done = shell("$GS --help >/dev/full", tmp_path)
    assert done.returncode == 1
    assert done.stderr == "error: standard output: No space left on device\n"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a limit that Linux keeps")
@pytest.mark.parametrize(("limit", "code"), [(200_000, 1), (390_000, 1), (2_000_000, 2)])
def test_too_little_memory_is_one_line(limit: int, code: int, tmp_path: Path) -> None:
    """Where OpenBLAS would wait for room or end the process, and where data of 4 GB (a sparse file) do not fit."""
    (tmp_path / "data").mkdir()
    for name, shape in (("x", (10_000_000, 100)), ("y", (10_000_000,))):
        np.lib.format.open_memmap(tmp_path / "data" / f"{name}.npy", "w+", np.float32, shape)
    command = "$GS train --backend numpy --quiet --run run --set data.source=data"
    done = shell(f"ulimit -v {limit}; exec {command}", tmp_path)
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("backend ")]
    assert done.returncode == code and line.startswith("error: ") and "memory" in line


def test_an_array_that_finds_no_memory_is_no_fault_of_the_library() -> None:
    with pytest.raises(MemoryError) as raised:
        np.empty(1 << 60, np.uint8)
    assert exit_code(raised.value) == 1
    assert described(raised.value).startswith("there is not enough memory: Unable to allocate 1.00 EiB")


class Broken(io.StringIO):
    """A stream whose reader has gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


@pytest.mark.parametrize("stream", [Broken(), None])
def test_training_from_python_survives_its_progress(stream: Broken | None, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = gs.Trainer(gs.Linear(1, 1), gs.MSELoss(), gs.SGD(), backend="numpy")
    x = np.ones((4, 1), np.float32)
    monkeypatch.setattr(sys, "stderr", stream)
    assert len(trainer.fit(x, x, epochs=2)) == 2
