"""One line that tells whether training runs as one compiled loop, and if not, what prevents it."""

from __future__ import annotations

import logging
from typing import Any

from ...backends import Backend
from ...kernels.dense import chain as dense_chain
from ..graph.graph import Graph
from ..layers.base import Layer
from ..losses.losses import Loss
from ..optimizers.base import Optimizer
from .dense_obstacle import obstacle
from .fused_mlp import recognize

logger = logging.getLogger(__name__)


def explain(backend: Backend, graph: Graph, model: Layer, loss: Loss, optimizer: Optimizer, accumulate: int = 1) -> str:
    """How the training steps of `graph` run on the backend."""
    if not compiles(backend):
        return f"training runs operation by operation on backend {backend.name}"
    what = prevents(graph, model, loss, optimizer, accumulate)
    if what:
        return f"training runs operation by operation: the compiled loop for plain MLPs does not cover {what}"
    return f"training runs as one compiled loop on backend {backend.name}"


def sources(backend: Backend, graph: Graph, optimizer: Optimizer, accumulate: int = 1) -> str:
    """The kernels that are generated from formulas in this graph: CUDA on a GPU, loops for Numba elsewhere."""
    nodes, found = graph.nodes, dict[str, None]()
    fused = compiles(backend) and accumulate == 1 and not optimizer.on_host
    mlp = recognize(graph) if fused else None
    if mlp is not None:
        found = dict.fromkeys(layer.loop.source for layer in mlp.layers if layer.loop is not None)
        nodes = [node for node in graph.nodes if node.operation.role]  # the loss and the optimizer
    for node in nodes:
        operation: Any = node.operation
        if operation.formula and operation.cuda is not None and operation.cuda.text:
            found[operation.cuda.text if backend.name == "cupy" else operation.loop.source] = None
    return "\n".join(found)


def log_what_prevents(
    backend: Backend, graph: Graph, model: Layer, loss: Loss, optimizer: Optimizer, accumulate: int = 1
) -> None:
    """Logs `explain` if the backend has a compiled loop and this training cannot use it."""
    if compiles(backend) and prevents(graph, model, loss, optimizer, accumulate):
        logger.info(explain(backend, graph, model, loss, optimizer, accumulate))


def prevents(graph: Graph, model: Layer, loss: Loss, optimizer: Optimizer, accumulate: int = 1) -> str:
    """The layer or option that the compiled loop does not cover; empty if it covers all."""
    if optimizer.on_host:
        return f"the optimizer {type(optimizer).__name__}"
    return f"accumulate={accumulate}" if accumulate > 1 else named(graph, model, loss, optimizer)


def compiles(backend: Backend) -> bool:
    """Whether the backend compiles loops."""
    return backend.compiled(dense_chain.steps) is not None


def named(graph: Graph, model: Layer, loss: Loss, optimizer: Optimizer) -> str:
    """What the loop does not cover, by the names of classes and layers; empty if it covers the graph."""
    found = obstacle(graph)
    if found is None:
        return ""
    operation = found.what.startswith("the operation")
    if found.what == "the loss" or (operation and not found.layer and not hasattr(loss, "operation")):
        return f"the loss {type(loss).__name__}"
    if "optimizer" in found.what:
        return f"the optimizer {type(optimizer).__name__}"
    if not found.layer:
        return found.what
    layer = model
    for name in found.layer.split("."):
        layer = layer.children().get(name, layer)
    text = f"{type(layer).__name__} (layer {found.layer!r})"
    return text if operation else f"{found.what}: {text}"
