"""The backends of the proof, and the one place where it looks into a checkout's tests.

The tests hold every kernel to cases in float64, and can run CuPy without a GPU. An installed package has neither.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

from ... import backends
from ...backends import Backend, Status
from ...backends.numpy import NumPyBackend
from .report import NotRun

TESTS = Path(__file__).parents[2] / "tests"


class PlainNumPy(NumPyBackend):
    """NumPy's backend on a machine without the packages that describe the processor."""

    name = "plain-numpy"

    @classmethod
    def status(cls) -> Status:
        return Status(cls.name, runs=True)


def prepared(rehearse: bool) -> Backend:
    """The backend to prove: CuPy's, on a GPU or, in a rehearsal, on the tests' stand-in for CUDA.

    Raises
    ------
    BackendUnavailable
        There is no GPU.
    NotRun
        A rehearsal outside a checkout, or without CuPy, nvmath-python or a compiler.
    """
    backends.register(PlainNumPy.name, PlainNumPy)
    if rehearse:
        stand_in = from_tests("stand_in")
        if reason := stand_in.obstacle():
            raise NotRun(f"--rehearse: {reason}")
        stand_in.boot()
    return backends.get("cupy")


def from_tests(name: str) -> ModuleType:
    """A module of the tests of kernels, or of their stand-in for CUDA.

    Raises
    ------
    NotRun
        This package does not lie in a checkout.
    """
    if not TESTS.is_dir():
        raise NotRun(f"needs a checkout: {name} is in tests")
    for folder in (str(TESTS / "kernels"), str(TESTS / "cuda")):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    return importlib.import_module(name)
