"""Generated kernels: loops compiled by Numba and CUDA run on the CPU, against the definition in float64."""

from __future__ import annotations

import itertools
from typing import Any

import nvrtc
import pytest
from agreement import TOLERANCE, worst_error
from cuda_on_cpu import HostCuda, unavailable
from formula_cases import FORMULAS, NAMES, case_of, nodes

from gearshift.backends import cuda
from gearshift.backends.numba import NumbaBackend, compiled

QUICK = ("silu", "gated", "softmax", "MSELoss", "Variational")
"""What is tried in every dtype by each run of the tests; `.ci/long` tries all."""


def unless_quick(name: str, *values: str) -> Any:
    """These parameters, which only `.ci/long` tries unless the formula is quick."""
    return pytest.param(name, *values, marks=[] if name in QUICK else pytest.mark.long)


LOOPS = [case for name in NAMES for case in ((name, "float32"), unless_quick(name, "float64"))]


@pytest.mark.parametrize(("name", "dtype"), LOOPS)
def test_loops(name: str, dtype: str) -> None:
    """Any division into ranges gives the same bits."""
    for node, rows in itertools.product(nodes(name, dtype), (1, 70)):
        case = case_of(node, rows)
        whole, parts = ([array.copy() for array in case.arrays] for _ in range(2))
        NumbaBackend().bind(node.operation, whole, {})()
        assert worst_error(node.operation, case, whole) <= TOLERANCE[dtype]
        extent = node.operation.extent(*parts)
        for start, stop in itertools.pairwise(sorted({0, extent // 3, extent // 2, extent})):
            compiled(node.operation.loop)(start, stop, *parts)  # pyright: ignore[reportArgumentType]
        assert all(a.tobytes() == b.tobytes() for a, b in zip(whole, parts, strict=True))


@pytest.mark.skipif(bool(unavailable()), reason=unavailable())
@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.long)])
@pytest.mark.parametrize("name", NAMES)
def test_cuda(name: str, dtype: str) -> None:
    for node, rows in itertools.product(nodes(name, dtype), (1, 70)):
        case, bits = case_of(node, rows), set[tuple[bytes, ...]]()
        for host in (HostCuda(), HostCuda(blocks=2), HostCuda(backwards=True)):
            got = [array.copy() for array in case.arrays]
            host.run(node.operation, got, {})
            assert worst_error(node.operation, case, got) <= TOLERANCE[dtype]
            bits.add(tuple(array.tobytes() for array in got))
        assert len(bits) == 1


@pytest.mark.skipif(bool(unavailable()), reason=unavailable())
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", [unless_quick(name) for name in NAMES])
def test_cuda_of_sixteen_bits(name: str, precision: str) -> None:
    for node in nodes(name, "float32", precision):
        case = case_of(node, 30)
        got = [array.copy() for array in case.arrays]
        HostCuda().run(node.operation, got, {})
        short = precision in {got[place].dtype.name for place in case.written}
        assert worst_error(node.operation, case, got) <= TOLERANCE[precision if short else "float32"]


@pytest.mark.skipif(nvrtc.load() is None, reason="no NVRTC: pip install nvidia-cuda-nvrtc-cu12")
@pytest.mark.parametrize(
    "architecture",
    [pytest.param(sm, marks=pytest.mark.slow if sm == 90 else pytest.mark.long) for sm in (75, 90, 120)],
)
@pytest.mark.parametrize("name", FORMULAS)
def test_nvrtc_compiles_them_in_silence(name: str, architecture: int) -> None:
    """Those of the library are in the table of resources."""
    for dtype, precision in (("float32", None), ("float64", None), ("float32", "bfloat16")):
        for node in nodes(name, dtype, precision):
            program = cuda.prepare(node.operation, case_of(node, 3).arrays, {}).program
            binary, said = nvrtc.compile_cubin(program.text, [f"-arch=sm_{architecture}"])
            assert binary and not said
