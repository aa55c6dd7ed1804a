"""CuPy as far as the GPU backend calls it, on memory of the CPU: kernels run on the CPU, and streams can be captured.

What a capturing stream is given is noted and not run, as on a GPU; a look from the host meanwhile is an error.
"""

from __future__ import annotations

import ctypes
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from cuda_on_cpu import HostCuda, unavailable
from device_array import DeviceArray, on_device
from fake_cublaslt import FakeCublasLt

from gearshift import backends
from gearshift.backends import Backend, Status, cuda, host, registry
from gearshift.backends.cublaslt import Products
from gearshift.backends.cupy import CuPyBackend

Launched = tuple[str, tuple[int, ...], tuple[int, ...]]


class Stream:
    """A stream; work runs as it is given, except in a capture."""

    def __init__(self, device: Device, non_blocking: bool = False) -> None:
        self.device, self.ptr = device, id(self)
        device.streams[self.ptr] = self
        self.pending: list[Callable[[], None]] = []  # copies, which happen no sooner than somebody waits for them
        self.noted: list[Callable[[], None]] | None = None
        self.outer: Stream

    def __enter__(self) -> Stream:
        self.outer, self.device.stream = self.device.stream, self
        return self

    def __exit__(self, *_: object) -> None:
        self.device.stream = self.outer

    def begin_capture(self) -> None:
        assert self.noted is None and self.device.stream is self
        self.noted = []

    def end_capture(self) -> Graph:
        assert self.noted is not None
        noted, self.noted = self.noted, None
        return Graph(self.device, noted)

    def synchronize(self) -> None:
        if self.noted is not None:
            raise RuntimeError("operation not permitted when stream is capturing")

    def wait_event(self, event: Event) -> None:
        event.reach()


class Graph:
    """What a capture has noted."""

    def __init__(self, device: Device, noted: list[Callable[[], None]]) -> None:
        self.device, self.noted = device, noted

    def launch(self) -> None:
        assert self.device.stream.noted is None
        self.device.check("graphs")
        self.device.graphs += 1
        for run in self.noted:
            run()


class Event:
    """A moment."""

    def __init__(self, device: Device) -> None:
        self.device, self.time = device, 0.0
        self.stream: Stream | None = None  # where it was recorded
        self.before: list[Callable[[], None]] = []

    def record(self, stream: Stream | None = None) -> None:
        self.time = time.perf_counter()
        self.stream = stream or self.device.stream
        self.before = list(self.stream.pending)

    def reach(self) -> None:
        """The copies that were begun before the event was recorded come to their end; any thread may wait for them."""
        if self.stream is None:
            return
        with self.device.lock:
            for copy in self.before:
                if copy in self.stream.pending:
                    self.stream.pending.remove(copy)
                    copy()

    def synchronize(self) -> None:
        """Waits, which a capture on another stream does not forbid: CuPy captures in the relaxed mode."""
        if self.stream is not None:
            self.stream.synchronize()
            self.reach()


class OutOfMemoryError(MemoryError):
    """What an allocation raises for which there is no room."""


class CUDADriverError(RuntimeError):
    """What CuPy raises where the driver or the runtime finds no memory."""

    status = 2

    def __init__(self) -> None:
        super().__init__("CUDA_ERROR_OUT_OF_MEMORY: out of memory")


class Device:
    """The device: its present stream, what was launched, and the memory that arrays hold.

    With a `limit`, in bytes, allocations beyond it fail; `stated` is what the device says instead of it, as one does
    whose free memory lies in pieces. `exhausted` names what else finds no memory: kernels, graphs or pinned memory.
    """

    def __init__(self) -> None:
        self.limit, self.stated, self.held = 0, 0, 0
        self.exhausted = ""
        self.lock = threading.Lock()
        self.streams: weakref.WeakValueDictionary[int, Stream] = weakref.WeakValueDictionary()  # by their pointers
        self.stream = Stream(self)
        self.launched: list[Launched] = []
        self.graphs = self.alone = self.copied = 0  # launches of graphs, launches beside them, bytes copied
        self.released: list[int] = []

    def memory(self) -> tuple[int, int]:
        """Free and total bytes."""
        total = self.stated or self.limit
        return (max(0, total - self.held), total) if total else host.memory()

    def take(self, array: np.ndarray) -> np.ndarray:
        """Counts an array's memory for as long as it or a view of it lives."""
        size, root = array.nbytes, array
        while isinstance(root.base, np.ndarray):
            root = root.base
        if self.limit and self.held + size > self.limit:
            raise OutOfMemoryError(f"Out of memory allocating {size:,} bytes (allocated so far: {self.held:,} bytes).")
        self.held += size
        weakref.finalize(root, self._give, size)
        return array

    def pin(self, size: int) -> np.ndarray:
        """Memory of the host that copies may read beside other work."""
        self.check("pinned memory")
        return np.zeros(size, dtype=np.uint8)

    def check(self, what: str) -> None:
        """Fails where there is no memory for it."""
        if what == self.exhausted:
            raise CUDADriverError

    def _give(self, size: int) -> None:
        self.held -= size

    def launch(self, stream: Stream, name: str, run: Callable[[], None], grid: Any = (), block: Any = ()) -> None:
        """Runs work, or notes it where the stream is capturing."""

        def work() -> None:
            self.launched.append((name, tuple(grid), tuple(block)))
            run()

        if stream.noted is None:
            self.alone += 1
            work()
        else:
            stream.noted.append(work)

    def copy(self, target: int, source: int, size: int, kind: int, stream: int) -> None:
        """Begins a copy from the host, which is not there until somebody waits for it."""
        assert kind == 1 and self.streams[stream].noted is None
        self.copied += size

        def move() -> None:
            ctypes.memmove(target, source, size)

        self.streams[stream].pending.append(move)


class FakeCupy:
    """The module `cupy`; what it does not define is NumPy's, on arrays of the device alone."""

    ndarray = DeviceArray

    def __init__(self) -> None:
        self.device = device = Device()
        self.cuda = SimpleNamespace(
            Stream=lambda **options: Stream(device, **options),
            Event=lambda **options: Event(device),
            Device=lambda: SimpleNamespace(id=0, compute_capability="90", attributes={"MultiProcessorCount": 3}),
            driver=SimpleNamespace(occupancyMaxActiveBlocksPerMultiprocessor=lambda kernel, threads, shared: 1),
            get_current_stream=lambda: device.stream,
            get_elapsed_time=lambda start, end: (end.time - start.time) * 1000,
            alloc_pinned_memory=device.pin,
            runtime=SimpleNamespace(memGetInfo=device.memory, memcpyAsync=device.copy),
            memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        )

    def __getattr__(self, name: str) -> Any:
        found = getattr(np, name)
        return on_device(found) if callable(found) and not isinstance(found, type) else found

    def zeros(self, shape: Any, dtype: Any) -> Any:
        return self.device.take(host.aligned_zeros(shape, dtype).view(DeviceArray))

    def empty(self, shape: Any, dtype: Any) -> Any:
        return self.zeros(shape, dtype)

    def asarray(self, array: Any, dtype: Any = None, order: Any = None) -> Any:
        """Keeps Fortran order where no other is asked for, as CuPy does."""
        if isinstance(array, DeviceArray):
            fits = order != "C" or array.flags.c_contiguous
            return array if fits and dtype in (None, array.dtype) else array.astype(dtype or array.dtype, order or "K")
        given = np.asarray(array, dtype=dtype)
        fortran = order is None and given.flags.f_contiguous and not given.flags.c_contiguous
        there = self.zeros(given.shape[::-1] if fortran else given.shape, given.dtype)
        there = there.T if fortran else there
        there.view(np.ndarray)[...] = given
        return there

    def asnumpy(self, array: Any) -> np.ndarray:
        self.device.stream.synchronize()
        DeviceArray.looks += 1
        return np.array(array.view(np.ndarray))

    def get_default_memory_pool(self) -> Any:
        return SimpleNamespace(free_bytes=lambda: 0, free_all_blocks=lambda: self.device.released.append(1))

    def get_default_pinned_memory_pool(self) -> Any:
        return SimpleNamespace(free_all_blocks=lambda: None)

    def RawModule(self, code: str, options: tuple[str, ...]) -> Any:
        macros = [option.removeprefix("-D").partition("=") for option in options]
        program = cuda.KernelProgram(code, tuple((name, text) for name, _, text in macros))
        host = HostCuda()

        def get_function(entry: str) -> Kernel:
            self.device.check("kernels")
            return Kernel(self.device, host, program, entry)

        return SimpleNamespace(get_function=get_function)


class Kernel:
    """A kernel of a module; its handle says nothing."""

    kernel = SimpleNamespace(ptr=0)

    def __init__(self, device: Device, host: HostCuda, program: cuda.KernelProgram, entry: str) -> None:
        self.device, self.host, self.program, self.entry = device, host, program, entry

    def __call__(self, grid: Any, block: Any, arguments: Any, shared_mem: int = 0) -> None:
        beside = [a for a in arguments if isinstance(a, np.ndarray) and not isinstance(a, DeviceArray)]
        assert not beside, "CuPy passes arrays of the host by value, where they hold one element, and refuses others"
        run = self.host.load(cuda.KernelCall(self.program, self.entry, grid, block, shared_mem, arguments))
        self.device.launch(self.device.stream, self.entry, run, grid, block)


class CudaOnCpu(CuPyBackend):
    """The GPU backend itself, on a stand-in for CuPy and cuBLASLt: everything but the device is real."""

    name = "cuda-on-cpu"
    reserve = 0

    def __init__(self, products: bool = True, file: Path | None = None) -> None:
        self.xp = fake = FakeCupy()
        self.device = device = fake.device
        self._modules, self._said = {}, True
        self.products, self.no_products = None, "products use cupy.matmul, which cannot be captured"
        if products:

            def launch(stream: int, name: str, run: Callable[[], None]) -> None:
                assert stream == device.stream.ptr
                device.launch(device.stream, name, run)

            self.lt = FakeCublasLt(launch)
            self.products, self.no_products = Products(self.lt, fake, self._launches, "the CPU", file), ""

    def _launches(self, work: Callable[[], None]) -> float:
        """Counts launches, where the device would measure seconds: so choices here are always the same."""
        before = len(self.device.launched)
        work()
        return len(self.device.launched) - before

    @classmethod
    def status(cls) -> Status:
        reason = unavailable()
        return Status(cls.name, runs=not reason, device="the CPU", reason=reason, remedy="pip install ziglang")


@contextmanager
def stand_ins(*kinds: type[Backend]) -> Iterator[None]:
    """Registers backends by their names, for the time being."""
    before = dict(registry._registered)
    for kind in kinds:
        backends.register(kind.name, kind)
    try:
        yield
    finally:
        registry._registered.clear()
        registry._registered.update(before)
        registry._forget()
