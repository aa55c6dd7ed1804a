"""The loop of a group in Python, for Numba."""

from __future__ import annotations

import math

from .expression import Expression, ordered
from .group import Role
from .operators import OPERATORS, Operator
from .rows import Pass, elements, passes
from .text import ALIASES, KernelText

HEADER = '''"""{what}, generated from a formula."""

import math

import numpy as np

from gearshift.backends.reductions import larger, plus
{imports}from gearshift.kernels.elementary import {functions}


'''

ELEMENTARY = ("exp", "expm1", "log", "log1p", "sigmoid", "sign", "tanh")
START = {"sum": "zero", "max": "real(-np.inf)", "argmax": "0"}


class LoopText(KernelText):
    """`source` is the text of a module with the function `name(start, stop, *arrays)`."""

    part = "{}.reshape(-1)[start:stop]"
    """The elements of an array of any shape."""

    def begin(self) -> None:
        """Forgets what an earlier text had."""
        self.lines, self._constants, self._kept = [], dict[str, str](), dict[Expression, str]()

    @property
    def source(self) -> str:
        """The text."""
        self.begin()
        (self._flat if self.group.flat else self._rows)()
        head = [f"def {self.name}(start, stop, {', '.join(self.parameters)}):", f"    y = {self.parameters[self.real]}"]
        batch = next((place for place, one in enumerate(self.arrays) if one.batch), None)
        if batch is not None and any(one.operator == "rows" for one in ordered(self.group.outputs)):
            head.append(f"    count = y.dtype.type({self.parameters[batch]}.shape[0])")
        return self.module(head)

    def module(self, head: list[str], imports: str = "") -> str:
        """The text of a module: imports, the function's first lines, the constants, and the lines written so far."""
        written = [f"    {name} = real({value})" for value, name in self._constants.items()]
        lines = [*head, "    real = y.dtype.type", "    zero, one = real(0), real(1)", *written, *self.lines]
        text = "\n".join(lines) + "\n"
        used = [name for name in ELEMENTARY if f"{name}(" in text]
        header = HEADER.format(what=self.name, imports=imports, functions=", ".join(used or ELEMENTARY[:1]))
        return header + text

    def literal(self, value: float) -> str:
        if isinstance(value, bool):
            return str(value)
        if value in (0, 1) and math.copysign(1, value) > 0:
            return "one" if value else "zero"
        text = repr(float(value)) if math.isfinite(value) else f"np.{'nan' if value != value else 'inf'}"
        text = f"-{text}" if value == -math.inf else text
        return self._constants.setdefault(text, f"c{len(self._constants)}")

    def number(self, text: str) -> str:
        return f"real({text})"

    def text_of(self, operator: Operator) -> str:
        return operator.loop

    def _flat(self) -> None:
        """One loop over all elements."""
        for name, one in zip(self.parameters, self.arrays, strict=True):
            if self.group.role(one) is Role.ONE and one in self.group.inputs:
                if one in self.names:
                    self.add(1, f"{self.names[one]} = {name}.reshape(-1)[0]")
            else:
                self.add(1, f"{name}_ALL = {self.part.format(name)}")
        self.add(1, "for i in range(stop - start):")
        for name, one in zip(self.parameters, self.group.inputs, strict=False):
            if self.group.role(one) is not Role.ONE and one in self.names:
                self.add(2, f"{self.names[one]} = {name}_ALL[i]")
        for one in self._computed():
            if one not in self.group.inputs:
                self.add(2, f"{self.names[one]} = {self.formula(one)}")
        for name, one in zip(self.parameters[len(self.group.inputs) :], self.group.outputs, strict=True):
            self.add(2, f"{name}_ALL[i] = {self.operand(one, one.kind == 'real')}")

    def _rows(self) -> None:
        """A loop over rows, with the passes over each."""
        self.add(1, f"n = {self._width()}")
        self.add(1, "width = real(n)")
        for name, one in zip(self.parameters, self.arrays, strict=True):
            role = self.group.role(one)
            if role is Role.FULL:
                shaped = name if len(one.shape) == 2 else f"{name}.reshape(({name}.size // n, n))"
                self.add(1, f"{name}_ALL = {shaped}")
            else:
                self.add(1, f"{name}_ALL = {name}.reshape(-1)")
            if role is Role.ONE and one in self.group.inputs and one in self.names:
                self.add(1, f"{self.names[one]} = {name}_ALL[0]")
        self.add(1, "for row in range(start, stop):")
        for name, one in zip(self.parameters, self.arrays, strict=True):
            if self.group.role(one) is Role.FULL:
                self.add(2, f"{name}_ROW = {name}_ALL[row]")
            elif self.group.role(one) is Role.ROW and one in self.group.inputs and one in self.names:
                self.add(2, f"{self.names[one]} = {name}_ALL[row]")
        steps = passes(self.group)
        for number, step in enumerate(steps):
            self._pass(step, steps[number + 1 :])

    def _width(self) -> str:
        full, column = self.first(Role.FULL), self.first(Role.COLUMN)
        if full is not None:
            return f"{self.parameters[full]}.shape[-1]"
        return str(self.group.width or 1) if column is None else f"{self.parameters[column]}.size"

    def _pass(self, step: Pass, later: list[Pass]) -> None:
        """Sums, then maxima, then what is stored: loops that add do not store, or whether they vectorise, and so the
        order of their sums, would depend on where the arrays lie."""
        for one in step.of_row:
            if one in self.names and one.operator not in ALIASES:
                self.add(2, f"{self.names[one]} = {self.formula(one)}")
        self._store_rows(step.of_row)
        if step.reductions:
            self._keep(step, later)
        sums = [one for one in step.reductions if one.operator == "sum"]
        for some in (sums, *([one] for one in step.reductions if one not in sums)):
            for one in some:
                self.add(2, f"{self.names[one]} = {START[one.operator]}")
                if one.operator != "sum":
                    start = "0" if one.operator == "max" else "real(-np.inf)"
                    self.add(2, f"m{self.names[one]} = {start}")
            if some:
                self._elements([one.inputs[0] for one in some])
            for one in some:
                self._reduce(one)
        if step.stored:
            self._elements(step.stored)
        for one in step.stored:
            self.add(3, f"{self.outputs[one]}_ROW[j] = {self.operand(one, one.kind == 'real')}")
            self._kept = {known: name for known, name in self._kept.items() if name != self.outputs[one]}
        self._store_rows(step.reductions)

    def _keep(self, step: Pass, later: list[Pass]) -> None:
        """Stores one expression that takes long to compute, and that another loop over the row needs, in an output that
        is written later."""
        free = [one for other in (step, *later) for one in other.stored if one.kind == "real"]
        free = [one for one in free if self.outputs[one] not in self._kept.values()]
        now = elements(self.group, [one.inputs[0] for one in step.reductions], self._kept)
        ends = [end for other in later for end in (*other.stored, *(one.inputs[0] for one in other.reductions))]
        again = set(elements(self.group, [*step.stored, *ends], self._kept))
        costly = [
            one for one in now if one in self.names and one.operator in OPERATORS and OPERATORS[one.operator].costly
        ]
        for one in costly if free else ():
            if one in again:
                self._elements([one])
                self._kept[one] = self.outputs[free[0]]
                self.add(3, f"{self._kept[one]}_ROW[j] = {self.names[one]}")
                return

    def _elements(self, needs: list[Expression]) -> None:
        """A loop over the row's elements that computes some of them."""
        self.add(2, "for j in range(n):")
        for one in elements(self.group, needs, self._kept):
            if one in self.names:
                self.add(3, f"{self.names[one]} = {self._element(one)}")

    def _store_rows(self, ones: list[Expression]) -> None:
        for name, place, value in self.stores(ones):
            self.add(2, f"{name}_ALL[{place}] = {value}")

    def _element(self, one: Expression) -> str:
        if one in self._kept:
            return f"{self._kept[one]}_ROW[j]"
        if one not in self.group.inputs:
            return self.formula(one)
        name = self.parameters[self.group.inputs.index(one)]
        return f"{name}_ROW[j]" if self.group.role(one) is Role.FULL else f"{name}_ALL[j]"

    def _reduce(self, one: Expression) -> None:
        name, value = self.names[one], self.operand(one.inputs[0], True)
        if one.operator == "sum":
            self.add(3, f"{name} = plus({name}, {value})")
        elif one.operator == "max":
            self.add(3, f"{name} = larger({name}, {value})")
            self.add(3, f"m{name} += {value} != {value}")
            self.add(2, f"{name} = real(np.nan) if m{name} else {name}")
        else:
            self.add(3, f"if {value} > m{name} or ({value} != {value} and m{name} == m{name}):")
            self.add(4, f"m{name}, {name} = {value}, j")
