"""Every CUDA text, for every dtype it may be asked for, compiles for every architecture without a warning."""

from __future__ import annotations

import numpy as np
import nvrtc
import pytest
from cuda_cases import COVERED, cases, operations

from gearshift.backends.cuda import Program, prepare

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)

pytestmark = pytest.mark.skipif(nvrtc.load() is None, reason="no NVRTC: pip install nvidia-cuda-nvrtc-cu12")


def programs(name: str) -> list[Program]:
    """The distinct programs of one operation over all its cases."""
    operation = operations()[name]
    found = (
        prepare(operation, case.arrays, case.attributes).program
        for real in (np.float32, np.float64)
        for case in cases(name, real, 3, 5)
    )
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_program_compiles_in_silence(architecture: int) -> None:
    if architecture not in nvrtc.architectures():
        pytest.skip(f"this NVRTC does not know sm_{architecture}")
    for program in dict.fromkeys(program for name in COVERED for program in programs(name)):
        binary, log = nvrtc.compile_cubin(program.source, [f"-arch=sm_{architecture}", *program.options])
        assert log == "", f"{program.options}: {log}"
        assert binary[:4] == b"\x7fELF"


def test_a_warning_is_seen() -> None:
    text = 'extern "C" __global__ void k(float* x) { int unused; x[0] = 1; }'
    _, log = nvrtc.compile_cubin(text, ["-arch=sm_80"])
    assert "unused" in log


def test_messages_name_the_file_and_line_of_an_include() -> None:
    (program,) = {p for p in programs("add") if p.macros == (("REAL", "float"),)}
    broken = program.source.replace("(long long)gridDim", "(long long)gridDimension")
    binary, log = nvrtc.compile_cubin(broken, ["-arch=sm_80", *program.options])
    assert not binary
    assert "grid.cuh(" in log
