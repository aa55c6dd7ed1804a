"""Formulas, and the operations that are generated for them: the library's own, and those of made-up layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from agreement import in_float64
from built_in import built_in
from cuda_draw import Case, Draw, largest

import gearshift as gs
from gearshift.backends.precision import load
from gearshift.dl.graph.graph import Node
from gearshift.dl.layers.formula import FormulaActivation
from gearshift.dl.losses.formula import FormulaLoss
from gearshift.dl.step.program import training
from gearshift.dl.step.spec import StepSpec

xp = gs.xp
WIDTH = 37


class Formula(gs.Layer, named=False):
    def __init__(self, formula: Callable[..., Any]) -> None:
        self.formula = formula
        self.w = gs.Parameter((WIDTH,), gs.initializers.ones)
        self.s = gs.Parameter((1,), gs.initializers.ones)

    def forward(self, x: Any) -> Any:
        return self.formula(x, self.w, self.s)


FORMULAS: dict[str, Callable[..., Any]] = {
    "silu": lambda x, w, s: x * xp.sigmoid(x),
    "prelu": lambda x, w, s: xp.where(x > 0.0, x, s * x),
    "gated": lambda x, w, s: x * xp.sigmoid(w * x) + s,
    "softmax": lambda x, w, s: xp.softmax(x * w),
    "normalised": lambda x, w, s: w * (x - x.mean(axis=-1)[:, None]) / xp.sqrt(x.var(axis=-1)[:, None] + 0.1),
    "top": lambda x, w, s: x - xp.max(x, axis=-1, keepdims=True) * xp.exp(-xp.abs(w)) + xp.minimum(x, s),
    "rows": lambda x, w, s: xp.log1p(xp.exp(x.mean(axis=-1)[:, None])) * x,
    "infinite": lambda x, w, s: xp.maximum(xp.where(x > 0.0, x, -np.inf), -1.0) * w,
    "constants": lambda x, w, s: xp.clip(xp.tanh(x) ** 3 / 1.7 - xp.expm1(-x * x), -0.5, 0.25) * xp.cos(x),
    "columns": lambda x, w, s: xp.where(xp.arange(WIDTH) < 5, xp.sin(x), xp.sqrt(xp.abs(x) + 1.0)),
}
"""Of the rows x (rows, WIDTH), a weight for each column, and one number."""


def losses() -> dict[str, gs.Loss]:
    """The library's losses that are formulas."""
    found = {name: kind() for name, kind in built_in(gs.Loss.registered).items() if issubclass(kind, FormulaLoss)}
    return {**found, "smoothed labels": gs.CrossEntropyLoss(label_smoothing=0.1)}


def layers() -> dict[str, gs.Layer]:
    """The library's layers that are formulas, or add one to the loss."""
    known = built_in(gs.Layer.registered)
    found: dict[str, gs.Layer] = {name: kind() for name, kind in known.items() if issubclass(kind, FormulaActivation)}
    for activation in ("relu", "tanh", "sigmoid"):
        found[f"Contractive {activation}"] = gs.Contractive(WIDTH, WIDTH, activation)
    found["Variational"] = gs.Variational(WIDTH, WIDTH)
    return {**found, "L1Activity": gs.L1Activity(), "KLSparsity": gs.KLSparsity()}


LIBRARY = [*losses(), *layers()]
NAMES = [*FORMULAS, *LIBRARY]


def nodes(name: str, dtype: str, precision: str | None = None) -> list[Node]:
    """The generated operations of a formula and its backward pass."""
    layer = Formula(FORMULAS[name]) if name in FORMULAS else layers().get(name)
    model = gs.Sequential(gs.Linear(WIDTH, WIDTH), *([layer] if layer else []), dtype=dtype)
    spec = StepSpec(model, losses().get(name) or gs.SoftCrossEntropyLoss(), gs.SGD(), precision=precision)
    return [node for node in training(spec, WIDTH).graph.nodes if node.operation.cuda and node.operation.cuda.text]


def case_of(node: Node, rows: int) -> Case:
    """Arguments of an operation: labels, shares in (0, 1) for a penalty on shares, or normal numbers."""
    draw, arrays = Draw(np.random.default_rng(rows), np.dtype(np.float64)), []
    for value in node.values:
        shape = ((rows,) if value.kind == "batch" else ()) + value.shape
        load(value.dtype)
        if value in node.outputs:
            array = draw.junk(*shape)
        elif value.dtype.startswith("int"):
            array = draw.random.integers(0, WIDTH, shape)
        elif "Sparsity" in node.operation.name:
            array = draw.random.uniform(0.1, 0.9, shape)
        else:
            array = draw.normal(*shape)
        arrays.append(array.astype(value.dtype))
    written = tuple(range(len(node.inputs), len(arrays)))
    case = Case(arrays, written)
    results = in_float64(node.operation, case)
    return Case(arrays, written, terms={place: max(1.0, largest(results[place])) for place in written})
