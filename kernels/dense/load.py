"""Loading of a batch: the columns of the first layer's X that belong to a part."""

from __future__ import annotations

from typing import Any

from ...backends.machine import prefetch
from ...backends.thread_pool import share
from ..counters import CURSOR
from .parts import GRAIN, BlockPart, Integers, LayerPlaces, Memory, Source, inputs_of, integers_of, skip


def load_batch(
    task: BlockPart, layer: LayerPlaces, memory: Memory, integers: Integers, counters: Any, source: Source
) -> int:
    """The part's columns of the batch, standardised if there is a mean; as integers if they are used."""
    if integers.scale.shape[0] > 0:
        load_integers(task, layer, integers, counters, source)
        return 0
    start, stop = inputs_of(layer, task)
    work, data, order = memory.work, source.data, source.order
    real, cursor = work.dtype.type, counters[CURSOR] + task.first
    standard = source.mean.shape[0] > 0
    mean, scale = source.mean[start:stop], source.scale[start:stop]
    for row in range(task.rows):
        x = data[order[cursor + row]][start:stop]
        at = layer.x + row * layer.x_stride + start
        y = work[at : at + stop - start]
        if standard:
            for j in range(stop - start):
                y[j] = (real(x[j]) - mean[j]) * scale[j]
        else:
            for j in range(stop - start):
                y[j] = x[j]
    return 0


def load_integers(task: BlockPart, layer: LayerPlaces, integers: Integers, counters: Any, source: Source) -> int:
    """The part's columns of the batch, minus the integers nearest to their means."""
    start, stop = inputs_of(layer, task)
    numbers, stride, centre = integers.numbers, integers.stride, integers.centre[start:stop]
    place, cursor = integers_of(integers, task), counters[CURSOR] + task.first
    for row in range(task.rows):
        x = source.data[source.order[cursor + row]][start:stop]
        y = numbers[place + row * stride : place + row * stride + stop - start]
        for j in range(stop - start):
            y[j] = x[j] - centre[j]
    return 0


def prefetch_next(task: BlockPart, counters: Any, source: Source) -> int:
    """Prefetches the part's columns of the next batch (128 uint8 rows: 15 instead of 32 µs)."""
    data, order = source.data, source.order
    start, stop = share(data.shape[1], task.part, task.parts, GRAIN)
    line, flat = max(1, 64 // data.itemsize), data.reshape(-1)
    following = counters[CURSOR] + task.batch
    for i in range(following, min(following + task.batch, order.shape[0])):
        row = order[i] * data.shape[1]
        for at in range(row + start, row + stop, line):
            prefetch(flat, at)
    return 0


NO_INTEGERS = {"load_integers": skip}  # for data that are not uint8
