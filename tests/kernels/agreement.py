"""How far an operation's result is from its reference in float64, measured against the sum of its |terms|."""

from __future__ import annotations

import numpy as np
from cuda_draw import JUNK, Case, is_float

from gearshift.kernels.operation import Operation

TOLERANCE = {"bfloat16": 2.0**-8, "float16": 2.0**-10, "float32": 1e-5, "float64": 1e-12}


def in_float64(operation: Operation, case: Case) -> list[np.ndarray]:
    """What the reference makes of a case's arrays in float64."""
    arrays = [array.astype(np.float64) if is_float(array.dtype) else array.copy() for array in case.arrays]
    operation.reference(np, *arrays, **case.attributes)
    return arrays


def worst_error(operation: Operation, case: Case, results: list[np.ndarray]) -> float:
    """The greatest error of the floating results; integers, NaN and arrays only read must agree exactly.

    The scale is the case's own sum of |terms| where it has one. Else every element is one term, or an old value
    and its change: the largest value before or after.
    """
    worst = 0.0
    for index, (got, want, before) in enumerate(zip(results, in_float64(operation, case), case.arrays, strict=True)):
        if index not in case.written or not is_float(got.dtype):
            want = want.astype(got.dtype) if index in case.written else before
            same = np.array_equal(got, want, equal_nan=is_float(got.dtype))
            assert same or index in operation.scratch, f"{operation.name}: array {index}"
            continue
        got, before = got.astype(np.float64), before.astype(np.float64)
        assert np.array_equal(np.isnan(got), np.isnan(want)), f"{operation.name}: NaN in array {index}"
        finite = np.isfinite(want)
        largest = float(np.max(np.abs(want[finite]), initial=0))
        if np.any(before != JUNK):
            largest = max(largest, float(np.max(np.abs(before[finite]), initial=0)))
        scale = case.terms.get(index, largest)
        error = float(np.max(np.abs(got[finite] - want[finite]), initial=0))
        assert error == 0 or scale > 0, f"{operation.name}: array {index} should be 0"
        worst = max(worst, error / scale if error else 0.0)
    return worst
