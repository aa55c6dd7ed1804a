"""The memory layout of a fused MLP: where its arrays lie in the buffers of the compiled call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...backends import host, matrix_unit
from ...kernels.activations.activation import IDENTITY
from ...kernels.dense import matrix_product, matrix_unit_engine
from ...kernels.dense import parts as dense_parts
from ...kernels.dense.elementwise import BY_ADDRESS, FORMULA
from ...kernels.dense.engine import HOT, ROWS
from ...kernels.dense.parts import Integers, LayerPlaces
from ...kernels.dense.product import SCRATCH
from ...kernels.operation import Operation
from ...kernels.tracing.activation_loop import activation_loop
from ..graph.graph import Node, Value
from .arena import Arena

BLOCK = 256  # rows of a block: its activations fit into an L2 cache
SHORT_BLOCK, TALL_BLOCK = 128, 512  # the same for wide rows; and for many weights, which are then read less often
MANY = 1 << 18  # elements that do not fit there: of weights, or of a block's activations
WORKSPACE = ("x", "d", "dt", "sums", "gradient", "totals", "slope")
"""The fields of `LayerPlaces` that are places in `Memory.work`."""


@dataclass
class DenseLayer:
    """A dense layer of a fused MLP: its weights, its bias, its activation and the dropout that follows.

    An activation is a number of `activation`'s or, instead, the operation of a `formula`.
    `slope` is whether the backward pass needs the derivative of the outputs, see `kernels.dense.elementwise`.
    """

    weight: Value
    bias: Value | None = None
    activation: int = IDENTITY
    formula: Operation | None = None
    dropout: Node | None = None
    slope: bool = False

    @property
    def loop(self) -> Any:
        """The loop of the activation if it is called by address; otherwise None."""
        return BY_ADDRESS.get(self.activation) if self.formula is None else activation_loop(self.formula, self.slope)


class Layout:
    """The offsets of all arrays: the rows of `layers` of `dense_chain.steps`, and the sizes of its buffers.

    The addresses of activations are bound later, see `BoundFunctions.activations`.

    With `several` blocks in a batch, gradients are added up over them. `gap` elements between the arrays in `work` stay
    unused; a test checks this.

    Attributes
    ----------
    layers : int64 (layers, fields of `LayerPlaces`).
    size : elements of `work`.
    scratch : elements of a thread's scratch buffer.
    panels : words per thread for the split operands of the matrix unit.
    """

    def __init__(
        self, layers: Sequence[DenseLayer], arena: Arena, block: int, parts: int, several: bool, gap: int = 0
    ) -> None:
        self.gap, self.size = gap, gap
        self.places: list[tuple[int, int]] = []
        widths = [layers[0].weight.shape[0], *(layer.weight.shape[1] for layer in layers)]
        widest = _whole(max(widths)) + 16
        self.scratch = SCRATCH + max(2 * HOT + 2 * widest * (ROWS + 1), 16 * widest)
        self.panels = panels(widths, block, parts)
        rows = _whole(block)
        self.layers = np.zeros((len(layers), len(LayerPlaces._fields)), dtype=np.int64)
        x, x_stride = self._take(rows * _odd(widths[0])), _odd(widths[0])
        dropouts = 0
        for number, layer in enumerate(layers):
            inputs, outputs = layer.weight.shape
            stride = _odd(outputs)
            added_up = _whole(outputs) + (inputs + 16 * parts) * _whole(outputs)
            self.layers[number] = LayerPlaces(
                inputs=inputs,
                outputs=outputs,
                weight=arena.offset(layer.weight.name),
                bias=-1 if layer.bias is None else arena.offset(layer.bias.name),
                weight_range=arena.range_of(layer.weight.name),
                bias_range=-1 if layer.bias is None else arena.range_of(layer.bias.name),
                activation=layer.activation if layer.formula is None else FORMULA,
                formula=-1,
                x=x,
                x_stride=x_stride,
                d=self._take(rows * stride),
                d_stride=stride,
                dt=self._take((outputs + 16) * _odd(block)),
                dt_stride=_odd(block),
                sums=self._take(parts * block * (outputs + 32 * parts)),
                gradient=self._take(added_up if several else 0),
                totals=self._take(parts * (outputs + dense_parts.LINE)),
                slope=self._take(rows * stride) if layer.slope else -1,
                dropout=dropouts if layer.dropout else -1,
            )
            dropouts += layer.dropout is not None
            x, x_stride = self._take(rows * stride), stride

    def of_parts(self, parts: int) -> np.ndarray:
        """The table `layers` of each part that has a workspace of its own, `size` elements behind the one before."""
        tables = np.stack([self.layers] * parts)
        for column, name in enumerate(LayerPlaces._fields):
            if name in WORKSPACE:
                tables[:, :, column] += np.where(self.layers[:, column] < 0, 0, self.size * np.arange(parts)[:, None])
        return tables

    def _take(self, elements: int) -> int:
        start = self.size
        self.places.append((start, start + elements))
        self.size = _whole(start + elements) + self.gap + 64
        return start


class BytesAsIntegers:
    """A batch of bytes as centred integers (see `dense_parts.Integers`), which halves the work on a matrix unit."""

    def __init__(self, parts: int, rows: int, width: int, mean: Any, scale: Any) -> None:
        share = -(-width // parts) + dense_parts.GRAIN
        self.stride = (-(-share // 32) | 1) * 32  # an odd number of cache lines
        self.numbers = host.aligned_zeros(parts * rows * self.stride, np.int16)
        self.mean, self.given = mean, scale
        self.centre, self.shift = np.zeros(width, np.int16), np.zeros(width, np.float32)
        self.scale = np.ones(width + matrix_unit.DEEP, np.float32)  # with room for what is read behind the last

    def integers(self) -> Integers:
        """The arrays, computed from the current standardisation."""
        if self.mean.size:
            np.rint(self.mean, out=self.shift)
            np.clip(self.shift, 0, 255, out=self.shift)
            self.centre[:] = self.shift
            np.subtract(self.mean, self.shift, out=self.shift)
            self.shift *= self.given
            self.scale[: self.given.size] = self.given
        return Integers(self.numbers, self.stride, self.centre, self.scale, self.shift)


def block_rows(layers: Sequence[DenseLayer], unit: bool) -> int:
    """Rows of a block of these layers; `unit` is whether a matrix unit multiplies."""
    shapes = [layer.weight.shape for layer in layers]
    if unit:
        return BLOCK
    if sum(inputs * outputs for inputs, outputs in shapes) >= MANY:
        return TALL_BLOCK
    features = shapes[0][0] + sum(outputs for _, outputs in shapes)
    return SHORT_BLOCK if BLOCK * features > MANY else BLOCK


def panels(widths: Sequence[int], block: int, parts: int) -> int:
    shares = [-(-width // parts) + dense_parts.GRAIN for width in widths[:-2]] + [widths[-2]]
    deep = matrix_product.DEPTH
    split = [(block, deep)] + [(width, block) for width in widths[1:]]  # X, and DT for the weights' gradient
    split += [(min(share, matrix_unit_engine.SPLIT), deep) for share in shares]  # weights, for the way back
    return matrix_product.LEFT_PANELS + max(matrix_product.words(*shape) for shape in split)


def _whole(n: int) -> int:
    return -(-n // 16) * 16


def _odd(n: int) -> int:
    """Rounds n up to an odd number of cache lines, so that rows map to different cache sets."""
    return (-(-n // 16) | 1) * 16
