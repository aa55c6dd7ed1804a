"""Fused matrix products: products with bias, activation or their gradients, which a library may run in one launch.

Each is defined by a sequence of plain operations, its `parts`; `fused` describes it for cuBLASLt.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..activations.activation import IDENTITY, RELU
from ..activations.bias_activation import BIAS_ACTIVATION, BIAS_ACTIVATION_BACKWARD
from ..activations.gelu import GELU as GELU_OPERATION
from ..operation import Operation
from .matmul import MATMUL

GELU = 4  # in addition to the activations of activation.py
MASK = 128  # bits: the length of a mask's row is a multiple of this
Part = tuple[Operation, tuple[Any, ...], dict[str, int | float]]


@dataclass(frozen=True)
class Fused:
    """out = a·b with a cuBLASLt `epilogue`, which may add `bias` or write its gradient, and write or read `mask`."""

    epilogue: str
    a: Any
    b: Any
    out: Any
    bias: Any
    mask: Any = None
    product: Any = None


def mask_bytes(n: int) -> int:
    """Bytes of a mask's row, one bit for each of n columns."""
    return -(-n // MASK) * MASK // 8


def forward_parts(a: Any, b: Any, bias: Any, y: Any, *mask: Any, activation: int, **product: Any) -> Iterator[Part]:
    """y (m, n) = activation(a·b + bias (n,)); the mask of `RELU`, if any, is not written."""
    yield MATMUL, (a, b, y), product
    yield BIAS_ACTIVATION, (y, bias, y), {"activation": IDENTITY if activation == GELU else activation}
    if activation == GELU:
        yield GELU_OPERATION, (y, y), {}


def forward_fused(a: Any, b: Any, bias: Any, y: Any, mask: Any = None, *, activation: int, **product: Any) -> Fused:
    """The epilogue of each activation."""
    name = {IDENTITY: "BIAS", RELU: "RELU_BIAS" if mask is None else "RELU_AUX_BIAS", GELU: "GELU_BIAS"}[activation]
    return Fused(name, a, b, y, bias, mask, product)


def backward_parts(
    a: Any, b: Any, y: Any, mask: Any, dz: Any, dbias: Any, partial: Any, arrived: Any, **product: Any
) -> Iterator[Part]:
    """dz (m, n) = a·b where y > 0, else 0; dbias (n,) is its sum over rows."""
    yield MATMUL, (a, b, dz), product
    yield BIAS_ACTIVATION_BACKWARD, (dz, y, dz, dbias, partial, arrived), {"activation": RELU}


def backward_fused(a: Any, b: Any, y: Any, mask: Any, dz: Any, dbias: Any, *scratch: Any, **product: Any) -> Fused:
    """Reads the mask that the forward pass has written."""
    return Fused("DRELU_BGRAD", a, b, dz, dbias, mask, product)


def gradient_parts(a: Any, dz: Any, dw: Any, dbias: Any, partial: Any, arrived: Any, **product: Any) -> Iterator[Part]:
    """dw = aᵀ·dz, and dbias (n,) is dz's sum over rows."""
    yield BIAS_ACTIVATION_BACKWARD, (dz, dz, dz, dbias, partial, arrived), {"activation": IDENTITY}
    yield MATMUL, (a, dz, dw), product


def gradient_fused(a: Any, dz: Any, dw: Any, dbias: Any, *scratch: Any, **product: Any) -> Fused:
    """cuBLASLt's first factor is the second of a row-major product."""
    return Fused("BGRADA", a, dz, dw, dbias, None, product)


def _joined(name: str, parts: Any, fused: Any, scratch: tuple[int, ...] = ()) -> Operation:
    def reference(xp: Any, *arrays: Any, **attributes: Any) -> None:
        for operation, own, given in parts(*arrays, **attributes):
            operation.reference(xp, *own, **given)

    def flops(*arrays: Any, **attributes: Any) -> int:
        return sum(operation.flops(*own, **given) for operation, own, given in parts(*arrays, **attributes))

    return Operation(name, reference, flops=flops, scratch=scratch, parts=parts, fused=fused)


PRODUCT_BIAS = _joined("product_bias", forward_parts, forward_fused)
PRODUCT_RELU_BACKWARD = _joined("product_relu_backward", backward_parts, backward_fused, (6, 7))
PRODUCT_BIAS_GRADIENT = _joined("product_bias_gradient", gradient_parts, gradient_fused, (4, 5))
