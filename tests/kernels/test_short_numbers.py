"""Numbers of sixteen bits: how kernels round, every kernel over them, and updates that write a copy of the weights."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from agreement import TOLERANCE, worst_error
from cuda_cases import KERNELS, LOSSES, SHORT, UPDATES, cases, copying, operations
from cuda_draw import Case
from cuda_on_cpu import HostCuda, unavailable

from gearshift.backends import numpy as numpy_backend
from gearshift.kernels.batches.convert import CONVERT

pytestmark = pytest.mark.skipif(bool(unavailable()), reason=unavailable())

DTYPES = [np.dtype(ml_dtypes.bfloat16), np.dtype(np.float16)]
OPERATIONS = operations()
HOST = HostCuda()
EACH = [(name, DTYPES[0]) for name in SHORT] + [
    pytest.param(name, DTYPES[1], marks=[] if name in LOSSES else pytest.mark.long) for name in SHORT
]
"""Every kernel in bfloat16, and losses in float16 too, where they may overflow; `.ci/long` runs all."""


@pytest.fixture(params=DTYPES, ids=lambda dtype: dtype.name)
def dtype(request: pytest.FixtureRequest) -> np.dtype:
    """Each dtype of sixteen bits."""
    return request.param


def test_every_float_of_sixteen_bits_is_read_as_it_is(dtype: np.dtype) -> None:
    x = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16).view(dtype)
    y, back = np.empty(x.size, dtype=np.float32), np.empty_like(x)
    HOST.run(CONVERT, [x, y], {})
    assert np.array_equal(y, x.astype(np.float32), equal_nan=True)
    HOST.run(CONVERT, [y, back], {})
    finite = ~np.isnan(y)
    assert np.array_equal(back.view(np.uint16)[finite], x.view(np.uint16)[finite])
    assert np.isnan(back[~finite].astype(np.float32)).all()


def test_floats_are_rounded_to_the_nearest_and_ties_to_even(dtype: np.dtype) -> None:
    random = np.random.default_rng(0)
    words = random.integers(0, 1 << 32, 1 << 20, dtype=np.uint64).astype(np.uint32)
    ties = words & np.uint32(0xFFFF0000 if dtype == DTYPES[0] else 0xFFFFE000)
    half = np.uint32(0x8000 if dtype == DTYPES[0] else 0x1000)
    for x in (words.view(np.float32), (ties | half).view(np.float32), (ties | (half + 1)).view(np.float32)):
        y = np.empty(x.size, dtype=dtype)
        HOST.run(CONVERT, [x, y], {})
        with np.errstate(all="ignore"):
            want = x.astype(dtype)
        finite = ~np.isnan(x)
        assert np.array_equal(y.view(np.uint16)[finite], want.view(np.uint16)[finite])
        assert np.isnan(y[~finite].astype(np.float32)).all()


@pytest.mark.parametrize("size", [(0, 5), (5, 7), (300, 31), (2, 1000)])
@pytest.mark.parametrize(("name", "dtype"), EACH, ids=str)
def test_kernel_equals_reference(name: str, size: tuple[int, int], dtype: np.dtype) -> None:
    for case in cases(name, dtype, *size):
        close(OPERATIONS[name], case)


@pytest.mark.parametrize("name", [name for name in UPDATES if name in KERNELS])
def test_an_update_leaves_its_weights_rounded_in_the_copy(name: str, dtype: np.dtype) -> None:
    for size in (0, 5), (1, 1), (33, 64), (150, 70):
        for operation, case in copying(name, dtype, *size):
            after = close(operation, case)
            plain = [array.copy() for array in case.arrays[:-1]]
            HOST.run(OPERATIONS[name], plain, case.attributes)
            assert [a.tobytes() for a in plain] == [b.tobytes() for b in after[:-1]], "the copy changes nothing"
            for low, high in case.arrays[-6]:
                assert np.array_equal(after[-1][low:high], after[0][low:high].astype(dtype))


@pytest.mark.parametrize("name", ["bias_activation", "softmax_cross_entropy", "dropout"])
def test_bits_do_not_depend_on_the_grid(name: str, dtype: np.dtype) -> None:
    for case in cases(name, dtype, 150, 70):
        results = set()
        for host in (HOST, HostCuda(blocks=1), HostCuda(backwards=True)):
            arrays = [array.copy() for array in case.arrays]
            host.run(OPERATIONS[name], arrays, case.attributes)
            results.add(b"".join(arrays[index].tobytes() for index in case.written))
        assert len(results) == 1


def close(operation: Any, case: Case) -> list[np.ndarray]:
    """What the kernel makes of a case, which the reference in float64 and NumPy's definition agree with."""
    arrays, defined = ([array.copy() for array in case.arrays] for _ in range(2))
    HOST.run(operation, arrays, case.attributes)
    numpy_backend.NumPyBackend().bind(operation, defined, case.attributes)()
    bound = max((TOLERANCE[array.dtype.name] for array in case.arrays if array.dtype.name in TOLERANCE), default=0)
    for found in arrays, defined:
        assert worst_error(operation, case, found) <= bound, operation.name
    return arrays
