"""The peak rates of a backend, measured on the call path of a bound plan: products, memory passes, launches.

Each is the fastest of several tries, because a peak rate must not depend on what else ran at the time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from .... import backends
from ....backends import Backend
from ....backends.errors import DeviceMemoryError
from ....backends.thread_pool import ThreadPool
from ....dl.graph.graph import Value
from ....dl.step.capture import Call
from ....dl.step.costs import WAIT
from ....dl.step.plan import Plan, quietly, repeat
from ....kernels.counters import CURSOR
from ..records import PeakRates, Rate, Streams
from .streams import KINDS, meet, stream

logger = logging.getLogger(__name__)

SIZES = [4**power for power in range(6, 15)]  # bytes of memory passes: 4 KiB to 256 MiB
TRIES, BLOCK = 5, 0.002  # tries of a measurement, and seconds of each
SMALL = 8  # elements of each dimension for an almost empty operation: 16 bytes of bfloat16
KEPT = {"counters", "totals", "key", "bounds", "factors", "table", "clip", "loss scale"}  # shared, small and needed
MEETINGS, TOGETHER = 2000, 64
INNER = 8 << 10  # bytes of each array of an update; four of them fit into an L1 cache


def measure(plans: dict[int, Plan], largest_bytes: int) -> PeakRates:
    """The peak rates of a backend, measured with its plans by batch size.

    Products are timed in each plan; memory passes take up to `largest_bytes`.
    """
    plan = next(iter(plans.values()))
    sizes = [size for size in SIZES if size <= max(largest_bytes, SIZES[1])]
    return PeakRates(
        products=fastest(_products(plans)),
        streams=_streams(plan.backend, sizes, plan.thread_pool),
        launches=_launches(plan),
        arithmetic=_arithmetic(plan),
    )


def fastest(rates: Sequence[Rate]) -> list[Rate]:
    """The best rate of each product over the batch sizes."""
    best: dict[tuple[str, str], Rate] = {}
    for rate in rates:
        known = best.get((rate.layer, rate.product))
        if known is None or rate.flops_per_second > known.flops_per_second:
            best[rate.layer, rate.product] = rate
    return list(best.values())


def merged(one: PeakRates, other: PeakRates) -> PeakRates:
    """The better of two measurements of each rate."""
    both = [*one.streams, *other.streams]
    streams = [
        Streams(bytes=size, **{kind: max(getattr(s, kind) for s in both if s.bytes == size) for kind in KINDS})
        for size in sorted({stream.bytes for stream in both})
    ]
    launches = {name: min(seconds) for name, seconds in _both(one.launches, other.launches)}
    arithmetic = {name: max(rates) for name, rates in _both(one.arithmetic, other.arithmetic)}
    products = fastest([*one.products, *other.products])
    return PeakRates(products=products, streams=streams, launches=launches, arithmetic=arithmetic)


def _both(one: dict[str, float], other: dict[str, float]) -> Iterator[tuple[str, list[float]]]:
    """Each key of two mappings, and the values that it has there."""
    for name in {**one, **other}:
        yield name, [known[name] for known in (one, other) if name in known]


def least(backend: Backend, work: Callable[[int], Any]) -> float:
    """Seconds of one of `count` turns of ``work(count)``, the fastest of several tries."""
    work(1)
    count, seconds = 1, backend.seconds(lambda: work(1))
    while seconds < BLOCK and count < 1 << 20:
        count *= 2 if seconds > BLOCK / 4 else 4
        seconds = backend.seconds(partial(work, count))
    tries = 1 if seconds > 100 * BLOCK else TRIES
    return min([seconds, *(backend.seconds(partial(work, count)) for _ in range(tries - 1))]) / count


@quietly
def _products(plans: dict[int, Plan]) -> list[Rate]:
    rates = []
    for batch, plan in plans.items():
        for one in plan.products(batch):
            rate = one.flops / least(plan.backend, one.run)
            rates.append(Rate(layer=one.layer, product=one.product, batch=batch, flops_per_second=rate))
    return rates


def _streams(backend: Backend, sizes: Sequence[int], pool: ThreadPool | None) -> list[Streams]:
    start = {kind: _pass(backend, kind, 1, pool) for kind in KINDS}
    found = []
    for size in sizes:
        try:
            passes = {kind: _pass(backend, kind, size // 8, pool) for kind in KINDS}
        except (DeviceMemoryError, MemoryError):
            break  # the plans have taken the rest: the rates of smaller passes stand for these
        rates = {}
        for kind, seconds in passes.items():
            seconds = max(seconds - start[kind], 0.1 * seconds)  # launches are counted separately
            rates[kind] = (2 if kind == "update" else 1) * size / seconds
        for kind in ("read", "write"):  # a pass in place does both, so neither is slower
            rates[kind] = max(rates[kind], rates["update"] / 2)
        found.append(Streams(bytes=size, **rates))
    return found


def _pass(backend: Backend, kind: str, words: int, pool: ThreadPool | None) -> float:
    """Seconds of one pass."""
    work, passes = stream(backend, kind, words, pool)
    return least(backend, work) / passes


@quietly
def _arithmetic(plan: Plan) -> dict[str, float]:
    """FLOP/s of the update's own loop on data in the first-level cache, on all threads that share it.

    Updates need divisions and square roots, whose rate is unrelated to that of products. They, not memory, limit Adam
    in float64. Backends without compiled loops are not measured.
    """
    backend, found = plan.backend, {}
    for call in plan.bind(plan.capacity):
        operation, p = call.node.operation, call.arrays[0]
        if operation.role != "update" or operation.loop is None or backend.compiled(operation.loop) is None:
            continue
        seconds, flops = [], 0
        for count in (16, min(p.size, INNER // p.itemsize)):
            like = [backend.zeros(count, x.dtype) if x.shape == p.shape else x.copy() for x in call.arrays]
            seconds.append(least(backend, partial(repeat, backend.bind(operation, like, call.node.attributes))))
            flops = operation.flops(*like, **call.node.attributes)
        start, whole = seconds
        found[operation.name] = plan.threads * flops / max(whole - start, 0.1 * whole)  # without the time of the call
    return found


@quietly
def _launches(plan: Plan) -> dict[str, float]:
    """Seconds of each operation on almost empty arrays: per call, or within a graph if steps are replayed.

    For compiled steps: the seconds of a thread synchronisation.
    """
    backend = plan.backend
    if plan.kind == "compiled":
        return {WAIT: _meeting(plan, plan.thread_pool) if plan.thread_pool and plan.threads > 1 else 0.0}
    replayed, seconds = plan.steps(plan.capacity).captured, {}
    for call in reversed(plan.bind(plan.capacity)):
        name = call.node.operation.name
        small = None if name in seconds else _small(call, backend)
        if small is None:
            continue
        if replayed:
            small()  # what is loaded at first need is loaded before the capture
            graph = backend.capture(partial(repeat, small, TOGETHER))
            seconds[name] = least(backend, partial(repeat, graph)) / TOGETHER
        else:
            seconds[name] = least(backend, partial(repeat, small))
    return seconds


def _small(call: Call, backend: Backend) -> Callable[[], None] | None:
    """The operation bound to almost empty arrays; None if it does not run on them.

    Kernels do not check their arguments and would write out of bounds if sizes did not match. The definition, which
    raises an error in this case, therefore runs first.
    """
    operation, attributes = call.node.operation, call.node.attributes
    values = zip(call.node.values, call.arrays, strict=True)
    given = [_small_array(backend, *both, place in operation.scratch) for place, both in enumerate(values)]
    try:
        backends.get("numpy").bind(operation, given, attributes)()
        if operation.parts is not None:  # one launch at the least: its product's
            operation, given, attributes = next(
                part for part in operation.parts(*given, **attributes) if part[0].product
            )
        arrays = [backend.zeros(array.shape, array.dtype) for array in given]
        for array, content in zip(arrays, given, strict=True):
            array[...] = backend.asarray(content)
        return backend.bind(operation, arrays, attributes)
    except Exception as error:  # whatever the definition or a library says to arrays of this size
        logger.info("%s: not timed on next to no data: %s: %s", operation.name, type(error).__name__, error)
        return None


def _small_array(backend: Backend, value: Value, array: Any, scratch: bool) -> np.ndarray:
    """One row of a batch and `SMALL` of every other size, as zeros; what says where to read and write is true of it."""
    if value.kind == "shared" and value.name in KEPT:
        kept = np.array(backend.to_numpy(array))
        if value.name == "bounds":  # of an arena that is as small
            kept = np.minimum(kept, SMALL)
        elif value.name == "counters":
            kept[CURSOR] = 0
        return kept
    shape = [size if scratch else min(size, SMALL) for size in array.shape]
    if value.kind == "batch":
        shape[0] = value.rows_per_example
    return np.zeros(shape, array.dtype)


def _meeting(plan: Plan, pool: ThreadPool) -> float:
    """Seconds of one synchronisation of a step's threads."""
    threads, loop, best = plan.threads, plan.backend.compiled(meet), np.inf
    if loop is None:
        return 0.0
    for _ in range(TRIES + 1):
        start = time.perf_counter()
        pool.run(lambda thread: loop(thread, threads, MEETINGS, pool.flags), threads)
        best = min(best, (time.perf_counter() - start) / MEETINGS)
    return float(best)
