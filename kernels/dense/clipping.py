"""Clipping of a fused MLP's gradient by its norm, which is known only after the last block of gradients.

Then a step has two passes: gradients are kept instead of used, and `update_clipped` updates all parameters.
"""

from __future__ import annotations

from typing import Any

from ...backends.thread_pool import wait
from ..updates.gradient_norm import factor_loop as clip_factor
from .parts import BlockPart, Memory, ThreadCall, Update, places_of
from .update import range_of, update_range

SUMS = 16  # partial sums of each part, which are computed together


def keep_gradient(memory: Memory, g: Any, start: int, size: int, group: int, counters: Any, update: Update) -> None:
    """Replaces `update.use_gradient`: keeps the gradient of `size` parameters from `start`."""
    kept = update.options.gradients[start : start + size]
    for i in range(size):
        kept[i] = g[i]


def update_clipped(run: ThreadCall, layers: Any, memory: Memory, counters: Any, flags: Any, update: Update) -> int:
    """Clips the gradient of a batch, and updates the parameters of the thread's parts."""
    options = update.options
    for part in range(run.thread, run.parts, run.threads):
        sums = options.squares[part * SUMS : (part + 1) * SUMS]
        for j in range(SUMS):
            sums[j] = 0
        task = BlockPart(part, run.parts, 0, 0, 0, 0)
        for level in range(layers.shape[0]):
            for biases in range(2):
                start, size, _ = range_of(places_of(layers, level), task, biases)
                add_squares(options.gradients[start : start + size], sums)
    wait(run.thread, run.threads, flags)
    clip_factor(0, 1, options.squares, update.clip, options.clip_norm)
    for part in range(run.thread, run.parts, run.threads):
        task = BlockPart(part, run.parts, 0, 0, 0, 0)
        for level in range(layers.shape[0]):
            for biases in range(2):
                start, size, group = range_of(places_of(layers, level), task, biases)
                update_range(memory, options.gradients[start : start + size], start, size, group, counters, update)
    return 0


def not_clipped(run: ThreadCall, layers: Any, memory: Memory, counters: Any, flags: Any, update: Update) -> int:
    """Replaces `update_clipped` if gradients are not clipped by their norm."""
    return 0


def add_squares(g: Any, sums: Any) -> None:
    """Adds the squares of g to SUMS float64 sums in turn."""
    whole = g.shape[0] // SUMS * SUMS
    for i in range(0, whole, SUMS):
        for j in range(SUMS):
            value = float(g[i + j])
            sums[j] += value * value
    for j in range(g.shape[0] - whole):
        value = float(g[whole + j])
        sums[j] += value * value
