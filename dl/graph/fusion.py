"""Fuses pairs of forward operations; the values are unchanged."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from ...kernels.activations.activation import ACTIVATION, IDENTITY
from ...kernels.activations.bias_activation import BIAS_ACTIVATION
from ...kernels.batches.convert import CONVERT
from ...kernels.batches.gather import GATHER
from ...kernels.batches.gather_standardized import GATHER_STANDARDIZED
from ...kernels.batches.standardize import STANDARDIZE
from .graph import Graph, Node


def fuse(graph: Graph) -> None:
    """Fuses each pair of operations that one operation can compute. Call it before `Graph.differentiate`."""
    reads = Counter(value for node in graph.nodes for value in node.inputs)
    fused: list[Node] = []
    for node in graph.nodes:
        before = fused[-1] if fused else None
        alone = before is not None and len(before.outputs) == 1 and reads[before.outputs[0]] == 1
        if before is None or not alone or graph.outputs.intersection(before.outputs):
            fused.append(node)
        else:
            fused[-1:] = _join(before, node)
    graph.nodes[:] = fused


def _join(before: Node, node: Node) -> list[Node]:
    """The two nodes, or the fused node that replaces them; only `node` reads what `before` writes."""
    (value,) = before.outputs
    if node.inputs[:1] != (value,):
        return [before, node]
    if (
        node.operation is ACTIVATION
        and before.operation is BIAS_ACTIVATION
        and before.attributes["activation"] == IDENTITY
    ):
        return [replace(before, outputs=node.outputs, attributes=node.attributes)]
    if node.operation is CONVERT and before.operation is GATHER:
        return [replace(before, outputs=node.outputs)]
    if node.operation is STANDARDIZE and before.operation is GATHER:
        inputs = before.inputs + node.inputs[1:]
        return [replace(before, operation=GATHER_STANDARDIZED, inputs=inputs, outputs=node.outputs, layer=node.layer)]
    return [before, node]
