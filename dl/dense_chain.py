"""The plan of a fused MLP: whole steps on all cores in one call, where the backend compiles loops.

A graph is a fused MLP if it loads a batch, multiplies, adds biases and applies activations layer after layer, computes
losses, and, in training, goes back the same way and updates. Any other graph runs on a `Plan`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np

from ..backends import Backend, host, matrix_unit
from ..backends.machine import lanes, tile_rows
from ..backends.team import Team, team
from ..kernels import (
    adadelta,
    adagrad,
    adam,
    binary_cross_entropy,
    delta_bar_delta,
    dense_chain,
    matrix_product,
    momentum,
    rmsprop,
    sgd,
    softmax_cross_entropy,
    squared_error,
)
from ..kernels.activation import ACTIVATION, ACTIVATION_BACKWARD, IDENTITY
from ..kernels.advance import ADVANCE
from ..kernels.bias_activation import BIAS_ACTIVATION, BIAS_ACTIVATION_BACKWARD
from ..kernels.dense_matrix_unit import NOT_INTEGERS, UNIT
from ..kernels.dense_parts import Integers, Memory, Outputs, Source, ThreadCall, Tools, Update
from ..kernels.dense_update import EVERYTHING, SLICES
from ..kernels.gather import GATHER
from ..kernels.gather_standardized import GATHER_STANDARDIZED
from ..kernels.matmul import MATMUL
from ..kernels.tally import TALLY
from . import plan
from .arena import Arena
from .costs import FORWARD, WAIT, WEIGHTS, Cost, Product
from .dense_layout import BytesAsIntegers, DenseLayer, Layout
from .graph import Graph, Node, Value
from .plan import Plan, quietly

BLOCK = 256  # rows of a batch at a time: what keeps a block's activations in a second-level cache of 2 MiB
LOSSES = {
    binary_cross_entropy.BINARY_CROSS_ENTROPY,
    softmax_cross_entropy.SOFTMAX_CROSS_ENTROPY,
    squared_error.SQUARED_ERROR,
}
UPDATES = {
    sgd.SGD,
    momentum.MOMENTUM,
    adagrad.ADAGRAD,
    rmsprop.RMSPROP,
    adadelta.ADADELTA,
    adam.ADAM,
    delta_bar_delta.DELTA_BAR_DELTA,
}
BACKWARD = {MATMUL, BIAS_ACTIVATION_BACKWARD, ACTIVATION_BACKWARD}


def plan_of(
    graph: Graph,
    backend: Backend,
    arena: Arena,
    shared: Mapping[str, Any],
    capacity: int,
    *,
    workers: Team | None = None,
) -> Plan:
    """The fastest plan that runs the graph on this backend; arguments and errors as `Plan`.

    `workers` run a fused MLP, instead of the threads of this process.
    """
    mlp = recognize(graph)
    if mlp is None or backend.compiled(dense_chain.steps) is None:
        return Plan(graph, backend, arena, shared, capacity)
    return DensePlan(mlp, graph, backend, arena, shared, capacity, workers=workers)


@dataclass
class FusedMLP:
    """A graph that is a chain of dense layers: its layers, and the nodes that are no product, bias or activation."""

    x: Node
    target: Node
    layers: list[DenseLayer]
    loss: Node
    update: Node | None


def recognize(graph: Graph) -> FusedMLP | None:
    """The fused MLP that the graph is, or None."""
    phases = {name: [node for node in graph.nodes if node.phase == name] for name in PHASES}
    if sum(map(len, phases.values())) != len(graph.nodes) or len(phases["load"]) != 2 or not phases["forward"]:
        return None
    x, target = phases["load"]
    *forward, loss = phases["forward"]
    layers = _layers(forward, x.outputs[0], loss.inputs[0])
    *update, _ = phases["update"]
    if (
        layers is None
        or x.operation not in (GATHER, GATHER_STANDARDIZED)
        or target.operation is not GATHER
        or loss.operation not in LOSSES
        or loss.inputs[1] is not target.outputs[0]
        or [node.operation for node in phases["tally"]] != [TALLY]
        or phases["update"][-1].operation is not ADVANCE
        or any(node.operation not in UPDATES for node in update)
        or any(node.operation not in BACKWARD for node in phases["backward"])
        or len(update) != (1 if phases["backward"] else 0)
        or (update and any(layer.weight not in graph.gradients for layer in layers))
    ):
        return None
    return FusedMLP(x, target, layers, loss, update[0] if update else None)


PHASES = ("load", "forward", "tally", "backward", "update")


def _layers(nodes: list[Node], x: Value, output: Value) -> list[DenseLayer] | None:
    """The layers that lead from x to the output, where each node reads what the one before wrote; else None."""
    layers: list[DenseLayer] = []
    for node in nodes:
        if node.inputs[0] is not x or len(node.outputs) != 1:
            return None
        if node.operation is MATMUL and node.inputs[1].kind == "parameter":
            layers.append(DenseLayer(node.inputs[1]))
        elif node.operation in (BIAS_ACTIVATION, ACTIVATION) and layers:
            layer = layers[-1]
            if layer.activation != IDENTITY or (node.operation is BIAS_ACTIVATION and layer.bias is not None):
                return None
            layer.activation = int(node.attributes["activation"])
            if node.operation is BIAS_ACTIVATION:
                layer.bias = node.inputs[1]
        else:
            return None
        x = node.outputs[0]
    weights = {layer.weight for layer in layers}
    return layers if x is output and layers and len(weights) == len(layers) else None


class DensePlan(Plan):
    """Runs a fused MLP as one compiled loop on a team of threads."""

    kind: Literal["list", "chain"] = "chain"

    def __init__(
        self,
        mlp: FusedMLP,
        graph: Graph,
        backend: Backend,
        arena: Arena,
        shared: Mapping[str, Any],
        capacity: int,
        block: int = BLOCK,
        workers: Team | None = None,
    ) -> None:
        super().__init__(graph, backend, arena, shared, capacity)
        self.block, self._team = min(block, capacity), workers or team()
        self.parts = self._team.parts([int(np.prod(layer.weight.shape)) for layer in mlp.layers], capacity)
        self.team = self._team if self.parts > 1 else None
        unit = arena.dtype == np.float32 and matrix_unit.available()
        bytes_ = unit and self._arrays(mlp.x)[0].dtype == np.uint8
        self._functions = _functions(mlp, unit, bytes_)
        self._steps: Any = backend.compiled(dense_chain.steps, **self._functions)
        self._allocate(Layout(mlp.layers, arena, self.block, self.parts, several=capacity > self.block), unit)
        self._bind_arrays(mlp, bytes_)
        self._step_seconds = 0.0

    def _allocate(self, layout: Layout, unit: bool) -> None:
        """The workspace, and what is each thread's own."""
        real = self.arena.dtype
        self._layers, self._memory = layout.layers, Memory(self.arena.values, host.aligned_zeros(layout.size, real))
        self._tools = [
            Tools(
                host.aligned_zeros(layout.scratch, real),
                lanes(real),
                tile_rows(),
                host.aligned_zeros(layout.panels if unit else 0, np.int32),
            )
            for _ in range(self._team.threads)
        ]

    def _bind_arrays(self, mlp: FusedMLP, bytes_: bool) -> None:
        """The arrays of the run and of the batch, as the compiled loop is given them."""
        real, empty = self.arena.dtype, np.zeros(0, self.arena.dtype)
        counters, self._totals = self._shared["counters"], self._shared["totals"]
        x = self._arrays(mlp.x)
        mean, scale = x[3:5] if mlp.x.operation is GATHER_STANDARDIZED else (empty, empty)
        self._source = Source(x[0], self._arrays(mlp.target)[0], x[1], mean, scale, counters)
        self._bytes = BytesAsIntegers(self.parts, self.block, x[0].shape[1], mean, scale) if bytes_ else None
        values, targets = (self.array(value, self.capacity) for value in mlp.loss.inputs[:2])
        self._outputs = Outputs(values, np.zeros_like(values), targets, self.array(mlp.loss.outputs[0], self.capacity))
        bounds = np.array([[0, EVERYTHING]], dtype=np.int64)
        if mlp.update is None:
            ones = np.ones((1, 2), real)
            self._update = Update(counters, (empty,) * 2, bounds, ones, ones, empty, (0,))
        else:
            _, _, *slots, _, factors, table, _, clip = self._arrays(mlp.update)
            attributes = tuple(mlp.update.attributes[name] for name in _attribute_names(mlp.update))
            self._update = Update(counters, tuple(slots), bounds, factors, table, clip, attributes)
        self._learn = int(mlp.update is not None)

    def _arrays(self, node: Node) -> tuple[Any, ...]:
        return tuple(self.array(value, self.capacity) for value in node.values)

    @quietly
    def run(self, rows: int, steps: int) -> int:
        """Runs up to `steps` steps of `rows` rows; returns after at most about `TICK` seconds how many it ran."""
        deadline, done = time.perf_counter() + plan.TICK, 0
        while done < steps:
            now = time.perf_counter()
            left = (deadline - now) / self._step_seconds if self._step_seconds else 1
            if done and left < 1:
                break
            count = max(1, min(steps - done, int(left)))
            self._run(rows, count)
            self._step_seconds = (time.perf_counter() - now) / count
            done += count
        return done

    def _run(self, rows: int, count: int) -> None:
        threads, integers = self.threads, self._integers(rows)
        counters = [self._source.counters.copy() for _ in range(threads)]
        totals = [self._totals.copy() for _ in range(threads)]
        outputs = Outputs(*(array[:rows] for array in self._outputs))

        def work(thread: int) -> None:
            self._steps(
                ThreadCall(thread, threads, self.parts, count, rows, self.block, self._learn),
                self._layers,
                self._memory,
                self._source._replace(counters=counters[thread]),
                outputs,
                totals[thread],
                self._update._replace(counters=counters[thread]),
                self._tools[thread],
                integers,
                self._team.flags,
            )

        self._team.run(work, threads)
        self._source.counters[...], self._totals[...] = counters[0], totals[0]

    def _integers(self, rows: int) -> Integers:
        """Those of a batch of so many rows: empty where it is not taken as integers."""
        if self._bytes is not None and rows >= matrix_product.FEW:
            return self._bytes.integers()
        none, empty = np.zeros(0, np.int16), np.zeros(0, self.arena.dtype)
        return Integers(none, 0, none, empty, empty)

    @property
    def threads(self) -> int:
        """The threads that run a step now."""
        return self._team.threads_for(self.parts)

    @property
    def short_handed(self) -> bool:
        """Whether fewer threads than planned run a step for a while, since other programs use the processor."""
        return self.threads < min(self._team.threads, self.parts)

    def costs(self, rows: int) -> list[Cost]:
        """What each operation costs, as `Plan.costs`, and how often the threads wait for each other.

        The loop launches nothing, and does not store the gradient of the weights.
        """
        found = []
        for call, cost in zip(self.bind(rows), super().costs(rows), strict=True):
            read, written = cost.read, 0 if cost.product == WEIGHTS else cost.written
            if call.node.operation in UPDATES:
                read -= call.arrays[1].nbytes
            found.append(replace(cost, read=read, written=written, launches=0))
        return [*found, Cost(WAIT, "", "step", launches=self.waits(rows))]

    def waits(self, rows: int) -> int:
        """How often the threads wait for each other in a training step; 0 of one thread."""
        return 2 * len(self._layers) * math.ceil(rows / self.block) if self.parts > 1 else 0

    def products(self, rows: int) -> list[Product]:
        """The forward product of each layer for one block of rows, by the loop's own functions and threads."""
        names = [cost.layer for cost in super().costs(rows) if cost.product == FORWARD]
        loop, some = self.backend.compiled(dense_chain.forward_products, **self._functions), min(rows, self.block)
        integers = self._integers(rows)

        def run(level: int, count: int) -> None:
            threads = self.threads

            def work(thread: int) -> None:
                share = ThreadCall(thread, threads, self.parts, count, rows, self.block, 0)
                assert loop is not None
                loop(share, level, self._layers, self._memory, self._tools[thread], integers)

            self._team.run(work, threads)

        return [
            Product(name, FORWARD, 2 * some * int(places[0]) * int(places[1]), partial(run, level))
            for level, (name, places) in enumerate(zip(names, self._layers, strict=True))
        ]


def _functions(mlp: FusedMLP, unit: bool, bytes_: bool) -> dict[str, Any]:
    """What stands in, by name, for functions that the loop calls; what it has no use for is not compiled."""
    functions: dict[str, Any] = {"loss": mlp.loss.operation.loop}
    if unit:
        functions |= UNIT | ({} if bytes_ else NOT_INTEGERS)
    if mlp.update is None:
        return functions | dense_chain.NOT_LEARNING
    slots = len(mlp.update.inputs) - 7
    return functions | {"update_parameters": mlp.update.operation.loop, "slice_states": SLICES[slots]}


def _attribute_names(node: Node) -> tuple[str, ...]:
    """The attributes of an operation in the order of its loop's arguments."""
    loop: Any = node.operation.loop
    return loop.__code__.co_varnames[2 + len(node.values) : loop.__code__.co_argcount]
