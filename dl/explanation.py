"""How a training runs, in a line: as one compiled loop, or operation by operation, and what prevents the loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..backends import Backend
from ..kernels import dense_chain
from .dense_obstacle import obstacle
from .graph import Graph
from .layers.base import Layer
from .losses import Loss
from .optimizers.base import Optimizer

if TYPE_CHECKING:
    from .trainer import Trainer

LOOP = "one compiled loop on all cores"


def explain(trainer: Trainer, graph: Graph, accumulate: int = 1) -> str:
    """How the steps of `graph` run on the trainer's backend."""
    backend = trainer.backend
    if not compiles(backend):
        return f"training runs operation by operation on backend {backend.name}"
    found = not_compiled(backend, graph, trainer.model, trainer.loss, trainer.optimizer, accumulate)
    return found or f"training runs as {LOOP} on backend {backend.name}"


def not_compiled(
    backend: Backend, graph: Graph, model: Layer, loss: Loss, optimizer: Optimizer, accumulate: int = 1
) -> str:
    """Why a training does not run as one compiled loop where the backend has one; else empty."""
    if not compiles(backend):
        return ""
    if optimizer.on_host:
        what = f"the optimizer {type(optimizer).__name__}"
    elif accumulate > 1:
        what = f"accumulate={accumulate}"
    else:
        what = named(graph, model, loss, optimizer)
    return what and f"training runs operation by operation: {LOOP} does not cover {what}"


def compiles(backend: Backend) -> bool:
    """Whether the backend compiles loops."""
    return backend.compiled(dense_chain.steps) is not None


def named(graph: Graph, model: Layer, loss: Loss, optimizer: Optimizer) -> str:
    """What the loop does not cover, by the names of classes and layers; empty where it covers the graph."""
    found = obstacle(graph)
    if found is None:
        return ""
    if found.what == "the loss":
        return f"the loss {type(loss).__name__}"
    if "optimizer" in found.what:
        return f"the optimizer {type(optimizer).__name__}"
    if not found.layer:
        return found.what if not found.what.startswith("the operation") else f"{found.what} of {type(loss).__name__}"
    layer = model
    for name in found.layer.split("."):
        layer = layer.children().get(name, layer)
    text = f"{type(layer).__name__} (layer {found.layer!r})"
    return text if found.what.startswith("the operation") else f"{found.what}: {text}"
