"""The plan of a chain of dense layers, where the backend compiles loops: whole steps on all cores in one call.

A chain is a list of operations that gathers a batch, multiplies, adds biases and applies activations layer after
layer, scores, and, in training, goes back the same way and updates. Any other list runs on a `Plan`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backends import Backend, host, matrix_unit
from ..backends.machine import lanes, tile_rows
from ..backends.team import Team, team
from ..kernels import dense_chain, dense_outputs, dense_parts, matrix_product
from ..kernels.activation import IDENTITY
from ..kernels.bias_activation import BIAS_ACTIVATION
from ..kernels.dense_update import CUTS, EVERYTHING, HOT, ROWS
from ..kernels.gather_standardized import GATHER_STANDARDIZED
from ..kernels.matmul import MATMUL
from ..kernels.product import SCRATCH
from ..kernels.update import SHARED
from . import plan
from .arena import Arena
from .dense_layout import Layout, WholeNumbers, divided_by_outputs
from .dense_obstacle import obstacle
from .graph import Graph, Node, Value
from .plan import Plan, quietly

BLOCK = 256  # rows of a batch at a time: what keeps a block's activations in a second-level cache of 2 MiB


def plan_of(graph: Graph, backend: Backend, arena: Arena, shared: Mapping[str, Any], capacity: int) -> Plan:
    """The fastest plan that runs the graph on this backend; arguments and errors as `Plan`."""
    chain = recognize(graph)
    if chain is None or backend.compiled(dense_chain.steps) is None:
        return Plan(graph, backend, arena, shared, capacity)
    return DensePlan(chain, graph, backend, arena, shared, capacity)


@dataclass
class Layer:
    """A dense layer of the chain: its weights, its bias and its activation."""

    weight: Value
    bias: Value | None = None
    activation: int = IDENTITY


@dataclass
class Chain:
    """The nodes of a chain of dense layers that are more than products and activations."""

    x: Node
    target: Node
    layers: list[Layer]
    loss: Node
    update: Node | None


def recognize(graph: Graph) -> Chain | None:
    """The chain that the graph is, or None: `obstacle` says what prevents it."""
    if obstacle(graph) is not None:
        return None
    x, target = (node for node in graph.nodes if node.phase == "load")
    *forward, loss = (node for node in graph.nodes if node.phase == "forward")
    update = next((node for node in graph.nodes if node.operation.role == "update"), None)
    return Chain(x, target, _layers(forward), loss, update)


def _layers(nodes: list[Node]) -> list[Layer]:
    """The layers of a chain's forward nodes."""
    layers: list[Layer] = []
    for node in nodes:
        if node.operation is MATMUL:
            layers.append(Layer(node.inputs[1]))
            continue
        layers[-1].activation = int(node.attributes["activation"])
        if node.operation is BIAS_ACTIVATION:
            layers[-1].bias = node.inputs[1]
    return layers


class DensePlan(Plan):
    """Runs a chain of dense layers as one compiled loop on a team of threads."""

    def __init__(
        self,
        chain: Chain,
        graph: Graph,
        backend: Backend,
        arena: Arena,
        shared: Mapping[str, Any],
        capacity: int,
        block: int = BLOCK,
        workers: Team | None = None,
    ) -> None:
        super().__init__(graph, backend, arena, shared, capacity)
        self.block, self.team = min(block, capacity), workers or team()
        self.parts = self.team.parts([int(np.prod(layer.weight.shape)) for layer in chain.layers], capacity)
        wide = divided_by_outputs(chain, self.parts)
        layout = Layout(chain, arena, self.block, self.parts, several=capacity > self.block)
        self.layers = layout.layers
        self._work = host.aligned_zeros(layout.size, arena.dtype)
        room = SCRATCH + max(2 * HOT + 2 * layout.widest * (ROWS + 1), 16 * layout.widest)
        self._scratch = [host.aligned_zeros(room, arena.dtype) for _ in range(self.team.threads)]
        unit = arena.dtype == np.float32 and matrix_unit.available()
        self._panels = [np.zeros(0, np.int32)] * self.team.threads
        if unit:
            self._panels = [host.aligned_zeros(layout.words, np.int32) for _ in range(self.team.threads)]
        self._bytes = unit and self._arrays(chain.x)[0].dtype == np.uint8
        functions = self._functions(chain, wide, unit)
        self._steps: Any = backend.compiled(dense_chain.steps, **functions)
        self._bind_arrays(chain, wide)
        self._step_seconds = 0.0

    def _functions(self, chain: Chain, wide: bool, unit: bool) -> dict[str, Any]:
        """What the loop calls by these names for this chain; what it has no use for is not compiled."""
        functions: dict[str, Any] = {"lose": chain.loss.operation.loop}
        functions |= {"finish": dense_outputs.finish_by_outputs} if wide else dense_parts.NOT_WIDE
        if not unit:
            functions |= dense_parts.NOT_UNIT
        if not self._bytes:
            functions |= dense_parts.NOT_BYTES
        if chain.update is None:
            return functions | dense_parts.NOT_LEARNING
        slots = len(chain.update.inputs) - SHARED
        return functions | {"update": chain.update.operation.loop, "cut": CUTS[slots]}

    def _bind_arrays(self, chain: Chain, wide: bool) -> None:
        """Everything that the compiled loop is given, but for the number of rows and what is each thread's own."""
        arena, real, empty = self.arena, self.arena.dtype, np.zeros(0, self.arena.dtype)
        x = self._arrays(chain.x)
        mean, scale = x[3:5] if chain.x.operation is GATHER_STANDARDIZED else (empty, empty)
        self._source = x[0], self._arrays(chain.target)[0], x[1], mean, scale
        self._exact = WholeNumbers(self.parts, self.block, x[0].shape[1], mean, scale) if self._bytes else None
        self.inexact = np.zeros(0, np.int16), 0, np.zeros(0, np.int16), empty, empty
        outputs, target = chain.loss.inputs
        scores = chain.loss.outputs[0]
        whole = [self.array(value, self.capacity) for value in (outputs, target, scores)]
        gradient = np.zeros_like(whole[0])
        parts, threads = (self.parts, self.team.threads) if wide else (0, 0)
        by_part = np.zeros((parts, *whole[2].shape), real)
        scores = [np.zeros_like(whole[2]) for _ in range(threads)] or [whole[2]] * self.team.threads
        self._ends = [(whole[0], gradient, whole[1], own, by_part) for own in scores]
        self._counters, self._totals = self._shared["counters"], self._shared["totals"]
        bounds = np.array([[0, EVERYTHING]], dtype=np.int64)
        if chain.update is None:
            ones = np.ones((1, 2), real)
            self._optimizer = (empty,) * 2, bounds, ones, ones, empty, (0,)
        else:
            _, _, *slots, _, factors, table, _, clip = self._arrays(chain.update)
            attributes = tuple(chain.update.attributes[name] for name in _attribute_names(chain.update))
            self._optimizer = tuple(slots), bounds, factors, table, clip, attributes
        self._learn = int(chain.update is not None)
        self._p = arena.values

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
        threads = self.team.threads_for(self.parts)
        counters = [self._counters.copy() for _ in range(threads)]
        totals = [self._totals.copy() for _ in range(threads)]
        real = self.arena.dtype
        exact = self.inexact
        if self._exact is not None and rows >= matrix_product.FEW:
            exact = self._exact.arrays()

        def work(thread: int) -> None:
            self._steps(
                thread,
                threads,
                self.parts,
                count,
                rows,
                self.block,
                self._learn,
                self.layers,
                self._work,
                self.team.flags,
                self._source,
                self._p,
                (counters[thread], *self._optimizer),
                self._ends[thread],
                totals[thread],
                (self._scratch[thread], lanes(real), tile_rows(), self._panels[thread]),
                exact,
            )

        self.team.run(work, threads)
        self._counters[...], self._totals[...] = counters[0], totals[0]


def _attribute_names(node: Node) -> tuple[str, ...]:
    """The attributes of an operation in the order of its loop's arguments."""
    loop: Any = node.operation.loop
    return loop.__code__.co_varnames[2 + len(node.values) : loop.__code__.co_argcount]
