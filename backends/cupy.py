"""The GPU backend: CuPy arrays, products by cuBLASLt or else by CuPy, operations' own CUDA kernels.

Work is put on CuPy's current stream and not waited for, except where NumPy arrays are asked for.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, ClassVar

import numpy as np

from . import cublaslt, cuda
from .base import Backend, Bindable, Status
from .errors import DeviceMemoryError

REMEDY = "pip install 'gearshift[cuda12]' (or 'gearshift[cuda13]' for a driver of CUDA 13)"
HOST_TO_DEVICE = 1  # cudaMemcpyKind
OUT_OF_MEMORY = 2  # of cudaError_t and of CUresult, which modules, graphs and pinned memory answer with
AHEAD = 4  # launches of a captured graph that may wait on the device
_PROBE = 'extern "C" __global__ void probe(float* x) { x[threadIdx.x] += 1.0f; }'


class CuPyBackend(Backend):
    """Runs an operation's CUDA kernel where it has one, else its reference on CuPy arrays."""

    name: ClassVar[str] = "cupy"
    captures = True
    streams = True
    reserve: ClassVar[int] = 256 << 20
    """Bytes that no plan may count on: kernels, libraries and graphs take them as they are loaded."""

    def __init__(self) -> None:
        self.xp: Any = _imported()
        self.products, self.no_products = cublaslt.load(self.xp, self.seconds, _device(self.xp))
        self._modules: dict[cuda.KernelProgram, Any] = {}

    @classmethod
    def status(cls) -> Status:
        try:
            cupy = _imported()
        except ImportError as error:
            reason = (
                "CuPy is not installed" if isinstance(error, ModuleNotFoundError) else f"CuPy fails to load: {error}"
            )
            return Status(cls.name, runs=False, reason=reason, remedy=REMEDY)
        versions = {"cupy": cupy.__version__, "nvmath-python": cublaslt.version()}
        reason, remedy = _without_device(cupy.cuda.runtime)
        if reason:
            return Status(cls.name, runs=False, versions=versions, reason=reason, remedy=remedy)
        try:
            _try_in_earnest(cupy)
            device = _device(cupy)
            memory = cupy.cuda.runtime.memGetInfo()
            versions |= {
                "CUDA runtime": str(cupy.cuda.runtime.runtimeGetVersion()),
                "CUDA driver": str(cupy.cuda.runtime.driverGetVersion()),
            }
        except Exception as error:  # whatever is missing, the answer is that the GPU does not run
            reason = f"the GPU fails a tiny product or kernel: {type(error).__name__}: {error}"
            remedy = "free its memory: nvidia-smi lists who holds it" if _is_memory(error) else REMEDY
            return Status(cls.name, runs=False, versions=versions, reason=reason, remedy=remedy)
        return Status(cls.name, runs=True, device=device, versions=versions, memory=memory)

    def memory(self) -> tuple[int, int]:
        free, total = self.xp.cuda.runtime.memGetInfo()
        return max(0, free - self.reserve) + self.xp.get_default_memory_pool().free_bytes(), total

    def asarray(self, array: Any, dtype: Any = None) -> Any:
        with self.naming_memory():
            return self.xp.asarray(array, dtype=dtype)

    def zeros(self, shape: int | tuple[int, ...], dtype: Any) -> Any:
        with self.naming_memory():
            return self.xp.zeros(shape, dtype=dtype)

    def bytes_to_hold(self, array: Any) -> int:
        return 0 if isinstance(array, self.xp.ndarray) else array.nbytes

    def release(self) -> None:
        self.xp.get_default_memory_pool().free_all_blocks()
        self.xp.get_default_pinned_memory_pool().free_all_blocks()

    @contextmanager
    def naming_memory(self) -> Iterator[None]:
        """Says what CuPy's message leaves out when memory runs out: how much there is, and what helps.

        Arrays, kernels as they are loaded and graphs as they are launched each have an error of their own.
        """
        try:
            yield
        except Exception as error:
            if not _is_memory(error):
                raise
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
        with self.naming_memory():
            if getattr(operation, "product", False) and self.products and all(array.size for array in arrays):
                return self.products.bind(*arrays, **attributes)
            if getattr(operation, "parts", None) is not None:
                return self._bind_joined(operation, arrays, attributes)
            if getattr(operation, "cuda", None) is None:
                return super().bind(operation, arrays, attributes)
            call = cuda.prepare(operation, arrays, attributes)
            if call.empty:
                return _nothing
            kernel = self._module(call.program).get_function(call.entry)
            return partial(kernel, call.grid, call.block, call.arguments, shared_mem=call.shared)

    def _bind_joined(
        self, operation: Any, arrays: Sequence[Any], attributes: Mapping[str, int | float]
    ) -> Callable[[], None]:
        """One launch by a product's epilogue, or a launch for each part: what is faster here."""
        calls = [self.bind(*part) for part in operation.parts(*arrays, **attributes)]

        def separate() -> None:
            for call in calls:
                call()

        if self.products is None or not all(array.size for array in arrays):
            return separate
        return self.products.bind_fused(operation.fused(*arrays, **attributes), separate)

    @property
    def joins(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.products is not None

    @property
    def precisions(self) -> Sequence[str]:  # pyright: ignore[reportIncompatibleVariableOverride]
        if self.products is None:
            return Backend.precisions
        newer = ("tf32", "bfloat16") if int(self.xp.cuda.Device().compute_capability) >= 80 else ()
        return *Backend.precisions, *newer, "float16"

    @property
    def choices(self) -> dict[str, Any]:
        return self.products.choices if self.products else {}

    def restore(self, choices: Any) -> None:
        if self.products:
            self.products.restore(choices)

    def _module(self, program: cuda.KernelProgram) -> Any:
        if program not in self._modules:
            self._modules[program] = self.xp.RawModule(code=program.source, options=program.options)
        return self._modules[program]

    def obstacle(self, operation: Bindable) -> str:
        if getattr(operation, "product", False) or getattr(operation, "parts", None) is not None:
            return self.no_products
        if getattr(operation, "cuda", None) is None:
            return f"operation {operation.name!r} has no CUDA kernel, and array code takes memory while it runs"
        return ""

    def copies(self) -> Copies:
        return Copies(self.xp.cuda)

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        stream = self.xp.cuda.Stream(non_blocking=True)
        with stream:
            stream.begin_capture()
            try:
                work()
            except BaseException:
                with suppress(Exception):  # what is left of the capture is not wanted
                    stream.end_capture()
                raise
            graph = stream.end_capture()
        return Replay(self.xp.cuda, graph, work)


class Replay:
    """Launches a captured graph on the current stream, and waits where the device is `AHEAD` launches behind.

    Without that the host would have queued seconds of work before it looked at the clock.
    """

    def __init__(self, cuda: Any, graph: Any, work: Callable[[], None]) -> None:
        self.graph, self.launches = graph, 0
        self.work = work  # holds the arrays that the graph uses
        self.ends = [cuda.Event(disable_timing=True) for _ in range(AHEAD)]

    def __call__(self) -> None:
        end = self.ends[self.launches % AHEAD]
        end.synchronize()
        self.graph.launch()
        end.record()
        self.launches += 1


class Copies:
    """Copies from pinned memory on a stream of its own, between events of the stream that works."""

    def __init__(self, cuda: Any) -> None:
        self.cuda, self.stream = cuda, cuda.Stream(non_blocking=True)

    def pinned(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """An array of the host that the device can read by itself."""
        count = int(np.prod(shape))
        size = count * np.dtype(dtype).itemsize
        try:
            memory = self.cuda.alloc_pinned_memory(size)
        except Exception as error:
            if not _is_memory(error):
                raise
            raise DeviceMemoryError(
                f"the host gives no {size / 2**30:.2f} GiB of pinned memory, through which data larger than the GPU "
                f"are streamed; free memory of the host, or take a smaller batch ({error})"
            ) from None
        return np.frombuffer(memory, dtype, count).reshape(shape)

    def now(self) -> Any:
        """The moment at which the work given so far is done."""
        event = self.cuda.Event(disable_timing=True)
        event.record()
        return event

    def start(self, pairs: Sequence[tuple[Any, np.ndarray]], after: Any) -> Any:
        """Copies each second array to the first, once the device has reached the event `after`; gives the end's."""
        self.stream.wait_event(after)
        for target, source in pairs:
            places = cublaslt.address(target), cublaslt.address(source)
            self.cuda.runtime.memcpyAsync(*places, source.nbytes, HOST_TO_DEVICE, self.stream.ptr)
        end = self.cuda.Event(disable_timing=True)
        end.record(self.stream)
        return end

    def wait(self, end: Any) -> None:
        """Lets the work to come begin after a copy."""
        self.cuda.get_current_stream().wait_event(end)


def _imported() -> Any:
    """CuPy, which type checkers take for this file where it is not installed."""
    return importlib.import_module("cupy")


def _without_device(runtime: Any) -> tuple[str, str]:
    """Why there is no GPU to work on, and what helps; both empty where there is one."""
    said = "it lists none"
    try:
        if runtime.getDeviceCount():
            return "", ""
    except Exception as error:  # the driver's, or that there is none
        said = str(error)
    driver, hidden = runtime.driverGetVersion(), os.environ.get("CUDA_VISIBLE_DEVICES")
    if not driver:
        return "CuPy finds no NVIDIA driver", "install NVIDIA's driver; nvidia-smi then lists the GPU"
    if "InsufficientDriver" in said:
        versions = [f"{version // 1000}.{version % 1000 // 10}" for version in (driver, runtime.runtimeGetVersion())]
        reason = "NVIDIA's driver is too old: it is for CUDA {} and CuPy for CUDA {}".format(*versions)
        return reason, f"install a newer driver, or {REMEDY}"
    if hidden is not None:
        return f"CUDA_VISIBLE_DEVICES={hidden!r} leaves no GPU ({said})", "unset CUDA_VISIBLE_DEVICES"
    return f"NVIDIA's driver finds no GPU ({said})", "nvidia-smi lists the GPUs that the driver sees"


def _is_memory(error: Exception) -> bool:
    """Whether an error of CuPy's says that memory has run out."""
    return type(error).__name__ == "OutOfMemoryError" or getattr(error, "status", 0) == OUT_OF_MEMORY


def _device(cupy: Any) -> str:
    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    return f"{properties['name'].decode()}, compute capability {properties['major']}.{properties['minor']}"


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
