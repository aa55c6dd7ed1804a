"""Replaces neighbouring operations by fused operations; results are unchanged.

`fuse` does so on every backend, and `joined`, in a complete graph, for backends with a cost per launch.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from ...kernels.activations.activation import ACTIVATION, IDENTITY, RELU
from ...kernels.activations.bias_activation import BIAS_ACTIVATION, BIAS_ACTIVATION_BACKWARD
from ...kernels.activations.gelu import GELU as GELU_OPERATION
from ...kernels.arrays.fused_products import (
    GELU,
    PRODUCT_BIAS,
    PRODUCT_BIAS_GRADIENT,
    PRODUCT_RELU_BACKWARD,
    mask_bytes,
)
from ...kernels.arrays.matmul import MATMUL
from ...kernels.batches.convert import CONVERT
from ...kernels.batches.gather import GATHER, GATHER_PAIR, GATHER_STANDARDIZED, GATHER_STANDARDIZED_PAIR
from ...kernels.batches.standardize import STANDARDIZE
from .graph import Graph, Node, Value

PAIRS = {GATHER: GATHER_PAIR, GATHER_STANDARDIZED: GATHER_STANDARDIZED_PAIR}


def fuse(graph: Graph) -> None:
    """Fuses each pair of forward operations that one operation can compute. Call it before `Graph.differentiate`."""
    reads = Counter(value for node in graph.nodes for value in node.inputs)
    fused: list[Node] = []
    for node in graph.nodes:
        before = fused[-1] if fused else None
        alone = before is not None and len(before.outputs) == 1 and reads[before.outputs[0]] == 1
        if before is None or not alone or graph.outputs.intersection(before.outputs):
            fused.append(node)
        else:
            fused[-1:] = _pair(before, node)
    graph.nodes[:] = fused


def _pair(before: Node, node: Node) -> list[Node]:
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


def joined(graph: Graph) -> Graph:
    """The graph with neighbouring operations fused. Call it when the graph is complete."""
    return replace(graph, nodes=_Joining(graph).nodes)


class _Joining:
    """One pass over the graph; `nodes` holds the rewritten operations so far."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.nodes = graph, []
        self.reads = Counter(value for node in graph.nodes for value in node.inputs)
        self.renamed: dict[Value, Value] = {}
        for node in graph.nodes:
            inputs = tuple(self.renamed.get(value, value) for value in node.inputs)
            node = node if inputs == node.inputs else replace(node, inputs=inputs)
            last = self._join(self.nodes[-1], node) if self.nodes else None
            if last is None:
                self.nodes.append(node)
            else:
                self.nodes[-1] = last

    def _join(self, before: Node, node: Node) -> Node | None:
        """The fused node that replaces both, or None."""
        if node.operation is GATHER and before.operation in PAIRS and node.inputs[1:] == before.inputs[1:3]:
            inputs, outputs = before.inputs + node.inputs[:1], before.outputs + node.outputs
            return replace(before, operation=PAIRS[before.operation], inputs=inputs, outputs=outputs)
        if before.operation is MATMUL and self._alone(before.outputs[0], node):
            if node.operation is BIAS_ACTIVATION:
                return self._forward(before, node)
            if node.operation is BIAS_ACTIVATION_BACKWARD:
                return self._backward(before, node)
        if (
            before.operation is PRODUCT_BIAS
            and before.attributes["activation"] == IDENTITY
            and node.operation is GELU_OPERATION
            and self._alone(before.outputs[0], node)
        ):
            return replace(before, outputs=node.outputs, attributes={**before.attributes, "activation": GELU})
        if before.operation is BIAS_ACTIVATION_BACKWARD and node.operation is MATMUL:
            return self._gradient(before, node)
        return None

    def _alone(self, value: Value, node: Node) -> bool:
        """Whether only `node` reads the value, as its first input."""
        return node.inputs[0] is value and self.reads[value] == 1 and value not in self.graph.outputs

    def _forward(self, product: Node, bias: Node) -> Node | None:
        if bias.attributes["activation"] not in (IDENTITY, RELU):
            return None
        attributes = {**product.attributes, **bias.attributes}
        inputs = product.inputs + bias.inputs[1:]
        return replace(product, operation=PRODUCT_BIAS, inputs=inputs, outputs=bias.outputs, attributes=attributes)

    def _backward(self, product: Node, bias: Node) -> Node | None:
        """Reads the mask that the forward product writes; cuBLASLt's bias gradients have the dtype of activations."""
        (y,) = bias.inputs[1:]
        place = next((i for i, n in enumerate(self.nodes) if n.operation is PRODUCT_BIAS and n.outputs[0] is y), None)
        if place is None or bias.attributes["activation"] != RELU or self.graph.activations != self.graph.dtype:
            return None
        forward = self.nodes[place]
        mask = Value(f"mask {y.name}", (mask_bytes(y.shape[0]),), "uint8", "batch", y.rows_per_example)
        self.nodes[place] = replace(forward, outputs=(*forward.outputs, mask))
        inputs = (*product.inputs, y, mask)
        return replace(
            bias, operation=PRODUCT_RELU_BACKWARD, inputs=inputs, outputs=bias.outputs, attributes=product.attributes
        )

    def _gradient(self, bias: Node, product: Node) -> Node | None:
        (dy, _), (dz, dbias, *scratch) = bias.inputs, bias.outputs
        if bias.attributes["activation"] != IDENTITY or product.inputs[1] is not dz or dz in self.graph.outputs:
            return None
        self.renamed[dz] = dy  # the derivative of the identity leaves it as it is
        outputs = (*product.outputs, dbias, *scratch)
        return replace(product, operation=PRODUCT_BIAS_GRADIENT, inputs=(product.inputs[0], dy), outputs=outputs)
