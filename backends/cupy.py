"""The GPU backend: CuPy arrays, CUDA kernels, and matrix products by cuBLASLt or CuPy.

Work runs asynchronously on CuPy's current stream, except for conversions to NumPy arrays.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from threading import Timer
from typing import Any, ClassVar

import numpy as np

from . import cublaslt, cuda, gpu
from .base import Backend, Bindable, Status
from .cublaslt_product import address
from .errors import DeviceMemoryError
from .ranks import Collective, Ranks

logger = logging.getLogger(__name__)

SLOW = 0.2  # seconds: loading a kernel takes longer where it is compiled, which CuPy does once on a machine
HOST_TO_DEVICE = 1  # cudaMemcpyKind
STAGED = 1 << 20  # bytes of the largest array that is copied through pinned memory, while the host goes on
AHEAD = 4  # launches of a captured graph that may be queued


class CuPyBackend(Backend):
    """Runs an operation's CUDA kernel if it has one, otherwise its reference on CuPy arrays."""

    name: ClassVar[str] = "cupy"
    captures = True
    streams = True
    reserve: ClassVar[int] = 256 << 20
    """Bytes that plans must leave free for kernels, libraries and graphs."""

    def __init__(self) -> None:
        self.xp: Any = gpu.imported()
        self.products, self.no_products = cublaslt.load(self.xp, self.seconds, gpu.device(self.xp))
        self._modules: dict[cuda.KernelProgram, Any] = {}
        self._kernels: dict[tuple[cuda.KernelProgram, str], Any] = {}
        self._said = False  # that kernels are compiled

    @classmethod
    def status(cls) -> Status:
        return gpu.status(cls.name)

    def memory(self) -> tuple[int, int]:
        free, total = self.xp.cuda.runtime.memGetInfo()
        return max(0, free - self.reserve) + self.xp.get_default_memory_pool().free_bytes(), total

    def asarray(self, array: Any, dtype: Any = None) -> Any:
        with self.naming_memory():
            if isinstance(array, np.ndarray) and array.nbytes > STAGED:
                # CuPy would pin the next power of two of as many bytes, and keep them
                host = np.asarray(array, dtype=dtype, order="C")
                there = self.xp.empty(host.shape, dtype=host.dtype)
                there.set(host)
                return there
            return self.xp.asarray(array, dtype=dtype, order="C")  # CuPy keeps Fortran order; kernels take C order

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
        """Adds to CuPy's out-of-memory errors how much memory is free and what helps.

        Allocating arrays, loading kernels and launching graphs raise different errors.
        """
        try:
            yield
        except Exception as error:
            if not gpu.is_memory(error):
                raise
            free, total = self.memory()
            raise DeviceMemoryError(
                f"the GPU is out of memory: {free / 2**30:.2f} GiB of {total / 2**30:.2f} GiB are free; use a smaller "
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
            kernel = self._kernel(call.program, call.entry)
            return partial(kernel, call.grid, call.block, call.arguments, shared_mem=call.shared)

    def _bind_joined(
        self, operation: Any, arrays: Sequence[Any], attributes: Mapping[str, int | float]
    ) -> Callable[[], None]:
        """One launch with an epilogue, or one launch per part, whichever is faster."""
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
        return dict(self.products.choices) if self.products else {}

    def restore(self, choices: Any) -> None:
        if self.products:
            self.products.restore(choices)

    def _kernel(self, program: cuda.KernelProgram, entry: str) -> Any:
        if program not in self._modules:
            self._modules[program] = self.xp.RawModule(code=program.text)
        if (program, entry) not in self._kernels:
            with self._saying_if_slow():
                self._kernels[program, entry] = self._modules[program].get_function(entry)
        return self._kernels[program, entry]

    @contextmanager
    def _saying_if_slow(self) -> Iterator[None]:
        """Logs, once, that kernels are compiled, while the first one that takes long is."""
        timer = Timer(SLOW, self._say)
        timer.daemon = True
        if not self._said:
            timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _say(self) -> None:
        if not self._said:
            self._said = True
            logger.info("compiling GPU kernels, which takes some seconds; CuPy keeps them for later runs")

    def obstacle(self, operation: Bindable) -> str:
        if getattr(operation, "product", False) or getattr(operation, "parts", None) is not None:
            return self.no_products
        if getattr(operation, "cuda", None) is None and not getattr(operation, "captured", False):
            return f"operation {operation.name!r} has no CUDA kernel, and array code allocates memory while it runs"
        return ""

    def collective(self, ranks: Ranks) -> Collective:
        from .nccl import collective  # a single process does without

        return collective(ranks)

    def copies(self) -> Copies:
        return Copies(self.xp.cuda)

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        stream = self.xp.cuda.Stream(non_blocking=True)
        with stream:
            stream.begin_capture()
            try:
                work()
            except BaseException:
                with suppress(Exception):  # the incomplete capture is discarded
                    stream.end_capture()
                raise
            graph = stream.end_capture()
        return Replay(self.xp.cuda, graph, work)


class Replay:
    """Launches a captured graph on the current stream, and waits if `AHEAD` launches are queued.

    Otherwise the host would queue seconds of work before it checks the time.
    """

    def __init__(self, cuda: Any, graph: Any, work: Callable[[], None]) -> None:
        self.graph, self.launches = graph, 0
        self.work = work  # keeps the arrays of the graph alive
        self.ends = [cuda.Event(disable_timing=True) for _ in range(AHEAD)]

    def __call__(self) -> None:
        end = self.ends[self.launches % AHEAD]
        end.synchronize()
        self.graph.launch()
        end.record()
        self.launches += 1


class Copies:
    """Copies from pinned memory on a separate stream, synchronized with the compute stream by events."""

    def __init__(self, cuda: Any) -> None:
        self.cuda, self.stream = cuda, cuda.Stream(non_blocking=True)

    def pinned(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """An array in pinned host memory."""
        count = int(np.prod(shape))
        size = count * np.dtype(dtype).itemsize
        try:
            memory = self.cuda.alloc_pinned_memory(size)
        except Exception as error:
            if not gpu.is_memory(error):
                raise
            raise DeviceMemoryError(
                f"the host cannot allocate {size / 2**30:.2f} GiB of pinned memory to stream data larger than the GPU; "
                f"free host memory, or use a smaller batch ({error})"
            ) from None
        return np.frombuffer(memory, dtype, count).reshape(shape)

    def now(self) -> Any:
        """An event that completes when all work submitted so far is done."""
        event = self.cuda.Event(disable_timing=True)
        event.record()
        return event

    def start(self, pairs: Sequence[tuple[Any, np.ndarray]], after: Any) -> Any:
        """Copies the second array of each pair to the first after the event `after`; returns the event of the end."""
        self.stream.wait_event(after)
        for target, source in pairs:
            places = address(target), address(source)
            self.cuda.runtime.memcpyAsync(*places, source.nbytes, HOST_TO_DEVICE, self.stream.ptr)
        end = self.cuda.Event(disable_timing=True)
        end.record(self.stream)
        return end

    def wait(self, end: Any) -> None:
        """Makes later work wait for a copy."""
        self.cuda.get_current_stream().wait_event(end)


def _nothing() -> None:
    """A launch that does nothing."""
