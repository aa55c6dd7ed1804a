"""The GPU backend: CuPy arrays, products by cuBLAS through CuPy, operations' own CUDA kernels.

Work is put on CuPy's current stream and not waited for, except where NumPy arrays are asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, ClassVar

import numpy as np

from . import cuda
from .base import Backend, Bindable, Status
from .errors import DeviceMemoryError

REMEDY = "pip install 'gearshift[cuda12]' (or 'gearshift[cuda13]' for a driver of CUDA 13)"
_PROBE = 'extern "C" __global__ void probe(float* x) { x[threadIdx.x] += 1.0f; }'


class CuPyBackend(Backend):
    """Runs an operation's CUDA kernel where it has one, else its reference on CuPy arrays."""

    name: ClassVar[str] = "cupy"

    def __init__(self) -> None:
        self.xp: Any = _imported()

    @classmethod
    def status(cls) -> Status:
        try:
            cupy = _imported()
        except ImportError as error:
            reason = (
                "CuPy is not installed" if isinstance(error, ModuleNotFoundError) else f"CuPy fails to load: {error}"
            )
            return Status(cls.name, runs=False, reason=reason, remedy=REMEDY)
        versions = {"cupy": cupy.__version__}
        if not cupy.is_available():
            return Status(
                cls.name,
                runs=False,
                versions=versions,
                reason="CuPy finds no CUDA GPU, or no NVIDIA driver",
                remedy="install NVIDIA's driver; nvidia-smi then lists the GPU",
            )
        try:
            _try_in_earnest(cupy)
            properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
            memory = cupy.cuda.runtime.memGetInfo()
            versions |= {
                "CUDA runtime": str(cupy.cuda.runtime.runtimeGetVersion()),
                "CUDA driver": str(cupy.cuda.runtime.driverGetVersion()),
            }
        except Exception as error:  # whatever is missing, the answer is that the GPU does not run
            reason = f"the GPU fails a tiny product or kernel: {type(error).__name__}: {error}"
            return Status(cls.name, runs=False, versions=versions, reason=reason, remedy=REMEDY)
        device = f"{properties['name'].decode()}, compute capability {properties['major']}.{properties['minor']}"
        return Status(cls.name, runs=True, device=device, versions=versions, memory=memory)

    def memory(self) -> tuple[int, int]:
        free, total = self.xp.cuda.runtime.memGetInfo()
        return free + self.xp.get_default_memory_pool().free_bytes(), total

    def asarray(self, array: Any, dtype: Any = None) -> Any:
        with self._naming_memory():
            return self.xp.asarray(array, dtype=dtype)

    def zeros(self, shape: int | tuple[int, ...], dtype: Any) -> Any:
        with self._naming_memory():
            return self.xp.zeros(shape, dtype=dtype)

    @contextmanager
    def _naming_memory(self) -> Iterator[None]:
        """Says what CuPy's message leaves out when memory runs out: how much there is, and what helps."""
        try:
            yield
        except self.xp.cuda.memory.OutOfMemoryError as error:
            free, total = self.memory()
            raise DeviceMemoryError(
                f"the GPU is out of memory: {free / 2**30:.2f} GiB of {total / 2**30:.2f} GiB are free; take a smaller "
                f"batch, model or data set, or backend 'numba' ({error})"
            ) from None

    def to_numpy(self, array: Any) -> np.ndarray:
        return self.xp.asnumpy(array)

    def synchronize(self) -> None:
        self.xp.cuda.get_current_stream().synchronize()

    def seconds(self, work: Callable[[], None]) -> float:
        start, end = self.xp.cuda.Event(), self.xp.cuda.Event()
        start.record()
        work()
        end.record()
        end.synchronize()
        return self.xp.cuda.get_elapsed_time(start, end) / 1000

    def bind(
        self, operation: Bindable, arrays: Sequence[Any], attributes: Mapping[str, int | float]
    ) -> Callable[[], None]:
        if getattr(operation, "cuda", None) is None:
            return super().bind(operation, arrays, attributes)
        call = cuda.prepare(operation, arrays, attributes)
        if call.empty:
            return _nothing
        kernel = _module(call.program).get_function(call.entry)
        return partial(kernel, call.grid, call.block, call.arguments, shared_mem=call.shared)


def _imported() -> Any:
    """CuPy, which type checkers take for this file where it is not installed."""
    return importlib.import_module("cupy")


@cache
def _module(program: cuda.Program) -> Any:
    return _imported().RawModule(code=program.source, options=program.options)


def _nothing() -> None:
    """A launch without work."""


def _try_in_earnest(cupy: Any) -> None:
    """A real product and a real kernel on the device, since an importable CuPy proves neither."""
    ones = cupy.ones((2, 2), dtype=cupy.float32)
    product = cupy.asnumpy(ones @ ones)
    x = cupy.zeros(2, dtype=cupy.float32)
    cupy.RawKernel(_PROBE, "probe")((1,), (2,), (x,))
    if product.tolist() != [[2, 2], [2, 2]] or cupy.asnumpy(x).tolist() != [1, 1]:
        raise RuntimeError(f"gave {product.tolist()} and {x.tolist()} instead of twos and ones")
