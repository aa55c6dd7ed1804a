"""Updates that are formulas of a parameter, its gradient and its states.

What depends on the step's settings alone is computed on the host in float64, as ``1 - beta ** step``; a row of the
table has the learning rate and then these numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from ..launch import over_arena
from ..operation import Cuda, Operation
from ..tracing.evaluate import evaluate
from ..tracing.expression import ROWS, Expression, array, as_expression, as_number, ordered, replaced
from ..tracing.generated import function
from ..tracing.operators import OPERATORS
from ..tracing.refusal import refuse
from ..tracing.traced_array import expression_of, traced
from ..tracing.update_text import UpdateCuda, UpdateLoop, UpdateParts
from .update import constants, ranges, update_operation

LR, DECAY = "lr", "weight_decay"


class UpdateFormula:
    """A traced update: its operation, and the numbers that its table has for a step.

    Parameters
    ----------
    name : of the operation.
    formula : ``formula(p, g, *states, lr=…, **settings)`` returns the new p and the new states.
    states : names of the states.
    settings : names of the keyword arguments; ``"lr"`` is one. Without ``"weight_decay"``, the kernel adds
        weight_decay · p to g.

    Raises
    ------
    ConfigurationError
        The formula does not return this many arrays, or one of them is not computed element by element.
    """

    def __init__(self, name: str, formula: Callable[..., Any], states: Sequence[str], settings: Sequence[str]) -> None:
        arrays = [array(own, (ROWS,)) for own in ("p", "g", *states)]
        self._settings = {own: array(own, ()) for own in settings}
        rate, decay = (self._settings.get(own, array(own, ())) for own in (LR, DECAY))
        results = _traced(formula, arrays, self._settings)
        self._host = _on_host(results, set(self._settings.values()) - {rate, decay})
        columns = [array(f"constant_{number}", ()) for number in range(len(self._host))]
        self.parts = UpdateParts(
            arrays,
            replaced(results, dict(zip(self._host, columns, strict=True))),
            rate,
            decay,
            columns,
            couples=DECAY not in settings,
        )
        self._name = name

    def row(self, lr: float, settings: Mapping[str, float]) -> tuple[float, ...]:
        """The row of the table for a step: the learning rate, and what the other settings give."""
        known = {self._settings[name]: np.float64(value) for name, value in settings.items() if name in self._settings}
        with np.errstate(all="ignore"):  # numbers that are not finite end in a loss that is reported
            return lr, *map(float, evaluate(np, self._host, known, 0))

    @cached_property
    def operation(self) -> Operation:
        """The operation, with a loop and a CUDA kernel."""
        kernel = re.sub(r"[^a-zA-Z0-9_]", "_", self._name) + "_update"
        loop = function(kernel, UpdateLoop(kernel, self.parts).source)
        cuda = Cuda("", kernel, over_arena, text=UpdateCuda(kernel, self.parts).source)
        operators = [one for one in ordered(self.parts.results) if one.operator in OPERATORS]
        operation = update_operation(self._name, self._reference, loop, len(operators), cuda=cuda)
        return replace(operation, formula=(tuple(self.parts.arrays), tuple(self.parts.results)))

    def _reference(self, xp: Any, p: Any, g: Any, *others: Any) -> None:
        """Updates p and the states (n,) in place."""
        *states, bounds, factors, table, counters, clip = others
        lr, *columns = constants(table, counters)
        parts = self.parts
        for part, rate, decay in ranges(bounds, factors, counters):
            d = g[part] * clip[0]
            if parts.couples:
                d = d + decay * p[part]
            known = dict(zip(parts.arrays, (p[part], d, *(state[part] for state in states)), strict=True))
            known |= {parts.rate: lr * rate, parts.decay: decay, **dict(zip(parts.columns, columns, strict=True))}
            found = zip(parts.results, evaluate(xp, parts.results, known, 0), strict=True)
            # an argument that is returned as it was is a view of what is written here
            values = [xp.array(value) if one.operator == "input" else value for one, value in found]
            for target, value in zip((p, *states), values, strict=True):
                target[part] = value


def _traced(
    formula: Callable[..., Any], arrays: Sequence[Expression], settings: Mapping[str, Expression]
) -> list[Expression]:
    """The new p and the new states."""
    found = traced(formula, *arrays, **settings)
    names = ["p", *(str(one.options[0]) for one in arrays[2:])]
    expected = f"the new {', '.join(names)}, in this order"
    found = list(found) if isinstance(found, tuple | list) else [found]
    if len(found) != len(names):
        refuse(f"{formula.__name__} returns {len(found)} of {len(names)} values; expected {expected}")
    results = [as_number(as_expression(expression_of(one))) for one in found]
    for name, result in zip(names, results, strict=True):
        if result.shape not in ((), (ROWS,)):
            refuse(f"{formula.__name__} returns {name} of shape {result.shape}; expected {expected}")
    for one in ordered(results):
        if one.operator not in OPERATORS and one.operator not in ("input", "constant"):
            refuse(f"{formula.__name__}: {one.operator!r}; an update is computed element by element")
    return results


def _on_host(results: Sequence[Expression], settings: set[Expression]) -> list[Expression]:
    """The largest expressions that depend on these settings and constants alone."""
    every = ordered(results)
    alone: set[Expression] = set()
    for one in every:
        made_of_them = one.inputs and all(part in alone or part.operator == "constant" for part in one.inputs)
        if one in settings or (made_of_them and one.kind == "real"):
            alone.add(one)
    users = [one for one in every if one not in alone]
    read = [*(part for one in users for part in one.inputs), *results]
    return list(dict.fromkeys(one for one in read if one in alone))
