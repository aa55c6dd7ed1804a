"""The backends of the proof, and the one place where it looks into a checkout's tests.

The tests hold every kernel to cases in float64, and can run kernels on the CPU. An installed package has neither.
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

TESTS = Path(__file__).parents[2] / "tests" / "kernels"


class PlainNumPy(NumPyBackend):
    """NumPy's backend on a machine without the packages that describe the processor."""

    name = "plain-numpy"

    @classmethod
    def status(cls) -> Status:
        return Status(cls.name, runs=True)


def prepared(rehearse: bool) -> Backend:
    """The backend to prove: CuPy's, or the tests' stand-in for it, which runs kernels on the CPU.

    Raises
    ------
    BackendUnavailable
        There is no GPU, or no compiler for the stand-in.
    NotRun
        A rehearsal outside a checkout.
    """
    backends.register(PlainNumPy.name, PlainNumPy)
    if not rehearse:
        return backends.get("cupy")
    kind = from_tests("fake_cupy").CudaOnCpu
    backends.register(kind.name, kind)
    device = backends.get(kind.name)
    device.device.limit = 1 << 28  # so that memory can run out  # pyright: ignore[reportAttributeAccessIssue]
    return device


def from_tests(name: str) -> ModuleType:
    """A module of the tests of kernels.

    Raises
    ------
    NotRun
        This package does not lie in a checkout.
    """
    if not TESTS.is_dir():
        raise NotRun(f"needs a checkout: {name} is in tests/kernels")
    if str(TESTS) not in sys.path:
        sys.path.insert(0, str(TESTS))
    return importlib.import_module(name)
