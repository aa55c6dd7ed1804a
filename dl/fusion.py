"""Rewrites a forward list into fewer operations with the same values."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from ..kernels.activation import ACTIVATION, IDENTITY
from ..kernels.bias_activation import BIAS_ACTIVATION
from .graph import Graph, Node


def fuse(graph: Graph) -> None:
    """Joins a bias with the activation that alone reads its sum. Call it before `Graph.differentiate`."""
    reads = Counter(value for node in graph.nodes for value in node.inputs)
    fused: list[Node] = []
    for node in graph.nodes:
        before = fused[-1] if fused else None
        if (
            before is not None
            and node.operation is ACTIVATION
            and before.operation is BIAS_ACTIVATION
            and before.attributes["activation"] == IDENTITY
            and before.outputs == node.inputs
            and reads[node.inputs[0]] == 1
            and node.inputs[0] not in graph.outputs
        ):
            fused[-1] = replace(before, outputs=node.outputs, attributes=node.attributes)
        else:
            fused.append(node)
    graph.nodes[:] = fused
