"""The real CuPy and nvmath-python without a GPU: NVIDIA's libraries are replaced by stand-ins that run on the host.

The CUDA runtime is linked into CuPy's extension modules. As each is loaded, every runtime function in it is overwritten
with a jump to the stand-in's; one that the stand-in does not have says its name and answers: not supported. The driver,
NVRTC, cuBLAS and cuBLASLt are looked for by name, and found because libraries of these names are loaded already.

What it does not see: races between threads and blocks, memory order, what an earlier block has left in shared memory,
launch bounds, -ftz and rounding of the chip, lazy loading, and which arrays share a block of CuPy's pool, unless a test
turns the pool off. A process has one device, the first that CUDA_VISIBLE_DEVICES leaves. It refuses what it does not
know, as streams that join a capture. Thrust's sorts are NumPy's. NCCL joins processes of one machine.

    GEARSHIFT_CUDA_STAND_IN=1 PYTHONPATH=tests/cuda/site python -m gearshift train --backend cupy …

STAND_IN_DEVICES, STAND_IN_DRIVER (as 12090), STAND_IN_BYTES and STAND_IN_PINNED change the machine, STAND_IN_HIDDEN has
the names of libraries that it lacks, STAND_IN_HEADERS is where the stand-in itself has CUDA's headers, and
STAND_IN_COUNTS names a file to which every process appends what it ran.
"""

from __future__ import annotations

import atexit
import ctypes
import importlib.machinery
import importlib.util
import json
import os
import platform
import struct
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VARIABLE = "GEARSHIFT_CUDA_STAND_IN"
SITE = Path(__file__).with_name("site")
CORE = ("libcuda.so.1", "libnvrtc.so.12", "libcublas.so.12", "libcublasLt.so.12")
NAMES = (*CORE, "libcurand.so.10", "libcufft.so.11", "libnccl.so.2")
NEEDING = {
    "libcublas.so.12": "cupy_backends/cuda/libs/cublas",
    "libcurand.so.10": "cupy_backends/cuda/libs/curand",
    "libcufft.so.11": "cupy/cuda/cufft",
    "libnccl.so.2": "cupy_backends/cuda/libs/nccl",
}
"""Extension modules that need every function of a library to be there."""
FUNCTION, UNDEFINED = 2, 0
READ_WRITE_EXECUTE = 7

_loaded: list[Any] = []  # the library, and callbacks that must stay alive


def wanted() -> bool:
    """Whether this process is to run on the stand-in."""
    return os.environ.get(VARIABLE, "0") not in ("", "0")


def obstacle(needed: Collection[str] = ("cupy_backends", "nvmath")) -> str:
    """Why the stand-in cannot run these packages here; empty where it can."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "the stand-in for CUDA runs on Linux on x86-64 only"
    for module, package in (("cupy_backends", "cupy-cuda12x"), ("nvmath", "nvmath-python")):
        if module in needed and importlib.util.find_spec(module) is None:
            return f"{package} is not installed: pip install cupy-cuda12x nvmath-python 'cuda-bindings<13'"
    if not headers().exists():
        return "the headers of CUDA's runtime are not installed: pip install nvidia-cuda-runtime-cu12"
    return ""


def headers() -> Path:
    """The folder of the headers of CUDA's runtime."""
    if elsewhere := os.environ.get("STAND_IN_HEADERS"):
        return Path(elsewhere)
    spec = importlib.util.find_spec("nvidia")
    folders = list(spec.submodule_search_locations or []) if spec else []
    return next((p for f in folders if (p := Path(f) / "cuda_runtime" / "include").exists()), Path("nowhere"))


@dataclass(frozen=True)
class Symbol:
    """A symbol of an ELF file."""

    name: str
    kind: int
    section: int
    value: int
    size: int


def symbols(path: Path) -> Iterator[Symbol]:
    """The symbols of an ELF file, also those that are local."""
    data = path.read_bytes()
    (table,) = struct.unpack_from("<Q", data, 0x28)
    entry, sections = struct.unpack_from("<HH", data, 0x3A)
    for base in range(table, table + entry * sections, entry):
        _, kind, _, _, offset, size, link, _, _, step = struct.unpack_from("<IIQQQQIIQQ", data, base)
        if kind not in (2, 11):  # a symbol table, and that of the dynamic linker
            continue
        (names,) = struct.unpack_from("<Q", data, table + link * entry + 0x18)
        for at in range(offset, offset + size, step):
            name, info, _, section, value, length = struct.unpack_from("<IBBHQQ", data, at)
            text = data[names + name : data.index(b"\0", names + name)].decode()
            yield Symbol(text.partition("@")[0], info & 15, section, value, length)


def boot() -> None:
    """Puts the stand-in in place of CUDA in this process; CuPy must not be imported yet."""
    if _loaded:  # by sitecustomize
        return
    if "cupy" in sys.modules or obstacle(["cupy_backends"]):
        raise RuntimeError(
            obstacle(["cupy_backends"]) or "CuPy is imported already: the stand-in for CUDA comes too late"
        )
    import host_compiler

    os.environ |= host_compiler.environment()
    path = host_compiler.library(headers())
    library = ctypes.CDLL(str(path))
    _loaded.append(library)
    provided = {symbol.name for symbol in symbols(path) if symbol.section != UNDEFINED}
    hidden = os.environ.get("STAND_IN_HIDDEN", "").split()
    for name in NAMES:
        missing = sorted(_needed(NEEDING[name]) - provided) if name in NEEDING else []
        if name not in hidden:
            ctypes.CDLL(str(host_compiler.alias(name, path, missing)))
    set_compiler(host_compiler.kernel)
    _patch_modules(library)
    atexit.register(_append_counts)


def _needed(module: str) -> set[str]:
    """The functions of NVIDIA's libraries that an extension module needs."""
    folder, _, rest = module.partition("/")
    spec = importlib.util.find_spec(folder)
    assert spec and spec.submodule_search_locations
    (file,) = Path(spec.submodule_search_locations[0]).glob(f"{rest}.*.so")
    prefixes = ("cublas", "curand", "cufft", "nccl")
    return {s.name for s in symbols(file) if s.section == UNDEFINED and s.name.startswith(prefixes)}


def set_compiler(compile_kernel: Callable[[str, list[str]], tuple[int, str]]) -> None:
    """Takes the place of NVRTC; see `host_compiler.kernel`."""

    def compiled(source: bytes, options: bytes, answer: int, room: int) -> int:
        status, text = compile_kernel(source.decode(), options.decode().split("\n")[:-1])
        written = text.encode()[: room - 1] + b"\0"
        ctypes.memmove(answer, written, len(written))
        return status

    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
    callback = kind(compiled)
    _loaded[0].stand_in_set_compiler(callback)
    _loaded.append(callback)


def _patch_modules(library: ctypes.CDLL) -> None:
    """From now on, CuPy's extension modules are patched between being loaded and being initialised."""
    loader = importlib.machinery.ExtensionFileLoader
    create, execute = loader.create_module, loader.exec_module

    def create_module(self: Any, spec: Any) -> Any:
        module = create(self, spec)
        if spec.name.partition(".")[0] in ("cupy", "cupy_backends"):
            _patch(Path(spec.origin), library)
        return module

    def exec_module(self: Any, module: Any) -> None:
        execute(self, module)
        if module.__name__ == "cupy.cuda.thrust":  # whose kernels are machine code
            module.argsort, module.sort = _argsort, _sort

    loader.create_module, loader.exec_module = create_module, exec_module  # pyright: ignore[reportAttributeAccessIssue]


def _patch(path: Path, library: ctypes.CDLL) -> None:
    runtime = [s for s in symbols(path) if s.kind == FUNCTION and s.section != UNDEFINED and _is_runtime(s.name)]
    if not runtime:
        return
    base = next(
        int(line.split("-")[0], 16)
        for line in Path("/proc/self/maps").read_text().splitlines()
        if line.endswith(str(path.resolve())) and line.split()[2] == "00000000"
    )
    absent = ctypes.cast(library.stand_in_absent, ctypes.c_void_p).value
    for symbol in runtime:
        try:
            target, name = ctypes.cast(getattr(library, symbol.name), ctypes.c_void_p).value, 0
        except AttributeError:
            _loaded.append(text := ctypes.create_string_buffer(symbol.name.encode()))
            target, name = absent, ctypes.addressof(text)
        # mov rdi, name; jmp [target]
        code = (b"\x48\xbf" + struct.pack("<Q", name)) * bool(name) + b"\xff\x25\0\0\0\0" + struct.pack("<Q", target)
        if symbol.size >= len(code):
            _write(base + symbol.value, code)


def _is_runtime(name: str) -> bool:
    return name.startswith("cuda") and name[4:5].isupper()


def _write(place: int, code: bytes) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    page = place & ~4095
    if libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(place + len(code) - page), READ_WRITE_EXECUTE):
        raise OSError(ctypes.get_errno(), "mprotect")
    ctypes.memmove(place, code, len(code))


def _on_device(place: int, dtype: Any, shape: Any) -> Any:
    """An array of device memory, after all work of the current stream."""
    import numpy as np
    from cupy.cuda import get_current_stream

    get_current_stream().synchronize()  # as Thrust does
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(place)).view(dtype).reshape(shape)


def _argsort(dtype: Any, indices: int, data: int, keys: int, shape: Any) -> None:
    import numpy as np

    values, out = _on_device(data, dtype, shape), _on_device(indices, np.int64, shape)
    with opened():
        out[...] = np.argsort(values, axis=-1, kind="stable")


def _sort(dtype: Any, data: int, keys: int, shape: Any) -> None:
    values = _on_device(data, dtype, shape)
    with opened():
        values.sort(axis=-1, kind="stable")


class opened:
    """Device memory can be touched in a block of this."""

    def __enter__(self) -> None:
        ctypes.PyDLL(_loaded[0]._name).stand_in_open()  # with the interpreter's lock, for it takes the device's

    def __exit__(self, *_: object) -> None:
        ctypes.PyDLL(_loaded[0]._name).stand_in_close()


def counts() -> dict[str, int]:
    """How often each function was called, and what was run."""
    text = ctypes.create_string_buffer(1 << 20)
    _loaded[0].stand_in_counts(text, ctypes.c_size_t(len(text)))
    lines = [line.rpartition(" ") for line in text.value.decode().splitlines()]
    return {name: int(number) for name, _, number in lines}


def summary(file: Path) -> str:
    """What all processes ran that appended to a file, in one line."""
    total: Counter[str] = Counter()
    for line in file.read_text().splitlines():
        total.update(json.loads(line))
    launches = sum(number for name, number in total.items() if name.startswith(("kernel ", "cublasLtMatmul, ")))
    kernels = sum(name.startswith("kernel ") for name in total)
    calls = sum(number for name, number in total.items() if name.startswith(("cu", "nvrtc")) and "," not in name)
    return (
        f"{calls:,} calls of CUDA's libraries, {kernels} kernels and {launches:,} launches of kernels and products, "
        f"{total['cudaGraphInstantiate']:,} graphs with {total['cudaGraphLaunch']:,} launches of {total['replayed']:,} "
        f"nodes, {total['cudaMemcpyAsync']:,} copies, {total['nvrtcCompileProgram']:,} programs"
    )


def _append_counts() -> None:
    file = os.environ.get("STAND_IN_COUNTS")
    if file:
        with Path(file).open("a") as lines:
            lines.write(json.dumps(counts()) + "\n")


if __name__ == "__main__":
    print(summary(Path(sys.argv[1])))
