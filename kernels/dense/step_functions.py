"""The functions of a step that depend on its data, its loss, its optimizer or a formula: `parts.StepFunctions`, and
`LayerPlaces.formula`.

The functions here are compiled with the functions of one data type, loss, optimizer or formula. They return addresses.
Some store arguments at `place`; the other arguments give the types with which the loop calls what is at an address.
"""

from __future__ import annotations

from typing import Any

from ...backends.addresses import address_of, keep
from .clipping import update_clipped
from .load import load_batch, prefetch_next
from .outputs import score
from .parts import BlockPart, Integers, LayerPlaces, Memory, Outputs, Source, Targets, ThreadCall, Update
from .parts import skip as formula  # a plan replaces it
from .update import apply, move_ahead


def bind_source(
    place: int, source: Source, task: BlockPart, layer: LayerPlaces, memory: Memory, integers: Integers, counters: Any
) -> Any:
    """`StepFunctions.load` and `prefetch`."""
    keep(place, (source,))
    return (
        address_of(load_batch, (source,), (task, layer, memory, integers, counters)),
        address_of(prefetch_next, (source,), (task, counters)),
    )


def bind_loss(place: int, targets: Targets, outputs: Outputs, counters: Any) -> int:
    """`StepFunctions.loss`."""
    keep(place, (targets,))
    return address_of(score, (targets,), (0, 0, 0, outputs, counters))


def bind_update(
    place: int,
    update: Update,
    run: ThreadCall,
    task: BlockPart,
    layer: LayerPlaces,
    layers: Any,
    memory: Memory,
    counters: Any,
    flags: Any,
) -> Any:
    """`StepFunctions.apply`, `ahead` and `clipped`."""
    keep(place, (update,))
    return (
        address_of(apply, (update,), (memory, memory.work, 0, 0, 0, counters)),
        address_of(move_ahead, (update,), (layer, task, memory, counters)),
        address_of(update_clipped, (update,), (run, layers, memory, counters, flags)),
    )


def bind_activation(z: Any) -> int:
    """`LayerPlaces.formula` where the slope is not stored."""
    return address_of(formula, (), (0, 0, z, z))


def bind_activation_and_slope(z: Any) -> int:
    """`LayerPlaces.formula` where the slope is stored."""
    return address_of(formula, (), (0, 0, z, z, z))
