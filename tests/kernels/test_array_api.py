"""References under the array API's strict namespace, which refuses what only NumPy allows."""

from __future__ import annotations

from typing import Any

import array_api_strict as strict
import numpy as np
import pytest
from cuda_cases import COVERED, cases, operations

OPERATIONS = operations()

NUMPY_ONLY = {
    "convert": "assignment to another dtype, which the standard leaves to astype() with a copy",
    "dropout": "the constants of Philox are NumPy's uint64, which Numba compiles as well",
    "gather": "rows chosen by an array of indices, which the standard has as take() only",
    "gather_pair": "as gather",
    "gather_standardized": "as gather",
    "gather_standardized_pair": "as gather",
    "normal": "as dropout",
    "row_words": "as dropout",
    "matmul": "out=, which saves a copy of every product and which NumPy and CuPy share",
}
SIZES = [(0, 5), (1, 1), (5, 7), (64, 128)]
WHOLE_CHUNKS = {"gradient_squares": [(0, 5), (64, 128)]}  # the standard leaves open a slice that ends beyond the array


def run(xp: Any, name: str, arrays: list[Any], attributes: dict[str, Any]) -> list[np.ndarray]:
    arrays = [xp.asarray(array.copy()) for array in arrays]
    OPERATIONS[name].reference(xp, *arrays, **attributes)
    return [np.asarray(array) for array in arrays]


@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("name", "rows", "n"),
    [(name, *size) for name in sorted(set(COVERED) - set(NUMPY_ONLY)) for size in WHOLE_CHUNKS.get(name, SIZES)],
)
def test_reference_is_written_to_the_standard(name: str, real: Any, rows: int, n: int) -> None:
    for case in cases(name, real, rows, n):
        got = run(strict, name, case.arrays, case.attributes)
        for array, want in zip(got, run(np, name, case.arrays, case.attributes), strict=True):
            assert array.dtype == want.dtype
            assert np.array_equal(array, want, equal_nan=array.dtype.kind == "f")


@pytest.mark.parametrize("name", sorted(NUMPY_ONLY))
def test_what_is_listed_as_numpy_only_still_is(name: str) -> None:
    if name == "matmul":
        given = [([np.ones((2, 2)) for _ in range(3)], {})]
    else:
        given = [(c.arrays, c.attributes) for real in (np.float32, np.float64) for c in cases(name, real, 3, 5)]
    with pytest.raises((TypeError, IndexError)):
        for arrays, attributes in given:
            run(strict, name, arrays, attributes)
