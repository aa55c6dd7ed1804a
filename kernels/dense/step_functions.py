"""The functions that a step calls by address: `parts.StepFunctions`, and `LayerPlaces.formula`.

The functions here are compiled with the functions of one data type, loss, optimizer or formula. They return addresses.
What `bind_layers` binds depends on none of these, so it is compiled once for both loops.
Some store arguments at `place`; the other arguments give the types with which the loop calls what is at an address.
"""

from __future__ import annotations

from typing import Any

from ...backends.addresses import address_of, keep
from .backward import backward
from .clipping import update_clipped
from .engine import Engine
from .hidden import hidden_layer
from .load import load_batch, prefetch_next
from .outputs import output_layer, score
from .parts import (
    BlockPart,
    DropoutStreams,
    Integers,
    LayerPlaces,
    Memory,
    Outputs,
    Source,
    StepFunctions,
    Targets,
    ThreadCall,
    Tools,
    Update,
)
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


def bind_layers(
    task: BlockPart,
    layers: Any,
    memory: Memory,
    counters: Any,
    outputs: Outputs,
    functions: StepFunctions,
    dropout: DropoutStreams,
    tools: Tools,
    engine: Engine,
) -> Any:
    """`StepFunctions.hidden`, `output` and `backward`."""
    return (
        address_of(hidden_layer, (), (task, 1, layers, memory, counters, dropout, tools)),
        address_of(output_layer, (), (task, layers, memory, counters, outputs, functions, dropout, tools)),
        address_of(backward, (), (0, 1, task, 1, layers, memory, tools, engine)),
    )


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
