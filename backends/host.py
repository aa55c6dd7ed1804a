"""The host's CPU, memory and threads, for the backends that run on the CPU."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from functools import cache
from pathlib import Path

import numpy as np

from . import control_groups
from .errors import ConfigurationError
from .ranks import launched

THREADS = "GEARSHIFT_THREADS"
KEPT, MAPPED = 256 << 20, 32 << 20  # bytes: freed memory to keep; size from which an array is mapped
TUNED = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def processor() -> str:
    """The CPU model name and the number of cores that this process may use."""
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(errors="replace").splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return f"{model or platform.processor() or platform.machine()}, {cores()} cores"


def cores() -> int:
    """Number of CPU cores that this process may use, given its affinity and its container's quota."""
    count = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    return max(1, int(min(count, control_groups.cpus())))


def threads() -> int:
    """Number of threads for compiled loops: GEARSHIFT_THREADS if it is set, at most `cores`.

    Otherwise NUMBA_NUM_THREADS if it is set, as joblib does for processes that share the cores. Ranks that share a
    machine divide its cores, unless their launcher has done so.

    Raises
    ------
    ConfigurationError
        A variable is not an integer of at least 1.
    """
    for name in (THREADS, "NUMBA_NUM_THREADS"):
        text = os.environ.get(name)
        if not text:
            continue
        if not text.isdecimal() or int(text) < 1:
            raise ConfigurationError(f"{name} is {text!r}; expected an integer of at least 1")
        return min(int(text), cores())
    return max(1, cores() // sharing())


def sharing() -> int:
    """Number of ranks that share the cores which this process may use."""
    divided = hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) < (os.cpu_count() or 1)
    return 1 if divided else launched().local_size


def memory() -> tuple[int, int]:
    """Free and total memory in bytes that this process may use, given its container's limit; 2⁶² if unknown."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        known = [int(fields[key].split()[0]) * 1024 for key in ("MemAvailable", "MemTotal")]
        free, total = (int(min(pair)) for pair in zip(known, control_groups.memory(), strict=True))
        return free, total
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        total = 1 << 62
    return total, total


def blas_threads() -> dict[str, int]:
    """Number of threads of each BLAS and OpenMP library loaded into this process."""
    from threadpoolctl import threadpool_info

    return {
        f"{pool['internal_api']} {pool.get('version') or ''}".strip(): pool["num_threads"] for pool in threadpool_info()
    }


@cache
def keep_freed_memory() -> bool:
    """Makes glibc keep freed memory for the next arrays (Linux only); returns whether it was set.

    Array code frees its temporary arrays in every step. By default, glibc may return them to the system, depending on
    the heap layout, and each returned page costs a page fault in the next step; so step times vary between processes.
    Nothing is changed if the user has set one of glibc's variables.
    """
    if sys.platform != "linux" or any(name in os.environ for name in TUNED):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    trim, map_by_itself = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of <malloc.h>
    return bool(library.mallopt(trim, KEPT) and library.mallopt(map_by_itself, MAPPED))


def aligned_zeros(shape: int | tuple[int, ...], dtype: np.dtype | type | str, boundary: int = 256) -> np.ndarray:
    """Zeros whose first element is aligned to `boundary` bytes, with as many spare bytes behind the last.

    A register tile reads full vectors and therefore may read beyond the last row of a matrix.
    """
    dtype = np.dtype(dtype)
    count = int(np.prod(shape, dtype=np.int64))
    raw = np.zeros(count * dtype.itemsize + 2 * boundary, dtype=np.uint8)
    offset = -raw.ctypes.data % boundary
    return raw[offset : offset + count * dtype.itemsize].view(dtype).reshape(shape)
