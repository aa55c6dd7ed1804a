"""What is shown while training: lines without a terminal, a bar with one."""

from __future__ import annotations

import io
import re
import time
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest

import gearshift as gs
from gearshift.backends import compile_time
from gearshift.dl.step import plan
from gearshift.dl.training import loop, progress


def fit(verbose: bool = True) -> None:
    generator = np.random.default_rng(0)
    part = gs.Dataset(generator.normal(size=(20, 3)), generator.integers(0, 2, 20))
    run = gs.Trainer(gs.Linear(3, 2), gs.CrossEntropyLoss(), gs.SGD(), backend="numpy")
    run.fit(part, validation=part, epochs=2, batch_size=5, verbose=verbose)


def test_a_line_an_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    fit()
    out, err = capsys.readouterr()
    said, *lines = err.splitlines()
    measure = r"loss \d\.\d{4}  accuracy \d\.\d{4}  val loss \d\.\d{4}  val accuracy \d\.\d{4}  [\d,]+ samples/s"
    assert said.startswith("backend numpy on ") and out == "" and len(lines) == 2
    for number, line in enumerate(lines, 1):
        assert re.fullmatch(rf"epoch {number}/2  {measure}", line)


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    fit(verbose=False)
    assert capsys.readouterr() == ("", "")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "TICK", 0)
    monkeypatch.setattr(loop, "TICK", 0)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    fit()
    shown = terminal.getvalue()
    assert "epoch 2/2" in shown and "samples/s" in shown and "val accuracy" in shown


@pytest.mark.parametrize("width", [160, 100, 80, 60, 40])
def test_the_bar_fits_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No column is cut, and what is left out is what tells least."""
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    fit()
    frames = re.split(r"[\r\n]", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue()))
    bars = [frame for frame in frames if "━" in frame]
    last = bars[-1]
    assert max(map(len, bars)) <= width and "…" not in last
    assert re.match(r"epoch 2/2 ━+ ", last) and last.rstrip().endswith("0:00:00")
    assert ("loss" in last, "samples/s" in last, "val accuracy" in last) == (True, width > 60, width > 100)


def test_speed_leaves_out_what_was_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "TICK", 0)
    monkeypatch.setattr(loop, "TICK", 0)
    generator = np.random.default_rng(0)
    part = gs.Dataset(generator.normal(size=(20, 3)), generator.integers(0, 2, 20))
    run = gs.Trainer(gs.Linear(3, 2), gs.CrossEntropyLoss(), gs.SGD(), backend="numpy")

    class Compiles(gs.Callback):
        """Between two batches, as a kernel that is first needed in the middle of an epoch."""

        def on_tick(self, trainer: gs.Trainer) -> None:
            with compile_time.counted():
                time.sleep(0.01)

    before = compile_time.spent()
    (record,) = run.fit(part, batch_size=5, callbacks=[Compiles()], verbose=False)
    spent = compile_time.spent() - before
    assert record["seconds"] > spent >= 0.03
    assert record["samples_per_second"] > 20 / (record["seconds"] - 0.03)


@pytest.mark.parametrize("epochs", [1, 3])
def test_the_bar_s_speed_counts_samples_also_after_a_resume(epochs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that moves a second at each look, a look each batch of five rows: 5 samples/s, from the first on."""
    monkeypatch.setattr(plan, "TICK", 0)
    monkeypatch.setattr(loop, "TICK", 0)
    generator = np.random.default_rng(0)
    part = gs.Dataset(generator.normal(size=(20, 3)), generator.integers(0, 2, 20))
    run = gs.Trainer(gs.Linear(3, 2), gs.CrossEntropyLoss(), gs.SGD(), backend="numpy")
    run.fit(part, epochs=epochs, batch_size=5, verbose=False)
    monkeypatch.setattr(progress, "time", SimpleNamespace(perf_counter=count().__next__))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("sys.stderr", io.StringIO())
    bar, speeds = progress.Bar(), []

    class Look(gs.Callback):
        def on_tick(self, trainer: gs.Trainer) -> None:
            speeds.append(bar.bar.tasks[0].fields["measures"].split("  ")[-1])

    run.fit(part, epochs=2, batch_size=5, callbacks=[bar, Look()], verbose=False)
    assert speeds == ["5 samples/s"] * 6  # no look at the end of an epoch


def test_the_backend_is_said_once_and_again_after_a_move(capsys: pytest.CaptureFixture[str]) -> None:
    generator = np.random.default_rng(0)
    part = gs.Dataset(generator.normal(size=(20, 3)), generator.integers(0, 2, 20))
    run = gs.Trainer(gs.Linear(3, 2), gs.CrossEntropyLoss(), gs.SGD(), backend="numpy")
    said = []
    for _ in range(2):
        run.fit(part)
        said.append([line.split()[1] for line in capsys.readouterr().err.splitlines() if line.startswith("backend")])
    run.to("numba")
    run.fit(part)
    said.append([line.split()[1] for line in capsys.readouterr().err.splitlines() if line.startswith("backend")])
    assert said == [["numpy"], [], ["numba"]]
    assert "backend='numba'" in repr(run)
