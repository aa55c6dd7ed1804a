"""Damaged files of a run are named, and a full disk costs no checkpoint."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import gearshift as gs
from gearshift.__main__ import main

QUICK = ["--set", "train.epochs=3", "--set", "model.hidden=[8]", "--backend", "numpy"]


def call(*arguments: object, code: int = 0) -> None:
    """Runs a command in this process and checks its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert (ended.value.code or 0) == code


def metrics(run: Path) -> list[dict[str, float]]:
    """The metrics without timings."""
    return [
        {name: value for name, value in record.items() if name not in ("seconds", "samples_per_second")}
        for record in gs.Run(run).history
    ]


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"\xff" * 100])
def test_damaged_checkpoints_are_named(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Empty, foreign or random files where a checkpoint should be."""
    call("train", "--run", tmp_path, *QUICK)
    (tmp_path / "best.safetensors").write_bytes(content)
    (tmp_path / "last.safetensors").write_bytes(content)
    call("evaluate", tmp_path, code=2)
    assert "best.safetensors" in capsys.readouterr().err
    call("train", "--run", tmp_path, "--resume", code=2)
    assert "last.safetensors" in capsys.readouterr().err


def test_damaged_run_files_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Metrics are written anew from the checkpoint; a configuration that is no TOML is an error."""
    call("train", "--run", tmp_path, *QUICK)
    before = metrics(tmp_path)
    (tmp_path / "metrics.jsonl").write_bytes(b"\x00garbage\n")
    with pytest.raises(gs.DataError, match=r"metrics\.jsonl"):
        _ = gs.Run(tmp_path).history
    (tmp_path / "environment.json").write_text("{")
    with pytest.raises(gs.DataError, match=r"environment\.json is damaged"):
        _ = gs.Run(tmp_path).environment
    call("train", "--run", tmp_path, "--resume", "--quiet", "--backend", "numpy")
    assert metrics(tmp_path) == before
    assert gs.Run(tmp_path).environment["backend"] == "numpy"
    (tmp_path / "config.toml").write_text("= nonsense")
    call("evaluate", tmp_path, code=2)
    assert "config.toml" in capsys.readouterr().err


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a file-size limit that fails writes")
def test_full_disk_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    """A write that fails is one message and exit code 1, and the checkpoint before it still loads."""
    run = tmp_path / "run"
    call("train", "--run", run, *QUICK)
    before = (run / "last.safetensors").read_bytes()
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); "
        "from gearshift.__main__ import main; main(sys.argv[1:])"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, "-c", script, "train", "--run", str(run), "--resume", "--set", "train.epochs=5"],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "error: " in done.stderr and "Traceback" not in done.stderr and "safetensors" in done.stderr
    assert (run / "last.safetensors").read_bytes() == before
