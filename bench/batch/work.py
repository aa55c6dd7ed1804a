"""What the operations of a bound plan have to do at the least."""

from __future__ import annotations

import math

from ...dl.dense_chain import DensePlan
from ...dl.plan import Call, Plan
from .roofline import FORWARD, INPUTS, WEIGHTS, Cost

WAIT = "wait"


def costs(plan: Plan, rows: int) -> list[Cost]:
    """Each operation of a step of `rows` rows.

    A chain is one compiled loop: it launches nothing, does not store the gradient of the weights, and its threads
    meet several times a block, which takes the place of launches.
    """
    calls = plan.bind(rows)
    if isinstance(plan, DensePlan):
        return [_chained(call, plan) for call in calls] + [Cost(WAIT, "", "step", launches=waits(plan, rows))]
    return [_cost(call, plan) for call in calls]


def waits(plan: DensePlan, rows: int) -> int:
    """How often the threads of a chain meet in a training step; 0 of one thread."""
    layers = len(plan.layers)
    return 2 * layers * math.ceil(rows / plan.block) if plan.parts > 1 else 0


def product_of(call: Call) -> str:
    """Which of a layer's products an operation is or holds; empty for other operations."""
    if not call.node.operation.product and call.node.operation.parts is None:
        return ""
    if call.node.phase == "forward":
        return FORWARD
    return WEIGHTS if call.node.attributes["transpose_a"] else INPUTS


def _cost(call: Call, plan: Plan) -> Cost:
    node, operation = call.node, call.node.operation
    sizes = [0 if place in operation.scratch else array.nbytes for place, array in enumerate(call.arrays)]
    read, written = sum(sizes[: len(node.inputs)]), sum(sizes[len(node.inputs) :])
    if operation.traffic is not None:
        read, written = operation.traffic(*call.arrays)
    flops = operation.flops(*call.arrays, **node.attributes)
    place = plan.in_place(node)
    return Cost(operation.name, node.layer, node.phase, flops, read, written, place, product_of(call))


def _chained(call: Call, plan: DensePlan) -> Cost:
    cost = _cost(call, plan)
    read, written = cost.read, 0 if cost.product == WEIGHTS else cost.written
    if call.node.operation.role == "update":
        read -= call.arrays[1].nbytes
    return Cost(
        cost.operation, cost.layer, cost.phase, cost.flops, read, written, cost.in_place, cost.product, launches=0
    )
