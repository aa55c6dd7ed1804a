"""Detects fused MLPs: graphs that the compiled loop for plain MLPs can run."""

from __future__ import annotations

from dataclasses import dataclass

from ...kernels.activations.bias_activation import BIAS_ACTIVATION
from ...kernels.arrays.matmul import MATMUL
from ..graph.graph import Graph, Node
from .dense_layout import DenseLayer
from .dense_obstacle import obstacle


@dataclass
class FusedMLP:
    """A sequence of Linear layers: its layers, and the nodes other than products, biases and activations."""

    x: Node
    target: Node
    layers: list[DenseLayer]
    loss: Node
    update: Node | None


def recognize(graph: Graph) -> FusedMLP | None:
    """The graph as a fused MLP, or None; `obstacle` tells what prevents it."""
    if obstacle(graph) is not None:
        return None
    x, target = (node for node in graph.nodes if node.phase == "load")
    *forward, loss = (node for node in graph.nodes if node.phase == "forward")
    update = next((node for node in graph.nodes if node.operation.role == "update"), None)
    return FusedMLP(x, target, _layers(forward), loss, update)


def _layers(nodes: list[Node]) -> list[DenseLayer]:
    """The layers of a fused MLP's forward nodes."""
    layers: list[DenseLayer] = []
    for node in nodes:
        if node.operation is MATMUL:
            layers.append(DenseLayer(node.inputs[1]))
            continue
        layers[-1].activation = int(node.attributes["activation"])
        if node.operation is BIAS_ACTIVATION:
            layers[-1].bias = node.inputs[1]
    return layers
