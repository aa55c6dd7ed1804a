"""A plan whose operations run on all cores, without Python between them, on backends that compile loops.

Each operation's loop runs over its items on several threads, which wait for each other after each operation (see
`backends.tasks`). Matrix products are compiled loops too, because the threads of a BLAS library would compete with the
pool's for the cores. An operation without a loop runs in Python, between two lists of tasks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from ...backends import Backend, addresses, compile_time, host, tasks
from ...backends.thread_pool import ThreadPool, thread_pool
from ...backends.vectors import lanes, tile_rows
from ...kernels.arrays import matmul_loop
from ...kernels.sequences.attention import ATTENTIONS
from ..graph.fused_attention import with_attention
from ..graph.graph import Graph
from . import plan
from .arena import Arena
from .capture import Call
from .costs import WAIT, Cost
from .dense_functions import attribute_names
from .plan import Plan, quietly

GRAIN = 16  # items of an operation that are not divided: elements of a cache line
SMALL = 1 << 15  # bytes, and arithmetic operations, below which one thread runs an operation


class PooledPlan(Plan):
    """Runs a graph's operations on a thread pool; arguments and errors as `Plan`.

    `workers` run the operations, instead of the threads of this process.
    """

    kind: Literal["graph", "compiled"] = "compiled"

    def __init__(
        self,
        graph: Graph,
        backend: Backend,
        arena: Arena,
        shared: Mapping[str, Any],
        capacity: int,
        workers: ThreadPool | None = None,
    ) -> None:
        self._pool = workers or thread_pool()
        super().__init__(with_attention(graph, self._pool.threads), backend, arena, shared, capacity)
        self.thread_pool = self._pool if self._pool.threads > 1 else None
        self._run_tasks: Any = backend.compiled(tasks.run)
        self._lists: dict[int, list[TaskList | Call]] = {}
        self._step_seconds = 0.0

    @quietly
    def run(self, rows: int, steps: int) -> int:
        """Runs up to `steps` steps of `rows` rows for about `TICK` seconds at most; returns the number of steps."""
        deadline, done, work = time.perf_counter() + plan.TICK, 0, self._work(rows)
        while done < steps:
            now = time.perf_counter()
            left = (deadline - now) / self._step_seconds if self._step_seconds else 1
            if done and left < 1:
                break
            count = max(1, min(steps - done, int(left))) if len(work) == 1 else 1
            for part in work:
                if isinstance(part, TaskList):
                    self._together(part, count)
                else:
                    part.run()
            self._step_seconds = (time.perf_counter() - now) / count
            done += count
        return done

    def _together(self, part: TaskList, count: int) -> None:
        threads = self.threads
        self._pool.run(lambda thread: self._run_tasks(thread, threads, count, part.table, self._pool.flags), threads)

    def _work(self, rows: int) -> list[TaskList | Call]:
        """A step of `rows` rows: lists of tasks, and the operations between them that have no loop."""
        calls = self.bind(rows)
        if rows not in self._lists:
            self._lists = {known: work for known, work in self._lists.items() if known in self._bindings}
            with compile_time.counted():
                self._lists[rows] = self._listed(calls)
        return self._lists[rows]

    def _listed(self, calls: list[Call]) -> list[TaskList | Call]:
        work: list[TaskList | Call] = []
        for call in calls:
            found = self._tasks(call)
            if not found:
                work.append(call)
            elif work and isinstance(work[-1], TaskList):
                work[-1].add(found)
            else:
                work.append(TaskList(found))
        return work

    def _tasks(self, call: Call) -> list[BoundLoop]:
        """The tasks of an operation; none if it has no loop."""
        operation, arrays = call.node.operation, call.arrays
        if operation.product and all(array.flags.c_contiguous for array in arrays):
            return self._product(*arrays, **call.node.attributes)
        loop: Any = operation.loop
        if loop is None:
            return []
        arguments = (*arrays, *(call.node.attributes[name] for name in attribute_names(call.node)))
        size = max(sum(array.nbytes for array in arrays), operation.flops(*arrays, **call.node.attributes))
        used, items = 1 if size < SMALL else self._pool.threads, operation.extent(*arrays)
        return [self._task(loop, arguments, items, used, 1 if operation in ATTENTIONS else 0)]

    def _product(
        self, a: Any, b: Any, out: Any, transpose_a: int = 0, transpose_b: int = 0, **_: Any
    ) -> list[BoundLoop]:
        """A matrix product: b is transposed first if it is stored transposed."""
        threads, width, found = self._pool.threads, lanes(out.dtype), []
        a, b, out = (array.reshape(-1, *array.shape[-2:]) for array in (a, b, out))
        if transpose_b:
            turned = host.aligned_zeros(matmul_loop.transposed_shape(b, width), b.dtype)
            groups = b.shape[0] * -(-b.shape[2] // width)
            found.append(self._task(matmul_loop.transpose_loop, (b, turned, width), groups, threads, 1))
            b = turned
        scratch = host.aligned_zeros((threads, matmul_loop.scratch_size(width)), out.dtype)
        depth = a.shape[1 if transpose_a else 2]
        arguments = (a, b, out, scratch, depth, b.shape[2], width, tile_rows(), transpose_a)
        used = 1 if 2 * out.size * depth < SMALL else threads
        return [*found, self._task(matmul_loop.loop, arguments, threads, used, 1)]

    def _task(self, loop: Any, arguments: Sequence[Any], items: int, threads: int, grain: int = 0) -> BoundLoop:
        bind = self.backend.compiled(tasks.bind, loop=loop)
        assert bind is not None
        return BoundLoop(bind, tuple(arguments), items, grain or (GRAIN if items >= 2 * GRAIN else 1), threads)

    @property
    def threads(self) -> int:
        """The threads that run a step now."""
        return self._pool.threads_for(self._pool.threads)

    @property
    def short_handed(self) -> bool:
        """Whether fewer threads than planned run a step for now, because other programs use the CPU."""
        return self.threads < self._pool.threads

    def costs(self, rows: int) -> list[Cost]:
        """The cost of each operation, as `Plan.costs`, and the number of thread synchronisations."""
        waits = sum(len(part.table) for part in self._work(rows) if isinstance(part, TaskList))
        found = [Cost(**{**vars(cost), "launches": 0}) for cost in super().costs(rows)]
        return [*found, Cost(WAIT, "", "step", launches=waits if self._pool.threads > 1 else 0)]


class BoundLoop:
    """A loop with its arguments, stored for `backends.tasks`; `division` is its items, grain and threads."""

    def __init__(self, bind: Callable[..., Any], arguments: tuple[Any, ...], *division: int) -> None:
        self._held, self._memory = arguments, addresses.room(arguments)
        place = self._memory.ctypes.data
        self.row = [bind(place, arguments), place, *division]


class TaskList:
    """Tasks that run one after another, and the table that describes them."""

    def __init__(self, found: list[BoundLoop]) -> None:
        self._tasks: list[BoundLoop] = []
        self.add(found)

    def add(self, found: list[BoundLoop]) -> None:
        """Appends tasks."""
        self._tasks += found
        self.table = np.array([task.row for task in self._tasks], np.int64)
