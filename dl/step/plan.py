"""A graph bound to a backend: buffers are allocated and kernels chosen; running it decides nothing."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

import numpy as np

from ...backends import Backend, compile_time
from ...backends.errors import DeviceMemoryError
from ...backends.thread_pool import ThreadPool
from ..graph.fused_ops import joined
from ..graph.graph import Graph, Node, Value
from ..graph.tangent import PHASE
from .arena import Arena
from .capture import Call, Steps
from .costs import Cost, Product, cost_of, product_of

TICK = 0.25  # seconds after which `run` comes back, for progress and signals
BINDINGS = 8  # batch sizes that stay bound
underflowing = np.errstate(under="ignore")  # whoever has NumPy raise on it does not mean what vanishes here
quietly = np.errstate(all="ignore")  # NumPy's warnings: a non-finite loss has its own error


class Plan:
    """Runs a graph on batches of up to `capacity` rows.

    Parameters
    ----------
    graph : the operations.
    backend : where it runs.
    arena : holds the parameters, and receives their gradients.
    shared : the run's arrays by name, for the graph's shared values.
    capacity : rows of the largest batch; smaller ones use the leading rows of the same buffers.
    join : whether operations may be fused into fewer launches; False if each is needed separately.

    Raises
    ------
    DeviceMemoryError
        The buffers do not fit; the message names the largest batch that does.

    Attributes
    ----------
    kind : "graph" if Python calls each operation of a step, "compiled" if compiled code does.
    how : the threads and arithmetic units of a step, if they were chosen by measurement.
    thread_pool : the threads that run a step together; None if the calling thread runs it.
    """

    kind: Literal["graph", "compiled"] = "graph"
    how: str = ""
    thread_pool: ThreadPool | None = None

    def __init__(
        self,
        graph: Graph,
        backend: Backend,
        arena: Arena,
        shared: Mapping[str, Any],
        capacity: int,
        *,
        join: bool = True,
    ) -> None:
        graph = joined(graph) if join and backend.joins else graph
        self.graph, self.backend, self.arena, self.capacity = graph, backend, arena, capacity
        self._shared = dict(shared)
        self._parameters = {parameter.name: parameter for parameter in arena.parameters}
        gradients = graph.gradients
        self._gradient_of = {gradients[v]: name for name, v in graph.parameters.items() if v in gradients}
        self._roots = share_memory(graph)
        self._bindings: OrderedDict[int, list[Call]] = OrderedDict()
        self._replays: dict[int, Steps] = {}
        own = own_values(graph, self._roots)
        self.bytes = sum(bytes_of(value, capacity) for value in own)
        self._refuse_if_too_large(own)
        self._storage = {value: backend.zeros(shape_of(value, capacity), value.dtype) for value in own}

    @quietly
    def run(self, rows: int, steps: int) -> int:
        """Runs up to `steps` steps of `rows` rows for at most `TICK` seconds; returns the number of steps."""
        several = self.steps(rows)
        deadline = time.perf_counter() + TICK
        done = 0
        with self.backend.naming_memory():
            while done < steps:
                done += several.run(steps - done)
                if time.perf_counter() > deadline:
                    break
        return done

    @quietly
    def once(self, rows: int, *phases: str) -> None:
        """Runs the operations of these phases once."""
        for call in self.bind(rows):
            if call.node.phase in phases:
                call.run()

    @quietly
    def first_not_finite(self, rows: int) -> str | None:
        """Loads a batch and runs the forward operations one by one; returns the first non-finite layer."""
        for call in self.bind(rows):
            if call.node.phase in ("load", "forward"):
                call.run()
            if call.node.phase != "forward":
                continue
            for value, array in zip(call.node.outputs, call.arrays[len(call.node.inputs) :], strict=True):
                if "float" in value.dtype and not np.isfinite(self.backend.to_numpy(array)).all():
                    return call.node.layer or call.node.operation.name
        return None

    def steps(self, rows: int) -> Steps:
        """The steps of `rows` rows; replayed as one launch if the backend supports it."""
        calls = self.bind(rows)
        if rows not in self._replays:
            self._replays[rows] = Steps(self.backend, calls)
        return self._replays[rows]

    def bind(self, rows: int) -> list[Call]:
        """The calls of a step of `rows` rows, cached for the last few batch sizes."""
        calls = self._bindings.get(rows)
        if calls is None:
            with compile_time.counted():
                calls = self._bindings[rows] = [self._bind(node, rows) for node in self.graph.nodes]
            if len(self._bindings) > BINDINGS:
                oldest, _ = self._bindings.popitem(last=False)
                self._replays.pop(oldest, None)
        self._bindings.move_to_end(rows)
        return calls

    def array(self, value: Value, rows: int) -> Any:
        """The array of a value for a batch of `rows` rows."""
        if value.kind == "shared":
            return self._shared[value.name]
        if value.kind == "parameter":
            buffer = self.arena.values if value.dtype == self.arena.dtype.name else self.arena.copy
            return self.arena.view(buffer, self._parameters[value.name])
        parameter = self._gradient_of.get(value)
        if parameter is not None:
            return self.arena.view(self.arena.gradients, self._parameters[parameter])
        storage = self._storage[self._roots.get(value, value)]
        return storage[: rows * value.rows_per_example] if value.kind == "batch" else storage

    def in_place(self, node: Node) -> bool:
        """Whether an operation writes in place: to the memory of an input, or to the optimizer's arrays."""
        return not node.outputs or any(self._roots.get(value, value) is not value for value in node.outputs)

    @property
    def threads(self) -> int:
        """The threads that run a step now."""
        return 1

    @property
    def short_handed(self) -> bool:
        """Whether fewer threads than planned run a step for now, because other programs use the CPU."""
        return False

    def costs(self, rows: int) -> list[Cost]:
        """The cost of each operation of a step of `rows` rows, in order."""
        return [cost_of(call.node, call.arrays, self.in_place(call.node)) for call in self.bind(rows)]

    def products(self, rows: int) -> list[Product]:
        """The matrix products of a step of `rows` rows, for running them alone."""
        found = []
        for call in self.bind(rows):
            product = product_of(call.node)
            if product:
                flops = call.node.operation.flops(*call.arrays, **call.node.attributes)
                found.append(Product(call.node.layer, product, flops, partial(repeat, call.run)))
        return found

    def _bind(self, node: Node, rows: int) -> Call:
        arrays = tuple(self.array(value, rows) for value in node.values)
        return Call(node, arrays, self.backend.bind(node.operation, arrays, node.attributes))

    def _refuse_if_too_large(self, own: list[Value]) -> None:
        free, total = self.backend.memory()
        if self.bytes <= free:
            return
        a_row = sum(bytes_of(value, 1) for value in own if value.kind == "batch")
        fixed = sum(bytes_of(value, 1) for value in own if value.kind == "fixed")
        raise DeviceMemoryError(
            f"a batch of {self.capacity:,} rows needs {self.bytes / 2**30:.2f} GiB of memory for activations, but "
            f"{free / 2**30:.2f} GiB of {total / 2**30:.2f} GiB are free on backend {self.backend.name!r}; "
            f"the largest batch that fits is {max(0, (free - fixed) // max(a_row, 1)):,}"
        )


def repeat(run: Callable[[], Any], count: int) -> None:
    """Runs it `count` times."""
    for _ in range(count):
        run()


def own_values(graph: Graph, roots: Mapping[Value, Value]) -> list[Value]:
    """The values that a plan allocates: those outside the run's arrays, the arena and the memory of other values."""
    in_arena = {graph.gradients[value] for value in graph.parameters.values() if value in graph.gradients}
    values = dict.fromkeys(value for node in graph.nodes for value in node.values)
    values |= dict.fromkeys(graph.outputs)  # where nothing computes them, they are the input
    return [v for v in values if v.kind in ("batch", "fixed") and v not in in_arena and roots.get(v, v) is v]


def shape_of(value: Value, rows: int) -> tuple[int, ...]:
    """The shape of a plan's value for a batch of `rows` rows."""
    return (rows * value.rows_per_example, *value.shape) if value.kind == "batch" else value.shape


def bytes_of(value: Value, rows: int) -> int:
    """The memory of a plan's value for a batch of `rows` rows."""
    return int(np.prod(shape_of(value, rows), dtype=np.float64)) * np.dtype(value.dtype).itemsize


def share_memory(graph: Graph) -> dict[Value, Value]:
    """For each value that can be computed in place: the input value whose memory it uses.

    Only memory that the graph itself writes is reused. Values that are written from outside, such as the rows of an
    `Objective`, must survive many runs. The same holds for values that a separately repeated phase reads:
    Hessian-vector products must not change results of the forward and backward phases.
    """
    last_read: dict[Value, float] = {value: float("inf") for value in graph.outputs}
    for position, node in enumerate(graph.nodes):
        for value in node.inputs:
            last_read[value] = max(last_read.get(value, 0), position)
    in_arena = {graph.gradients[value] for value in graph.parameters.values() if value in graph.gradients}
    roots: dict[Value, Value] = {}
    written: dict[Value, str] = {}
    for position, node in enumerate(graph.nodes):
        for output, source in node.operation.inplace:
            target, value = node.outputs[output], node.inputs[source]
            root = roots.get(value, value)
            if (
                value.kind == target.kind
                and value.kind in ("batch", "fixed")
                and (value.shape, value.dtype, value.rows_per_example)
                == (target.shape, target.dtype, target.rows_per_example)
                and not in_arena & {value, target, root}
                and last_read[root] <= position
                and root in written
                and (node.phase != PHASE or written[root] == PHASE)
            ):
                roots[target] = root
                last_read[root] = max(last_read[root], last_read.get(target, position))
        written.update(dict.fromkeys(node.outputs, node.phase))
    return roots
