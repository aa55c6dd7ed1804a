"""Every operation's loop, as plain Python and compiled by Numba, against its reference in float64."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from agreement import TOLERANCE, worst_error
from cuda_cases import COVERED, KERNELS, LOSSES, SHORT, UPDATES, operations
from cuda_cases import cases as all_cases
from cuda_draw import Case, counters
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core.errors import TypingError

import gearshift as gs
from gearshift.backends.numba import NumbaBackend, compiled
from gearshift.backends.philox import key_of, words
from gearshift.kernels.activations.activation import RELU
from gearshift.kernels.operation import Operation

OPERATIONS = operations()
LOOPS = [name for name in COVERED if OPERATIONS[name].loop]
DEVICE = {"gather_pair", "gather_standardized_pair", "incoming", "outgoing"}  # of steps that are captured
HALF = {"clip_scaled", "convert", "l1_scaled", "scale_gradient", "unscale"}  # of precisions that are not compiled
REALS = (np.float32, np.float64)
EACH = [np.float32, pytest.param(np.float64, marks=pytest.mark.long)]  # other tests run most loops in float64
# a row of predictions has at least one output, so that its mean exists
SIZES = [(0, 0), (0, 5), (1, 1), (3, 0), (5, 7), (33, 65), (300, 31), (2, 1000), (700, 130)]


def cases(name: str, real: Any, rows: int, n: int, seed: int = 0) -> Iterator[Case]:
    """The cases that loops are given: a resident data set is a table, so rows of a gather have one dimension."""
    return (case for case in all_cases(name, real, rows, n, seed) if name != "gather" or case.arrays[0].ndim == 2)


def copies(case: Case) -> list[np.ndarray]:
    return [array.copy() for array in case.arrays]


def run_plain(operation: Operation, arrays: list[np.ndarray], attributes: dict[str, Any]) -> None:
    """The loop's text as it stands, over all items."""
    assert operation.loop
    with np.errstate(all="ignore"):
        operation.loop(0, operation.extent(*arrays), *arrays, **attributes)


def run_compiled(operation: Operation, arrays: list[np.ndarray], attributes: dict[str, Any]) -> None:
    NumbaBackend().bind(operation, arrays, attributes)()


def check(name: str, case: Case, run: Callable[..., None]) -> None:
    arrays = copies(case)
    run(OPERATIONS[name], arrays, case.attributes)
    assert worst_error(OPERATIONS[name], case, arrays) <= TOLERANCE[real_of(case)]


def real_of(case: Case) -> str:
    """The least exact dtype among the floating arrays."""
    return min((a.dtype.name for a in case.arrays if a.dtype.kind == "f"), default="float64")


def test_every_operation_but_the_product_has_a_loop_and_cases() -> None:
    """What is not listed here is not tested: a new operation needs a function of its name in a file of cases."""
    assert set(COVERED) - set(LOOPS) == DEVICE | HALF
    assert set(OPERATIONS) - set(COVERED) == {name for name, o in OPERATIONS.items() if o.product or o.parts}


def test_operations_are_found_by_their_role() -> None:
    """So that no update, loss or kernel for sixteen bits goes untested."""
    kinds = [kind for family in (gs.Optimizer, gs.Loss) for kind in family.registered.values()]
    own = [kind for kind in kinds if kind.__module__.startswith("gearshift.")]
    used = {
        one.name: one.role for kind in own for name in ("operation", "before") if (one := getattr(kind, name, None))
    }
    assert {name for name, role in used.items() if role == "update"} == set(UPDATES)
    assert {name for name, role in used.items() if role == "loss"} == set(LOSSES)
    assert used.keys() == {*UPDATES, *LOSSES} and set(LOSSES) < set(SHORT) < set(KERNELS)


@pytest.mark.parametrize("real", EACH)
@pytest.mark.parametrize("name", LOOPS)
def test_compiled_loop_equals_reference_at_edge_sizes(name: str, real: Any) -> None:
    for rows, n in SIZES:
        if name == "binary_cross_entropy" and n == 0:
            continue
        for case in cases(name, real, rows, n):
            check(name, case, run_compiled)


@pytest.mark.parametrize("real", EACH)
@pytest.mark.parametrize("name", LOOPS)
@settings(max_examples=20, deadline=None)
@given(rows=st.integers(0, 200), n=st.integers(1, 200), seed=st.integers(0, 2**32 - 1))
def test_compiled_loop_equals_reference(name: str, rows: int, n: int, real: Any, seed: int) -> None:
    for case in cases(name, real, rows, n, seed):
        check(name, case, run_compiled)


@pytest.mark.parametrize("name", LOOPS)
@settings(max_examples=4, deadline=None)
@given(rows=st.integers(0, 6), n=st.integers(1, 6), real=st.sampled_from(REALS), seed=st.integers(0, 2**32 - 1))
def test_plain_loop_equals_reference(name: str, rows: int, n: int, real: Any, seed: int) -> None:
    for case in cases(name, real, rows, n, seed):
        check(name, case, run_plain)


@pytest.mark.parametrize("real", EACH)
@pytest.mark.parametrize("name", LOOPS)
@settings(max_examples=10, deadline=None)
@given(data=st.data(), rows=st.integers(0, 90), n=st.integers(1, 90))
def test_any_split_into_ranges_gives_the_same_bits(name: str, data: Any, rows: int, n: int, real: Any) -> None:
    operation = OPERATIONS[name]
    assert operation.loop
    for case in cases(name, real, rows, n):
        whole, parts = copies(case), copies(case)
        run_compiled(operation, whole, case.attributes)
        extent = operation.extent(*parts)
        cuts = sorted(data.draw(st.lists(st.integers(0, extent), max_size=4))) if extent > 1 else []
        for start, stop in itertools.pairwise([0, *cuts, extent]):
            if stop > start:
                compiled(operation.loop)(start, stop, *parts, *case.attributes.values())  # pyright: ignore[reportArgumentType]
        for index in case.written:
            if extent:
                assert whole[index].tobytes() == parts[index].tobytes()


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("name", [name for name in LOOPS if OPERATIONS[name].inplace])
def test_output_may_be_an_input(name: str, real: Any) -> None:
    operation = OPERATIONS[name]
    for case in cases(name, real, 37, 45):
        inputs = min(case.written)  # the outputs come after them
        apart, together = copies(case), copies(case)
        for output, source in operation.inplace:
            together[inputs + output] = together[source]
        run_compiled(operation, apart, case.attributes)
        run_compiled(operation, together, case.attributes)
        for index in case.written:
            assert apart[index].tobytes() == together[index].tobytes()


def test_keyword_order_does_not_matter() -> None:
    case = list(cases("dropout", np.float32, 9, 9))[1]
    results = []
    for attributes in (case.attributes, dict(reversed(case.attributes.items()))):
        arrays = copies(case)
        run_compiled(OPERATIONS["dropout"], arrays, attributes)
        results.append(arrays[-1].tobytes())
    assert results[0] == results[1]


@pytest.mark.parametrize("run", [run_plain, run_compiled])
def test_dropout_keeps_where_the_word_reaches_the_threshold(run: Callable[..., None]) -> None:
    """Random thresholds almost never meet a word; here each is one, or one more."""
    key, stream, step = key_of(9), 5, (3 << 32) + 11
    drawn = words(np, key, 23, 2, stream, step)
    for threshold in (int(drawn[4]), int(drawn[4]) + 1, int(drawn[22])):
        y = np.empty(23)
        attributes = {"threshold": threshold, "scale": 2.0, "stream": stream, "width": 1}
        run(OPERATIONS["dropout"], [np.ones(23), key, counters(step=step), y], attributes)
        assert np.array_equal(y, np.where(drawn >= threshold, 2.0, 0.0))


@pytest.mark.parametrize("run", [run_plain, run_compiled])
@pytest.mark.parametrize("width", [1, 3, 4, 6])
def test_parts_of_a_batch_draw_their_parts_of_its_random_numbers(width: int, run: Callable[..., None]) -> None:
    key = key_of(9)
    for name, inputs, attributes in (
        ("dropout", [np.ones((7, width))], {"threshold": 1 << 31, "scale": 2.0, "stream": 5, "width": width}),
        ("normal", [], {"deviation": 1.0, "stream": 5, "width": width}),
    ):
        whole = np.empty((7, width))
        run(OPERATIONS[name], [*inputs, key, counters(), whole], attributes)
        for first in range(7):
            part = np.empty((7 - first, width))
            run(OPERATIONS[name], [*(x[first:] for x in inputs), key, counters(first=first), part], attributes)
            assert np.array_equal(part, whole[first:])


@pytest.mark.parametrize("run", [run_plain, run_compiled])
@pytest.mark.parametrize("real", REALS)
def test_relu_lets_nan_through(real: Any, run: Callable[..., None]) -> None:
    x = np.array([np.nan, -1, 2, -0.0, np.inf, -np.inf], dtype=real)
    want = np.array([np.nan, 0, 2, 0, np.inf, 0])
    y = np.empty_like(x)
    run(OPERATIONS["activation"], [x, y], {"activation": RELU})
    assert np.array_equal(y, want, equal_nan=True)
    row = np.empty((1, 6), dtype=real)
    run(OPERATIONS["bias_activation"], [x[None], np.zeros(6, dtype=real), row], {"activation": RELU})
    assert np.array_equal(row[0], want, equal_nan=True)
    OPERATIONS["activation"].reference(np, x, y, activation=RELU)
    assert np.array_equal(y, want, equal_nan=True)


@pytest.mark.parametrize("real", REALS)
def test_softmax_of_huge_logits_is_finite_and_of_nan_is_nan(real: Any) -> None:
    logits = np.zeros((3, 40), dtype=real)
    logits[0, 3], logits[1, :] = 1e30, -1e30
    logits[2, 39] = np.nan
    labels, scores, dlogits = np.array([3, 7, 0]), np.empty((3, 2), dtype=real), np.empty_like(logits)
    run_compiled(OPERATIONS["softmax_cross_entropy"], [logits, labels, scores, dlogits], {})
    assert np.allclose(scores[:2], [[0, 1], [np.log(40), 0]], rtol=1e-6)
    assert np.all(np.isfinite(dlogits[:2]))
    assert np.isnan(scores[2, 0])
    assert np.all(np.isnan(dlogits[2]))


@pytest.mark.parametrize("real", REALS)
def test_sigmoid_and_tanh_of_huge_values(real: Any) -> None:
    x = np.array([[1e4, -1e4, np.inf, -np.inf, np.nan]], dtype=real)
    for activation in (2, 3):
        y, want = np.empty_like(x), np.empty_like(x)
        run_compiled(OPERATIONS["activation"], [x, y], {"activation": activation})
        OPERATIONS["activation"].reference(np, x, want, activation=activation)
        assert np.array_equal(y, want, equal_nan=True)


@pytest.mark.parametrize("run", [run_plain, run_compiled])
@pytest.mark.parametrize("name", UPDATES)
def test_updates_stop_after_a_failed_step(name: str, run: Callable[..., None]) -> None:
    for case in cases(name, np.float32, 20, 20):
        case.arrays[-2] = counters(failed=0)
        arrays = copies(case)
        run(OPERATIONS[name], arrays, case.attributes)
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(arrays, case.arrays, strict=True))


@pytest.mark.parametrize("name", sorted({*UPDATES} - {"nesterov", "nesterov_ahead"}))  # they move between two places
def test_only_the_ranges_move_and_decay_is_the_range_s_own(name: str) -> None:
    """Without a gradient, the first range shrinks by its decay, the second and the padding stay."""
    for case in cases(name, np.float64, 1, 12):
        p, g = case.arrays[:2]
        bounds, factors = case.arrays[-5:-3]
        p[...], g[...] = 1, 0
        for state in case.arrays[2:-5]:
            state[...] = name == "deltabardelta"  # whose rates are a state
        bounds[...], factors[...] = [[0, 4], [6, 10], [10, 10]], [[1, 0.1], [1, 0], [1, 0]]
        arrays = copies(case)
        run_compiled(OPERATIONS[name], arrays, case.attributes)
        assert np.all(arrays[0][:4] < 1)
        assert np.all(arrays[0][4:] == 1)
        assert worst_error(OPERATIONS[name], case, arrays) <= 1e-12


def strided(array: np.ndarray) -> np.ndarray:
    """The same values, every other element of a wider array."""
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), dtype=array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]


def test_arrays_that_are_not_contiguous_are_refused_by_loops_over_elements() -> None:
    case = next(cases("activation", np.float32, 5, 6))
    with pytest.raises(TypingError, match="contiguous"):
        run_compiled(OPERATIONS["activation"], [strided(array) for array in case.arrays], case.attributes)


@pytest.mark.parametrize("name", ["sgd", "standardize"])
def test_arrays_that_are_not_contiguous_are_taken_by_loops_over_rows_and_ranges(name: str) -> None:
    case = next(cases(name, np.float32, 5, 6))
    arrays = [strided(array) if array.dtype.kind == "f" else array.copy() for array in case.arrays]
    run_compiled(OPERATIONS[name], arrays, case.attributes)
    assert worst_error(OPERATIONS[name], case, arrays) <= 1e-5


def test_half_precision_is_refused() -> None:
    with pytest.raises((TypingError, NotImplementedError), match="float16"):
        run_compiled(OPERATIONS["add"], [np.ones((2, 2), dtype=np.float16) for _ in range(3)], {})
