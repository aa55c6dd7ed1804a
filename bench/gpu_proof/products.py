"""How far products are off on a device, alone and with epilogues, over the sum of their terms' sizes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backends import Backend, precision
from ...backends.errors import BackendUnavailable
from ...kernels.activations.activation import RELU
from ...kernels.arrays.fused_products import PRODUCT_BIAS, PRODUCT_BIAS_GRADIENT, PRODUCT_RELU_BACKWARD, mask_bytes
from ...kernels.arrays.matmul import MATMUL
from ...kernels.launch import column_tiles, parts
from ...kernels.operation import Operation

BOUNDS = {"float32": 3e-6, "tf32": 2e-3, "float64": 1e-14, "bfloat16": 2.0**-8, "float16": 2.0**-10}
"""The most that a product may be off, of the sum of its terms' sizes."""
JOINED = (PRODUCT_BIAS, PRODUCT_RELU_BACKWARD, PRODUCT_BIAS_GRADIENT)
INNER = 64  # of the product that goes back


def usable(backend: Backend) -> list[str]:
    """The precisions of a backend whose numbers NumPy knows here: bfloat16 needs ml_dtypes."""
    found = []
    for name in backend.precisions:
        try:
            precision.load(name)
        except BackendUnavailable:
            continue
        found.append(name)
    return found


def product_error(backend: Backend, m: int, k: int, n: int, flip_a: int, flip_b: int, kind: str) -> float:
    """The greatest error of a product's elements."""
    random, dtype = np.random.default_rng(m + k + n), dtype_of(kind)
    a, b = random.standard_normal((m, k)).astype(dtype), random.standard_normal((k, n)).astype(dtype)
    stored = [np.ascontiguousarray(a.T) if flip_a else a, np.ascontiguousarray(b.T) if flip_b else b]
    out = backend.zeros((m, n), dtype)
    attributes = {"transpose_a": flip_a, "transpose_b": flip_b, "tf32": int(kind == "tf32")}
    backend.bind(MATMUL, [*map(backend.asarray, stored), out], attributes)()
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(np.max(np.abs(backend.to_numpy(out).astype(np.float64) - a @ b) / (np.abs(a) @ np.abs(b))))


def joined_error(backend: Backend, operation: Operation, m: int, k: int, n: int, kind: str) -> float:
    """The greatest error of what a product with an epilogue writes."""
    random, dtype = np.random.default_rng(m + k + n), dtype_of(kind)

    def drawn(*shape: int) -> np.ndarray:
        return random.standard_normal(shape).astype(dtype)

    flips: dict[str, int | float] = {"transpose_a": 0, "transpose_b": 0, "tf32": int(kind == "tf32")}
    scratch = [np.zeros((parts(n), n), np.float32), np.zeros(column_tiles(n), np.uint32)]
    forward = [drawn(m, k), drawn(k, n), drawn(n), np.zeros((m, n), dtype), np.zeros((m, mask_bytes(n)), np.uint8)]
    if operation is PRODUCT_BIAS:
        return error(backend, operation, forward, {**flips, "activation": RELU}, (3,))
    if operation is PRODUCT_BIAS_GRADIENT:
        arrays = [drawn(m, k), drawn(m, n), np.zeros((k, n), np.float32), np.zeros(n, np.float32), *scratch]
        return error(backend, operation, arrays, {**flips, "transpose_a": 1}, (2, 3))
    *_, y, mask = there = [backend.asarray(array) for array in forward]
    backend.bind(PRODUCT_BIAS, there, {**flips, "activation": RELU})()
    arrays = [drawn(m, INNER), drawn(n, INNER), y, mask, np.zeros((m, n), dtype), np.zeros(n, dtype), *scratch]
    return error(backend, operation, arrays, {**flips, "transpose_b": 1}, (4, 5))


def error(
    backend: Backend, operation: Operation, arrays: list[Any], attributes: dict[str, Any], written: tuple[int, ...]
) -> float:
    """The greatest error against the definition in float64; its terms are those of the arrays' sizes."""
    there = [backend.asarray(array) for array in arrays]
    wide = [np.array(backend.to_numpy(array)) for array in there]
    wide = [array if array.dtype.kind == "u" else array.astype(np.float64) for array in wide]
    sizes = [np.abs(array) for array in wide]
    backend.bind(operation, there, attributes)()
    for exact in wide, sizes:
        operation.reference(np, *exact, **attributes)
    return max(
        float(np.max(np.abs(backend.to_numpy(there[i]).astype(np.float64) - wide[i]) / np.maximum(sizes[i], 1e-30)))
        for i in written
    )


def dtype_of(kind: str) -> Any:
    """The dtype of the factors of a precision."""
    precision.load(kind)
    return np.dtype("float32" if kind == "tf32" else kind)
