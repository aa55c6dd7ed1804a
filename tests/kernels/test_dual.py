"""Dual numbers: the tangent that an operation's definition gives, against central differences of the definition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cuda_cases import COVERED, UPDATES, cases, operations

from gearshift.kernels.dual import Dual, DualNamespace, NoTangent

OPERATIONS = operations()
FOLLOWING = {
    "nesterov_ahead",
    "clip_factor",
    "clip_values",
    "clip_scaled",
    "l1_subgradient",
    "l1_scaled",
    "soft_threshold",
    "average",
    "accumulate_metrics",
    "unscale",
    "outgoing",
    "incoming",
}
NOT_DIFFERENTIATED = {*UPDATES, *FOLLOWING}  # they follow the gradient
DUAL = DualNamespace(np)


@pytest.mark.parametrize("name", sorted(set(COVERED) - NOT_DIFFERENTIATED))
def test_every_operation_has_the_tangent_of_central_differences(name: str) -> None:
    random, h = np.random.default_rng(1), 1e-7
    for case in cases(name, np.float64, 5, 7):
        real = [array.dtype == np.float64 for array in case.arrays]
        arrays = [a + 0.01 * random.uniform(size=a.shape) if r else a for a, r in zip(case.arrays, real, strict=True)]
        tangents = [random.standard_normal(a.shape) if r else None for a, r in zip(arrays, real, strict=True)]
        duals: list[Any] = [
            array.copy() if change is None else Dual(np, array.copy(), change.copy())
            for array, change in zip(arrays, tangents, strict=True)
        ]
        OPERATIONS[name].reference(DUAL, *duals, **case.attributes)
        sides = []
        for side in (h, -h):
            moved = [a.copy() if t is None else a + side * t for a, t in zip(arrays, tangents, strict=True)]
            OPERATIONS[name].reference(np, *moved, **case.attributes)
            sides.append(moved)
        for index in case.written:
            if real[index]:
                numeric = (sides[0][index] - sides[1][index]) / (2 * h)
                error, known = np.abs(duals[index].tangent - numeric), ~np.isnan(sides[0][index])
                scale = 1 + np.max(np.abs(numeric[known]), initial=0)
                assert np.max(error[known], initial=0) <= 1e-6 * scale, (name, index)


X, Y = np.random.default_rng(2).uniform(0.5, 1.5, (2, 3, 4))
M = np.random.default_rng(3).standard_normal((4, 3))

FUNCTIONS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "operators": lambda xp, x, y: (2 + x - y * 3) / (1 + x) - 1 / y + (-x) * (+y) + (3 - x) ** 2,
    "powers": lambda xp, x, y: x**y + x**3 + 2**y + xp.power(x, 0.5),
    "products": lambda xp, x, y: x @ M @ y + xp.matmul(x, y.T) @ x,
    "element by element": lambda xp, x, y: (
        xp.exp(x) * xp.log(y) + xp.sin(x) * xp.cos(y) + xp.sinh(x) - xp.cosh(y) + xp.arctan(x) + xp.reciprocal(y)
    ),
    "more of them": lambda xp, x, y: xp.sqrt(x) + xp.square(y) + xp.log2(x) + xp.expm1(y) + xp.log1p(x) + abs(x - y),
    "reductions": lambda xp, x, y: x.sum(axis=1, keepdims=True) + xp.mean(y, axis=0) + xp.std(x) + xp.var(y, axis=0),
    "extremes": lambda xp, x, y: x - xp.max(x, axis=1, keepdims=True) + xp.min(y, axis=0) * x.max(),
    "choices": lambda xp, x, y: xp.where(x > y, x * x, y) + xp.maximum(x, y) + xp.minimum(x, 1) + xp.clip(y, 0.7, 1.3),
    "shapes": lambda xp, x, y: xp.concatenate([x, xp.reshape(y, (3, 4))], axis=0).T[:, :3].reshape(3, 4),
    "stacks": lambda xp, x, y: xp.swapaxes(xp.stack([x, y, M.T]), 0, 1)[:, 1] * x[:, ::-1],
    "einsum": lambda xp, x, y: xp.einsum("ij,kj,kl->il", x, y, x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_have_the_tangent_of_central_differences(name: str) -> None:
    random, h = np.random.default_rng(4), 1e-6
    dx, dy = random.standard_normal((2, *X.shape))
    function = FUNCTIONS[name]
    got = function(DUAL, Dual(np, X, dx), Dual(np, Y, dy))
    assert np.array_equal(got.value, function(np, X, Y))
    numeric = (function(np, X + h * dx, Y + h * dy) - function(np, X - h * dx, Y - h * dy)) / (2 * h)
    assert np.max(np.abs(got.tangent - numeric)) <= 1e-8


def test_writing_in_place_writes_both() -> None:
    out: Any = Dual(np, np.zeros((3, 4)), np.zeros((3, 4)))
    x: Any = Dual(np, X, np.ones_like(X))
    out[...] = x * x
    out[0] = 1
    out[1] += x[1]
    out *= 2
    assert np.array_equal(out.value[1:], 2 * np.stack([X[1] ** 2 + X[1], X[2] ** 2]))
    assert np.array_equal(out.tangent, 2 * np.stack([0 * X[0], 2 * X[1] + 1, 2 * X[2]]))
    DUAL.matmul(x, M, out=out[:, :3])
    assert np.array_equal(out.tangent[:, :3], np.ones_like(X) @ M)


def test_arrays_alone_go_to_the_array_module() -> None:
    assert type(DUAL.exp(X)) is np.ndarray
    assert DUAL.float32 is np.float32
    assert DUAL.argmax(Dual(np, X, X), axis=1).tolist() == np.argmax(X, axis=1).tolist()


def test_what_has_no_rule_says_so() -> None:
    with pytest.raises(NoTangent, match="'arcsinh' has no rule"):
        DUAL.arcsinh(Dual(np, X, X))
    with pytest.raises(NoTangent, match="float"):
        float(DUAL.sum(Dual(np, X, X)))
