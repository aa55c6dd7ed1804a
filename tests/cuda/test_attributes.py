"""The attributes that cuBLASLt is given have the sizes that its bindings know."""

from __future__ import annotations

from typing import Any

import numpy as np
from gpu import planned

from gearshift.kernels.activations.activation import IDENTITY, RELU
from gearshift.kernels.arrays.fused_products import (
    GELU,
    PRODUCT_BIAS,
    PRODUCT_BIAS_GRADIENT,
    PRODUCT_RELU_BACKWARD,
    mask_bytes,
)
from gearshift.kernels.arrays.matmul import MATMUL
from gearshift.kernels.launch import column_tiles, parts


def bound() -> Any:
    """The bindings, after every kind of product has been bound."""
    device = planned()
    a, b = np.ones((3, 4), np.float32), np.ones((4, 5), np.float32)
    bias, y = np.ones(5, np.float32), np.ones((3, 5), np.float32)
    mask = device.zeros((3, mask_bytes(5)), np.uint8)
    scratch = [np.zeros((parts(5), 5), np.float32), np.zeros(column_tiles(5), np.uint32)]

    def bind(operation: Any, arrays: list[Any], attributes: dict[str, int]) -> None:
        device.bind(operation, [device.asarray(array) for array in arrays], attributes)

    plain = {"transpose_a": 0, "transpose_b": 0}
    bind(MATMUL, [np.stack([a, a]), np.stack([b, b]), np.stack([y, y])], plain)
    for activation in (IDENTITY, RELU, GELU):
        bind(PRODUCT_BIAS, [a, b, bias, y], {**plain, "activation": activation})
    bind(PRODUCT_BIAS, [a, b, bias, y, mask], {**plain, "activation": RELU})
    arrays = [y, np.ones((5, 5), np.float32), y, mask, y.copy(), bias.copy(), *scratch]
    bind(PRODUCT_RELU_BACKWARD, arrays, {"transpose_a": 0, "transpose_b": 1})
    bind(PRODUCT_BIAS_GRADIENT, [a, y, b[:, :5], bias.copy(), *scratch], {"transpose_a": 1, "transpose_b": 0})
    return device.lt


def test_attributes_have_the_sizes_that_the_bindings_know() -> None:
    lt = bound()
    assert {of for of, _, _ in lt.sizes} == {"matmul_desc", "matrix_layout", "matmul_preference"}
    assert len(lt.sizes) >= 13
    kinds = {
        "matmul_desc": lt.MatmulDescAttribute,
        "matrix_layout": lt.MatrixLayoutAttribute,
        "matmul_preference": lt.MatmulPreferenceAttribute,
    }
    for of, attribute, size in lt.sizes:
        dtype = getattr(lt, f"get_{of}_attribute_dtype")(kinds[of](attribute))
        assert np.dtype(dtype).itemsize == size, f"{of} {attribute}"
