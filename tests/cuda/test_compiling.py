"""The first training on a GPU compiles kernels, says so while it does, and leaves them to later processes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from uuid import uuid4

import host_compiler
import pytest
import stand_in
from processes import run

from gearshift.backends.cuda import KernelProgram
from gearshift.backends.cupy import CuPyBackend

COMPILING = "compiling GPU kernels, which takes some seconds; CuPy keeps them for later runs"


class Listener(logging.Handler):
    """Notes what is said, and that something was."""

    def __init__(self) -> None:
        super().__init__()
        self.said, self.lines = Event(), list[str]()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self.said.set()


@pytest.fixture
def listener() -> Iterator[Listener]:
    handler, logger = Listener(), logging.getLogger("gearshift")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.setLevel(before)
    logger.removeHandler(handler)


def new_program() -> KernelProgram:
    """One that no cache has."""
    return KernelProgram(
        f'// {uuid4()}\nextern "C" __global__ void fresh(REAL* x) {{ x[0] = 1; }}', (("REAL", "float"),)
    )


def test_it_is_said_once_while_the_first_kernel_compiles(listener: Listener) -> None:
    told: list[bool] = []

    def slowly(source: str, options: list[str]) -> tuple[int, str]:
        if "fresh" in source:
            told.append(listener.said.wait(60))
        return host_compiler.kernel(source, options)

    backend = CuPyBackend()
    stand_in.set_compiler(slowly)
    try:
        for _ in range(2):
            backend._kernel(new_program(), "fresh")
    finally:
        stand_in.set_compiler(host_compiler.kernel)
    assert told == [True, True] and listener.lines == [COMPILING]


def test_nothing_is_said_where_nothing_takes_long(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gearshift.backends.cupy.SLOW", 1e6)
    CuPyBackend()._kernel(new_program(), "fresh")
    assert listener.lines == []


def test_the_compiler_s_version_is_asked_once_whatever_the_types() -> None:
    """CuPy compiles an empty text in every process, for each set of options: a sixteenth of a second."""
    asked: list[list[str]] = []

    def noted(source: str, options: list[str]) -> tuple[int, str]:
        if not source.strip():
            asked.append(options)
        return host_compiler.kernel(source, options)

    backend = CuPyBackend()
    stand_in.set_compiler(noted)
    try:
        for real in ("float", "double", "int"):
            backend._kernel(KernelProgram(new_program().source, (("REAL", real),)), "fresh")
    finally:
        stand_in.set_compiler(host_compiler.kernel)
    assert len(asked) <= 1


SAY = """
import sys
import gearshift.backends.cupy as cupy
from gearshift.__main__ import main

class Now:  # so that the first kernel takes long
    def __init__(self, after, say):
        self.start, self.cancel = say, lambda: None

cupy.Timer = Now
main(["train", "--backend", "cupy", "--set", "train.epochs=1", "--set", "model.hidden=[16]", "--run", *sys.argv[1:]])
"""


def test_train_says_it_unless_it_is_to_be_quiet(tmp_path: Path) -> None:
    assert run("-c", SAY, str(tmp_path / "told")).count(COMPILING) == 1
    assert COMPILING not in run("-c", SAY, str(tmp_path / "quiet"), "--quiet")


KEEP = """
import os, sys
os.environ["CUPY_CACHE_DIR"] = sys.argv[1]  # else that of the stand-in
import numpy as np, gearshift as gs
run = gs.Trainer(gs.Sequential(gs.Linear(4, 3)), gs.CrossEntropyLoss(), gs.Adam(), backend="cupy")
run.fit(np.eye(4), np.array([0, 1, 2, 0]), epochs=1, verbose=False)
"""


def test_compiled_kernels_are_kept_where_the_guide_says(tmp_path: Path) -> None:
    assert "`CUPY_CACHE_DIR`" in (Path(__file__).parents[2] / "docs" / "gpu.md").read_text()
    run("-c", KEEP, str(tmp_path / "kernels"))
    assert len(list((tmp_path / "kernels").glob("*.cubin"))) > 5
