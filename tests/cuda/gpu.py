"""What tests of the GPU backend share: variants of it, counts of launches, and bindings of cuBLASLt that note calls."""

from __future__ import annotations

import ctypes
import importlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import stand_in

from gearshift.backends.cublaslt import Products
from gearshift.backends.cupy import CuPyBackend

EPILOGUES = {1: "", 4: "BIAS", 6: "RELU_BIAS", 36: "GELU_BIAS", 134: "RELU_AUX_BIAS", 152: "DRELU_BGRAD", 256: "BGRADA"}


class Eager(CuPyBackend):
    """The GPU backend without captures."""

    name = "eager"
    captures = False


class Apart(CuPyBackend):
    """The GPU backend with a launch for every operation."""

    name = "apart"
    joins = False  # pyright: ignore


class Bindings:
    """nvmath.bindings.cublasLt, with a note of each product's algorithm and epilogue.

    Attributes
    ----------
    used : the numbers of the algorithms that products were run with.
    epilogues : of each product that was run.
    refused : epilogues that `matmul_algo_get_heuristic` refuses with `status`.
    sizes : the attributes that were set, of which descriptions, and their sizes in bytes.
    """

    def __init__(self) -> None:
        self.real: Any = importlib.import_module("nvmath.bindings.cublasLt")
        self.used: list[int] = []
        self.epilogues: list[str] = []
        self.refused: set[str] = set()
        self.sizes: set[tuple[str, int, int]] = set()
        self.status, self._of = 15, dict[int, str]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def matmul_desc_set_attribute(self, description: int, attribute: int, place: int, size: int) -> None:
        if attribute == self.real.MatmulDescAttribute.EPILOGUE:
            self._of[description] = EPILOGUES[ctypes.c_int32.from_address(place).value]
        self.sizes.add(("matmul_desc", attribute, size))
        self.real.matmul_desc_set_attribute(description, attribute, place, size)

    def matrix_layout_set_attribute(self, layout: int, attribute: int, place: int, size: int) -> None:
        self.sizes.add(("matrix_layout", attribute, size))
        self.real.matrix_layout_set_attribute(layout, attribute, place, size)

    def matmul_preference_set_attribute(self, preference: int, attribute: int, place: int, size: int) -> None:
        self.sizes.add(("matmul_preference", attribute, size))
        self.real.matmul_preference_set_attribute(preference, attribute, place, size)

    def matmul_desc_destroy(self, description: int) -> None:
        self._of.pop(description, None)
        self.real.matmul_desc_destroy(description)

    def matmul_algo_get_heuristic(self, handle: int, description: int, *more: Any) -> None:
        if self._of.get(description) in self.refused:
            raise self.real.cuBLASLtError(self.status)
        self.real.matmul_algo_get_heuristic(handle, description, *more)

    def matmul(self, handle: int, description: int, *more: Any) -> None:
        self.used.append(int((ctypes.c_uint64 * 2).from_address(more[-4])[1]))
        self.epilogues.append(self._of.get(description, ""))
        self.real.matmul(handle, description, *more)


def planned(file: Path | None = None, fused: bool = True) -> Any:
    """A GPU backend that notes its products; it finds epilogues faster than separate launches, or slower."""
    backend: Any = CuPyBackend()
    times = count(1) if fused else count(1000, -1)
    backend.lt = Bindings()
    backend.products = Products(backend.lt, backend.xp, lambda work: (work(), next(times))[1], "stand-in", file)
    return backend


@contextmanager
def launches() -> Iterator[Counter[str]]:
    """How often each kernel was launched or captured inside, by name, and each product, as ``"product RELU_BIAS"``.

    ``"graphs"`` are launches of graphs, and ``"replayed"`` what ran in them.
    """
    found: Counter[str] = Counter()
    synchronize = importlib.import_module("cupy").cuda.Device().synchronize
    synchronize()
    before = stand_in.counts()
    yield found
    synchronize()
    for name, number in stand_in.counts().items():
        number -= before.get(name, 0)
        kind, _, rest = name.partition(", epilogue ")
        if rest:
            name = f"product {EPILOGUES[int(rest)]}".rstrip()
        elif kind.startswith("kernel "):
            name = kind.removeprefix("kernel ")
        elif name == "cudaGraphLaunch":
            name = "graphs"
        elif name not in ("cudaMemcpyAsync", "cudaStreamSynchronize", "cuLaunchKernel", "replayed"):
            continue
        if number:
            found[name] = number
