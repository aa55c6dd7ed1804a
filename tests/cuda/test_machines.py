"""What goes wrong on users' machines, and what is said of it: other CUDAs, old drivers, pinned memory."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import run

from gearshift import backends
from gearshift.backends import gpu

ASK = """
import json
from gearshift import backends
status = backends.available()["cupy"]
print(json.dumps([status.runs, status.reason, status.remedy]))
"""


class Runtime:
    """A machine whose driver is of one CUDA, and CuPy's build of another."""

    def __init__(self, driver: int, needed: int) -> None:
        self.driverGetVersion, self.runtimeGetVersion = (lambda: driver), (lambda: needed)

    def getDeviceCount(self) -> int:
        raise RuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version")


@pytest.mark.parametrize(
    ("driver", "needed", "remedy"),
    [
        (11080, 12090, "install a driver for CUDA 12 or later; Gearshift has no extra for CUDA 11"),
        (
            12080,
            13000,
            "install a driver for CUDA 13 or later, or pip uninstall cupy-cuda13x, "
            "then pip install 'gearshift[cuda12]'",
        ),
    ],
)
def test_the_remedy_for_an_old_driver_is_not_what_is_installed(
    driver: int, needed: int, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "builds", lambda: [f"cupy-cuda{needed // 1000}x"])
    assert gpu.without_device(Runtime(driver, needed))[1] == remedy


def test_libraries_of_another_cuda_are_named(tmp_path: Path) -> None:
    """They hide those that CuPy needs, whose import then fails."""
    library = tmp_path / "nvidia" / "cu13" / "lib" / "libcublas.so.13"
    library.parent.mkdir(parents=True)
    library.touch()
    path = f"{Path(__file__).with_name('site')}:{tmp_path}"
    said = run("-c", ASK, machine={"PYTHONPATH": path, "STAND_IN_HIDDEN": "libcublas.so.12"})
    runs, reason, remedy = json.loads(said.splitlines()[-1])
    assert not runs and reason.startswith(f"libraries of CUDA 13 in {tmp_path / 'nvidia' / 'cu13'} are loaded instead")
    assert remedy.endswith("pip uninstall cupy-cuda12x, then pip install 'gearshift[cuda13]'")
    runs, reason, _ = json.loads(run("-c", ASK, machine={"STAND_IN_HIDDEN": "libcublas.so.12"}).splitlines()[-1])
    assert not runs and reason.startswith("the library libcublas of CUDA is not installed: ImportError")


def test_training_needs_no_other_library_than_the_extras_name() -> None:
    """cuFFT, cuRAND, cuSOLVER and cuSPARSE are in none of the extras."""
    code = """
import numpy as np, gearshift as gs
run = gs.Trainer(gs.Sequential(gs.Linear(4, 3)), gs.CrossEntropyLoss(), gs.Adam(), backend="cupy")
print(run.fit(np.eye(4), np.array([0, 1, 2, 0]), epochs=5, batch_size=2, verbose=False)["loss"][-1])
import sys; print([line.split()[-1] for line in open("/proc/self/maps") if "libcufft" in line or "libcurand" in line])
"""
    assert run("-c", code, machine={"STAND_IN_HIDDEN": "libcufft.so.11 libcurand.so.10"}).splitlines()[-1] == "[]"


def test_without_nvmath_python_products_are_cupys_and_a_warning_says_so() -> None:
    code = """
import sys, warnings
sys.modules["nvmath"] = None
import numpy as np, gearshift as gs
x = np.random.default_rng(0).integers(0, 5, (30, 5))
def losses(backend, dtype):
    layers = [gs.Embedding(5, 6, length=5), gs.TransformerBlock(6, 2), gs.Linear(6, 5)]
    model = gs.Sequential(*layers, dtype=dtype)
    run = gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(lr=0.1), backend=backend, seed=1)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        run.fit(x, (x + 1) % 5, epochs=3, batch_size=8, verbose=False)
    return list(run.history["loss"]), [str(warning.message) for warning in said]
for dtype, bound in ("float32", 1e-4), ("float64", 1e-9):
    (mine, said), (theirs, _) = losses("cupy", dtype), losses("numpy", dtype)
    assert max(abs(a - b) / b for a, b in zip(mine, theirs)) < bound, (mine, theirs)
    print(set(said))  # one for each size of batch
"""
    said = run("-c", code)
    assert said.count("steps are launched call by call, not as a graph: products use cupy.matmul") == 2
    assert "pip install nvmath-python" in said


def test_an_error_of_nvrtc_is_not_taken_for_memory() -> None:
    nvrtc = importlib.import_module("cupy_backends.cuda.libs.nvrtc")
    cupy = importlib.import_module("cupy")
    assert nvrtc.NVRTCError(2).status == 2 and not gpu.is_memory(nvrtc.NVRTCError(2))
    assert gpu.is_memory(cupy.cuda.runtime.CUDARuntimeError(2)) and gpu.is_memory(cupy.cuda.driver.CUDADriverError(2))
    assert gpu.is_memory(cupy.cuda.memory.OutOfMemoryError(1, 1, 1))


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_large_array_pins_no_memory_of_its_size(order: Any) -> None:
    cupy = importlib.import_module("cupy")
    taken: list[int] = []

    def recorded(size: int) -> Any:
        taken.append(size)
        return cupy.cuda.pinned_memory.PinnedMemoryPointer(cupy.cuda.pinned_memory.PinnedMemory(size), 0)

    backend, x = backends.get("cupy"), np.arange(3 << 20, dtype=np.float32).reshape(1 << 10, -1, order=order)
    cupy.cuda.set_pinned_memory_allocator(recorded)
    try:
        there = backend.asarray(x)
    finally:
        cupy.cuda.set_pinned_memory_allocator(cupy.get_default_pinned_memory_pool().malloc)
    assert there.flags.c_contiguous and np.array_equal(backend.to_numpy(there), x)
    assert sum(taken) <= 1 << 20
