"""Detects fused MLPs: graphs that the compiled loop for plain MLPs can run."""

from __future__ import annotations

from dataclasses import dataclass

from ...kernels.activations.activation import ACTIVATION
from ...kernels.activations.bias_activation import BIAS_ACTIVATION
from ...kernels.arrays.matmul import MATMUL
from ...kernels.operation import Operation
from ...kernels.random.dropout import DROPOUT
from ..graph.graph import Graph, Node
from .dense_layout import DenseLayer
from .dense_obstacle import obstacle


@dataclass
class FusedMLP:
    """A sequence of Linear layers: its layers, and the nodes other than products, biases and activations.

    `ahead` moves the weights before the gradient is computed; `options` are the other nodes next to the update.
    """

    x: Node
    target: Node
    layers: list[DenseLayer]
    loss: Node
    update: Node | None
    ahead: Node | None
    options: dict[Operation, Node]


def recognize(graph: Graph) -> FusedMLP | None:
    """The graph as a fused MLP, or None; `obstacle` tells what prevents it."""
    if obstacle(graph) is not None:
        return None
    *ahead, x, target = (node for node in graph.nodes if node.phase == "load")
    *forward, loss = (node for node in graph.nodes if node.phase == "forward")
    *others, _ = (node for node in graph.nodes if node.phase == "update")
    update = next((node for node in others if node.operation.role == "update"), None)
    options = {node.operation: node for node in others if node is not update}
    return FusedMLP(x, target, _layers(forward, update is not None), loss, update, ahead[0] if ahead else None, options)


def _layers(nodes: list[Node], learns: bool) -> list[DenseLayer]:
    """The layers of a fused MLP's forward nodes."""
    layers: list[DenseLayer] = []
    for node in nodes:
        if node.operation is MATMUL:
            layers.append(DenseLayer(node.inputs[1]))
        elif node.operation is DROPOUT:
            layers[-1].dropout, layers[-1].slope = node, True
        elif node.operation in (ACTIVATION, BIAS_ACTIVATION):
            layers[-1].activation = int(node.attributes["activation"])
            if node.operation is BIAS_ACTIVATION:
                layers[-1].bias = node.inputs[1]
        else:
            layers[-1].formula, layers[-1].slope = node.operation, learns
    return layers
