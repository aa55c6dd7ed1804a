"""Runs CUDA kernels on the CPU: the same text, compiled as C++ after `cuda_on_cpu.hpp`, on NumPy arrays.

Source, macros, launch and argument checks come from `gearshift.backends.cuda`, as they do on a GPU.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import math
import os
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_cache_path

from gearshift.backends import cuda

HEADER = Path(__file__).with_name("cuda_on_cpu.hpp")
MOST_THREADS = 1024  # of a block, also in the header
BARRIERS = ("__syncthreads", "__syncwarp", "__shfl_")
Triple = ctypes.c_uint * 3
_running = threading.Lock()  # the header keeps the state of a launch in globals


def compiler() -> list[str] | None:
    """The command of a C++ compiler: CXX, else the machine's, else PyPI's ziglang; None without any."""
    if "CXX" in os.environ:
        return shlex.split(os.environ["CXX"])
    for name in ("c++", "g++", "clang++"):
        if shutil.which(name):
            return [name]
    return [sys.executable, "-m", "ziglang", "c++"] if importlib.util.find_spec("ziglang") else None


def unavailable() -> str:
    """Why kernels cannot run here; empty where they can."""
    if sys.platform != "linux":
        return "kernels run on the CPU by fibers that were tried on Linux only"
    return "" if compiler() else "no C++ compiler: pip install ziglang"


def sanitized() -> bool:
    """Whether this process was started under the address sanitizer, so that kernels can be compiled with it."""
    return "asan" in os.environ.get("LD_PRELOAD", "")


@dataclass(frozen=True)
class HostCuda:
    """Runs operations' CUDA kernels on the CPU.

    Parameters
    ----------
    blocks : the most blocks a grid may have; the kernels must give the same bits for any.
    backwards : last block and last thread first, which must give the same bits as well.
    """

    blocks: int | None = None
    backwards: bool = False

    def run(self, operation: Any, arrays: Sequence[np.ndarray], attributes: Mapping[str, int | float]) -> None:
        """Runs an operation's kernel on NumPy arrays, in place."""
        self.bind(operation, arrays, attributes)()

    def bind(
        self, operation: Any, arrays: Sequence[np.ndarray], attributes: Mapping[str, int | float]
    ) -> Callable[[], None]:
        """A call without arguments that runs an operation's kernel on these arrays."""
        return self.load(cuda.prepare(operation, arrays, attributes))

    def load(self, call: cuda.KernelCall) -> Callable[[], None]:
        """A launch as a call without arguments."""
        if call.empty:
            return _nothing
        if math.prod(call.block) > MOST_THREADS:
            raise ValueError(f"{call.entry}: a block of {call.block} threads; CUDA allows {MOST_THREADS}")
        if call.shared:
            raise NotImplementedError(f"{call.entry}: dynamic shared memory on the CPU")
        if self.blocks is not None:
            call = replace(call, grid=(min(call.grid[0], self.blocks), *call.grid[1:]))
        return partial(_launch, library(call.program)[f"run_{call.entry}"], call, self.backwards)


def _nothing() -> None:
    pass


def _launch(function: Any, call: cuda.KernelCall, backwards: bool) -> None:
    values = [value if isinstance(value, np.ndarray) else np.array(value) for value in call.arguments]
    # as cudaLaunchKernel takes them: the address of each value, and the value of a pointer is an address
    pointers = [ctypes.c_void_p(value.ctypes.data) for value in values]
    addresses = [
        ctypes.addressof(pointer) if isinstance(value, np.ndarray) else pointer.value
        for pointer, value in zip(pointers, call.arguments, strict=True)
    ]
    with _running:
        places = (ctypes.c_void_p * len(values))(*addresses)
        stuck = function(places, Triple(*call.grid), Triple(*call.block), backwards)
    if stuck:
        raise RuntimeError(f"kernel {call.entry}: some threads of a block wait at a barrier that others never reach")


@cache
def library(program: cuda.KernelProgram) -> ctypes.CDLL:
    """A program, compiled; kept in the user's cache by a hash of all that it is made from."""
    kernels = cuda.signatures(program.source)
    text = "\n".join([f'#include "{HEADER.name}"', program.text, *(_entry(*kernel) for kernel in kernels.items())])
    command = compiler()
    assert command, unavailable()
    # hidden, or a kernel's name may resolve to a function of the C library: glibc has an `advance`
    # C++14: with C++17, <cmath> takes more than twice as long to compile
    options = ["-std=c++14", "-O1", "-shared", "-fPIC", "-fvisibility=hidden", f"-I{HEADER.parent}"]
    if any(word in program.source for word in BARRIERS):
        options.append("-DWITH_BARRIERS")
    if sanitized():
        options += ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    key = hashlib.sha256(repr([command, options, HEADER.read_text(), text]).encode()).hexdigest()[:24]
    folder = Path(os.environ.get("GEARSHIFT_CACHE_DIR") or user_cache_path("gearshift")) / "cuda_on_cpu"
    built = folder / f"{key}.so"
    if not built.exists():
        folder.mkdir(parents=True, exist_ok=True)
        source, fresh = folder / f"{key}.{os.getpid()}.cpp", folder / f"{key}.{os.getpid()}.so"
        source.write_text(text)
        try:
            done = subprocess.run([*command, *options, str(source), "-o", str(fresh)], capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"{' '.join(command)} {' '.join(options)} failed:\n{done.stderr}")
            fresh.replace(built)
        finally:
            source.unlink()
    return ctypes.CDLL(str(built))


def _entry(name: str, parameters: Sequence[cuda.KernelParameter]) -> str:
    """C++ that unpacks a launch's arguments and runs the grid."""
    types = [f"{'const ' * p.const}{p.type}{'*' * p.pointer}" for p in parameters]
    values = ", ".join(f"*({text}*)arguments[{i}]" for i, text in enumerate(types))
    return f"""
extern "C" __attribute__((visibility("default")))
int run_{name}(void** arguments, const unsigned* grid, const unsigned* block, int backwards) {{
    auto kernel = [](void** arguments) {{ {name}({values}); }};
    return cuda_on_cpu::run(kernel, arguments, grid, block, backwards);
}}"""
