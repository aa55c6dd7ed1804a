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


class MatmulPreferenceAttribute(enum.IntEnum):
    """The wishes that a search for algorithms is given."""

    MAX_WORKSPACE_BYTES = 1
    MIN_ALIGNMENT_A_BYTES = 5
    MIN_ALIGNMENT_B_BYTES = 6
    MIN_ALIGNMENT_C_BYTES = 7
    MIN_ALIGNMENT_D_BYTES = 8


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
    MatmulPreferenceAttribute = MatmulPreferenceAttribute
    MatmulHeuristicResult = MatmulHeuristicResult

    def __init__(self, launch: Callable[[int, str, Callable[[], None]], None], algorithms: int = 3) -> None:
        self.launch, self.algorithms = launch, algorithms
        self.alive: dict[int, Any] = {}
        self.used: list[int] = []
        self._numbers = itertools.count(1 << 20)

    def get_version(self) -> int:
        return 120900

    def create(self) -> int:
        return self._new("handle")

    def matmul_desc_create(self, compute: int, scale: int) -> int:
        assert (compute, scale) in ((68, 0), (77, 0), (70, 1))
        return self._new({"compute": compute, "scale": scale})

    def matmul_desc_set_attribute(self, description: int, attribute: int, buffer: int, size: int) -> None:
        assert size == 4
        self.alive[description][attribute] = ctypes.c_int32.from_address(buffer).value

    def matmul_desc_destroy(self, description: int) -> None:
        del self.alive[description]

    def matrix_layout_create(self, kind: int, rows: int, columns: int, ld: int) -> int:
        assert ld >= rows > 0
        return self._new((kind, rows, columns, ld))

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
            raise RuntimeError("CUBLAS_STATUS_INVALID_VALUE")

    def matmul(self, handle: int, description: int, *arguments: int) -> None:
        alpha, a, a_layout, b, b_layout, beta, c, c_layout, d, d_layout, algorithm, workspace, size, stream = arguments
        assert {handle, description, a_layout, b_layout, c_layout, d_layout} <= self.alive.keys()
        assert (c, c_layout) == (d, d_layout) and size and workspace
        words = (ctypes.c_uint64 * WORDS).from_address(algorithm)
        assert all(word == words[0] >= 7 for word in words)
        self.used.append(int(words[0]) - 7)
        real = REALS[self.alive[description]["scale"]]

        def run() -> None:
            one, zero = (_floats(place, 1, real)[0] for place in (alpha, beta))
            assert (one, zero) == (1, 0)
            left, right, result = (
                self._matrix(place, layout) for place, layout in ((a, a_layout), (b, b_layout), (d, d_layout))
            )
            if self.alive[description]["compute"] == TF32:
                left, right = rounded(left), rounded(right)
            left = left.T if self.alive[description].get(MatmulDescAttribute.TRANSA) else left
            right = right.T if self.alive[description].get(MatmulDescAttribute.TRANSB) else right
            if result.dtype.itemsize < 8:  # sums are float32, whatever the factors are
                left, right = left.astype(np.float32), right.astype(np.float32)
            result.T[...] = np.matmul(right.T, left.T)

        self.launch(stream, "product", run)

    def _matrix(self, place: int, layout: int) -> np.ndarray:
        kind, rows, columns, ld = self.alive[layout]
        memory = _floats(place, ld * columns, REALS[kind])
        return memory.reshape(columns, ld)[:, :rows].T

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
