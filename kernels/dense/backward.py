"""Backward pass of a fused MLP, besides the updates: the gradient of a layer's X, and D of the layer below."""

from __future__ import annotations

from typing import Any

from ...backends.addresses import call
from ...backends.vectors import turn
from .elementwise import differentiate
from .engine import Engine
from .few_rows import few
from .few_rows import input_gradient as few_rows_gradient
from .outputs import transpose
from .parts import BlockPart, Memory, Tools, places_of, whole
from .product import SCRATCH


def backward(
    start: int, stop: int, task: BlockPart, level: int, layers: Any, memory: Memory, tools: Tools, engine: Engine
) -> int:
    """Columns `start` to `stop` of D of the layer below, and these rows of DT if they are read later."""
    layer, below, work, lanes = places_of(layers, level), places_of(layers, level - 1), memory.work, tools.lanes
    width, stride = stop - start, below.dt_stride
    turned = below.dt + start * stride
    strip, wide = tools.scratch[SCRATCH:], whole(width, lanes)
    dots = few(task.rows, layer.outputs, lanes)
    if dots:
        few_rows_gradient(start, stop, task, layer, memory, strip, wide)
    else:
        call(engine.input_gradient, 0, (start, stop, task, below, layer, memory, tools))
    for row in range(0, task.rows, lanes):
        for i in range(0, 0 if dots else width, lanes):
            turn(work, turned + i * stride + row, stride, strip, i, wide)
        for r in range(min(lanes, task.rows - row)):
            at, y = (row + r) * below.d_stride + start, layer.x + (row + r) * layer.x_stride + start
            slope = work[below.slope + at : below.slope + at + width] if below.slope >= 0 else work[:0]
            dy, dz = strip[r * wide : r * wide + width], work[below.d + at : below.d + at + width]
            differentiate(dy, work[y : y + width], slope, dz, below)
    if level > 1 or engine.transposed:
        transpose(work, below.d + start, below.d_stride, turned, stride, 0, task.rows, width, lanes)
    return 0
