"""Hidden layer of a fused MLP: the products of the layer below become its X."""

from __future__ import annotations

from typing import Any

from .elementwise import activate, add_products, drop_out
from .parts import BlockPart, DropoutStreams, Memory, Tools, inputs_of, places_of, sums, whole


def hidden_layer(
    task: BlockPart,
    level: int,
    layers: Any,
    memory: Memory,
    counters: Any,
    dropout: DropoutStreams,
    tools: Tools,
) -> int:
    """The part's columns of X of the block, from the products of the layer below."""
    below, layer = places_of(layers, level - 1), places_of(layers, level)
    work, p = memory.work, memory.parameters
    start, stop = inputs_of(layer, task)
    width = whole(stop - start, tools.lanes)
    place = sums(below, task.rows, 0, task.parts, task.part, task.parts, tools.lanes)
    bias = p[below.bias + start : below.bias + stop] if below.bias >= 0 else p[:0]
    z, strip = tools.scratch[: stop - start], tools.scratch[width:]
    for row in range(task.rows):
        at = layer.x + row * layer.x_stride + start
        y = work[at : at + stop - start]
        add_products(work, place + row * width, task.rows * width, task.parts, bias, z)
        at = below.slope + row * below.d_stride + start
        slope = work[at : at + stop - start] if below.slope >= 0 else work[:0]
        activate(z, y, slope, below)
        drop_out(y, slope, (task.first + row) * below.outputs + start, below, dropout, counters, strip)
    return 0
