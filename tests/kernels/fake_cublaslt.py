"""nvmath.bindings.cublasLt as far as Gearshift calls it, on memory of the CPU: descriptions are read as cuBLASLt does.

Matrices are column-major, attributes are read through their addresses and sizes, and what was destroyed or never
made is an error.
"""

from __future__ import annotations

import ctypes
import enum
import itertools
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

REALS = {0: np.float32, 1: np.float64, 2: np.float16, 14: ml_dtypes.bfloat16}
WORDS = 8
TF32 = 77


class MatmulDescAttribute(enum.IntEnum):
    """The attributes of a product that are set, with cuBLASLt's numbers."""

    TRANSA = 3
    TRANSB = 4
    EPILOGUE = 7
    BIAS_POINTER = 8
    EPILOGUE_AUX_POINTER = 11
    EPILOGUE_AUX_LD = 12


class Epilogue(enum.IntEnum):
    """What a product does beside, with cuBLASLt's numbers."""

    BIAS = 4
    RELU_BIAS = 6
    GELU_BIAS = 36
    RELU_AUX_BIAS = 134
    DRELU_BGRAD = 152
    BGRADA = 256


class MatrixLayoutAttribute(enum.IntEnum):
    """The attributes of a stack of matrices."""

    BATCH_COUNT = 5
    STRIDED_BATCH_OFFSET = 6


class MatmulPreferenceAttribute(enum.IntEnum):
    """The wishes that a search for algorithms is given."""

    MAX_WORKSPACE_BYTES = 1
    MIN_ALIGNMENT_A_BYTES = 5
    MIN_ALIGNMENT_B_BYTES = 6
    MIN_ALIGNMENT_C_BYTES = 7
    MIN_ALIGNMENT_D_BYTES = 8


class cuBLASLtError(Exception):
    """What every call answers that fails."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class MatmulHeuristicResult:
    """An array of proposals; `ptr` is where they are written."""

    def __init__(self, size: int) -> None:
        self.words = np.zeros((size, WORDS), dtype=np.uint64)
        self.ptr = self.words.ctypes.data

    def __getitem__(self, index: int) -> Any:
        algo = type("Algo", (), {"data_": self.words[index : index + 1]})
        return type("Result", (), {"algo": algo, "workspace_size": 0})


class FakeCublasLt:
    """The module; `launch` is given each product and runs it or, in a capture, notes it."""

    MatmulDescAttribute = MatmulDescAttribute
    MatrixLayoutAttribute = MatrixLayoutAttribute
    MatmulPreferenceAttribute = MatmulPreferenceAttribute
    Epilogue = Epilogue
    MatmulHeuristicResult = MatmulHeuristicResult
    cuBLASLtError = cuBLASLtError

    def __init__(self, launch: Callable[[int, str, Callable[[], None]], None], algorithms: int = 3) -> None:
        self.launch, self.algorithms = launch, algorithms
        self.alive: dict[int, Any] = {}
        self.used: list[int] = []
        self.epilogues: list[str] = []
        self.refused: set[str] = set()  # epilogues that no algorithm has
        self.status = 15  # what is answered for those
        self._numbers = itertools.count(1 << 20)

    def get_version(self) -> int:
        return 120900

    def create(self) -> int:
        return self._new("handle")

    def matmul_desc_create(self, compute: int, scale: int) -> int:
        assert (compute, scale) in ((68, 0), (77, 0), (70, 1))
        return self._new({"compute": compute, "scale": scale})

    def matmul_desc_set_attribute(self, description: int, attribute: int, buffer: int, size: int) -> None:
        integer = {4: ctypes.c_int32, 8: ctypes.c_uint64}[size]
        assert (size == 8) == (attribute > MatmulDescAttribute.EPILOGUE)
        self.alive[description][attribute] = integer.from_address(buffer).value

    def matmul_desc_destroy(self, description: int) -> None:
        del self.alive[description]

    def matrix_layout_create(self, kind: int, rows: int, columns: int, ld: int) -> int:
        assert ld >= rows > 0
        return self._new({"matrix": (kind, rows, columns, ld)})

    def matrix_layout_set_attribute(self, layout: int, attribute: int, buffer: int, size: int) -> None:
        assert size == (4 if attribute == MatrixLayoutAttribute.BATCH_COUNT else 8)
        integer = ctypes.c_int32 if size == 4 else ctypes.c_int64
        self.alive[layout][attribute] = integer.from_address(buffer).value

    def matrix_layout_destroy(self, layout: int) -> None:
        del self.alive[layout]

    def matmul_preference_create(self) -> int:
        return self._new({})

    def matmul_preference_set_attribute(self, preference: int, attribute: int, buffer: int, size: int) -> None:
        assert size == (8 if attribute == MatmulPreferenceAttribute.MAX_WORKSPACE_BYTES else 4)
        integer = ctypes.c_uint64 if size == 8 else ctypes.c_uint32
        self.alive[preference][attribute] = integer.from_address(buffer).value

    def matmul_preference_destroy(self, preference: int) -> None:
        del self.alive[preference]

    def matmul_algo_get_heuristic(
        self,
        handle: int,
        description: int,
        a: int,
        b: int,
        c: int,
        d: int,
        preference: int,
        most: int,
        found: int,
        n: int,
    ) -> None:
        assert {handle, description, a, b, c, d, preference} <= self.alive.keys()
        assert set(self.alive[preference]) == set(MatmulPreferenceAttribute)
        assert all(value & value - 1 == 0 for value in self.alive[preference].values())
        if self._epilogue(description) in self.refused:
            raise cuBLASLtError(self.status)
        count = min(most, self.algorithms)
        words = np.ctypeslib.as_array((ctypes.c_uint64 * (WORDS * count)).from_address(found)).reshape(count, WORDS)
        words[...] = np.arange(count, dtype=np.uint64)[:, None] + 7
        ctypes.c_int32.from_address(n).value = count

    def matmul_algo_check(
        self, handle: int, description: int, a: int, b: int, c: int, d: int, algorithm: int, found: int
    ) -> None:
        assert {handle, description, a, b, c, d} <= self.alive.keys() and found
        words = (ctypes.c_uint64 * WORDS).from_address(algorithm)
        if len(set(words)) > 1 or not 7 <= words[0] < 7 + self.algorithms:
            raise cuBLASLtError(7)

    def matmul(self, handle: int, description: int, *arguments: int) -> None:
        alpha, a, a_layout, b, b_layout, beta, c, c_layout, d, d_layout, algorithm, workspace, size, stream = arguments
        assert {handle, description, a_layout, b_layout, c_layout, d_layout} <= self.alive.keys()
        assert (c, c_layout) == (d, d_layout) and size and workspace
        words = (ctypes.c_uint64 * WORDS).from_address(algorithm)
        assert all(word == words[0] >= 7 for word in words)
        self.used.append(int(words[0]) - 7)
        epilogue = self._epilogue(description)
        self.epilogues.append(epilogue)
        real = REALS[self.alive[description]["scale"]]

        def run() -> None:
            one, zero = (_floats(place, 1, real)[0] for place in (alpha, beta))
            assert (one, zero) == (1, 0)
            left, right, result = (
                self._matrix(place, layout) for place, layout in ((a, a_layout), (b, b_layout), (d, d_layout))
            )
            if self.alive[description]["compute"] == TF32:
                left, right = rounded(left), rounded(right)
            left = left.mT if self.alive[description].get(MatmulDescAttribute.TRANSA) else left
            right = right.mT if self.alive[description].get(MatmulDescAttribute.TRANSB) else right
            if result.dtype.itemsize < 8:  # sums are float32, whatever the factors are
                left, right = left.astype(np.float32), right.astype(np.float32)
            sums = np.matmul(right.mT, left.mT).mT
            kind = self.alive[d_layout]["matrix"][0]
            if epilogue:  # of single products, not of stacks
                sums = self._finish(epilogue, self.alive[description], left[0], sums[0], kind)
            result[...] = sums

        self.launch(stream, f"product {epilogue}".rstrip(), run)

    def _epilogue(self, description: int) -> str:
        number = self.alive[description].get(MatmulDescAttribute.EPILOGUE)
        return "" if number is None else Epilogue(number).name

    def _finish(
        self, epilogue: str, attributes: dict[int, int], left: np.ndarray, sums: np.ndarray, kind: int
    ) -> np.ndarray:
        """What becomes of a product's sums (rows, columns) before they are rounded: column by column, as cuBLASLt."""
        rows, columns = sums.shape
        bias = _floats(attributes[MatmulDescAttribute.BIAS_POINTER], rows, REALS[kind])
        if epilogue == "BGRADA":
            bias[...] = left.sum(axis=1)
            return sums
        if "AUX" in epilogue or epilogue.startswith("D"):
            ld = attributes[MatmulDescAttribute.EPILOGUE_AUX_LD]
            assert ld % 128 == 0 and ld >= rows
            raw = (ctypes.c_uint8 * (ld // 8 * columns)).from_address(
                attributes[MatmulDescAttribute.EPILOGUE_AUX_POINTER]
            )
            mask = np.ctypeslib.as_array(raw).reshape(columns, ld // 8)
        if epilogue == "DRELU_BGRAD":
            kept = np.unpackbits(mask, axis=1, bitorder="little")[:, :rows].T.astype(bool)
            sums = np.where(kept, sums, 0)
            bias[...] = sums.sum(axis=1)
            return sums
        sums = sums + bias.astype(sums.dtype)[:, None]
        if epilogue == "RELU_AUX_BIAS":
            bits = np.zeros((columns, mask.shape[1] * 8), dtype=bool)
            bits[:, :rows] = (sums > 0).T
            mask[...] = np.packbits(bits, axis=1, bitorder="little")
        if epilogue == "GELU_BIAS":
            return sums * (1 + np.tanh(np.sqrt(2 / np.pi) * (sums + 0.044715 * sums**3))) / 2
        return sums if epilogue == "BIAS" else np.where(sums < 0, 0, sums)

    def _matrix(self, place: int, layout: int) -> np.ndarray:
        kind, rows, columns, ld = self.alive[layout]["matrix"]
        count = self.alive[layout].get(MatrixLayoutAttribute.BATCH_COUNT, 1)
        stride = self.alive[layout].get(MatrixLayoutAttribute.STRIDED_BATCH_OFFSET, 0)
        assert stride >= ld * columns or count == 1
        memory = _floats(place, stride * (count - 1) + ld * columns, REALS[kind])
        item = memory.itemsize
        return np.lib.stride_tricks.as_strided(
            memory, (count, rows, columns), (stride * item, item, ld * item), writeable=True
        )

    def _new(self, thing: Any) -> int:
        number = next(self._numbers)
        self.alive[number] = thing
        return number


def rounded(x: np.ndarray) -> np.ndarray:
    """float32 rounded to the ten bits behind the point that TF32 keeps."""
    return ((np.ascontiguousarray(x).view(np.uint32) + np.uint32(1 << 12)) & np.uint32(0xFFFFE000)).view(np.float32)


def _floats(place: int, count: int, real: Any) -> np.ndarray:
    raw = (ctypes.c_uint8 * (count * np.dtype(real).itemsize)).from_address(place)
    return np.ctypeslib.as_array(raw).view(real)
