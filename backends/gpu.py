"""Whether CuPy can use a GPU here and, if not, why and what to do."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
from importlib import metadata
from pathlib import Path
from typing import Any

from . import cublaslt, rank_gpu
from .base import Status

REMEDY = "pip install 'gearshift[cuda12]' (or 'gearshift[cuda13]' for a driver of CUDA 13)"
OLDEST = 12  # the oldest CUDA for which there is an extra
OUT_OF_MEMORY = 2  # in cudaError_t and CUresult; NVRTC's errors have numbers of their own
_PROBE = 'extern "C" __global__ void probe(float* x) { x[threadIdx.x] += 1.0f; }'


def imported() -> Any:
    """Imports CuPy; without CuPy, type checkers would resolve the name to a file of this package."""
    rank_gpu.choose()
    return importlib.import_module("cupy")


def status(name: str) -> Status:
    """The status of the backend `name`: the GPU runs if a small product and a small kernel succeed."""
    try:
        cupy = imported()
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name == "cupy"
        reason = "CuPy is not installed" if absent else f"CuPy fails to load: {_told(error)}"
        return Status(name, runs=False, reason=reason, remedy=REMEDY)
    versions = {"cupy": cupy.__version__, "nvmath-python": cublaslt.version()}
    reason, remedy = without_device(cupy.cuda.runtime)
    if reason:
        return Status(name, runs=False, versions=versions, reason=reason, remedy=remedy)
    try:
        try_in_earnest(cupy)
        found = device(cupy)
        memory = cupy.cuda.runtime.memGetInfo()
        versions |= {
            "CUDA runtime": str(cupy.cuda.runtime.runtimeGetVersion()),
            "CUDA driver": str(cupy.cuda.runtime.driverGetVersion()),
        }
    except Exception as error:  # whatever is missing, the GPU is not available
        reason, remedy = _failed(error, cupy.cuda.runtime)
        return Status(name, runs=False, versions=versions, reason=reason, remedy=remedy)
    return Status(name, runs=True, device=found, versions=versions, memory=memory, remark=cublaslt.remark())


def without_device(runtime: Any) -> tuple[str, str]:
    """Why there is no usable GPU, and the remedy; both are empty if there is one."""
    said = "it lists none"
    try:
        if runtime.getDeviceCount():
            return "", ""
    except Exception as error:  # an error of the driver, or no driver
        said = str(error)
    driver, hidden = runtime.driverGetVersion(), os.environ.get("CUDA_VISIBLE_DEVICES")
    if not driver:
        return "CuPy finds no NVIDIA driver", "install NVIDIA's driver; nvidia-smi then lists the GPU"
    if "InsufficientDriver" in said:
        needed = runtime.runtimeGetVersion()
        versions = [f"{version // 1000}.{version % 1000 // 10}" for version in (driver, needed)]
        reason = "NVIDIA's driver is too old: it supports CUDA {}, CuPy needs CUDA {}".format(*versions)
        return reason, _newer(driver // 1000, needed // 1000)
    if rank_gpu.missing(said)[0]:
        return rank_gpu.missing(said)
    if hidden is not None:
        return f"CUDA_VISIBLE_DEVICES={hidden!r} leaves no GPU ({said})", "unset CUDA_VISIBLE_DEVICES"
    return f"NVIDIA's driver finds no GPU ({said})", "nvidia-smi lists the GPUs that the driver sees"


def _newer(driver: int, needed: int) -> str:
    """The remedy for a driver of an older CUDA than that of CuPy."""
    update = f"install a driver for CUDA {needed} or later"
    if driver < OLDEST:
        return f"{update}; Gearshift has no extra for CUDA {driver}"
    return f"{update}, or {_exchange(needed, driver)}"


def _exchange(before: int, after: int) -> str:
    """Commands that exchange CuPy's build for one CUDA with that for another; both would lie in one folder."""
    names = builds() or [f"cupy-cuda{before}x"]
    return f"pip uninstall {' '.join(names)}, then {_install(after)}"


def _install(cuda: int) -> str:
    return f"pip install 'gearshift[cuda{cuda}]'"


def builds() -> list[str]:
    """The packages that contain CuPy: one, or several that have overwritten each other's files."""
    names = {str(found.metadata["Name"]).lower() for found in metadata.distributions() if found.metadata["Name"]}
    return sorted(name for name in names if re.fullmatch(r"cupy(-cuda\d+x?|-rocm-[\d-]+)?", name))


def _failed(error: Exception, runtime: Any) -> tuple[str, str]:
    """The reason and the remedy where a product or a kernel failed."""
    told = f"{type(error).__name__}: {_told(error)}"
    if is_memory(error):
        remedy = "free GPU memory; nvidia-smi lists the processes that use it"
        return f"the GPU fails a test product or kernel: {told}", remedy
    version = runtime.runtimeGetVersion() // 1000
    if len(builds()) > 1:
        return f"{' and '.join(builds())} are installed and overwrite each other: {told}", _exchange(version, version)
    other, folder = other_libraries(version)
    if other:
        reason = f"libraries of CUDA {other} in {folder} are loaded instead of those of CUDA {version}: {told}"
        return reason, f"use an environment without CUDA {other}, or {_exchange(version, other)}"
    return f"{_missing(told) or 'the GPU fails a test product or kernel'}: {told}", _install(version)


def _told(error: Exception) -> str:
    """An error's message in one line."""
    return " ".join(str(error).split())


def _missing(told: str) -> str:
    """The part of CUDA that an error says is not there; "" if it is about something else."""
    library = re.search(r"\blib(nvrtc|cublas|cublasLt|cudart)\.so", told)
    if library and re.search("not ?found|no such file|failure finding|cannot open", told, re.IGNORECASE):
        return f"the library lib{library[1]} of CUDA is not installed"
    return "the headers of CUDA are not installed" if "CUDA headers" in told else ""


def other_libraries(version: int) -> tuple[int, str]:
    """A later CUDA whose libraries hide those of this one, and their folder; 0 and "" if there is none.

    PyTorch and JAX bring libraries of the CUDA for which they were built. Those since CUDA 13 lie in ``nvidia/cu13``,
    where CuPy and nvmath-python look first.
    """
    package = importlib.util.find_spec("nvidia")
    for place in (package.submodule_search_locations or []) if package else []:
        for folder in sorted(Path(place).glob("cu[1-9][0-9]")):
            number = int(folder.name[2:])
            if number != version and any(folder.glob("lib/lib*.so*")):
                return number, str(folder)
    return 0, ""


def is_memory(error: Exception) -> bool:
    """Whether a CuPy error means that memory is exhausted; arrays, kernels, graphs and pinned memory raise several."""
    name = type(error).__name__
    return name == "OutOfMemoryError" or (
        name in ("CUDARuntimeError", "CUDADriverError") and getattr(error, "status", 0) == OUT_OF_MEMORY
    )


def device(cupy: Any) -> str:
    """The name of the current device and its compute capability."""
    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    return f"{properties['name'].decode()}, compute capability {properties['major']}.{properties['minor']}"


def try_in_earnest(cupy: Any) -> None:
    """Runs a real product and kernel on the device, since importing CuPy proves neither."""
    ones = cupy.ones((2, 2), dtype=cupy.float32)
    product = cupy.asnumpy(ones @ ones)
    x = cupy.zeros(2, dtype=cupy.float32)
    cupy.RawKernel(_PROBE, "probe")((1,), (2,), (x,))
    if product.tolist() != [[2, 2], [2, 2]] or cupy.asnumpy(x).tolist() != [1, 1]:
        raise RuntimeError(f"the results are {product.tolist()} and {x.tolist()} instead of twos and ones")
