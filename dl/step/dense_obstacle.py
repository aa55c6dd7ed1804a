"""What prevents a graph from running as one compiled loop (see `dense_chain`), in the user's terms."""

from __future__ import annotations

from dataclasses import dataclass

from ...kernels.accumulate_metrics import ACCUMULATE_METRICS
from ...kernels.activations.activation import ACTIVATION, ACTIVATION_BACKWARD, IDENTITY
from ...kernels.activations.bias_activation import BIAS_ACTIVATION, BIAS_ACTIVATION_BACKWARD
from ...kernels.activations.gelu import GELU_BACKWARD
from ...kernels.activations.softplus import SOFTPLUS_BACKWARD
from ...kernels.advance import ADVANCE
from ...kernels.arrays.matmul import MATMUL
from ...kernels.batches.gather import GATHER, GATHER_STANDARDIZED
from ...kernels.dense.update import SLICES
from ...kernels.random.dropout import DROPOUT
from ...kernels.tracing.activation_loop import is_elementwise
from ...kernels.updates.average import AVERAGE
from ...kernels.updates.clip_values import CLIP_VALUES
from ...kernels.updates.gradient_norm import CLIP_FACTOR, SQUARES
from ...kernels.updates.l1 import L1_SUBGRADIENT, SOFT_THRESHOLD
from ...kernels.updates.update import SHARED
from ..graph.graph import Graph, Node, Value

LOADS = (GATHER, GATHER_STANDARDIZED)
FORWARD = (MATMUL, BIAS_ACTIVATION, ACTIVATION, DROPOUT)
"""Operations of layers, besides activations that have an element-wise formula."""
BACKWARD = (MATMUL, BIAS_ACTIVATION_BACKWARD, ACTIVATION_BACKWARD, GELU_BACKWARD, SOFTPLUS_BACKWARD, DROPOUT)
BEFORE, AFTER = (L1_SUBGRADIENT, CLIP_VALUES, SQUARES, CLIP_FACTOR), (SOFT_THRESHOLD, AVERAGE)
"""Options of a step, in the order in which the loop applies them before and after the update."""


@dataclass(frozen=True)
class Obstacle:
    """The part of a step that the compiled loop does not cover.

    Parameters
    ----------
    what : a description, such as ``"sample weights"``.
    layer : the path of its layer, such as ``"2"``; empty if it does not belong to a layer.
    """

    what: str
    layer: str = ""


def obstacle(graph: Graph) -> Obstacle | None:
    """The first part of the graph that the compiled loop does not cover; None if it covers the whole graph.

    The loop covers graphs that gather a batch, apply Linear layers, activations and dropout in sequence, and compute
    the loss; in training, also the backward pass and the update.
    """
    phases: dict[str, list[Node]] = {name: [] for name in ("load", "forward", "metrics", "backward", "update")}
    for node in graph.nodes:
        if node.phase not in phases:
            return Obstacle(f"the phase {node.phase!r}")
        phases[node.phase].append(node)
    return (
        _in_load(phases["load"])
        or _in_forward(phases["forward"], *phases["load"][-2:])
        or _in_update(phases["update"], bool(phases["backward"]))
        or _in_backward(graph, phases["backward"], phases["forward"])
        or _in_metrics(phases["metrics"])
    )


def _in_load(nodes: list[Node]) -> Obstacle | None:
    if nodes and nodes[0].operation.role == "update":
        if not _sliced(nodes[0]):
            return Obstacle("the optimizer")
        nodes = nodes[1:]
    for place, node in enumerate(nodes):
        if node.operation not in (LOADS if place == 0 else LOADS[:1]):
            return _of(node)
    if len(nodes) > 2:
        return Obstacle("sample weights")
    return None if len(nodes) == 2 else Obstacle("a batch that is not read from the data set")


def _in_forward(nodes: list[Node], x: Node, target: Node) -> Obstacle | None:
    """Checks that the nodes form a sequence: products, biases, activations and dropout, then the loss."""
    if not nodes:
        return Obstacle("a graph without a loss")
    value, seen = x.outputs[0], set[Value]()
    bias = activation = dropout = True  # none may come before the first product
    for node in nodes[:-1]:
        if node.operation not in FORWARD and not is_elementwise(node.operation):
            return _of(node)
        if node.inputs[0] is not value:
            return Obstacle("layers that do not follow each other in one sequence", node.layer)
        if node.operation is MATMUL:
            weight = node.inputs[1]
            if weight.kind != "parameter":
                return _of(node)
            if weight in seen:
                return Obstacle("a layer that is used twice", node.layer)
            seen.add(weight)
            bias = activation = dropout = False
        elif node.operation is DROPOUT:
            if dropout:
                return Obstacle("a dropout that does not follow a Linear or its activation", node.layer)
            bias = activation = dropout = True
        else:
            adds = node.operation is BIAS_ACTIVATION
            if activation or (adds and bias):
                return Obstacle("a bias or an activation that does not follow a Linear", node.layer)
            bias = bias or adds
            activation = node.attributes.get("activation") != IDENTITY
        value = node.outputs[0]
    if not seen:
        return Obstacle("a model without a Linear")
    loss = nodes[-1]
    if loss.operation.role != "loss" or not loss.operation.sliced or loss.attributes:
        return Obstacle("the loss") if loss.operation.role == "loss" else _of(loss)
    fits = loss.inputs[0] is value and loss.inputs[1] is target.outputs[0]
    return None if fits else Obstacle("the loss")


def _in_metrics(nodes: list[Node]) -> Obstacle | None:
    return None if [node.operation for node in nodes] == [ACCUMULATE_METRICS] else Obstacle("metrics of its own")


def _in_update(nodes: list[Node], learns: bool) -> Obstacle | None:
    if not nodes:
        return Obstacle("a graph without an update")
    *before, advance = nodes
    for node in before:
        if node.operation.role != "update" and node.operation not in BEFORE + AFTER:
            return _of(node)
    if advance.operation is not ADVANCE:
        return _of(advance)
    updates, found = [node for node in before if node.operation.role == "update"], [node.operation for node in before]
    if len(updates) != int(learns) or not all(map(_sliced, updates)):
        return Obstacle("the optimizer")
    order = (*BEFORE, *(node.operation for node in updates), *AFTER)
    return None if found == [one for one in order if one in found] else Obstacle("the order of the regularizers")


def _sliced(node: Node) -> bool:
    """Whether the loop can run an optimizer's operation on a part of the parameters at a time."""
    return node.operation.sliced and len(node.inputs) - SHARED in SLICES


def _in_backward(graph: Graph, nodes: list[Node], forward: list[Node]) -> Obstacle | None:
    for node in nodes:
        if node.operation not in BACKWARD and not node.operation.formula:  # a gradient of one in `forward`
            return _of(node)
    for node in forward if nodes else ():
        if node.operation is MATMUL and node.inputs[1] not in graph.gradients:
            return Obstacle("weights that are not trained", node.layer)
    return None


def _of(node: Node) -> Obstacle:
    return Obstacle(f"the operation {node.operation.name!r}", node.layer)
