"""The plan of a fused MLP: many steps on all cores in one compiled call, on backends that compile loops.

A graph is a fused MLP if it loads a batch, applies Linear layers, activations and dropout in sequence and computes the
loss; in training, also the backward pass and the update. Any other graph runs on a `PooledPlan`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np

from ...backends import Backend, host
from ...backends.thread_pool import ThreadPool, max_share
from ...backends.vectors import lanes, tile_rows
from ...kernels.batches.gather import GATHER_STANDARDIZED
from ...kernels.counters import FAILED
from ...kernels.dense import chain as dense_chain
from ...kernels.dense import clipping, matrix_product, matrix_unit_engine, vector_engine
from ...kernels.dense.engine import Engine, chunks_of
from ...kernels.dense.parts import (
    GRAIN,
    DropoutStreams,
    Integers,
    Memory,
    Options,
    Outputs,
    Source,
    StepFunctions,
    Targets,
    ThreadCall,
    Tools,
    Update,
    places_of,
)
from ...kernels.dense.update import EVERYTHING
from ...kernels.operation import Operation
from ...kernels.updates.clip_values import CLIP_VALUES
from ...kernels.updates.gradient_norm import CLIP_FACTOR
from ...kernels.updates.l1 import L1_SUBGRADIENT, SOFT_THRESHOLD
from ..graph.graph import Graph, Node
from . import plan
from .arena import Arena
from .costs import FORWARD, WAIT, WEIGHTS, Cost, Product
from .dense_choice import MATRIX_UNIT, ROWS, Choice
from .dense_functions import BoundFunctions, attribute_names, bound_engine
from .dense_layout import BLOCK, BytesAsIntegers, Layout, block_rows
from .dense_loop import PRODUCTS, loop_of, wait_until_compiled
from .fused_mlp import FusedMLP
from .plan import Plan, quietly

TRIED = 1024, 1 << 27  # rows of a trial's steps, and multiplications of a forward pass: at most, beyond a block


class DensePlan(Plan):
    """Runs a fused MLP as one compiled loop on a thread pool."""

    kind: Literal["graph", "compiled"] = "compiled"

    def __init__(
        self,
        mlp: FusedMLP,
        graph: Graph,
        backend: Backend,
        arena: Arena,
        shared: Mapping[str, Any],
        capacity: int,
        pool: ThreadPool,
        choice: Choice,
    ) -> None:
        super().__init__(graph, backend, arena, shared, capacity)
        self._pool, self.choice, self.parts, self.by_rows = pool, choice, choice.parts, choice.divided == ROWS
        share = max_share(capacity, self.parts, GRAIN) if self.by_rows else capacity
        unit = choice.engine == MATRIX_UNIT
        self.block, self.how = min(block_rows(mlp.layers, unit), share), choice.how
        self.thread_pool = self._pool if self.parts > 1 else None
        self._counters, self._totals = shared["counters"], shared["totals"]
        bytes_ = unit and self._arrays(mlp.x)[0].dtype == np.uint8
        several, divided = self.by_rows or capacity > self.block, 1 if self.by_rows else self.parts
        self._allocate(Layout(mlp.layers, arena, self.block, divided, several), unit)
        self._steps = loop_of(backend, choice.divided, arena.dtype.name)
        self._functions = BoundFunctions(backend, mlp, self._memory, self._counters)
        self._functions.activations(self._tables)
        self._bind_arrays(mlp, bytes_)
        arguments = self._tools[0], self._memory, self._integers(capacity)
        self._unit = bound_engine(backend, matrix_unit_engine, *arguments, bytes_) if unit else None
        wait_until_compiled(PRODUCTS, arena.dtype.name)  # last: the other process compiles meanwhile
        self._vectors = bound_engine(backend, vector_engine, *arguments)
        self._step_seconds, self._call_seconds = 0.0, math.inf

    def _allocate(self, layout: Layout, unit: bool) -> None:
        """Allocates the workspace and the buffers of each thread."""
        real, workspaces = self.arena.dtype, self.parts if self.by_rows else 1
        self._memory = Memory(self.arena.values, host.aligned_zeros(layout.size * workspaces, real))
        self._tables = layout.of_parts(workspaces)
        self._layers = self._tables if self.by_rows else self._tables[0]
        self._tools = [
            Tools(
                host.aligned_zeros(layout.scratch, real),
                lanes(real),
                tile_rows(),
                host.aligned_zeros(layout.panels if unit else 0, np.int32),
            )
            for _ in range(self._pool.threads)
        ]

    def _bind_arrays(self, mlp: FusedMLP, bytes_: bool) -> None:
        """The arrays of the run and of the batch, as arguments of the compiled loop and its functions."""
        empty = np.zeros(0, self.arena.dtype)
        x, target = self._arrays(mlp.x), self._arrays(mlp.target)
        self._rows = len(x[1])
        mean, scale = x[3:5] if mlp.x.operation is GATHER_STANDARDIZED else (empty, empty)
        self._bytes = BytesAsIntegers(self.parts, self.block, x[0].shape[1], mean, scale) if bytes_ else None
        self._functions.source(Source(x[0], x[1], mean, scale), self._integers(self.capacity), bytes_)
        values, targets = (self.array(value, self.capacity) for value in mlp.loss.inputs[:2])
        self._outputs = Outputs(values, np.zeros_like(values), self.array(mlp.loss.outputs[0], self.capacity))
        self._functions.loss(Targets(target[0], x[1], targets), self._outputs)
        if mlp.update is not None:
            bounds = np.array([[0, EVERYTHING]], dtype=np.int64)
            _, _, *slots, _, factors, table, _, clip = self._arrays(mlp.update)
            attributes = tuple(mlp.update.attributes[name] for name in attribute_names(mlp.update))
            update = Update(tuple(slots), bounds, factors, table, clip, attributes, self._options(mlp))
            self._functions.update(update, self._tables[0], self._pool.flags)
        self._learn = int(mlp.update is not None)
        self._dropout = self._dropout_streams([layer.dropout for layer in mlp.layers if layer.dropout is not None])
        self._functions.layers(self._tables[0], self._outputs, self._dropout, self._tools[0])

    def _dropout_streams(self, nodes: list[Node]) -> DropoutStreams:
        """The arguments of the layers' dropouts."""
        key = self._arrays(nodes[0])[1] if nodes else np.zeros(2, np.uint32)
        attributes = {"threshold": np.int64, "stream": np.int64, "scale": self.arena.dtype}
        found = (np.array([node.attributes[name] for node in nodes], kind) for name, kind in attributes.items())
        return DropoutStreams(key, *found)

    def _options(self, mlp: FusedMLP) -> Options:
        """The arguments of the step's options; 0 and empty arrays for those that it does not have."""

        def attribute(operation: Operation, name: str) -> float:
            return float(mlp.options[operation].attributes[name]) if operation in mlp.options else 0.0

        empty = np.zeros(0, self.arena.dtype)
        clips = CLIP_FACTOR in mlp.options
        return Options(
            attribute(L1_SUBGRADIENT, "strength"),
            attribute(SOFT_THRESHOLD, "strength"),
            self._shared.get("weights", empty),
            self._shared.get("learning rates", empty),
            attribute(CLIP_VALUES, "bound"),
            attribute(CLIP_FACTOR, "max_norm"),
            self.arena.gradients if clips else empty,
            np.zeros(self.parts * clipping.SUMS if clips else 0),
            self._shared.get("average", empty),
            self._shared.get("average rates", empty),
        )

    def _arrays(self, node: Node) -> tuple[Any, ...]:
        return tuple(self.array(value, self.capacity) for value in node.values)

    @quietly
    def run(self, rows: int, steps: int) -> int:
        """Runs up to `steps` steps of `rows` rows for about `TICK` seconds at most; returns the number of steps."""
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
        self._call(rows, count, self._counters, self._totals, self._functions.addresses)

    def _call(self, rows: int, count: int, counters: Any, totals: Any, functions: StepFunctions) -> None:
        """Runs `count` steps, which advance the counters and totals."""
        wait_until_compiled(self.choice.divided, self.arena.dtype.name)
        threads, integers, engine = self.threads, self._integers(rows), self._engine(rows)
        own = [(counters.copy(), totals.copy()) for _ in range(threads)]
        outputs = Outputs(*(array[:rows] for array in self._outputs))

        def work(thread: int) -> None:
            self._steps(
                ThreadCall(thread, threads, self.parts, count, rows, self.block, self._learn),
                self._layers,
                self._memory,
                outputs,
                *own[thread],
                functions,
                self._dropout,
                self._tools[thread],
                engine,
                integers,
                self._pool.flags,
            )

        self._pool.run(work, threads)
        counters[...], totals[...] = own[0]

    @quietly
    def trial(self, count: int) -> float:
        """Runs up to `count` steps of some rows, on copies of parameters and states; the seconds of one."""
        weights = sum(int(places[0]) * int(places[1]) for places in self._tables[0])
        rows = min(self.capacity, self._rows, max(BLOCK, min(TRIED[0], TRIED[1] // max(1, weights))))
        count = max(1, min(count, self._rows // rows))
        own = self._memory
        self._memory = own._replace(parameters=own.parameters.copy())
        try:
            functions = self._functions.apart(self._memory, self._tables[0], self._pool.flags)

            def seconds(steps: int) -> float:
                counters = np.zeros_like(self._counters)
                counters[FAILED] = -1
                start = time.perf_counter()
                self._call(rows, steps, counters, np.zeros_like(self._totals), functions)
                return time.perf_counter() - start

            self._call_seconds = min(self._call_seconds, seconds(0))  # a training calls once for many steps
            return max(1e-9, seconds(count) - self._call_seconds) / count
        finally:
            self._memory = own

    def _engine(self, rows: int) -> Engine:
        """The product engine for batches of `rows` rows."""
        return self._vectors if self._unit is None or rows < matrix_product.FEW else self._unit

    def _integers(self, rows: int) -> Integers:
        """The integers of a batch of `rows` rows; empty if it is not processed as integers."""
        if self._bytes is not None and rows >= matrix_product.FEW:
            return self._bytes.integers()
        none, empty = np.zeros(0, np.int16), np.zeros(0, self.arena.dtype)
        return Integers(none, 0, none, empty, empty)

    @property
    def threads(self) -> int:
        """The threads that run a step now."""
        return self._pool.threads_for(self.parts)

    @property
    def stalls(self) -> int:
        """The calls so far, of all plans on these threads, in which other programs took a thread's CPU."""
        return self._pool.stalls

    @property
    def short_handed(self) -> bool:
        """Whether fewer threads than planned run a step for now, because other programs use the CPU."""
        return self.threads < min(self._pool.threads, self.parts)

    def costs(self, rows: int) -> list[Cost]:
        """The cost of each operation, as `Plan.costs`, and the number of thread synchronisations.

        The loop launches nothing. It stores the gradient of the weights only if the rows are divided.
        """
        found = []
        for call, cost in zip(self.bind(rows), super().costs(rows), strict=True):
            read, written = cost.read, cost.written
            if cost.product == WEIGHTS and not self.by_rows:
                written = 0
            if call.node.operation.role == "update" and not self.by_rows:
                read -= call.arrays[1].nbytes
            found.append(replace(cost, read=read, written=written, launches=0))
        return [*found, Cost(WAIT, "", "step", launches=self.waits(rows))]

    def waits(self, rows: int) -> int:
        """The number of thread synchronisations in a training step; 0 with one thread."""
        if self.parts == 1:
            return 0
        if self.by_rows:
            return 2
        first, found = places_of(self._layers, 0), 2 * len(self._layers) * math.ceil(rows / self.block)
        for start in range(0, rows, self.block):
            found += chunks_of(min(self.block, rows - start), self.parts, first, self._engine(rows)) > 1
        return found

    def products(self, rows: int) -> list[Product]:
        """The forward product of each layer for one block of rows, by the loop's own functions and threads."""
        names = [cost.layer for cost in super().costs(rows) if cost.product == FORWARD]
        loop: Any = self.backend.compiled(dense_chain.forward_products)
        integers, engine, some = self._integers(rows), self._engine(rows), min(rows, self.block)

        def run(level: int, count: int) -> None:
            threads = self.threads

            def work(thread: int) -> None:
                own = ThreadCall(thread, threads, self.parts, count, rows, self.block, 0)
                alone = own._replace(thread=0, threads=1, parts=1)
                parts = range(thread, self.parts, threads) if self.by_rows else [0]
                for part in parts:
                    share = alone if self.by_rows else own
                    loop(share, level, self._tables[part], self._memory, self._tools[thread], engine, integers)

            self._pool.run(work, threads)

        blocks = len(self._tables)
        return [
            Product(name, FORWARD, 2 * blocks * some * int(places[0]) * int(places[1]), partial(run, level))
            for level, (name, places) in enumerate(zip(names, self._tables[0], strict=True))
        ]
