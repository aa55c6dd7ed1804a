"""One matrix product, described to cuBLASLt: layouts, epilogue, algorithm, workspace."""

from __future__ import annotations

import ctypes
import weakref
from typing import Any, Protocol

import numpy as np

WORKSPACE = 32 << 20  # bytes, as NVIDIA recommends since Hopper
CANDIDATES = 8  # number of algorithms that are measured
ALIGNMENT = 256  # bytes: the largest alignment that an algorithm may require

# numbers of cublasOperation_t, cudaDataType_t and cublasComputeType_t
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


class NoAlgorithm(RuntimeError):
    """cuBLASLt has no algorithm for a product; one with an epilogue can run as separate operations."""


class Library(Protocol):
    """What the products of one device share."""

    lt: Any
    xp: Any
    handle: Any
    workspace: Any
    machine: str


class PlannedProduct:
    """A product; calling the object launches the product on the current stream."""

    def __init__(
        self,
        products: Library,
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


def _destroy(lt: Any, description: int, layouts: list[int]) -> None:
    for layout in layouts:
        lt.matrix_layout_destroy(layout)
    lt.matmul_desc_destroy(description)
