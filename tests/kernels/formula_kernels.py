"""The kernels that the library's own formulas become in a training step, with arguments."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from built_in import built_in

import gearshift as gs
from gearshift.backends.cuda import KernelProgram, prepare
from gearshift.backends.precision import load
from gearshift.dl.layers.formula import FormulaActivation
from gearshift.dl.losses.formula import FormulaLoss
from gearshift.dl.step import program
from gearshift.dl.step.spec import StepSpec

WIDTH, ROWS = 5, 3
PRECISIONS = (("float32", None), ("float64", None), ("float32", "bfloat16"), ("float32", "float16"))


def formula_programs() -> Iterator[KernelProgram]:
    """Every generated program of every layer and loss of the library that is a formula, in every precision."""
    layers = [kind for kind in built_in(gs.Layer.registered).values() if issubclass(kind, FormulaActivation)]
    losses = [kind for kind in built_in(gs.Loss.registered).values() if issubclass(kind, FormulaLoss)]
    assert layers and losses
    pairs = [*((kind(), gs.MSELoss()) for kind in layers), *((gs.ReLU(), kind()) for kind in losses)]
    pairs.append((gs.ReLU(), gs.CrossEntropyLoss(label_smoothing=0.1)))
    for layer, loss in pairs:
        for dtype, precision in PRECISIONS:
            model = gs.Sequential(gs.Linear(WIDTH, WIDTH), layer, gs.Linear(WIDTH, WIDTH), dtype=dtype)
            yield from generated(StepSpec(model, loss, gs.SGD(), precision=precision))


def generated(spec: StepSpec) -> Iterator[KernelProgram]:
    """The generated programs of a step."""
    for node in program.training(spec, WIDTH).graph.nodes:
        if node.operation.cuda is not None and node.operation.cuda.text:
            shapes = [((ROWS,) if value.kind == "batch" else ()) + value.shape for value in node.values]
            for value in node.values:
                load(value.dtype)
            arrays = [np.zeros(shape, value.dtype) for shape, value in zip(shapes, node.values, strict=True)]
            yield prepare(node.operation, arrays, node.attributes).program
