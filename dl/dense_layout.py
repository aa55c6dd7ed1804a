"""Where the arrays of a chain of dense layers lie in the memory that one compiled call is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..backends import host, matrix_unit
from ..kernels import binary_cross_entropy, dense_chain, dense_parts, matrix_product, squared_error
from .arena import Arena

if TYPE_CHECKING:
    from .dense_chain import Chain

WIDE = 2  # outputs for each input from which a last layer is divided by its outputs
MEANS = {  # losses that are means over a row's outputs
    binary_cross_entropy.BINARY_CROSS_ENTROPY,
    squared_error.SQUARED_ERROR,
}


def divided_by_outputs(chain: Chain, parts: int) -> bool:
    """Whether the parts have columns of the last layer's weights, not rows: less is exchanged where it is wide."""
    inputs, outputs = chain.layers[-1].weight.shape
    several = parts > 1 and len(chain.layers) > 1
    return several and chain.loss.operation in MEANS and outputs >= max(WIDE * inputs, dense_parts.LINE * parts)


class Layout:
    """Where everything begins: the rows of `kernels.dense_chain.steps`' `layers`, and the size of its `work`.

    With `several` blocks in a batch, gradients are collected. `gap` elements stay unused between what lies in
    `work`: a test looks whether they do.
    """

    def __init__(self, chain: Chain, arena: Arena, block: int, parts: int, several: bool, gap: int = 0) -> None:
        self.gap, self.size = gap, gap
        self.places: list[tuple[int, int]] = []
        widths = [chain.layers[0].weight.shape[0], *(layer.weight.shape[1] for layer in chain.layers)]
        self.widest = _whole(max(widths)) + 16
        shares = [-(-width // parts) + dense_parts.GRAIN for width in widths[:-2]] + [widths[-2]]
        deep = matrix_product.DEPTH
        split = [(block, deep)] + [(width, block) for width in widths[1:]]  # X, and DT for the weights' gradient
        split += [(min(share, dense_chain.SPLIT), deep) for share in shares]  # weights, for the way back
        self.words = matrix_product.LEFT_PANELS + max(matrix_product.words(*shape) for shape in split)
        rows = _whole(block)
        self.layers = np.zeros((len(chain.layers), dense_parts.FIELDS), dtype=np.int64)
        wide = divided_by_outputs(chain, parts)
        x, x_stride = self._take(rows * _odd(widths[0])), _odd(widths[0])
        for number, layer in enumerate(chain.layers):
            inputs, outputs = layer.weight.shape
            stride, by_outputs = _odd(outputs), wide and number == len(chain.layers) - 1
            sums = parts * block * (outputs + 32 * parts)
            collected = (inputs + 16 * parts) * _whole(outputs)
            if by_outputs:
                sums = max(sums, parts * inputs * _odd(block), inputs * outputs)
                collected = parts * (inputs + 16) * (_whole(outputs) // parts + dense_parts.LINE + 16)
            self.layers[number] = (
                inputs,
                outputs,
                arena.offset(layer.weight.name),
                -1 if layer.bias is None else arena.offset(layer.bias.name),
                arena.range_of(layer.weight.name),
                -1 if layer.bias is None else arena.range_of(layer.bias.name),
                layer.activation,
                x,
                x_stride,
                self._take(rows * stride),
                stride,
                self._take((outputs + 16) * _odd(block)),
                _odd(block),
                self._take(sums),
                self._take(_whole(outputs) + collected if several else 0),
                int(by_outputs),
                self._take(parts * (outputs + dense_parts.LINE)),
            )
            x, x_stride = self._take(rows * stride), stride

    def _take(self, elements: int) -> int:
        start = self.size
        self.places.append((start, start + elements))
        self.size = _whole(start + elements) + self.gap + 64
        return start


class WholeNumbers:
    """A batch of bytes as whole numbers about 0, which are one term of a matrix unit: half the pairs of a product.

    A standardised row (x - mean) · scale is (x - centre) · scale - shift, with a whole `centre` next to the mean;
    `steps` multiplies by scale and shift what x is multiplied by.
    """

    def __init__(self, parts: int, rows: int, width: int, mean: Any, scale: Any) -> None:
        share = -(-width // parts) + dense_parts.GRAIN
        self.stride = (-(-share // 32) | 1) * 32  # an odd number of cache lines
        self.numbers = host.aligned_zeros(parts * rows * self.stride, np.int16)
        self.mean, self.given = mean, scale
        self.centre, self.shift = np.zeros(width, np.int16), np.zeros(width, np.float32)
        self.scale = np.ones(width + matrix_unit.DEEP, np.float32)  # with room for what is read behind the last

    def arrays(self) -> tuple[Any, ...]:
        """What `steps` calls `exact`, for the standardisation as it is now."""
        if self.mean.size:
            np.rint(self.mean, out=self.shift)
            np.clip(self.shift, 0, 255, out=self.shift)
            self.centre[:] = self.shift
            np.subtract(self.mean, self.shift, out=self.shift)
            self.shift *= self.given
            self.scale[: self.given.size] = self.given
        return self.numbers, self.stride, self.centre, self.scale, self.shift


def _whole(n: int) -> int:
    return -(-n // 16) * 16


def _odd(n: int) -> int:
    """At least n, in an odd number of cache lines: rows an even number apart meet in few places of a cache."""
    return (-(-n // 16) | 1) * 16
