"""Part 2: how fast is it? Peak rates of the device, the kernels beside them, and steps at every batch size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ...backends import Backend
from ...dl.step.plan import repeat
from ...kernels import launch
from ...kernels.activations.activation import RELU
from ...kernels.activations.bias_activation import BIAS_ACTIVATION, BIAS_ACTIVATION_BACKWARD
from ...kernels.advance import ADVANCE
from ...kernels.arrays.matmul import MATMUL
from ...kernels.batches.gather import GATHER
from ...kernels.counters import COUNTERS, FAILED
from ...kernels.launch import column_tiles, parts
from ...kernels.losses.softmax_cross_entropy import SOFTMAX_CROSS_ENTROPY
from ...kernels.operation import Operation
from ...kernels.random.dropout import DROPOUT
from ...kernels.updates.adam import ADAM
from ...kernels.updates.gradient_norm import CHUNK, SQUARES
from ..batch.measure.steps import launched_one_by_one
from ..peers.networks import DenseNetwork, parse
from .plot import steps_picture
from .products import usable
from .report import ProofCheck, ProofReport
from .scale import Scale
from .steps import ProofSteps, points
from .timing import device_seconds, wall_seconds

GRIDS = (528, 1056, 2112, 4096, 8192, 32_768)
NODES = (1, 10, 100)
TOGETHER = 8  # products in a graph
KINDS = {"float32": "captured", "tf32": "captured, tf32", "bfloat16": "captured, bfloat16"}
"""What the steps of each precision are called."""


def run(report: ProofReport, backend: Backend, scale: Scale) -> None:
    """All checks of the part, those that tell most first."""
    rates: dict[str, float] = {}
    with report.check("copy rate") as check:
        check["bytes per second"] = rates["copy"] = copy_rate(backend, scale)
    optimizer(report, rates, backend, scale)
    with report.check("launch and replay latency") as check:
        latency(check, rates, backend, scale)
    for dtype in usable(backend):
        if f"product peak: {dtype}" in report.broken:
            continue
        with report.check(f"product peak: {dtype}") as check:
            check["FLOP per second"] = rates[dtype] = product_rate(backend, scale, dtype)
    timed: dict[str, dict[str, dict[int, float]]] = {}
    try:
        for text, rows in points(scale):
            if f"step: {text}, batch {rows}" in report.broken:
                continue
            with report.check(f"step: {text}, batch {rows}") as check:
                times = step(check, rates, backend, scale, parse(text), rows)
                for name, seconds in times.items():
                    timed.setdefault(text, {}).setdefault(name, {})[rows] = seconds
        for name, (operation, arrays, attributes) in activations(backend, scale).items():
            if f"kernel's rate: {name}" in report.broken:
                continue
            with report.check(f"kernel's rate: {name}") as check:
                against_copy(check, rates, backend, scale, operation, arrays(), attributes)
    finally:
        goals(report, rates, scale, timed)
        with report.check("picture of the steps", late=True):
            steps_picture(report.folder / f"part-{report.part}.png", timed)


def goals(
    report: ProofReport, rates: dict[str, float], scale: Scale, timed: dict[str, dict[str, dict[int, float]]]
) -> None:
    """Those of the project that this part measures."""
    known = {"adam", "streams", "copy"} <= rates.keys()
    share = {name: rates["adam"] / rates[name] for name in ("streams", "copy")} if known else {}
    told = ", ".join(f"{value:.0%} of the {name}" for name, value in share.items()) or "not measured"
    name = "Adam at least 90 % of the rate of the same streams, and of a copy"
    report.goal(name, min(share.values()) >= 0.9 if share else None, told)
    lines, rows = timed.get(scale.wide, {}), scale.wide_batches[0]
    mine, time_bound = (lines.get(name, {}).get(rows) for name in ("captured, bfloat16", "time bound, bfloat16"))
    name = f"{scale.wide}, batch {rows:,}, bfloat16: at least 90 % of its time bound"
    if mine and time_bound:
        report.goal(name, time_bound / mine >= 0.9, f"{time_bound / mine:.0%}")
    else:
        report.goal(name, None, "not measured")
    over = {
        f"{text}, batch {rows}, {kind}": times[rows] / time_bounds[rows]
        for text, lines in timed.items()
        for kind in KINDS
        if (times := lines.get(KINDS[kind])) and (time_bounds := lines.get(f"time bound, {kind}"))
        for rows in times.keys() & time_bounds.keys()
    }
    missed = sorted((key for key in over if over[key] > 1.25), key=lambda key: -over[key])
    told = f"{len(over) - len(missed)} of {len(over)}" + "".join(f"; {key}: {over[key]:.2f}" for key in missed)
    report.goal("every step at most 1.25 times its time bound", not missed if over else None, told)


def copy_rate(backend: Backend, scale: Scale) -> float:
    """Bytes read and written a second by a copy of an array on the device."""
    source, target = (backend.zeros(scale.copy // 4, np.float32) for _ in range(2))

    def copy() -> None:
        target[...] = source

    return 2 * scale.copy / device_seconds(backend, scale, copy)


def product_rate(backend: Backend, scale: Scale, dtype: str) -> float:
    """Floating-point operations a second of a large square product."""
    tf32, dtype = int(dtype == "tf32"), "float32" if dtype == "tf32" else dtype
    a, b = (fill(backend, backend.zeros((scale.peak, scale.peak), dtype)) for _ in range(2))
    out = backend.zeros((scale.peak, scale.peak), dtype)
    product = backend.bind(MATMUL, [a, b, out], {"transpose_a": 0, "transpose_b": 0, "tf32": tf32})
    return 2 * scale.peak**3 / device_seconds(backend, scale, product)


def latency(check: ProofCheck, rates: dict[str, float], backend: Backend, scale: Scale) -> None:
    """The time from one tiny kernel to the next: launched, and in graphs of some lengths."""
    counters, rows = backend.zeros(COUNTERS, np.int64), backend.zeros((1, 1), np.float32)
    tiny = backend.bind(ADVANCE, [counters, rows], {})
    check["a launch"] = rates["launch"] = device_seconds(backend, scale, tiny)
    for nodes in NODES:
        graph = backend.capture(partial(repeat, tiny, nodes))
        check[f"a graph of {nodes}"] = taken = device_seconds(backend, scale, graph)
        rates["node"] = taken / nodes


def optimizer(report: ProofReport, rates: dict[str, float], backend: Backend, scale: Scale) -> None:
    """Adam's rate beside the same memory streams without arithmetic, and by the most blocks of its grid."""
    from .streams import STREAMS

    most = launch.MOST
    with report.check("Adam's rate") as check:
        p, g, m, v = (backend.zeros(scale.parameters, np.float32) for _ in range(4))
        for array in (p, g):
            fill(backend, array)
        table = backend.asarray(np.array([[1e-3, 1e-3, 1, 0.9, 0.1, 0.999, 0.001, 1e-8]], dtype=np.float32))
        counters = backend.zeros(COUNTERS, np.int64)
        counters[FAILED] = -1
        bounds = backend.asarray(np.array([[0, scale.parameters]], dtype=np.int64))
        factors = backend.asarray(np.array([[1, 0.01]], dtype=np.float32))
        clip = backend.asarray(np.ones(1, dtype=np.float32))
        arrays = [p, g, m, v, bounds, factors, table, counters, clip]
        try:
            for blocks in (most, *GRIDS):
                launch.MOST = blocks
                for name, call in (
                    ("adam", backend.bind(ADAM, arrays, {"decoupled": 0})),
                    ("streams", backend.bind(STREAMS, [p, g, m, v], {})),
                ):
                    key = name if blocks == most and name not in rates else f"{name}, {blocks} blocks"
                    rates[key] = 7 * p.nbytes / device_seconds(backend, scale, call)
                    check[key] = rates[key]
        finally:
            launch.MOST = most
        check["of the streams"] = rates["adam"] / rates["streams"]
        check["of the copy rate"] = rates["adam"] / rates.get("copy", float("nan"))


def activations(backend: Backend, scale: Scale) -> dict[str, tuple[Operation, Callable[[], list[Any]], dict[str, Any]]]:
    """The kernels over a matrix of activations, with arrays made when they are timed."""
    rows, n = scale.matrix

    def real(*shape: int) -> Any:
        return fill(backend, backend.zeros(shape, np.float32))

    def order() -> Any:
        return backend.asarray(np.random.default_rng(0).permutation(rows).astype(np.int64))

    counters = backend.zeros(COUNTERS, np.int64)
    key = backend.asarray(np.array([1, 2], dtype=np.uint32))
    dropped = {"threshold": 1 << 29, "scale": 8 / 7, "stream": 0, "width": n}
    return {
        "gather, bytes": (
            GATHER,
            lambda: [backend.zeros((rows, n), np.uint8), order(), counters, real(rows, n)],
            {},
        ),
        "gather, floats": (GATHER, lambda: [real(rows, n), order(), counters, real(rows, n)], {}),
        "bias and ReLU": (BIAS_ACTIVATION, lambda: [real(rows, n), real(n), real(rows, n)], {"activation": RELU}),
        "backward of bias and ReLU": (
            BIAS_ACTIVATION_BACKWARD,
            lambda: [
                *(real(rows, n) for _ in range(3)),
                real(n),
                real(parts(n), n),
                backend.zeros(column_tiles(n), np.uint32),
            ],
            {"activation": RELU},
        ),
        "softmax and cross-entropy, 10 classes": (
            SOFTMAX_CROSS_ENTROPY,
            lambda: [real(rows, 10), backend.zeros(rows, np.int64), real(rows, 2), real(rows, 10)],
            {},
        ),
        "softmax and cross-entropy": (
            SOFTMAX_CROSS_ENTROPY,
            lambda: [real(rows, n), backend.zeros(rows, np.int64), real(rows, 2), real(rows, n)],
            {},
        ),
        "dropout": (DROPOUT, lambda: [real(rows, n), key, counters, real(rows, n)], dropped),
        "gradient's squares": (
            SQUARES,
            lambda: [real(rows * n), backend.zeros(-(-rows * n // CHUNK), np.float64)],
            {},
        ),
    }


def against_copy(
    check: ProofCheck,
    rates: dict[str, float],
    backend: Backend,
    scale: Scale,
    operation: Operation,
    arrays: list[Any],
    attributes: dict[str, Any],
) -> None:
    """Bytes a second of an operation, and its share of the copy rate."""
    seconds = device_seconds(backend, scale, backend.bind(operation, arrays, attributes))
    check["bytes per second"] = rate = operation.bytes(*arrays) / seconds
    check["of the copy rate"] = rate / rates.get("copy", float("nan"))


def step(
    check: ProofCheck, rates: dict[str, float], backend: Backend, scale: Scale, network: DenseNetwork, rows: int
) -> dict[str, float]:
    """Step times, captured and launched call by call, beside the sum of what each launch takes at the least."""
    plans = {kind: ProofSteps(backend, network, rows, kind) for kind in KINDS if kind in usable(backend)}
    times = wall_seconds(scale, {KINDS[kind]: steps.run for kind, steps in plans.items()})
    with launched_one_by_one(backend):
        times |= wall_seconds(scale, {"call by call": ProofSteps(backend, network, rows).run})
    for kind, steps in plans.items():
        if {"node", "copy", kind} <= rates.keys():
            times[f"time bound, {kind}"] = least = time_bound_of(rates, backend, scale, steps, kind)
            check[f"of the time bound, {kind}"] = times[KINDS[kind]] / least
    for name, seconds in times.items():
        check[f"{name}, us"] = seconds * 1e6
    costs = plans["float32"].plan.costs(rows)
    check["launches"] = len(costs)
    check["FLOP per second"] = sum(cost.flops for cost in costs) / times["captured"]
    return times


def time_bound_of(rates: dict[str, float], backend: Backend, scale: Scale, steps: ProofSteps, kind: str) -> float:
    """The sum over a step's launches of the slowest of: a launch, its bytes, its operations.

    Bytes by the copy rate; products by their own peak at that shape, which is measured alone and replayed.
    """
    brief = replace(scale, seconds=scale.seconds / 10, rounds=min(scale.rounds, 3))
    total, known = 0.0, {}
    for call in steps.plan.bind(steps.rows):
        operation, arrays, attributes = call.node.operation, call.arrays, call.node.attributes
        memory = operation.bytes(*arrays) / rates["copy"]
        compute = operation.flops(*arrays, **attributes) / rates[kind]
        if operation.parts is not None:
            parted = operation.parts(*arrays, **attributes)
            operation, arrays, attributes = next(part for part in parted if part[0].product)
        if operation.product:
            shape = (*(array.shape for array in arrays), *attributes.items())
            if shape not in known:
                known[shape] = product_seconds(backend, brief, operation, arrays, attributes)
            compute = known[shape]
        total += max(rates["node"], memory, compute)
    return total


def product_seconds(backend: Backend, scale: Scale, product: Operation, arrays: Any, attributes: Any) -> float:
    """Seconds of a product alone, in a graph of several."""
    one = backend.bind(product, arrays, attributes)
    if backend.obstacle(product):
        return device_seconds(backend, scale, one)
    one()
    return device_seconds(backend, scale, backend.capture(partial(repeat, one, TOGETHER))) / TOGETHER


def fill(backend: Backend, array: Any) -> Any:
    """Random numbers in place: zeros would flatter the matrix units, which are faster on them."""
    block = np.random.default_rng(0).standard_normal(min(array.size, 1 << 16)).astype(array.dtype)
    flat, values = array.reshape(-1), backend.asarray(block)
    for start in range(0, array.size, block.size):
        flat[start : start + block.size] = values[: min(block.size, array.size - start)]
    return array
