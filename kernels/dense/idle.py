"""Functions of a step that do nothing, so that the rest of a step can be timed without changing parameters."""

from __future__ import annotations

from typing import Any

from ...backends.addresses import address_of
from .parts import BlockPart, LayerPlaces, Memory, ThreadCall


def bind_idle(
    run: ThreadCall, task: BlockPart, layer: LayerPlaces, layers: Any, memory: Memory, counters: Any, flags: Any
) -> Any:
    """Addresses for `StepFunctions.apply`, `ahead` and `clipped`."""
    return (
        address_of(apply, (), (memory, memory.work, 0, 0, 0, counters)),
        address_of(ahead, (), (layer, task, memory, counters)),
        address_of(clipped, (), (run, layers, memory, counters, flags)),
    )


def apply(memory: Memory, g: Any, start: int, size: int, group: int, counters: Any) -> int:
    """Instead of `update.apply`."""
    return 0


def ahead(layer: LayerPlaces, task: BlockPart, memory: Memory, counters: Any) -> int:
    """Instead of `update.move_ahead`."""
    return 0


def clipped(run: ThreadCall, layers: Any, memory: Memory, counters: Any, flags: Any) -> int:
    """Instead of `clipping.update_clipped`."""
    return 0
