"""Every operation of `kernels/`, at a size that fits into a core's cache and at one that does not.

    pytest bench/suites/test_kernels.py --benchmark-only -k "adam and memory"

Arguments are those of the operations' own tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cuda_cases import COVERED, cases, operations

from gearshift.backends import Backend
from gearshift.dl.step.costs import Cost
from gearshift.kernels.activations.activation import RELU
from gearshift.kernels.arrays.matmul import MATMUL

SIZES = {"cache": (64, 256), "memory": (8192, 1024)}  # rows and features: 64 KiB an array, and 32 MiB
PRODUCTS = {"cache": (64, 256, 256), "memory": (4096, 1024, 1024)}  # rows, inputs, outputs
FORMS = {"forward": (0, 0), "weights": (1, 0), "inputs": (0, 1)}  # of a layer: its outputs, and its two gradients
CHOICES = {"activation": RELU, "threshold": round(0.1 * 2**32), "moving": 1, "centered": 0}
UPDATES = ("adam", "rmsprop", "sgd")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", COVERED)
def test_kernel(timed: Callable[..., None], backend: Backend, name: str, size: str) -> None:
    """An operation alone, float32: ReLU, dropout of 0.1, and momentum where there is a choice."""
    operation = operations()[name]
    case = next(
        case
        for case in cases(name, np.float32, *SIZES[size])
        if all(case.attributes.get(key, value) == value for key, value in CHOICES.items())
    )
    if name in UPDATES:
        p, bounds = case.arrays[0], case.arrays[-5]
        bounds[...] = [[0, p.size], [p.size, p.size], [p.size, p.size]]  # all parameters, without gaps
    arrays = [backend.asarray(array) for array in case.arrays]
    cost = Cost(name, "", "", operation.flops(*arrays, **case.attributes), operation.bytes(*arrays))
    timed(backend.bind(operation, arrays, case.attributes), f"{name}, {size}", [cost], "float32")


@pytest.mark.parametrize("size", PRODUCTS)
@pytest.mark.parametrize("form", FORMS)
def test_product(timed: Callable[..., None], backend: Backend, form: str, size: str) -> None:
    """The three matrix products of a dense layer, float32."""
    rows, inputs, outputs = PRODUCTS[size]
    random = np.random.default_rng(0)

    def normal(*shape: int) -> Any:
        return backend.asarray(random.standard_normal(shape, dtype=np.float32))

    x, weight, dy = normal(rows, inputs), normal(inputs, outputs), normal(rows, outputs)
    arrays = {"forward": (x, weight, dy), "weights": (x, dy, weight), "inputs": (dy, weight, x)}[form]
    transpose_a, transpose_b = FORMS[form]
    attributes = {"transpose_a": transpose_a, "transpose_b": transpose_b}
    cost = Cost("matmul", "", "", MATMUL.flops(*arrays, **attributes), MATMUL.bytes(*arrays))
    timed(backend.bind(MATMUL, arrays, attributes), f"matmul {form}, {size}", [cost], "float32")
