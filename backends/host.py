"""What this machine is: its processor, memory and threads, for the backends that run on it."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from functools import cache
from pathlib import Path

import numpy as np

from .errors import ConfigurationError

THREADS = "GEARSHIFT_THREADS"
KEPT, MAPPED = 256 << 20, 32 << 20  # bytes: of freed memory that is kept, and from which an array is mapped by itself
TUNED = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def processor() -> str:
    """The processor's model name and the number of cores this process may use."""
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(errors="replace").splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return f"{model or platform.processor() or platform.machine()}, {cores()} cores"


def cores() -> int:
    """Processors that this process may keep busy: what its affinity and its container's quota leave."""
    count = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    quota = Path("/sys/fs/cgroup/cpu.max")
    if quota.exists():
        share, _, period = quota.read_text().strip().partition(" ")
        if share != "max" and period:
            count = min(count, max(1, int(share) // int(period)))
    return count


def threads() -> int:
    """Threads for the library's own loops: GEARSHIFT_THREADS where it is set, at most `cores`.

    Else NUMBA_NUM_THREADS where it is set, as joblib does for processes that share the cores.

    Raises
    ------
    ConfigurationError
        A variable holds something else than a whole number of at least 1.
    """
    for name in (THREADS, "NUMBA_NUM_THREADS"):
        text = os.environ.get(name)
        if not text:
            continue
        if not text.isdecimal() or int(text) < 1:
            raise ConfigurationError(f"{name} is {text!r}; expected a whole number of at least 1")
        return min(int(text), cores())
    return cores()


def memory() -> tuple[int, int]:
    """Free and total memory in bytes; what the system does not tell counts as 2⁶² bytes."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        return tuple(int(fields[key].split()[0]) * 1024 for key in ("MemAvailable", "MemTotal"))  # pyright: ignore[reportReturnType]
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        total = 1 << 62
    return total, total


def blas_threads() -> dict[str, int]:
    """Threads of each BLAS and OpenMP library loaded into this process."""
    from threadpoolctl import threadpool_info

    return {
        f"{pool['internal_api']} {pool.get('version') or ''}".strip(): pool["num_threads"] for pool in threadpool_info()
    }


@cache
def keep_freed_memory() -> bool:
    """Has the C library keep freed memory for the next arrays; whether it was asked to. Linux with glibc alone.

    Array code frees its temporary arrays in every step. Left alone, glibc hands them back to the system, or does not,
    by what happens to lie behind them, and each page handed back costs a fault in the next step: time that differs
    from one process to the next. Whoever sets one of glibc's own variables is left alone.
    """
    if sys.platform != "linux" or any(name in os.environ for name in TUNED):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    trim, map_by_itself = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of <malloc.h>
    return bool(library.mallopt(trim, KEPT) and library.mallopt(map_by_itself, MAPPED))


def aligned_zeros(shape: int | tuple[int, ...], dtype: np.dtype | type | str, boundary: int = 256) -> np.ndarray:
    """Zeros whose first element lies on a multiple of `boundary` bytes, with as many bytes to spare behind the last.

    A register tile reads whole vectors, and so beyond the last row of a matrix.
    """
    dtype = np.dtype(dtype)
    count = int(np.prod(shape, dtype=np.int64))
    raw = np.zeros(count * dtype.itemsize + 2 * boundary, dtype=np.uint8)
    offset = -raw.ctypes.data % boundary
    return raw[offset : offset + count * dtype.itemsize].view(dtype).reshape(shape)
