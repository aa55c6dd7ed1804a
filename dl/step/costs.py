"""The minimum cost of the operations of a step: floating-point operations, bytes, launches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..graph.graph import Node

FORWARD, WEIGHTS, INPUTS = "forward", "weight gradient", "input gradient"
WAIT = "wait"  # the threads of a fused step wait for each other


@dataclass(frozen=True)
class Cost:
    """The minimum cost of one operation of a step.

    Attributes
    ----------
    operation, layer, phase : which operation it is.
    flops : floating-point operations.
    read, written : bytes.
    in_place : whether the written elements are read first.
    product : which of a layer's matrix products it is; empty for other operations.
    launches : number of launches.
    """

    operation: str
    layer: str
    phase: str
    flops: int = 0
    read: int = 0
    written: int = 0
    in_place: bool = False
    product: str = ""
    launches: float = 1

    @property
    def bytes(self) -> int:
        """Bytes read and written."""
        return self.read + self.written


@dataclass(frozen=True)
class Product:
    """A layer's matrix product that can be run alone, as a step runs it.

    Attributes
    ----------
    layer, product : which one it is.
    flops : floating-point operations of one run.
    run : ``run(count)`` runs it `count` times.
    """

    layer: str
    product: str
    flops: int
    run: Callable[[int], None]


def cost_of(node: Node, arrays: Sequence[Any], in_place: bool) -> Cost:
    """The cost of an operation with these arrays."""
    operation = node.operation
    sizes = [0 if place in operation.scratch else array.nbytes for place, array in enumerate(arrays)]
    read, written = sum(sizes[: len(node.inputs)]), sum(sizes[len(node.inputs) :])
    if operation.traffic is not None:
        read, written = operation.traffic(*arrays)
    flops = operation.flops(*arrays, **node.attributes)
    return Cost(operation.name, node.layer, node.phase, flops, read, written, in_place, product_of(node))


def product_of(node: Node) -> str:
    """The name of the layer's product that an operation is or contains; empty for other operations."""
    if not node.operation.product and node.operation.parts is None:
        return ""
    if node.phase == "forward":
        return FORWARD
    return WEIGHTS if node.attributes["transpose_a"] else INPUTS
