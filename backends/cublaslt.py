"""Matrix products planned ahead with cuBLASLt, through NVIDIA's nvmath-python, which is known here alone.

A product is described once: layouts, algorithm, workspace. Running it is then one call that takes no memory, so it
can be captured. The algorithm is the fastest of those that cuBLASLt proposes, measured when a shape is first bound on
a machine; a file of the machine's and every checkpoint keep it, so that runs repeat their bits.

cuBLASLt counts columns first. A row-major out = a·b is its transpose outᵀ = bᵀ·aᵀ in that order, so the operands
change places and a transposed operand stays one.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import logging
import os
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

logger = logging.getLogger(__name__)

REMEDY = "pip install nvmath-python"
WORKSPACE = 32 << 20  # bytes: what NVIDIA advises for its chips since Hopper
CANDIDATES = 8  # algorithms that are measured
REPEATS, ROUNDS = 10, 5  # products between two looks at the clock, and looks of which the median counts
WORDS = 8  # of 64 bits, which describe an algorithm
ALIGNMENT = 256  # bytes: the most that an algorithm may ask of an address


class NoAlgorithm(RuntimeError):
    """cuBLASLt cannot do such a product; with an epilogue, separate launches can."""


class Products:
    """Plans products of two matrices, or of two stacks of matrices, on one device.

    Parameters
    ----------
    lt : the module nvmath.bindings.cublasLt.
    xp : the array module, which owns the stream.
    seconds : measures the time on the device that a call takes.
    device : its name: a choice made on one is none for another.
    file : keeps choices for later processes, as JSON; None keeps none.

    Attributes
    ----------
    choices : for each kind of product, as text, the algorithm: the words of its opaque description. For one with an
        epilogue no words say that separate launches are faster.
    measured : seconds of each candidate, in cuBLASLt's own order, for the kinds measured in this process.
    """

    def __init__(
        self, lt: Any, xp: Any, seconds: Callable[[Callable[[], None]], float], device: str, file: Path | None = None
    ) -> None:
        self.lt, self.xp, self.seconds, self.file = lt, xp, seconds, file
        self.machine = f"{device}, cuBLASLt {lt.get_version()}"
        self.handle = lt.create()
        self.workspace = xp.empty(WORKSPACE, dtype=np.uint8)
        self.choices = _read(file)
        self.measured: dict[str, list[float]] = {}
        self.masks: set[int] = set()  # addresses of those that a bound product writes

    def bind(
        self, a: Any, b: Any, out: Any, *, transpose_a: int = 0, transpose_b: int = 0, tf32: int = 0
    ) -> Callable[[], None]:
        """A call that computes out (m, n) = a·b; arrays are C-contiguous and not empty.

        The factors are of one dtype, and out too, or float32.

        Arrays of three dimensions are stacks of as many matrices, each multiplied with its own.
        Choosing an algorithm for a new kind of product writes `out`.
        """
        plan = _Plan(self, (b, a, out), (transpose_b, transpose_a), bool(tf32))
        key = plan.key
        if not plan.takes(self.choices.get(key)):
            self._choose(key, self._fastest(key, plan))
        plan.use(self.choices[key])
        return plan

    def bind_fused(self, fused: Any, separate: Callable[[], None]) -> Callable[[], None]:
        """A call that computes what `fused` describes, as `kernels.joined_products.Fused`, by an epilogue.

        Or `separate`, which does the same in several launches, where that is faster, where no algorithm fits, or where
        a mask is read that was not written. What is chosen is kept like an algorithm, as one of no words.
        """
        a, b, out, mask = fused.a, fused.b, fused.out, fused.mask
        flips, tf32 = (fused.product["transpose_b"], fused.product["transpose_a"]), fused.product.get("tf32", 0)
        plan = _Plan(self, (b, a, out), flips, bool(tf32), (fused.epilogue, fused.bias, mask))
        key, reads = plan.key, fused.epilogue.startswith("D")
        if reads and address(mask) not in self.masks:
            return separate
        choice = self.choices.get(key)
        if choice != [] and not plan.takes(choice):
            self._choose(key, self._faster(key, plan, separate))
        if mask is not None and not reads:
            (self.masks.add if self.choices[key] else self.masks.discard)(address(mask))
        if not self.choices[key]:
            return separate
        plan.use(self.choices[key])
        return plan

    def restore(self, choices: Any) -> None:
        """Takes over choices from elsewhere; those that are none, or of another device, are never used."""
        self.choices |= _checked(choices)

    def _choose(self, key: str, choice: list[int]) -> None:
        self.choices[key] = choice
        if self.file is not None:
            _write(self.file, {**_read(self.file), key: choice})

    def _fastest(self, key: str, plan: _Plan) -> list[int]:
        """The algorithm that takes the least time; the first where none differs."""
        candidates = plan.candidates()
        times = []
        for algorithm in candidates:
            plan.use(algorithm)
            times.append(self._time(plan))
        self.measured[key] = times
        return candidates[times.index(min(times))]

    def _faster(self, key: str, plan: _Plan, separate: Callable[[], None]) -> list[int]:
        """The fastest algorithm with the epilogue, or none where separate launches are faster or none has it."""
        try:
            algorithm = self._fastest(key, plan)
        except NoAlgorithm:
            return []
        except self.lt.cuBLASLtError as error:
            if error.status not in UNAVAILABLE:
                raise
            logger.log(UNAVAILABLE[error.status], "%s: no such epilogue here, separate launches: %s", key, error)
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
    """The planner, or None and the reason why products go through the array module."""
    try:
        return Products(importlib.import_module("nvmath.bindings.cublasLt"), xp, seconds, device, _file()), ""
    except ImportError as error:
        reason = f"nvmath-python is not installed or does not load ({REMEDY}): {error}"
    except Exception as error:  # whatever cuBLASLt lacks here, CuPy's own products remain
        reason = f"cuBLASLt does not start: {type(error).__name__}: {error}"
    return None, f"products go through cupy.matmul, which cannot be captured, because {reason}"


def version() -> str:
    """The version of nvmath-python, or that it is missing."""
    try:
        return metadata.version("nvmath-python")
    except metadata.PackageNotFoundError:
        return "not installed, so steps are not captured"


class _Plan:
    """One product, described to cuBLASLt; calling it launches the product on the current stream."""

    def __init__(
        self,
        products: Products,
        arrays: tuple[Any, Any, Any],
        transposed: tuple[int, int],
        tf32: bool,
        epilogue: tuple[str, Any, Any] | None = None,
    ) -> None:
        self.products, self.arrays = products, (arrays, epilogue)  # which live as long as its addresses are used
        lt, self.lt = products.lt, products.lt
        dtypes = [np.dtype(array.dtype).name for array in arrays]
        dtype = "tf32" if tf32 and dtypes[0] == "float32" else dtypes[0]
        compute, scale = COMPUTES[dtype]
        self.description = lt.matmul_desc_create(compute, scale)
        for attribute, transpose in zip(("TRANSA", "TRANSB"), transposed, strict=True):
            self._set(attribute, ctypes.c_int32(TRANSPOSED if transpose else 0))
        if epilogue is not None:
            name, bias, mask = epilogue
            self._set("EPILOGUE", ctypes.c_int32(lt.Epilogue[name]))
            self._set("BIAS_POINTER", ctypes.c_uint64(address(bias)))
            if mask is not None:
                self._set("EPILOGUE_AUX_POINTER", ctypes.c_uint64(address(mask)))
                self._set("EPILOGUE_AUX_LD", ctypes.c_int64(8 * mask.shape[1]))
        self.layouts = [_layout(lt, KINDS[kind], array) for kind, array in zip(dtypes, arrays, strict=True)]
        weakref.finalize(self, _destroy, lt, self.description, self.layouts)
        self.pointers = [address(array) for array in arrays]
        self.one, self.zero = (np.array(value, dtype="f8" if scale == R_64F else "f4") for value in (1, 0))
        self.alignments = [_alignment(pointer, array) for pointer, array in zip(self.pointers, arrays, strict=True)]
        shapes = " ".join("x".join(map(str, array.shape)) for array in arrays)
        form = f"{dtype}{'' if dtypes[2] == dtypes[0] else f' to {dtypes[2]}'} {shapes} {transposed[0]}{transposed[1]}"
        form += f" {epilogue[0]}" if epilogue else ""
        self.key = f"{products.machine}: {form} aligned {' '.join(map(str, self.alignments))}"

    def _set(self, attribute: str, value: Any) -> None:
        place, size = ctypes.addressof(value), ctypes.sizeof(value)
        self.lt.matmul_desc_set_attribute(self.description, self.lt.MatmulDescAttribute[attribute], place, size)

    def candidates(self) -> list[list[int]]:
        """Algorithms that fit, as cuBLASLt orders them."""
        lt, (first, second, result) = self.lt, self.layouts
        found, count = lt.MatmulHeuristicResult(CANDIDATES), np.zeros(1, dtype=np.int32)
        preference = lt.matmul_preference_create()
        try:
            wishes: list[tuple[str, Any]] = [("MAX_WORKSPACE_BYTES", ctypes.c_uint64(WORKSPACE))]
            for operand, bytes_ in zip("ABCD", (*self.alignments, self.alignments[2]), strict=True):
                wishes.append((f"MIN_ALIGNMENT_{operand}_BYTES", ctypes.c_uint32(bytes_)))
            for name, value in wishes:
                lt.matmul_preference_set_attribute(
                    preference, lt.MatmulPreferenceAttribute[name], ctypes.addressof(value), ctypes.sizeof(value)
                )
            lt.matmul_algo_get_heuristic(
                self.products.handle,
                self.description,
                first,
                second,
                result,
                result,
                preference,
                CANDIDATES,
                found.ptr,
                count.ctypes.data,
            )
        finally:
            lt.matmul_preference_destroy(preference)
        if not count[0]:
            raise NoAlgorithm(f"cuBLASLt knows no algorithm for the product {self.key}")
        return [[int(word) for word in found[index].algo.data_.reshape(-1)] for index in range(count[0])]

    def takes(self, algorithm: list[int] | None) -> bool:
        """Whether there is an algorithm, and cuBLASLt finds that it fits: its words may come from anywhere."""
        if not algorithm:
            return False
        lt, (first, second, result) = self.lt, self.layouts
        words, found = np.array(algorithm, dtype=np.uint64), lt.MatmulHeuristicResult(1)
        try:
            lt.matmul_algo_check(
                self.products.handle,
                self.description,
                first,
                second,
                result,
                result,
                words.ctypes.data,
                found.ptr,
            )
        except lt.cuBLASLtError:  # which says no more than that
            return False
        return int(found[0].workspace_size) <= WORKSPACE

    def use(self, algorithm: list[int]) -> None:
        """Fixes the algorithm by its words."""
        self.algorithm = np.array(algorithm, dtype=np.uint64)
        first, second, result = self.layouts
        workspace = self.products.workspace
        self.arguments = (
            self.products.handle,
            self.description,
            self.one.ctypes.data,
            self.pointers[0],
            first,
            self.pointers[1],
            second,
            self.zero.ctypes.data,
            self.pointers[2],
            result,
            self.pointers[2],
            result,
            self.algorithm.ctypes.data,
            address(workspace),
            WORKSPACE,
        )

    def __call__(self) -> None:
        self.lt.matmul(*self.arguments, self.products.xp.cuda.get_current_stream().ptr)


def _layout(lt: Any, kind: int, array: Any) -> int:
    """An array as cuBLASLt sees it: a row of the array is a column of the matrix."""
    *stack, rows, columns = array.shape
    layout = lt.matrix_layout_create(kind, columns, rows, columns)
    if stack:
        stride = rows * columns
        for name, value in ("BATCH_COUNT", ctypes.c_int32(*stack)), ("STRIDED_BATCH_OFFSET", ctypes.c_int64(stride)):
            attribute = lt.MatrixLayoutAttribute[name]
            lt.matrix_layout_set_attribute(layout, attribute, ctypes.addressof(value), ctypes.sizeof(value))
    return layout


def _alignment(pointer: int, array: Any) -> int:
    """The boundary, in bytes, that every matrix of an array begins at."""
    if len(array.shape) > 2:
        pointer |= array.nbytes // array.shape[0]
    return min(ALIGNMENT, pointer & -pointer)


def address(array: Any) -> int:
    """Where an array's first element lies in memory."""
    interface = getattr(array, "__cuda_array_interface__", None) or array.__array_interface__
    return interface["data"][0]


def _file() -> Path | None:
    """Where this machine's choices are kept."""
    folder = os.environ.get("GEARSHIFT_CACHE_DIR")
    if not folder:
        try:
            from platformdirs import user_cache_dir
        except ImportError:
            return None
        folder = user_cache_dir("gearshift")
    return Path(folder) / "products.json"


def _read(file: Path | None) -> dict[str, list[int]]:
    """The choices in a file; none where it is missing or holds something else."""
    try:
        return _checked(json.loads(file.read_text(encoding="utf-8"))) if file is not None else {}
    except (OSError, ValueError):
        return {}


def _write(file: Path, choices: dict[str, list[int]]) -> None:
    """Replaces the file at once; a machine that lets nobody write there measures again."""
    fresh = file.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps(choices, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        fresh.replace(file)


def _checked(choices: Any) -> dict[str, list[int]]:
    """What has the form of choices."""
    if not isinstance(choices, dict):
        return {}
    return {
        str(key): words
        for key, words in choices.items()
        if isinstance(words, list)
        and len(words) in (0, WORDS)
        and all(type(w) is int and 0 <= w < 1 << 64 for w in words)
    }


def _destroy(lt: Any, description: int, layouts: list[int]) -> None:
    for layout in layouts:
        lt.matrix_layout_destroy(layout)
    lt.matmul_desc_destroy(description)


def _repeat(call: Callable[[], None], times: int) -> None:
    for _ in range(times):
        call()


# numbers of cublasStatus_t, cublasOperation_t, cudaDataType_t and cublasComputeType_t
INVALID_VALUE, NOT_SUPPORTED = 7, 15
UNAVAILABLE = {NOT_SUPPORTED: logging.INFO, INVALID_VALUE: logging.WARNING}
"""What cuBLASLt says where it has no such epilogue, and how loudly it is passed on: the second may be our mistake."""
TRANSPOSED = 1
R_32F, R_64F, R_16F, R_16BF = 0, 1, 2, 14
COMPUTE_32F, COMPUTE_32F_TF32, COMPUTE_64F = 68, 77, 70
KINDS = {"float32": R_32F, "float64": R_64F, "bfloat16": R_16BF, "float16": R_16F}
"""cuBLASLt's type of each dtype."""
COMPUTES = {
    "float32": (COMPUTE_32F, R_32F),
    "tf32": (COMPUTE_32F_TF32, R_32F),
    "float64": (COMPUTE_64F, R_64F),
    "bfloat16": (COMPUTE_32F, R_32F),
    "float16": (COMPUTE_32F, R_32F),
}
"""For each dtype of the factors: cuBLASLt's type of the sums, and of alpha and beta."""
