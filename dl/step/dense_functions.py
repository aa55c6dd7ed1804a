"""The functions that the compiled loop of a fused MLP calls by address, bound to a plan's arrays.

Each is compiled on its own, so another loss, optimizer, data type or product engine does not compile the loop again.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ...backends import Backend, addresses
from ...kernels.dense import clipping, engine, load, matrix_unit_engine, step_functions
from ...kernels.dense.engine import Engine
from ...kernels.dense.parts import (
    DropoutStreams,
    Integers,
    LayerPlaces,
    Memory,
    Outputs,
    Source,
    StepFunctions,
    Targets,
    Tools,
    Update,
    skip,
)
from ...kernels.dense.update import SLICES, not_ahead
from ...kernels.updates.average import AVERAGE
from ...kernels.updates.clip_values import CLIP_VALUES
from ...kernels.updates.gradient_norm import CLIP_FACTOR
from ...kernels.updates.l1 import L1_SUBGRADIENT, SOFT_THRESHOLD
from ...kernels.updates.update import SHARED
from ..graph.graph import Node
from .dense_loop import ENGINE, LAYER, RUN, TASK
from .fused_mlp import FusedMLP


class BoundFunctions:
    """The functions of a step, and the memory that holds their arguments.

    Attributes
    ----------
    addresses : what the loop calls.
    """

    def __init__(self, backend: Backend, mlp: FusedMLP, memory: Memory, counters: Any) -> None:
        self._backend, self._mlp, self._memory, self._counters = backend, mlp, memory, counters
        self._held: list[Any] = []
        self.addresses = StepFunctions(*[0] * len(StepFunctions._fields))

    def activations(self, layers: Any) -> None:
        """Binds the activations that are called by address, in the table of `LayerPlaces`, or in that of each part."""
        for number, layer in enumerate(self._mlp.layers):
            if layer.loop is not None:
                slope = layer.slope and layer.formula is not None
                function = step_functions.bind_activation_and_slope if slope else step_functions.bind_activation
                bind: Any = self._backend.compiled(function, formula=layer.loop)
                layers[..., number, LayerPlaces._fields.index("formula")] = bind(self._memory.work)

    def source(self, source: Source, integers: Integers, uses_integers: bool) -> None:
        """Binds the loading of batches."""
        functions = {} if uses_integers else load.NO_INTEGERS
        bind: Any = self._backend.compiled(step_functions.bind_source, **functions)
        place = self._keep(source)
        found = bind(place, source, TASK, LAYER, self._memory, integers, self._counters)
        self.addresses = self.addresses._replace(load=found[0], prefetch=found[1], source=place)

    def loss(self, targets: Targets, outputs: Outputs) -> None:
        """Binds the loss."""
        bind: Any = self._backend.compiled(step_functions.bind_loss, loss=self._mlp.loss.operation.loop)
        place = self._keep(targets)
        found = bind(place, targets, outputs, self._counters)
        self.addresses = self.addresses._replace(loss=found, targets=place)

    def layers(self, layers: Any, outputs: Outputs, dropout: DropoutStreams, tools: Tools) -> None:
        """Binds the hidden layers and the output layer, and the backward pass."""
        bind: Any = self._backend.compiled(step_functions.bind_layers)
        found = bind(TASK, layers, self._memory, self._counters, outputs, self.addresses, dropout, tools, ENGINE)
        self.addresses = self.addresses._replace(hidden=found[0], output=found[1], backward=found[2])

    def update(self, update: Update, layers: Any, flags: Any) -> None:
        """Binds the update of the parameters."""
        self._update = update
        self._bind_update: Any = self._backend.compiled(step_functions.bind_update, **update_functions(self._mlp))
        place = self._keep(update)
        found = self._bind_update(place, update, RUN, TASK, LAYER, layers, self._memory, self._counters, flags)
        self.addresses = self.addresses._replace(apply=found[0], ahead=found[1], clipped=found[2], update=place)

    def apart(self, memory: Memory, layers: Any, flags: Any) -> StepFunctions:
        """The addresses for steps that update copies of the optimizer's states, with the parameters of `memory`."""
        slots, clip = tuple(slot.copy() for slot in self._update.slots), self._update.clip.copy()
        options = self._update.options._replace(average=self._update.options.average.copy())
        copied = self._update._replace(slots=slots, clip=clip, options=options)
        self._apart = addresses.room(copied), copied  # only the last: states may be large
        place = self._apart[0].ctypes.data
        found = self._bind_update(place, copied, RUN, TASK, LAYER, layers, memory, self._counters, flags)
        return self.addresses._replace(apply=found[0], ahead=found[1], clipped=found[2], update=place)

    def _keep(self, value: tuple[Any, ...]) -> int:
        room = addresses.room(value)
        self._held += [room, value]
        return room.ctypes.data


def update_functions(mlp: FusedMLP) -> dict[str, Any]:
    """Replacements, by name, for functions that an update calls; unused functions are not compiled."""
    assert mlp.update is not None
    names = {L1_SUBGRADIENT: "add_l1", CLIP_VALUES: "clip_values", SOFT_THRESHOLD: "soft_threshold"}
    names |= {AVERAGE: "update_average"}
    functions: dict[str, Any] = {name: skip for operation, name in names.items() if operation not in mlp.options}
    if CLIP_FACTOR in mlp.options:
        functions["use_gradient"] = clipping.keep_gradient
    else:
        functions["update_clipped"] = clipping.not_clipped
    functions |= {"move_ahead": not_ahead} if mlp.ahead is None else {"ahead": mlp.ahead.operation.loop}
    slots = len(mlp.update.inputs) - SHARED
    return functions | {"update_parameters": mlp.update.operation.loop, "slice_states": SLICES[slots]}


def bound_engine(
    backend: Backend, module: ModuleType, tools: Tools, memory: Memory, integers: Integers, uses_integers: bool = False
) -> Engine:
    """The product engine of a file of `kernels.dense`."""
    find: Any = backend.compiled(engine.addresses, **engine_functions(module, uses_integers))
    found: list[int] = [*find(tools, memory, integers, TASK, LAYER), module.TRANSPOSED, module.GRAIN, module.CHUNKS]
    return Engine(*found)


def engine_functions(module: ModuleType, uses_integers: bool) -> dict[str, Any]:
    """Replacements, by name, for the functions that `engine.addresses` names."""
    functions = engine.functions_of(module)
    if module is matrix_unit_engine and not uses_integers:
        functions |= matrix_unit_engine.NO_INTEGERS
    return functions


def attribute_names(node: Node) -> tuple[str, ...]:
    """The attributes of an operation in the order of its loop's arguments."""
    loop: Any = node.operation.loop
    return loop.__code__.co_varnames[2 + len(node.values) : loop.__code__.co_argcount]
