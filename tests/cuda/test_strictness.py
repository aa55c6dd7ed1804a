"""The stand-in is as strict as CUDA documents: each mistake here is an error on a GPU, or undefined there."""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
from collections.abc import Iterator
from typing import Any

import host_compiler
import numpy as np
import pytest
import stand_in
from processes import run

KERNELS = r"""
extern "C" __global__ void add(float* x, float value) { x[blockIdx.x * blockDim.x + threadIdx.x] += value; }
struct alignas(16) Four { float x[4]; };
extern "C" __global__ void wide(Four* x) { *x = Four(); }
extern "C" __global__ void meet(float* x) { if (threadIdx.x) __syncthreads(); x[threadIdx.x] = 1; }
"""
START = f"""
import numpy as np, cupy as cp
cp.cuda.set_allocator(None)  # every array is a block of its own
text = r'''{KERNELS}'''
get = cp.RawModule(code=text).get_function
def status(work):
    try:
        work()
        cp.cuda.Device().synchronize()
    except Exception as error:
        return getattr(error, "status", str(error))
    return 0
"""


@pytest.fixture
def cp() -> Any:
    return importlib.import_module("cupy")


@pytest.fixture
def add(cp: Any) -> Any:
    return cp.RawKernel(KERNELS.splitlines()[1], "add")


@pytest.fixture
def side(cp: Any) -> Iterator[Any]:
    """A stream beside the default one."""
    stream = cp.cuda.Stream(non_blocking=True)
    yield stream
    stream.synchronize()


def test_work_runs_only_when_somebody_waits(cp: Any, add: Any, side: Any) -> None:
    """So a copy from pinned memory that is rewritten too early shows, and so does a missing wait between streams."""
    x, pinned = cp.zeros(4, np.float32), cp.cuda.alloc_pinned_memory(16)
    host = np.frombuffer(pinned, np.float32, 4)
    host[:] = 1
    cp.cuda.Device().synchronize()
    cp.cuda.runtime.memcpyAsync(x.data.ptr, host.ctypes.data, 16, 1, side.ptr)
    host[:] = 2  # too early
    add((1,), (4,), (x, np.float32(10)))
    assert cp.asnumpy(x).tolist() == [10] * 4  # the default stream did not wait for the copy
    side.synchronize()
    assert cp.asnumpy(x).tolist() == [2] * 4


def test_an_event_orders_streams(cp: Any, add: Any, side: Any) -> None:
    x, pinned = cp.zeros(4, np.float32), cp.cuda.alloc_pinned_memory(16)
    np.frombuffer(pinned, np.float32, 4)[:] = 1
    cp.cuda.Device().synchronize()
    cp.cuda.runtime.memcpyAsync(x.data.ptr, pinned.ptr, 16, 1, side.ptr)
    end = cp.cuda.Event(disable_timing=True)
    end.record(side)
    assert not end.done
    cp.cuda.get_current_stream().wait_event(end)
    add((1,), (4,), (x, np.float32(10)))
    assert cp.asnumpy(x).tolist() == [11] * 4
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="InvalidResourceHandle"):
        cp.cuda.get_elapsed_time(end, end)  # its timing is off


def test_new_memory_holds_no_numbers(cp: Any) -> None:
    size = 3 << 20
    fresh = cp.cuda.MemoryPointer(cp.cuda.Memory(4 * size), 0)  # not of the pool, which keeps what tests have freed
    assert np.isnan(cp.asnumpy(cp.ndarray(size, np.float32, fresh))[-5:]).all()


def test_copies_must_be_of_their_kind_and_inside_a_block(cp: Any) -> None:
    x, host = cp.zeros(4, np.float32), np.zeros(1 << 16, np.float32)
    copy = cp.cuda.runtime.memcpyAsync
    for arguments in (
        (x.data.ptr, host.ctypes.data, 16, 2, 0),  # device to host
        (x.data.ptr, x.data.ptr, 16, 1, 0),
        (host.ctypes.data, x.data.ptr, 1 << 40, 2, 0),
    ):
        with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="InvalidValue"):
            copy(*arguments)
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="InvalidResourceHandle"):
        copy(x.data.ptr, host.ctypes.data, 16, 1, 12345)


@pytest.mark.parametrize(
    ("grid", "block", "shared"),
    [
        ((1, 65536, 1), (1, 1, 1), 0),
        ((1, 1, 1), (1025, 1, 1), 0),
        ((1, 1, 1), (1, 1, 65), 0),
        ((1, 1, 1), (1, 1, 1), 1 << 16),
    ],
)
def test_launches_beyond_an_h100_are_refused(cp: Any, add: Any, grid: Any, block: Any, shared: int) -> None:
    with pytest.raises(cp.cuda.driver.CUDADriverError, match=r"INVALID|Invalid"):
        add(grid, block, (cp.zeros(1, np.float32), np.float32(1)), shared_mem=shared)


def test_a_capturing_stream_refuses_what_cuda_refuses(cp: Any, side: Any) -> None:
    outside = cp.cuda.Event()
    outside.record()

    def wait_for_another() -> None:
        side.wait_event(outside)

    def read() -> None:
        cp.cuda.runtime.memcpyAsync(np.zeros(4, np.float32).ctypes.data, x.data.ptr, 16, 2, side.ptr)

    x = cp.zeros(4, np.float32)
    mistakes = [(side.synchronize, "CaptureUnsupported"), (wait_for_another, "CaptureIsolation")]
    for work, error in (*mistakes, (read, "CaptureUnsupported")):
        with side:
            side.begin_capture()
            with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match=error):
                work()
            with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="Invalidated"):
                side.end_capture()
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="Unsupported"):
        cp.cuda.runtime.streamBeginCapture(0)


def test_the_default_stream_breaks_a_capture_of_a_blocking_stream(cp: Any, add: Any) -> None:
    x, stream = cp.zeros(4, np.float32), cp.cuda.Stream()
    with stream:
        stream.begin_capture()
    with pytest.raises(cp.cuda.driver.CUDADriverError, match="Implicit"):
        add((1,), (4,), (x, np.float32(1)))
    with stream, pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="Invalidated"):
        stream.end_capture()


def test_a_capture_runs_nothing_and_a_graph_runs_it_each_time(cp: Any, add: Any, side: Any) -> None:
    x = cp.zeros(4, np.float32)
    cp.cuda.Device().synchronize()
    with side:
        side.begin_capture()
        add((1,), (4,), (x, np.float32(1)))
        graph = side.end_capture()
    assert cp.asnumpy(x).tolist() == [0] * 4
    for _ in range(3):
        graph.launch()
    assert cp.asnumpy(x).tolist() == [3] * 4


def test_memory_ends(cp: Any) -> None:
    free, total = cp.cuda.runtime.memGetInfo()
    assert 0 < free <= total
    with pytest.raises(cp.cuda.memory.OutOfMemoryError):
        cp.zeros(total, np.uint8)


FAULTS = {
    "beyond an array": "x = cp.zeros(64, 'f4'); print(status(lambda: get('add')((2,), (64,), (x, np.float32(1)))))",
    "freed memory": "x = cp.zeros(64, 'f4'); p = x.data.ptr; del x; print(status("
    "lambda: get('add')((1,), (64,), (np.uint64(p), np.float32(1)))))",
    "memory of the host": "x = cp.cuda.alloc_pinned_memory(1 << 20); p = x.ptr; del x;"
    "cp.get_default_pinned_memory_pool().free_all_blocks(); print(status("
    "lambda: get('add')((1,), (64,), (np.uint64(p), np.float32(1)))))",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_illegal_access_loses_the_device(fault: str) -> None:
    said = run("-c", f"{START}{FAULTS[fault]}\nprint(status(lambda: cp.zeros(1)))")
    assert said.split()[:2] == ["700", "700"] and "illegal memory access" in said and "kernel add" in said


def test_a_misaligned_access_loses_the_device() -> None:
    said = run("-c", f"{START}x = cp.zeros(64, 'f4'); print(status(lambda: get('wide')((1,), (1,), (x[1:],))))")
    assert "716" in said and "misaligned" in said


def test_a_barrier_that_some_never_reach_is_an_error() -> None:
    said = run("-c", f"{START}x = cp.zeros(64, 'f4'); print(status(lambda: get('meet')((1,), (64,), (x,))))")
    assert "at a barrier that others never reach" in said and "702" in said


def test_writes_beside_a_block_show_when_it_is_freed() -> None:
    """Blocks begin at multiples of 256 bytes, so the few bytes after one are mapped."""
    code = (
        "x = cp.zeros(60, 'f4'); get('add')((1,), (64,), (x, np.float32(1))); del x; print(status(lambda: cp.zeros(1)))"
    )
    said = run("-c", START + code)
    assert "wrote beside the block of 240 bytes" in said


def test_the_host_cannot_touch_device_memory() -> None:
    code = "import ctypes; x = cp.zeros(64, 'f4'); cp.cuda.Device().synchronize(); ctypes.string_at(x.data.ptr, 4)"
    assert "Segmentation fault" in run("-X", "faulthandler", "-c", START + code, fails=True)


def test_a_text_that_nvrtc_refuses_is_refused(cp: Any) -> None:
    if not importlib.util.find_spec("nvidia.cuda_nvrtc"):
        pytest.skip("NVRTC is not installed: pip install nvidia-cuda-nvrtc-cu12")
    host_only = 'extern "C" __global__ void k(float* x) { std::vector<float> v(1); x[0] = v[0]; }'
    with pytest.raises(cp.cuda.compiler.CompileException, match="NVRTC refuses"):
        cp.RawKernel(host_only, "k")((1,), (1,), (cp.zeros(1, np.float32),))


# ---- cuBLASLt


@pytest.fixture
def lt() -> Any:
    return importlib.import_module("nvmath.bindings.cublasLt")


def test_cublaslt_checks_leading_dimensions_sizes_and_handles(lt: Any) -> None:
    with pytest.raises(lt.cuBLASLtError, match="INVALID_VALUE"):
        lt.matrix_layout_create(0, 4, 3, 3)  # 4 rows, 3 apart
    description = lt.matmul_desc_create(68, 0)
    value = ctypes.c_int64(1)
    with pytest.raises(lt.cuBLASLtError, match="INVALID_VALUE"):
        lt.matmul_desc_set_attribute(description, lt.MatmulDescAttribute.TRANSA, ctypes.addressof(value), 8)
    lt.matmul_desc_destroy(description)
    with pytest.raises(lt.cuBLASLtError, match="INVALID_VALUE"):
        lt.matmul_desc_destroy(description)


def test_cublaslt_checks_alignment_and_range(cp: Any) -> None:
    from gearshift import backends
    from gearshift.kernels.arrays.matmul import MATMUL

    backend: Any = backends.get("cupy")
    arrays = [cp.ones((4, 4), np.float32) for _ in range(3)]
    plan = backend.bind(MATMUL, arrays, {"transpose_a": 0, "transpose_b": 0})
    for place in (3, 5):  # the first factor and the second
        right = plan.arguments
        wrong = list(right)
        wrong[place] += 4
        plan.arguments = tuple(wrong)
        with pytest.raises(plan.lt.cuBLASLtError, match="INVALID_VALUE"):
            plan()
        wrong[place] = np.zeros(16, np.float32).ctypes.data  # memory of the host
        plan.arguments = tuple(wrong)
        with pytest.raises(plan.lt.cuBLASLtError, match="INVALID_VALUE"):
            plan()
        plan.arguments = right
    plan()
    assert cp.asnumpy(arrays[2]).tolist() == [[4] * 4] * 4


def test_compilers_run_without_the_stand_in() -> None:
    """One that is written in Python would boot it, and so start compilers without end."""
    assert os.environ[stand_in.VARIABLE] and "PYTHONPATH" in os.environ
    assert {stand_in.VARIABLE, "PYTHONPATH"}.isdisjoint(host_compiler.outside())
