"""Every CUDA kernel, executed on the CPU from its own text, against the reference in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cuda_cases import KERNELS, UPDATES, cases, operations
from cuda_draw import ACTIVATIONS, JUNK, Case, counters
from cuda_on_cpu import HostCuda, sanitized, unavailable
from hypothesis import given, settings
from hypothesis import strategies as st

from gearshift.backends.cuda import prepare
from gearshift.backends.philox import key_of, philox, words
from gearshift.kernels.launch import one_block
from gearshift.kernels.operation import Cuda, Operation

pytestmark = pytest.mark.skipif(bool(unavailable()), reason=unavailable())

OPERATIONS = operations()
REALS = (np.float32, pytest.param(np.float64, marks=pytest.mark.long))
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
SIZES = [(0, 0), (0, 5), (1, 1), (3, 0), (5, 7), (33, 65), (300, 31), (2, 1000)]
HOST = HostCuda()
GUARD = 0 if sanitized() else 64  # elements before and after each array that must stay as they are


def guarded(array: np.ndarray) -> tuple[np.ndarray, Callable[[], bool]]:
    """A copy with guards around it, and whether they are whole."""
    buffer = np.empty(array.size + 2 * GUARD, dtype=array.dtype)
    buffer.view(np.uint8)[:] = 0xA5
    copy = buffer[GUARD : GUARD + array.size].reshape(array.shape)
    copy[...] = array
    guards = buffer[:GUARD].view(np.uint8), buffer[GUARD + array.size :].view(np.uint8)
    return copy, lambda: all(bool(np.all(guard == 0xA5)) for guard in guards)


def expected(operation: Operation, case: Case) -> list[np.ndarray]:
    """What the reference makes of the same arrays in float64."""
    arrays = [a.astype(np.float64) if a.dtype.kind == "f" else a.copy() for a in case.arrays]
    operation.reference(np, *arrays, **case.attributes)
    return arrays


def check(name: str, case: Case, host: HostCuda = HOST) -> None:
    """Runs the kernel and compares every array, and what lies around it, with the reference."""
    operation = OPERATIONS[name]
    arrays, whole = zip(*map(guarded, case.arrays), strict=True)
    host.run(operation, arrays, case.attributes)
    for index, (got, want, before) in enumerate(zip(arrays, expected(operation, case), case.arrays, strict=True)):
        assert whole[index](), f"{name} wrote outside array {index}"
        if index not in case.written or got.dtype.kind != "f":
            want = want if index in case.written else before
            if index in operation.scratch and got.dtype.kind == "f":
                continue
            assert np.array_equal(got, want, equal_nan=True), f"{name}: array {index}"
            continue
        assert np.array_equal(np.isnan(got), np.isnan(want)), f"{name}: NaN in array {index}"
        finite = np.isfinite(want)
        largest = float(np.max(np.abs(want[finite]), initial=0))
        if np.any(before != JUNK):  # updated, not merely written: what it held is one of the terms
            largest = max(largest, float(np.max(np.abs(before[finite]), initial=0)))
        scale = case.terms.get(index, largest)
        worst = float(np.max(np.abs(got[finite] - want[finite]), initial=0))
        assert worst <= TOLERANCE[got.dtype.name] * scale, f"{name}: array {index} is off by {worst} of {scale}"


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize(("rows", "n"), SIZES)
def test_kernel_equals_reference_at_edge_sizes(name: str, rows: int, n: int, real: Any) -> None:
    for case in cases(name, real, rows, n):
        check(name, case)


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("name", KERNELS)
@settings(max_examples=4, deadline=None)
@given(rows=st.integers(0, 80), n=st.integers(1, 80), seed=st.integers(0, 2**32 - 1))
def test_kernel_equals_reference(name: str, real: Any, rows: int, n: int, seed: int) -> None:
    for case in cases(name, real, rows, n, seed):
        check(name, case)


STRIDING = [
    "activation",
    "adam",
    "add",
    "bias_activation",
    "bias_activation_backward",
    "dropout",
    "gather",
    "standardize",
    "embedding",
    "embedding_backward",
    "layer_norm",
    "layer_norm_backward",
    "masked_softmax",
    "max_pooling",
    "max_pooling_backward",
    "mean_pooling",
    "mean_pooling_backward",
    "merge_heads",
    "padding",
    "positions",
    "positions_backward",
    "softmax",
    "softmax_backward",
    "split_heads",
]


@pytest.mark.parametrize("name", STRIDING)
def test_kernel_strides_over_more_than_its_grid(name: str) -> None:
    for case in cases(name, np.float32, 401, 337):
        check(name, case, HostCuda(blocks=5))


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("name", ["bias_activation_backward", "layer_norm_sums"])
def test_sums_over_rows_in_parts(name: str, real: Any) -> None:
    """Rows divided among blocks, whichever arrives last; the counter of arrivals is 0 again, so twice is once."""
    for rows, n in (1000, 3), (129, 40), (64 * 7, 200), (3000, 33):
        case = next(cases(name, real, rows, n))
        assert prepare(OPERATIONS[name], case.arrays, case.attributes).grid[1] > 1
        check(name, case)
        results = []
        for host in (HOST, HostCuda(blocks=2), HostCuda(backwards=True)):
            arrays = [array.copy() for array in case.arrays]
            for _ in range(2):
                host.run(OPERATIONS[name], arrays, case.attributes)
                assert not np.any(arrays[-1])
                results.append(tuple(arrays[index].tobytes() for index in case.written))
        assert len(set(results)) == 1


@pytest.mark.parametrize("name", ["adam", "activation", "bias_activation", "dropout", "gather_standardized"])
@pytest.mark.parametrize("offset", [1, 2, 3])
def test_arrays_off_a_boundary_are_taken_one_by_one(name: str, offset: int) -> None:
    for case in cases(name, np.float32, 31, 36):
        wide = [np.empty(array.size + 4, dtype=array.dtype) for array in case.arrays]
        arrays = [w[offset : offset + a.size].reshape(a.shape) for w, a in zip(wide, case.arrays, strict=True)]
        for array, value in zip(arrays, case.arrays, strict=True):
            array[...] = value
        together = [array.copy() for array in case.arrays]
        HOST.run(OPERATIONS[name], arrays, case.attributes)
        HOST.run(OPERATIONS[name], together, case.attributes)
        assert all(np.array_equal(arrays[index], together[index]) for index in case.written)


def test_gradient_norm_of_many_chunks() -> None:
    for name, size in (("gradient_squares", 4096 * 300 + 1), ("clip_factor", 1000)):
        for case in cases(name, np.float32, 1, size):
            check(name, case)


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("name", KERNELS)
def test_bits_do_not_depend_on_the_grid_nor_on_the_order_of_threads(name: str, real: Any) -> None:
    for case in cases(name, real, 150, 70):
        results = []
        for host in (HOST, HostCuda(blocks=1), HostCuda(blocks=3), HostCuda(backwards=True)):
            arrays = [array.copy() for array in case.arrays]
            host.run(OPERATIONS[name], arrays, case.attributes)
            results.append([arrays[index].tobytes() for index in case.written])
        assert all(result == results[0] for result in results[1:])


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("name", [name for name in KERNELS if OPERATIONS[name].inplace])
def test_output_may_be_an_input(name: str, real: Any) -> None:
    operation = OPERATIONS[name]
    for case in cases(name, real, 37, 45):
        inputs = min(case.written)  # the outputs come after them
        apart, together = ([array.copy() for array in case.arrays] for _ in range(2))
        for output, source in operation.inplace:
            together[inputs + output] = together[source]
        HOST.run(operation, apart, case.attributes)
        HOST.run(operation, together, case.attributes)
        for index in case.written:
            assert np.array_equal(apart[index], together[index])


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("name", [name for name in UPDATES if name in KERNELS])
def test_updates_stop_after_a_failed_step(name: str, real: Any) -> None:
    for case in cases(name, real, 20, 20):
        case.arrays[-2] = counters(failed=0)
        arrays = [array.copy() for array in case.arrays]
        HOST.run(OPERATIONS[name], arrays, case.attributes)
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(arrays, case.arrays, strict=True))


@pytest.mark.parametrize("real", REALS)
def test_activations_of_values_that_are_not_finite_or_huge(real: Any) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 1e4, -1e4, 0.0, -0.0], dtype=real)
    for activation in ACTIVATIONS:
        y, want = np.empty_like(x), np.empty_like(x)
        HOST.run(OPERATIONS["activation"], [x, y], {"activation": activation})
        OPERATIONS["activation"].reference(np, x, want, activation=activation)
        assert np.allclose(y, want, rtol=0, atol=1e-30, equal_nan=True)


@pytest.mark.parametrize("real", REALS)
def test_softmax_of_huge_logits_is_finite_and_of_nan_is_nan(real: Any) -> None:
    logits = np.zeros((3, 40), dtype=real)
    logits[0, 3], logits[1, :] = 1e30, -1e30
    logits[2, 39] = np.nan
    labels, scores, dlogits = np.array([3, 7, 0]), np.empty((3, 2), dtype=real), np.empty_like(logits)
    HOST.run(OPERATIONS["softmax_cross_entropy"], [logits, labels, scores, dlogits], {})
    assert np.allclose(scores[:2], [[0, 1], [np.log(40), 0]], rtol=1e-6)
    assert np.all(np.isfinite(dlogits[:2]))
    assert np.isnan(scores[2, 0])
    assert np.all(np.isnan(dlogits[2]))


def words_of(counter: list[int], key: list[int]) -> list[int]:
    """The CUDA text's words, through an operation defined outside the package."""
    arrays = [np.array(counter, dtype=np.uint32), np.array(key, dtype=np.uint32), np.zeros(4, dtype=np.uint32)]
    HOST.run(PHILOX_WORDS, arrays, {})
    return arrays[-1].tolist()


def philox_reference(xp: Any, counter: Any, key: Any, out: Any) -> None:
    """One block of words, in NumPy."""
    out[...] = philox(*counter.astype(np.uint64), *key.astype(np.uint64))


PHILOX_WORDS = Operation(
    "philox_words", philox_reference, cuda=Cuda("philox_words.cu", "philox_words", one_block, types={})
)


@pytest.mark.parametrize(
    ("counter", "key", "want"),
    [
        ([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_philox_known_answers(counter: list[int], key: list[int], want: str) -> None:
    """Random123's vectors for Philox4x32-10."""
    assert " ".join(f"{word:08x}" for word in words_of(counter, key)) == want


@given(st.lists(st.integers(0, 2**32 - 1), min_size=6, max_size=6))
@settings(max_examples=30, deadline=None)
def test_philox_equals_numpy(numbers: list[int]) -> None:
    want = philox(*(np.uint64(number) for number in numbers))
    assert words_of(numbers[:4], numbers[4:]) == [int(word) for word in want]


@pytest.mark.parametrize("bit", [0, 7, 16, 31])
def test_dropout_draws_the_words_of_its_stream(bit: int) -> None:
    """Where a threshold falls between two words, the mask tells them apart; here one falls on each drawn word."""
    key, count, stream, step = key_of(9), 1003, 5, (3 << 32) + 11
    drawn = words(np, key, count, 2, stream, step)
    for threshold in (int(drawn[bit]), int(drawn[bit]) + 1, int(np.median(drawn))):
        y = np.empty(count)
        attributes = {"threshold": threshold, "scale": 2.0, "stream": stream, "width": 1}
        HOST.run(OPERATIONS["dropout"], [np.ones(count), key, counters(step=step), y], attributes)
        assert np.array_equal(y, np.where(drawn >= threshold, 2.0, 0.0))


def stuck_reference(xp: Any, x: Any) -> None:
    """Sets x[0]."""
    x[0] = 1


def test_a_barrier_that_some_threads_miss_is_an_error() -> None:
    operation = Operation("stuck", stuck_reference, cuda=Cuda("stuck.cu", "stuck", one_block, types={}))
    with pytest.raises(RuntimeError, match="wait at a barrier"):
        HOST.run(operation, [np.zeros(1, dtype=np.float32)], {})
