"""Plans matrix products with cuBLASLt, through NVIDIA's nvmath-python.

A product is described once: layouts, algorithm, workspace. Running it is one call that allocates no memory, so it can
be captured. The algorithm is the fastest of those that cuBLASLt proposes, measured when a shape is first bound on a
machine. A file on the machine and every checkpoint store the choice, so results are reproducible.

cuBLASLt is column-major. A row-major out = a·b is outᵀ = bᵀ·aᵀ in column-major order, so the operands are swapped and
a transposed operand stays transposed.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from . import choices
from .choices import Choices
from .cublaslt_product import WORKSPACE, NoAlgorithm, PlannedProduct, address

logger = logging.getLogger(__name__)

REMEDY = "pip install nvmath-python"
REPEATS, ROUNDS = 10, 5  # products per timing, and timings per median
WORDS = 8  # 64-bit words that describe an algorithm

# numbers of cublasStatus_t
INVALID_VALUE, NOT_SUPPORTED = 7, 15
UNAVAILABLE = {NOT_SUPPORTED: logging.INFO, INVALID_VALUE: logging.WARNING}
"""cuBLASLt's status codes for an unsupported epilogue, with log levels; the second may be a mistake of this library."""


class Products:
    """Plans products of two matrices, or of two stacks of matrices, on one device.

    Parameters
    ----------
    lt : the module nvmath.bindings.cublasLt.
    xp : the array module, which provides the stream.
    seconds : measures the device time of a function.
    device : name of the device; choices are valid only for the same device.
    file : JSON file that stores choices for later processes, or None.

    Attributes
    ----------
    choices : the algorithm of each kind of product, as the words of its opaque description. An empty list for a
        product with an epilogue means that separate operations are faster.
    measured : seconds of each candidate, in cuBLASLt's order, for the kinds measured in this process.
    """

    def __init__(
        self, lt: Any, xp: Any, seconds: Callable[[Callable[[], None]], float], device: str, file: Path | None = None
    ) -> None:
        self.lt, self.xp, self.seconds = lt, xp, seconds
        self.machine = f"{device}, cuBLASLt {lt.get_version()}"
        self.handle = lt.create()
        self.workspace = xp.empty(WORKSPACE, dtype=np.uint8)
        self.choices = Choices(file, lambda words: len(words) in (0, WORDS))
        self.measured: dict[str, list[float]] = {}
        self.masks: set[int] = set()  # addresses of masks that a bound product writes

    def bind(
        self, a: Any, b: Any, out: Any, *, transpose_a: int = 0, transpose_b: int = 0, tf32: int = 0
    ) -> Callable[[], None]:
        """Returns a function that computes out (m, n) = a·b; arrays are C-contiguous and not empty.

        Both factors have the same dtype; out has it too, or float32.

        Three-dimensional arrays are stacks of matrices, multiplied pairwise.
        Choosing an algorithm for a new kind of product writes `out`.
        """
        plan = PlannedProduct(self, (b, a, out), (transpose_b, transpose_a), bool(tf32))
        key = plan.key
        if not plan.takes(self.choices.get(key)):
            self.choices.choose(key, self._fastest(key, plan))
        plan.use(self.choices[key])
        return plan

    def bind_fused(self, fused: Any, separate: Callable[[], None]) -> Callable[[], None]:
        """Returns a function that computes a `kernels.arrays.fused_products.Fused` with a cuBLASLt epilogue.

        Returns `separate`, which runs the same operations one by one, if that is faster, if no algorithm fits, or if
        it reads a mask that was not written. This choice is stored as an algorithm without words.
        """
        a, b, out, mask = fused.a, fused.b, fused.out, fused.mask
        flips, tf32 = (fused.product["transpose_b"], fused.product["transpose_a"]), fused.product.get("tf32", 0)
        plan = PlannedProduct(self, (b, a, out), flips, bool(tf32), (fused.epilogue, fused.bias, mask))
        key, reads = plan.key, fused.epilogue.startswith("D")
        if reads and address(mask) not in self.masks:
            return separate
        choice = self.choices.get(key)
        if choice != [] and not plan.takes(choice):
            self.choices.choose(key, self._faster(key, plan, separate))
        if mask is not None and not reads:
            (self.masks.add if self.choices[key] else self.masks.discard)(address(mask))
        if not self.choices[key]:
            return separate
        plan.use(self.choices[key])
        return plan

    def restore(self, choices: Any) -> None:
        """Adds stored choices; invalid ones and those of another device are never used."""
        self.choices.restore(choices)

    def _fastest(self, key: str, plan: PlannedProduct) -> list[int]:
        """The fastest algorithm; the first one if several are equally fast."""
        candidates = plan.candidates()
        times = []
        for algorithm in candidates:
            plan.use(algorithm)
            times.append(self._time(plan))
        self.measured[key] = times
        return candidates[times.index(min(times))]

    def _faster(self, key: str, plan: PlannedProduct, separate: Callable[[], None]) -> list[int]:
        """The fastest algorithm with the epilogue; [] if separate operations are faster or no algorithm supports it."""
        try:
            algorithm = self._fastest(key, plan)
        except NoAlgorithm:
            return []
        except self.lt.cuBLASLtError as error:
            if error.status not in UNAVAILABLE:
                raise
            logger.log(UNAVAILABLE[error.status], "%s: epilogue not available, fusion is off: %s", key, error)
            return []
        alone = self._time(separate)
        fused = min(self.measured[key])
        self.measured[f"{key} in separate launches"] = [alone]
        return algorithm if fused <= alone else []

    def _time(self, call: Callable[[], None]) -> float:
        call()
        repeated = partial(_repeat, call, REPEATS)
        return median(self.seconds(repeated) for _ in range(ROUNDS)) / REPEATS


def load(xp: Any, seconds: Callable[[Callable[[], None]], float], device: str) -> tuple[Products | None, str]:
    """The planner, or None and the reason why products use the array module."""
    try:
        lt = importlib.import_module("nvmath.bindings.cublasLt")
        return Products(lt, xp, seconds, device, choices.file("products.json")), ""
    except ImportError as error:
        reason = f"nvmath-python is not installed or does not load ({REMEDY}): {error}"
    except Exception as error:  # in any case CuPy's own products are available
        reason = f"cuBLASLt does not start: {type(error).__name__}: {error}"
    return None, f"products use cupy.matmul, which cannot be captured, because {reason}"


def remark() -> str:
    """What is lost without nvmath-python, and the remedy; empty if it is installed."""
    if importlib.util.find_spec("nvmath"):
        return ""
    return f"products use cupy.matmul and steps are launched call by call, without nvmath-python: {REMEDY}"


def version() -> str:
    """The version of nvmath-python, or that it is not installed."""
    try:
        return metadata.version("nvmath-python")
    except metadata.PackageNotFoundError:
        return "not installed"


def _repeat(call: Callable[[], None], times: int) -> None:
    for _ in range(times):
        call()
