"""Plans matrix products with cuBLASLt, through NVIDIA's nvmath-python.

A product is described once: layouts, algorithm, workspace. Running it is one call that allocates no memory, so it can
be captured. The algorithm is the fastest of those that cuBLASLt proposes, measured when a shape is first bound on a
machine. A file on the machine and every checkpoint store the choice, so results are reproducible.

cuBLASLt is column-major. A row-major out = a·b is outᵀ = bᵀ·aᵀ in column-major order, so the operands are swapped and
a transposed operand stays transposed.
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
WORKSPACE = 32 << 20  # bytes, as NVIDIA recommends since Hopper
CANDIDATES = 8  # number of algorithms that are measured
REPEATS, ROUNDS = 10, 5  # products per timing, and timings per median
WORDS = 8  # 64-bit words that describe an algorithm
ALIGNMENT = 256  # bytes: the largest alignment that an algorithm may require


class NoAlgorithm(RuntimeError):
    """cuBLASLt has no algorithm for a product; one with an epilogue can run as separate operations."""


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
        self.lt, self.xp, self.seconds, self.file = lt, xp, seconds, file
        self.machine = f"{device}, cuBLASLt {lt.get_version()}"
        self.handle = lt.create()
        self.workspace = xp.empty(WORKSPACE, dtype=np.uint8)
        self.choices = _read(file)
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
        plan = _Plan(self, (b, a, out), (transpose_b, transpose_a), bool(tf32))
        key = plan.key
        if not plan.takes(self.choices.get(key)):
            self._choose(key, self._fastest(key, plan))
        plan.use(self.choices[key])
        return plan

    def bind_fused(self, fused: Any, separate: Callable[[], None]) -> Callable[[], None]:
        """Returns a function that computes a `kernels.arrays.fused_products.Fused` with a cuBLASLt epilogue.

        Returns `separate`, which runs the same operations one by one, if that is faster, if no algorithm fits, or if
        it reads a mask that was not written. This choice is stored as an algorithm without words.
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
        """Adds stored choices; invalid ones and those of another device are never used."""
        self.choices |= _checked(choices)

    def _choose(self, key: str, choice: list[int]) -> None:
        self.choices[key] = choice
        if self.file is not None:
            _write(self.file, {**_read(self.file), key: choice})

    def _fastest(self, key: str, plan: _Plan) -> list[int]:
        """The fastest algorithm; the first one if several are equally fast."""
        candidates = plan.candidates()
        times = []
        for algorithm in candidates:
            plan.use(algorithm)
            times.append(self._time(plan))
        self.measured[key] = times
        return candidates[times.index(min(times))]

    def _faster(self, key: str, plan: _Plan, separate: Callable[[], None]) -> list[int]:
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
        return Products(importlib.import_module("nvmath.bindings.cublasLt"), xp, seconds, device, _file()), ""
    except ImportError as error:
        reason = f"nvmath-python is not installed or does not load ({REMEDY}): {error}"
    except Exception as error:  # in any case CuPy's own products are available
        reason = f"cuBLASLt does not start: {type(error).__name__}: {error}"
    return None, f"products use cupy.matmul, which cannot be captured, because {reason}"


def version() -> str:
    """The version of nvmath-python, or a note that it is not installed."""
    try:
        return metadata.version("nvmath-python")
    except metadata.PackageNotFoundError:
        return "not installed, so steps are not captured"


class _Plan:
    """One product described to cuBLASLt; calling the object launches the product on the current stream."""

    def __init__(
        self,
        products: Products,
        arrays: tuple[Any, Any, Any],
        transposed: tuple[int, int],
        tf32: bool,
        epilogue: tuple[str, Any, Any] | None = None,
    ) -> None:
        self.products, self.arrays = products, (arrays, epilogue)  # keeps the arrays alive, whose addresses are used
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
        """Suitable algorithms, in cuBLASLt's order."""
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
            raise NoAlgorithm(f"cuBLASLt has no algorithm for the product {self.key}")
        return [[int(word) for word in found[index].algo.data_.reshape(-1)] for index in range(count[0])]

    def takes(self, algorithm: list[int] | None) -> bool:
        """Whether an algorithm is given and cuBLASLt accepts it; its words may come from an untrusted file."""
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
        except lt.cuBLASLtError:  # the error has no further details
            return False
        return int(found[0].workspace_size) <= WORKSPACE

    def use(self, algorithm: list[int]) -> None:
        """Sets the algorithm, given its words."""
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
    """The cuBLASLt layout of an array: rows of the array are columns of the matrix."""
    *stack, rows, columns = array.shape
    layout = lt.matrix_layout_create(kind, columns, rows, columns)
    if stack:
        stride = rows * columns
        for name, value in ("BATCH_COUNT", ctypes.c_int32(*stack)), ("STRIDED_BATCH_OFFSET", ctypes.c_int64(stride)):
            attribute = lt.MatrixLayoutAttribute[name]
            lt.matrix_layout_set_attribute(layout, attribute, ctypes.addressof(value), ctypes.sizeof(value))
    return layout


def _alignment(pointer: int, array: Any) -> int:
    """The alignment in bytes of every matrix of an array."""
    if len(array.shape) > 2:
        pointer |= array.nbytes // array.shape[0]
    return min(ALIGNMENT, pointer & -pointer)


def address(array: Any) -> int:
    """The memory address of an array's first element."""
    interface = getattr(array, "__cuda_array_interface__", None) or array.__array_interface__
    return interface["data"][0]


def _file() -> Path | None:
    """The file that stores this machine's choices."""
    folder = os.environ.get("GEARSHIFT_CACHE_DIR")
    if not folder:
        try:
            from platformdirs import user_cache_dir
        except ImportError:
            return None
        folder = user_cache_dir("gearshift")
    return Path(folder) / "products.json"


def _read(file: Path | None) -> dict[str, list[int]]:
    """The choices in a file; empty if it is missing or invalid."""
    try:
        return _checked(json.loads(file.read_text(encoding="utf-8"))) if file is not None else {}
    except (OSError, ValueError):
        return {}


def _write(file: Path, choices: dict[str, list[int]]) -> None:
    """Replaces the file atomically; if it is not writable, later processes measure again."""
    fresh = file.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps(choices, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        fresh.replace(file)


def _checked(choices: Any) -> dict[str, list[int]]:
    """The valid entries of `choices`."""
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
"""cuBLASLt's status codes for an unsupported epilogue, with log levels; the second may be a mistake of this library."""
TRANSPOSED = 1
R_32F, R_64F, R_16F, R_16BF = 0, 1, 2, 14
COMPUTE_32F, COMPUTE_32F_TF32, COMPUTE_64F = 68, 77, 70
KINDS = {"float32": R_32F, "float64": R_64F, "bfloat16": R_16BF, "float16": R_16F}
"""The cuBLASLt type of each dtype."""
COMPUTES = {
    "float32": (COMPUTE_32F, R_32F),
    "tf32": (COMPUTE_32F_TF32, R_32F),
    "float64": (COMPUTE_64F, R_64F),
    "bfloat16": (COMPUTE_32F, R_32F),
    "float16": (COMPUTE_32F, R_32F),
}
"""The cuBLASLt types of the sums and of alpha and beta, for each dtype of the factors."""
