"""Arguments for every operation that has a CUDA text: random arrays of given sizes, each set of attributes."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import gearshift.kernels
from gearshift.backends import cuda
from gearshift.backends.philox import key_of
from gearshift.backends.precision import is_short
from gearshift.kernels.activation import IDENTITY, RELU, SIGMOID, TANH
from gearshift.kernels.counters import COUNTERS, CURSOR, FAILED, ROW, SKIP, STEP
from gearshift.kernels.launch import column_tiles, parts
from gearshift.kernels.operation import Operation
from gearshift.kernels.update import with_copy

ACTIVATIONS = (IDENTITY, RELU, TANH, SIGMOID)
UPDATES = ("adadelta", "adagrad", "adam", "delta_bar_delta", "momentum", "nesterov", "rmsprop", "sgd")
SHORT_TYPES = ("VALUE", "BATCH", "GRADIENT")  # what kernels call arrays that may be of sixteen bits
LOSSES = (
    "binary_cross_entropy",
    "hinge",
    "multiclass_hinge",
    "soft_cross_entropy",
    "softmax_cross_entropy",
    "squared_error",
)
SHORT = (
    *LOSSES,
    "activation",
    "activation_backward",
    "add",
    "bias_activation",
    "bias_activation_backward",
    "concatenate",
    "convert",
    "dropout",
    "gather",
    "gather_pair",
    "gather_standardized",
    "gather_standardized_pair",
    "gelu",
    "gelu_backward",
    "masked_softmax",
    "max_pooling",
    "max_pooling_backward",
    "mean_pooling",
    "mean_pooling_backward",
    "scale_gradient",
    "softplus",
    "softplus_backward",
    "split",
    "standardize",
)
"""Operations over activations, which may be of sixteen bits."""
JUNK = 77  # what lies in an output before it is written


@dataclass
class Case:
    """One call: the arrays (inputs, then outputs), which of them are written, and the attributes.

    `terms` holds, for a written array that sums, the greatest sum of |terms| of its elements; errors of the
    others are measured against their largest value before or after.
    """

    arrays: list[np.ndarray]
    written: tuple[int, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    terms: dict[int, float] = field(default_factory=dict)


def operations() -> dict[str, Operation]:
    """Every operation of the package, by name."""
    found = {}
    for module in pkgutil.iter_modules(gearshift.kernels.__path__):
        for value in vars(importlib.import_module(f"gearshift.kernels.{module.name}")).values():
            if isinstance(value, Operation):
                assert found.setdefault(value.name, value) is value, f"two operations are called {value.name}"
    return found


def cases(name: str, real: Any, rows: int, n: int, seed: int = 0) -> Iterator[Case]:
    """Every case of the operation `name` at one size; of sixteen bits are the arrays that its kernel takes so."""
    if not is_short(real):
        yield from _BUILDERS[name](_Draw(np.random.default_rng(seed), np.dtype(real)), rows, n)
        return
    operation = operations()[name]
    for case in cases(name, np.float32, rows, n, seed):
        call = cuda.prepare(operation, case.arrays, case.attributes)
        types = {
            id(argument): parameter.type
            for parameter, argument in zip(
                cuda.signatures(call.program.source)[call.entry], call.arguments, strict=True
            )
        }
        arrays = [
            array.astype(real) if array.dtype == np.float32 and types[id(array)] in SHORT_TYPES else array
            for array in case.arrays
        ]
        yield replace(case, arrays=arrays)


def copying(name: str, copy: Any, rows: int, n: int) -> Iterator[tuple[Operation, Case]]:
    """Cases of an update that also writes a copy of another dtype."""
    for case in cases(name, np.float32, rows, n):
        for changes in {}, {"skip": 1}, {"failed": 3}:
            arrays = [array.copy() for array in case.arrays]
            arrays[-2] = counters(**changes)
            arrays.append(arrays[0].astype(copy))
            yield with_copy(operations()[name]), Case(arrays, (*case.written, len(arrays) - 1), case.attributes)


def is_float(dtype: Any) -> bool:
    """Whether a dtype holds real numbers."""
    return np.dtype(dtype).kind == "f" or is_short(dtype)


def counters(**values: int) -> np.ndarray:
    """Counters of a run that is under way."""
    array = np.zeros(COUNTERS, dtype=np.int64)
    array[[STEP, CURSOR, ROW, FAILED, SKIP]] = (1 << 33) + 5, 3, 2, -1, 0
    for name, value in values.items():
        array[{"step": STEP, "cursor": CURSOR, "row": ROW, "failed": FAILED, "skip": SKIP}[name]] = value
    return array


@dataclass
class _Draw:
    random: np.random.Generator
    real: np.dtype

    def normal(self, *shape: int) -> np.ndarray:
        return self.random.standard_normal(shape).astype(self.real)

    def uniform(self, *shape: int) -> np.ndarray:
        return self.random.uniform(0.5, 1.5, shape).astype(self.real)

    def junk(self, *shape: int, dtype: Any = None) -> np.ndarray:
        """An output before it is written."""
        return np.full(shape, JUNK, dtype=dtype or self.real)


def _largest(*arrays: np.ndarray) -> float:
    return float(sum(np.max(np.abs(array), initial=0) for array in arrays))


def _activation(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for activation in ACTIVATIONS:
        yield Case([draw.normal(rows, n) * 3, draw.junk(rows, n)], (1,), {"activation": activation})


def _activation_backward(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for activation in ACTIVATIONS:
        y = np.tanh(draw.normal(rows, n))
        yield Case([draw.normal(rows, n), y, draw.junk(rows, n)], (2,), {"activation": activation})


def _bias_activation(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for activation in ACTIVATIONS:
        z, bias = draw.normal(rows, n), draw.normal(n)
        yield Case([z, bias, draw.junk(rows, n)], (2,), {"activation": activation}, {2: _largest(z, bias)})


def _bias_activation_backward(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for activation in ACTIVATIONS:
        dy, y = draw.normal(rows, n), np.tanh(draw.normal(rows, n))
        arrived = np.zeros(column_tiles(n), dtype=np.uint32)
        arrays = [dy, y, draw.junk(rows, n), draw.junk(n), draw.junk(parts(n), n), arrived]
        sums = float(np.max(np.sum(np.abs(dy), axis=0), initial=0))
        yield Case(arrays, (2, 3), {"activation": activation}, {2: _largest(dy), 3: sums})


def _softmax_cross_entropy(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    if n == 0:
        return
    for shape, dtype in ((rows,), np.int64), ((rows, 1), np.uint8):
        logits = np.round(draw.normal(rows, n) * 8) / 2  # with ties
        labels = draw.random.integers(0, min(n, 256), shape).astype(dtype)
        if rows:
            labels.reshape(-1)[0] = np.argmax(logits[0]) % 256
        terms = {2: _largest(logits) * 2 + np.log(n), 3: 1 / max(rows, 1)}
        yield Case([logits, labels, draw.junk(rows, 2), draw.junk(rows, n)], (2, 3), terms=terms)


def _binary_cross_entropy(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    logits, target = draw.normal(rows, n) * 8, draw.random.uniform(0, 1, (rows, n)).round(1).astype(draw.real)
    largest = _largest(logits) + 1
    terms = {2: 2 * largest, 3: 2 / max(rows * n, 1)}
    yield Case([logits, target, draw.junk(rows, 2), draw.junk(rows, n)], (2, 3), terms=terms)


def _weigh(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for columns in (1, 2):
        weight, scores, gradient = draw.uniform(rows, 1), draw.normal(rows, columns), draw.normal(rows, n)
        yield Case([weight, scores, gradient, draw.junk(rows, columns), draw.junk(rows, n)], (3, 4))


def _hinge(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    outputs = np.round(draw.normal(rows, n) * 4) / 2 + draw.real.type(0.25)  # exact, and not at the kink
    for signs in (-1, 1), (0, 1):
        target = draw.random.choice(signs, (rows, n)).astype(draw.real)
        terms = {2: _largest(outputs) + 1, 3: 1 / max(rows * n, 1)}
        yield Case([outputs, target, draw.junk(rows, 2), draw.junk(rows, n)], (2, 3), terms=terms)


def _multiclass_hinge(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    if n == 0:
        return
    for shape, dtype in ((rows,), np.int64), ((rows, 1), np.uint8):
        outputs = np.round(draw.normal(rows, n) * 4) / 2  # exact, with ties
        labels = draw.random.integers(0, min(n, 256), shape).astype(dtype)
        if rows:
            labels.reshape(-1)[0] = np.argmax(outputs[0]) % 256
        terms = {2: 2 * _largest(outputs) + 1, 3: 1 / max(rows, 1)}
        yield Case([outputs, labels, draw.junk(rows, 2), draw.junk(rows, n)], (2, 3), terms=terms)


def _soft_cross_entropy(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    if n == 0:
        return
    logits, target = np.round(draw.normal(rows, n) * 8) / 2, draw.uniform(rows, n)
    target /= target.sum(axis=1, keepdims=True)
    terms = {2: _largest(logits) * 2 + np.log(n) + 1, 3: 2 / max(rows, 1)}
    yield Case([logits, target, draw.junk(rows, 2), draw.junk(rows, n)], (2, 3), terms=terms)


def _squared_error(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    prediction, target = draw.normal(rows, n), draw.normal(rows, n)
    largest = _largest(prediction, target)
    terms = {2: largest**2, 3: 2 * largest / max(rows * n, 1)}
    yield Case([prediction, target, draw.junk(rows, 1), draw.junk(rows, n)], (2, 3), terms=terms)


def _tally(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for columns in (1, 2):
        scores = draw.normal(rows, columns)
        for bad in (False, True):
            if bad and rows:
                scores[rows // 2, 0] = np.nan
            totals = draw.random.standard_normal(1 + columns)
            for failed in (-1, 4):
                arrays = [scores.copy(), counters(failed=failed), totals.copy()]
                yield Case(arrays, (1, 2), terms={2: float(np.nansum(np.abs(scores))) + _largest(totals) + rows})


def _add(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    a, b = draw.normal(rows, n), draw.normal(rows, n)
    yield Case([a, b, draw.junk(rows, n)], (2,), terms={2: _largest(a, b)})


def _gather(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    examples = rows + 7
    order = draw.random.permutation(examples)
    pairs = [(dtype, draw.real) for dtype in (np.uint8, np.float32, np.float64, np.int64)]
    for source, target in [*pairs, (np.int64, np.int64), (np.uint8, np.int64)]:
        for width in ((n,), ()):
            data = draw.random.integers(0, 256, (examples, *width)).astype(source)
            yield Case([data, order, counters(), draw.junk(rows, *width, dtype=target)], (3,))


def _gather_pair(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    yield from _paired(draw, _gather_matrices(draw, rows, n), rows)


def _gather_matrices(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    """Cases of `gather` with data of two dimensions."""
    yield from (
        case for case in _gather(draw, rows, n) if case.arrays[0].ndim == 2 and case.arrays[3].dtype == draw.real
    )


def _gather_standardized_pair(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    yield from _paired(draw, _gather_standardized(draw, rows, n), rows)


def _paired(draw: _Draw, alone: Iterator[Case], rows: int) -> Iterator[Case]:
    """Each case with targets beside: labels, or several values."""
    for case in alone:
        *inputs, x = case.arrays
        for m, source, target in (1, np.int64, np.int64), (3, np.float32, np.float32), (40, np.float64, draw.real):
            data = draw.random.integers(0, 9, (rows + 7, m)).astype(source)
            place = len(inputs) + 1
            terms = dict.fromkeys([place], *case.terms.values()) if case.terms else {}
            yield Case([*inputs, data, x.copy(), draw.junk(rows, m, dtype=target)], (place, place + 1), {}, terms)


def _gather_standardized(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    examples = rows + 7
    order = draw.random.permutation(examples)
    for source in (np.uint8, np.float32, np.float64):
        data = draw.random.integers(0, 256, (examples, n)).astype(source)
        mean, scale = draw.normal(n), draw.uniform(n)
        arrays = [data, order, counters(), mean, scale, draw.junk(rows, n)]
        yield Case(arrays, (5,), terms={5: 1.5 * _largest(data, mean)})


def _standardize(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    x, mean, scale = draw.normal(rows, n), draw.normal(n), draw.uniform(n)
    yield Case([x, mean, scale, draw.junk(rows, n)], (3,), terms={3: 1.5 * _largest(x, mean)})


def _advance(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    yield Case([counters(), draw.normal(rows, n)], (0,))


def _concatenate(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for m in (1, n):
        yield Case([draw.normal(rows, m), draw.normal(rows, n), draw.junk(rows, m + n)], (2,))


def _split(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for m in (1, n):
        yield Case([draw.normal(rows, m + n), draw.junk(rows, m), draw.junk(rows, n)], (1, 2))


def _dropout(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for p, stream in ((0.0, 0), (0.1, 3), (0.5, 70_000)):
        attributes = {"threshold": round(p * 2**32), "scale": 1 / (1 - p), "stream": stream}
        key = key_of(0xDEADBEEF12345678)
        yield Case([draw.normal(rows, n), key, counters(), draw.junk(rows, n)], (3,), attributes)


def _update(draw: _Draw, size: int, states: int, constants: list[float]) -> list[np.ndarray]:
    """p, g, `states` states of size `size`, and the rest of an update's arrays, with padding between ranges."""
    cuts = np.sort(draw.random.integers(0, size + 1, 6))
    bounds = cuts.reshape(3, 2).astype(np.int64)
    bounds[-1] = min(cuts[4], size), size
    factors = np.array([[1, 0], [0.5, 0.01], [2, 0.1]], dtype=draw.real)
    table = np.full((4, len(constants)), np.nan, dtype=draw.real)
    table[2] = constants
    arrays = [draw.normal(size), draw.normal(size), *(draw.uniform(size) for _ in range(states))]
    return [*arrays, bounds, factors, table, counters(), np.array([0.7], dtype=draw.real)]


def _sgd(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for moving, constants in (0, [0.1, 0, 1, 1, 0]), (1, [0.1, 0.9, 0.8, 1, 0.9]):
        arrays = _update(draw, rows * n, 1, constants)
        if not moving:
            arrays[2] = arrays[2][:0]
        yield Case(arrays, (0, 2), {"moving": moving})


def _rmsprop(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for centered in (0, 1):
        for moving in (0, 1):
            arrays = _update(draw, rows * n, 3, [0.01, 0.9, 0.1, 1e-8, 0.5])
            arrays[2] += 3  # the mean of squares is above the square of the mean
            if not centered:
                arrays[3] = arrays[3][:0]
            if not moving:
                arrays[4] = arrays[4][:0]
            yield Case(arrays, (0, 2, 3, 4), {"centered": centered, "moving": moving})


def _adam(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for decoupled in (0, 1):
        arrays = _update(draw, rows * n, 2, [0.01, 0.05, 1.5, 0.9, 0.1, 0.999, 0.001, 1e-8])
        yield Case(arrays, (0, 2, 3), {"decoupled": decoupled})


def _momentum(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    yield Case(_update(draw, rows * n, 1, [0.1, 0.9]), (0, 2))


def _nesterov_ahead(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    yield Case(_update(draw, rows * n, 2, [0.1, 0.9]), (0, 3))


def _nesterov(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for failed in (-1, 7):
        arrays = _update(draw, rows * n, 2, [0.1, 0.9])
        arrays[-2] = counters(step=7, failed=failed)
        yield Case(arrays, (0, 2))


def _adagrad(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    yield Case(_update(draw, rows * n, 1, [0.1, 0.5, 1e-6]), (0, 2))


def _adadelta(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    yield Case(_update(draw, rows * n, 2, [1, 0.9, 0.1, 1e-6]), (0, 2, 3))


def _delta_bar_delta(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    arrays = _update(draw, rows * n, 2, [0.5, 0.01, 0.9, 0.7, 0.3])
    for index in (1, 3):  # far from 0, where rounding decides the sign
        signs = np.where(draw.random.uniform(size=rows * n) < 0.5, -1, 1)
        arrays[index] = (signs * draw.random.uniform(2, 3, rows * n)).astype(draw.real)
    yield Case(arrays, (0, 2, 3))


def _gelu(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    yield Case([draw.normal(rows, n) * 3, draw.junk(rows, n)], (1,))


def _gelu_backward(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    dy = draw.normal(rows, n)
    yield Case([dy, draw.normal(rows, n) * 3, draw.junk(rows, n)], (2,), terms={2: 2 * _largest(dy)})


def _softplus(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    yield Case([draw.normal(rows, n) * 9, draw.junk(rows, n)], (1,), terms={1: 50})


def _softplus_backward(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    dy = draw.normal(rows, n)
    yield Case([dy, np.abs(draw.normal(rows, n)), draw.junk(rows, n)], (2,), terms={2: _largest(dy)})


def _maxout(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for k in (1, 3):
        yield Case([np.round(draw.normal(rows, n * k) * 2), draw.junk(rows, n)], (1,))


def _maxout_backward(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for k in (1, 3):
        yield Case([draw.normal(rows, n), np.round(draw.normal(rows, n * k) * 2), draw.junk(rows, n * k)], (2,))


def _batch_norm(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    x, statistics = draw.normal(rows, n), [draw.junk(n, dtype=np.float64) for _ in range(3)]
    arrays = [x, draw.uniform(n), draw.normal(n), draw.junk(rows, n), *statistics]
    largest = _largest(x) + 1
    yield Case(arrays, (3, 4, 5, 6), {"eps": 0.1}, {3: 5 * largest, 4: largest, 5: largest**2, 6: 10.0})


def _batch_norm_fixed(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    x, mean, variance = draw.normal(rows, n), draw.normal(n), draw.uniform(n)
    arrays = [x, draw.uniform(n), draw.normal(n), mean, variance, draw.junk(rows, n), draw.junk(n, dtype=np.float64)]
    yield Case(arrays, (5, 6), {"eps": 1e-5}, {5: 3 * _largest(x, mean) + 1, 6: 2.0})


def _batch_norm_backward(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for moving, dtype in (0, draw.real), (1, np.float64):
        dy, x = draw.normal(rows, n), draw.normal(rows, n)
        given = [dy, x, draw.uniform(n), draw.normal(n).astype(dtype), draw.uniform(n).astype(np.float64)]
        arrays = [*given, draw.junk(rows, n), draw.junk(n), draw.junk(n), draw.junk(2, n, dtype=np.float64)]
        sums = float(np.max(np.sum(np.abs(dy), axis=0), initial=0)) * (_largest(x) + 4)
        yield Case(arrays, (5, 6, 7), {"moving": moving}, {5: sums + _largest(dy) * 9, 6: sums, 7: sums})


def _running_statistics(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for failed in (-1, 4):
        batch = [draw.uniform(n).astype(np.float64) for _ in range(2)]
        arrays = [draw.normal(rows, n), *batch, draw.normal(n), draw.uniform(n), counters(failed=failed)]
        yield Case(arrays, (3, 4), {"momentum": 0.1}, {3: 4.0, 4: 4.0})


def _columns(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for first, dtype in (0, draw.real), (2, np.int64):
        x = draw.random.integers(0, 99, (rows, n + 3)).astype(draw.real)
        yield Case([x, draw.junk(rows, n, dtype=dtype)], (1,), {"first": first})


def _columns_backward(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    yield Case([draw.normal(rows, n), draw.junk(rows, n + 3)], (1,), {"first": 2})


def _joint(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for k in (0, 1, 3):
        before, scores = draw.normal(rows, k), draw.normal(rows, 2)
        arrays = [before, scores, draw.normal(rows, n), draw.junk(rows, max(k, 1) + 2), draw.junk(rows, n)]
        yield Case(arrays, (3, 4), {"weight": 0.3}, {3: _largest(before, scores)})


def _clip_values(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    g = draw.normal(rows * n)
    g[: rows // 3] = np.nan
    yield Case([g], (0,), {"bound": 0.75})


def _convert(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for dtype in (np.float32, np.float64):
        yield Case([draw.normal(rows, n).astype(dtype), draw.junk(rows, n)], (1,))


def _scale_gradient(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    scale = np.array([1024, 3], dtype=draw.real)
    yield Case([draw.normal(rows, n), scale, draw.junk(rows, n)], (2,))


def _unscale(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for bad in (None, np.inf, np.nan):
        for scale, steps in (1024, 3), (1024, 1999), (2.0**-24, 7):
            for max_norm in (np.inf, 1e-5, 1e9):
                partial = draw.random.uniform(0, 2, rows * n)
                if bad is not None:
                    partial[rows * n // 2 :] = bad
                arrays = [partial, np.array([scale, steps], dtype=draw.real), counters(step=8), draw.junk(1)]
                yield Case(arrays, (1, 2, 3), {"max_norm": max_norm})


def _gradient_squares(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    g = draw.normal(rows * n)
    partial = draw.junk((g.size + 4095) // 4096, dtype=np.float64)
    yield Case([g, partial], (1,))


def _l1_subgradient(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    p, g, bounds, *_ = _update(draw, rows * n, 0, [0.1])
    p[::3] = 0
    yield Case([p, g, bounds, np.array([1, 0, 1], dtype=draw.real)], (1,), {"strength": 0.3}, {1: _largest(g) + 1})


def _soft_threshold(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for failed in (-1, 4):
        p, _, bounds, factors, table, *_ = _update(draw, rows * n, 0, [0.75])
        p[::3] = 0
        weights = np.array([1, 0, 1], dtype=draw.real)
        arrays = [p, bounds, factors, weights, table.reshape(-1), counters(failed=failed)]
        yield Case(arrays, (0,), {"strength": 0.5}, {0: _largest(p) + 1})


def _clip_factor(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for max_norm in (0.25, 1e9):
        partial = draw.random.uniform(0, 2, rows * n)
        yield Case([partial, draw.junk(1)], (1,), {"max_norm": max_norm})


def _layer_norm(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    if n == 0:
        return
    x, scale, shift = draw.normal(rows, n) * 2 + 1, draw.uniform(n), draw.normal(n)
    terms = {3: 2 * np.sqrt(n) + _largest(shift), 4: 2 + 1 / np.sqrt(1e-3)}
    yield Case([x, scale, shift, draw.junk(rows, n), draw.junk(rows, 2)], (3, 4), {"eps": 1e-3}, terms)


def _statistics(x: np.ndarray) -> np.ndarray:
    """Mean and inverse deviation of each row."""
    return np.stack([x.mean(axis=1), 1 / np.sqrt(x.var(axis=1) + 1e-3)], axis=1).astype(x.dtype)


def _layer_norm_backward(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    if n == 0:
        return
    dy, x, scale = draw.normal(rows, n), draw.normal(rows, n) * 2 + 1, draw.uniform(n)
    statistics = _statistics(x)
    terms = {4: 6 * _largest(dy) * np.sqrt(n) * _largest(statistics[:, 1])}
    yield Case([dy, x, scale, statistics, draw.junk(rows, n)], (4,), terms=terms)


def _layer_norm_sums(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    dy, x = draw.normal(rows, n), draw.normal(rows, n) * 2 + 1
    statistics = _statistics(x) if n else draw.uniform(rows, 2)
    scratch = draw.junk(2, parts(n), n), np.zeros(column_tiles(n), dtype=np.uint32)
    h = (np.abs(x) + np.abs(statistics[:, :1])) * statistics[:, 1:]
    sums = [float(np.max(np.sum(np.abs(terms), axis=0), initial=0)) for terms in (dy * h, dy)]
    arrays = [dy, x, statistics, draw.junk(n), draw.junk(n), *scratch]
    yield Case(arrays, (3, 4), terms=dict(zip((3, 4), sums, strict=True)))


def _matrices(rows: int, n: int) -> tuple[int, int, int]:
    """A stack of square matrices, not larger than tests on the CPU bear."""
    return -(-rows // 8), min(n, 100), min(n, 100)


def _softmax(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    shape = _matrices(rows, n)
    for causal in (0, 1):
        yield Case([draw.normal(*shape) * 4, draw.junk(*shape)], (1,), {"scale": 0.7, "causal": causal}, {1: 1})


def _softmax_backward(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    shape = _matrices(rows, n)
    dp, p = draw.normal(*shape), np.tril(draw.uniform(*shape)) / max(n, 1)
    yield Case([dp, p, draw.junk(*shape)], (2,), {"scale": 0.7}, {2: 4 * _largest(dp) * _largest(p)})


def _masked_softmax(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    matrices, n, _ = _matrices(rows, n)
    for heads, causal in (1, 0), (3, 1):
        s, mask = draw.normal(matrices * heads, n, n) * 4, (draw.random.random((matrices, n)) < 0.5).astype(draw.real)
        yield Case([s, mask, draw.junk(*s.shape)], (2,), {"scale": 0.7, "causal": causal}, {2: 1})


def _padding(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    ids = draw.random.integers(0, 3, (rows, n)).astype(draw.real)
    yield Case([ids, draw.junk(rows, n)], (1,), {"padding": 2})


def _ones(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    yield Case([draw.junk(rows, n)], (0,))


def _sequences(draw: _Draw, rows: int, n: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Features of tokens, with equal ones among them, which of them count, and one row for each sequence."""
    for length in (1, 4):
        mask = (draw.random.random((rows // 4, length)) < 0.6).astype(draw.real)
        yield np.round(draw.normal(mask.size, n) * 2), mask, draw.normal(rows // 4, n)


def _pooling(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for x, mask, y in _sequences(draw, rows, n):
        yield Case([x, mask, draw.junk(*y.shape)], (2,), terms={2: _largest(x)})


def _mean_pooling_backward(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for x, mask, dy in _sequences(draw, rows, n):
        yield Case([dy, mask, draw.junk(*x.shape)], (2,))


def _max_pooling_backward(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for x, mask, dy in _sequences(draw, rows, n):
        yield Case([dy, x, mask, draw.junk(*x.shape)], (3,))


def _embedding(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for count in (1, 3, 50):
        ids = draw.random.integers(-1, count + 1, (rows // 3, 3)).astype(draw.real)
        yield Case([ids, draw.normal(count, n), draw.junk(ids.size, n)], (2,))


def _embedding_backward(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for count in (1, 3, 50):
        ids = draw.random.integers(-1, count + 1, (rows // 3, 3)).astype(draw.real)
        dy = draw.normal(ids.size, n)
        yield Case([dy, ids, draw.junk(count, n)], (2,), terms={2: float(np.max(np.abs(dy).sum(axis=0), initial=0))})


def _positions(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for length in (1, 4):
        x, table = draw.normal(rows // 4 * length, n), draw.normal(5, n)
        yield Case([x, table, draw.junk(*x.shape)], (2,), {"length": length}, {2: _largest(x, table)})


def _positions_backward(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for length in (1, 4):
        dy = draw.normal(rows // 4 * length, n)
        terms = {1: float(np.max(np.abs(dy).sum(axis=0), initial=0))}
        yield Case([dy, draw.junk(5, n)], (1,), {"length": length}, terms)


def _split_heads(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for heads, length in (1, 1), (3, 4):
        sequences = rows // 4
        x, y = draw.normal(sequences * length, heads * n), draw.junk(sequences * heads, length, n)
        yield Case([x, y], (1,))


def _merge_heads(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for case in _split_heads(draw, rows, n):
        x, y = case.arrays
        yield Case([draw.normal(*y.shape), draw.junk(*x.shape)], (1,))


def _term(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for term in (draw.normal(rows, 1), draw.normal(1)):
        scores, weight = draw.normal(rows, 2), 0.3
        terms = {2: _largest(scores) + weight * _largest(term)}
        yield Case([scores, term, draw.junk(rows, 2), draw.junk(*term.shape)], (2, 3), {"weight": weight}, terms)


def _absolute_sum(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    x = draw.normal(rows, n)
    yield Case([x, draw.junk(rows, 1)], (1,), terms={1: float(np.max(np.sum(np.abs(x), axis=1), initial=0))})


def _absolute_sum_backward(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    x = draw.normal(rows, n)
    x[: rows // 3] = 0
    yield Case([draw.normal(rows, 1), x, draw.junk(rows, n)], (2,))


def _column_moment(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for power in (1, 2):
        x = draw.normal(rows, n)
        yield Case([x, draw.junk(n)], (1,), {"power": power}, {1: max(1.0, float(np.max(x * x, initial=0)))})


def _column_moment_backward(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for power in (1, 2):
        yield Case([draw.normal(n), draw.normal(rows, n), draw.junk(rows, n)], (2,), {"power": power})


def _sparsity(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    mean = (draw.uniform(n) / 2).astype(draw.real)
    yield Case([mean, draw.junk(1)], (1,), {"rate": 0.05}, {1: 3.0 * n})


def _sparsity_backward(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    mean = (draw.uniform(n) / 2).astype(draw.real)
    yield Case([draw.normal(1), mean, draw.junk(n)], (2,), {"rate": 0.05}, {2: 20.0})


def _contraction(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for activation in ACTIVATIONS:
        h, c = np.tanh(draw.normal(rows, n)), draw.uniform(n)
        yield Case([h, c, draw.junk(rows, 1)], (2,), {"activation": activation}, {2: 4 * float(np.sum(c))})


def _contraction_backward(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for activation in ACTIVATIONS:
        d, h, c = draw.normal(rows, 1), np.tanh(draw.normal(rows, n)), draw.uniform(n)
        sums = 4 * float(np.sum(np.abs(d)))
        arrays = [d, h, c, draw.junk(rows, n), draw.junk(n)]
        yield Case(arrays, (3, 4), {"activation": activation}, {3: 12 * _largest(d), 4: sums})


def _normal(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    for deviation, stream in ((1.0, 0), (0.3, 70_000)):
        attributes = {"deviation": deviation, "stream": stream}
        key = key_of(0xDEADBEEF12345678)
        yield Case([key, counters(), draw.junk(rows, n)], (2,), attributes, {2: 6 * deviation})


def _reparameterize(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    yield Case([*(draw.normal(rows, n) for _ in range(3)), draw.junk(rows, n)], (3,))


def _reparameterize_backward(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    yield Case([*(draw.normal(rows, n) for _ in range(3)), draw.junk(rows, n)], (3,))


def _kl_normal(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    mean, log_variance = draw.normal(rows, n), draw.normal(rows, n)
    parts = mean**2 + np.exp(np.abs(log_variance)) + np.abs(log_variance)
    sums = float(np.max(np.sum(parts, axis=1), initial=0))
    yield Case([mean, log_variance, draw.junk(rows, 1)], (2,), terms={2: sums})


def _kl_normal_backward(draw: _Draw, rows: int, n: int) -> Iterator[Case]:
    arrays = [draw.normal(rows, 1), draw.normal(rows, n), draw.normal(rows, n)]
    yield Case([*arrays, draw.junk(rows, n), draw.junk(rows, n)], (3, 4))


_BUILDERS: dict[str, Callable[[_Draw, int, int], Iterator[Case]]] = {
    "absolute_sum": _absolute_sum,
    "absolute_sum_backward": _absolute_sum_backward,
    "activation": _activation,
    "activation_backward": _activation_backward,
    "adadelta": _adadelta,
    "adagrad": _adagrad,
    "adam": _adam,
    "add": _add,
    "advance": _advance,
    "batch_norm": _batch_norm,
    "batch_norm_backward": _batch_norm_backward,
    "batch_norm_fixed": _batch_norm_fixed,
    "bias_activation": _bias_activation,
    "bias_activation_backward": _bias_activation_backward,
    "binary_cross_entropy": _binary_cross_entropy,
    "clip_factor": _clip_factor,
    "clip_values": _clip_values,
    "columns": _columns,
    "columns_backward": _columns_backward,
    "column_moment": _column_moment,
    "column_moment_backward": _column_moment_backward,
    "concatenate": _concatenate,
    "convert": _convert,
    "contraction": _contraction,
    "contraction_backward": _contraction_backward,
    "delta_bar_delta": _delta_bar_delta,
    "dropout": _dropout,
    "embedding": _embedding,
    "embedding_backward": _embedding_backward,
    "gather": _gather,
    "gather_pair": _gather_pair,
    "gather_standardized": _gather_standardized,
    "gather_standardized_pair": _gather_standardized_pair,
    "gelu": _gelu,
    "gelu_backward": _gelu_backward,
    "gradient_squares": _gradient_squares,
    "hinge": _hinge,
    "layer_norm": _layer_norm,
    "layer_norm_backward": _layer_norm_backward,
    "layer_norm_sums": _layer_norm_sums,
    "merge_heads": _merge_heads,
    "joint": _joint,
    "l1_subgradient": _l1_subgradient,
    "masked_softmax": _masked_softmax,
    "max_pooling": _pooling,
    "max_pooling_backward": _max_pooling_backward,
    "maxout": _maxout,
    "maxout_backward": _maxout_backward,
    "mean_pooling": _pooling,
    "mean_pooling_backward": _mean_pooling_backward,
    "kl_normal": _kl_normal,
    "kl_normal_backward": _kl_normal_backward,
    "momentum": _momentum,
    "multiclass_hinge": _multiclass_hinge,
    "nesterov": _nesterov,
    "nesterov_ahead": _nesterov_ahead,
    "ones": _ones,
    "padding": _padding,
    "positions": _positions,
    "positions_backward": _positions_backward,
    "rmsprop": _rmsprop,
    "scale_gradient": _scale_gradient,
    "running_statistics": _running_statistics,
    "sgd": _sgd,
    "soft_cross_entropy": _soft_cross_entropy,
    "softmax": _softmax,
    "softmax_backward": _softmax_backward,
    "normal": _normal,
    "reparameterize": _reparameterize,
    "reparameterize_backward": _reparameterize_backward,
    "soft_threshold": _soft_threshold,
    "softmax_cross_entropy": _softmax_cross_entropy,
    "softplus": _softplus,
    "softplus_backward": _softplus_backward,
    "sparsity": _sparsity,
    "sparsity_backward": _sparsity_backward,
    "split": _split,
    "split_heads": _split_heads,
    "squared_error": _squared_error,
    "standardize": _standardize,
    "tally": _tally,
    "unscale": _unscale,
    "term": _term,
    "weigh": _weigh,
}
COVERED = sorted(_BUILDERS)
