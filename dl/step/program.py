"""The programs that Gearshift runs: a training step, an evaluation step, a prediction, a gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from ...backends.errors import ConfigurationError
from ...kernels.accumulate_metrics import ACCUMULATE_METRICS
from ...kernels.advance import ADVANCE
from ...kernels.batches.gather import GATHER
from ...kernels.counters import COUNTERS
from ...kernels.losses.term import TERM
from ...kernels.updates.average import AVERAGE
from ...kernels.updates.clip_values import CLIP_SCALED, CLIP_VALUES
from ...kernels.updates.gradient_norm import CHUNK, CLIP_FACTOR, SQUARES
from ...kernels.updates.loss_scale import UNSCALE
from ...kernels.updates.update import with_copy
from ..graph.fused_ops import fuse
from ..graph.graph import Graph, Value
from ..graph.tangent import hessian_products
from ..layers.base import Layer
from ..losses.losses import Loss
from ..optimizers.newton import SecondOrder
from .spec import StepSpec


@dataclass(frozen=True)
class Program:
    """A graph, and those of its values that are used from outside."""

    graph: Graph
    x: Value
    prediction: Value
    target: Value | None = None
    scores: Value | None = None
    weight: Value | None = None
    changes: Mapping[str, Value] = field(default_factory=dict)
    """Products with the Hessian, by parameters' names."""

    def rows_for(self, predictions: int) -> int:
        """Rows of a batch that make about as many rows of predictions, at least 1."""
        return max(1, predictions // self.prediction.rows_per_example)


def prediction(model: Layer, width: int, precision: str | None = None) -> Program:
    """Computes outputs for rows of `width` features, which are written into `x`."""
    graph = Graph(model.dtype, precision=precision)
    x = graph.batch((width,), graph.dtype, name="x")
    output = graph.lower(model, x)
    graph.outputs.add(output)
    fuse(graph)
    return Program(graph, x, output)


def gradient(model: Layer, loss: Loss, width: int, *, train: bool, weighted: bool = False) -> Program:
    """Computes scores and gradients for `x` and `target` and, if `weighted`, `weight` (rows, 1)."""
    graph = Graph(model.dtype, train=train)
    x = graph.batch((width,), name="x")
    program = _with_loss(graph, model, loss, x, weighted)
    graph.differentiate()
    return program


def evaluation(spec: StepSpec, width: int, *, weighted: bool = False) -> Program:
    """Adds the scores of the resident data set's next batch to the totals; `weighted` as in `training`."""
    graph = Graph(spec.model.dtype, precision=spec.precision)
    program = _resident(graph, spec.model, spec.loss, width, weighted)
    graph.phase = "update"
    _advance(graph, program)
    return program


def training(
    spec: StepSpec, width: int, *, weighted: bool = False, exchange: Callable[[Graph], None] | None = None
) -> Program:
    """A whole training step on the resident data set, whose rows have `width` features.

    If `weighted`, each row's loss is multiplied by its weight in the run's array ``"data weight"``. `exchange`
    appends operations between the backward pass and the update; metrics are then added to the array ``"rank totals"``.
    """
    optimizer, regularizer = spec.optimizer, spec.regularizer
    graph = Graph(spec.model.dtype, train=True, precision=spec.precision)
    p, g, clip = (graph.shared(name, ()) for name in ("p", "g", "clip"))
    slots = tuple(graph.shared(name, ()) for name in optimizer.slots)
    ranges = (graph.shared("bounds", (), "int64"), graph.shared("factors", ()), graph.shared("table", ()))
    arguments = (p, g, *slots, *ranges, _counters(graph), clip)
    before, update = optimizer.before, optimizer.operation
    if graph.activations != graph.dtype:
        arguments += (graph.shared("copy", (), graph.activations),)
        before, update = before and with_copy(before), with_copy(update)
    if before is not None:
        graph.phase = "load"
        graph.apply(before, arguments, (), **optimizer.attributes)
    totals = "totals" if exchange is None else "rank totals"
    program = _resident(graph, spec.model, spec.loss, width, weighted, totals)
    graph.differentiate()
    if exchange is not None:
        graph.phase = "exchange"
        exchange(graph)
    if isinstance(optimizer, SecondOrder):
        program = replace(program, changes=hessian_products(graph))
    graph.phase = "update"
    if regularizer is not None and regularizer.before_update:
        regularizer.lower(graph)
    if spec.clip_value is not None:
        if graph.scaled:
            graph.apply(CLIP_SCALED, (g, graph.shared("loss scale", (3,))), (), bound=spec.clip_value)
        else:
            graph.apply(CLIP_VALUES, (g,), (), bound=spec.clip_value)
    if spec.clip_norm is not None or graph.scaled:
        partial = Value("partial", ((spec.elements() + CHUNK - 1) // CHUNK,), "float64", "fixed")
        most = math.inf if spec.clip_norm is None else spec.clip_norm
        graph.apply(SQUARES, (g,), (partial,))
        if graph.scaled:
            constants = graph.shared("step rates", (), "float64"), graph.shared("step parts", (), "float64")
            changed = graph.shared("loss scale", (3,)), _counters(graph), graph.shared("table", ())
            graph.apply(UNSCALE, (partial, *constants, *changed), (clip,), max_norm=most)
        else:
            graph.apply(CLIP_FACTOR, (partial,), (clip,), max_norm=most)
    graph.apply(update, arguments, (), **optimizer.attributes)
    if regularizer is not None and not regularizer.before_update:
        regularizer.lower(graph)
    if spec.ema is not None:
        average, rates = graph.shared("average", ()), graph.shared("average rates", ())
        graph.apply(AVERAGE, (p, average, rates, _counters(graph)), ())
    graph.nodes.extend(graph.deferred)
    _advance(graph, program)
    return program


def _resident(
    graph: Graph, model: Layer, loss: Loss, width: int, weighted: bool = False, totals: str = "totals"
) -> Program:
    graph.phase = "load"
    x = graph.batch((width,), graph.dtype, name="x")
    order, counters, first = graph.shared("order", (), "int64"), _counters(graph), len(graph.nodes)
    graph.apply(GATHER, (graph.shared("data x", (width,)), order, counters), (x,))
    graph.phase = "forward"
    program = _with_loss(graph, model, loss, x, weighted)
    assert program.target is not None and program.scores is not None
    graph.phase = "load"
    graph.apply(GATHER, (graph.shared("data y", ()), order, counters), (program.target,))
    graph.nodes.insert(first + 1, graph.nodes.pop())
    if program.weight is not None:
        graph.apply(GATHER, (graph.shared("data weight", (1,)), order, counters), (program.weight,))
        graph.nodes.insert(first + 2, graph.nodes.pop())
    graph.phase = "metrics"
    graph.apply(ACCUMULATE_METRICS, (program.scores, counters, graph.shared(totals, (), "float64")), ())
    return program


def _with_loss(graph: Graph, model: Layer, loss: Loss, x: Value, weighted: bool = False) -> Program:
    graph.terms = []
    output = graph.lower(model, x)
    fuse(graph)
    target = loss.target(graph, output)
    weight = graph.batch((1,), graph.dtype, "weight") if weighted else None
    scores = loss.lower(graph, output, target, weight)
    for term, factor in graph.terms:
        if term.kind == "batch" and term.rows_per_example != scores.rows_per_example:
            raise ConfigurationError(
                f"layer {term.name}: its penalty has {term.rows_per_example} rows an example, and the loss "
                f"{scores.rows_per_example}; place it "
                "where an example has as many rows as in the model's output"
            )
        plain, scores, dterm = scores, graph.like(scores), graph.like(term)
        graph.apply(TERM, (plain, term), (scores, dterm), weight=factor)
        graph.begin_gradient(term, dterm)
    graph.outputs.add(scores)
    return Program(graph, x, output, target, scores, weight)


def _advance(graph: Graph, program: Program) -> None:
    assert program.target is not None
    graph.apply(ADVANCE, (_counters(graph), program.target), ())


def _counters(graph: Graph) -> Value:
    return graph.shared("counters", (COUNTERS,), "int64")
