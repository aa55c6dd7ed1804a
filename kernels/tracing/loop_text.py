"""The loop of a group in Python, for Numba."""

from __future__ import annotations

import math

from .expression import Expression, ordered
from .group import Role
from .operators import Operator
from .rows import Pass, passes
from .text import ALIASES, KernelText

HEADER = '''"""{what}, generated from a formula."""

import math

import numpy as np

from gearshift.kernels.elementary import {functions}


'''

ELEMENTARY = ("exp", "expm1", "log", "log1p", "sigmoid", "sign", "tanh")


class LoopText(KernelText):
    """`source` is the text of a module with the function `name(start, stop, *arrays)`."""

    @property
    def source(self) -> str:
        """The text."""
        self.lines, self._constants = [], dict[str, str]()
        body = LoopText._flat if self.group.flat else LoopText._rows
        body(self)
        written, self.lines = self.lines, []
        self.add(0, f"def {self.name}(start, stop, {', '.join(self.parameters)}):")
        self.add(1, f"y = {self.parameters[self.real]}")
        self.add(1, "real = y.dtype.type")
        self.add(1, "zero, one = real(0), real(1)")
        for value, name in self._constants.items():
            self.add(1, f"{name} = real({value})")
        batch = next((place for place, one in enumerate(self.arrays) if one.batch), None)
        if batch is not None and any(one.operator == "rows" for one in ordered(self.group.outputs)):
            self.add(1, f"count = real({self.parameters[batch]}.shape[0])")
        text = "\n".join([*self.lines, *written]) + "\n"
        used = [name for name in ELEMENTARY if f"{name}(" in text]
        return HEADER.format(what=self.name, functions=", ".join(used or ELEMENTARY[:1])) + text

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
            if self.group.role(one) is Role.ONE:
                self.add(1, f"{self.names[one]} = {name}.reshape(-1)[0]")
            else:
                self.add(1, f"{name}_ = {name}.reshape(-1)[start:stop]")
        self.add(1, "for i in range(stop - start):")
        for name, one in zip(self.parameters, self.group.inputs, strict=False):
            if self.group.role(one) is not Role.ONE:
                self.add(2, f"{self.names[one]} = {name}_[i]")
        for one in self._computed():
            if one not in self.group.inputs:
                self.add(2, f"{self.names[one]} = {self.formula(one)}")
        for name, one in zip(self.parameters[len(self.group.inputs) :], self.group.outputs, strict=True):
            self.add(2, f"{name}_[i] = {self.operand(one, one.kind == 'real')}")

    def _rows(self) -> None:
        """A loop over rows, with the passes over each."""
        self.add(1, f"n = {self._width()}")
        for name, one in zip(self.parameters, self.arrays, strict=True):
            role = self.group.role(one)
            if role is Role.FULL:
                shaped = name if len(one.shape) == 2 else f"{name}.reshape(({name}.size // n, n))"
                self.add(1, f"{name}_ = {shaped}")
            else:
                self.add(1, f"{name}_ = {name}.reshape(-1)")
            if role is Role.ONE and one in self.group.inputs:
                self.add(1, f"{self.names[one]} = {name}_[0]")
        self.add(1, "for row in range(start, stop):")
        for name, one in zip(self.parameters, self.arrays, strict=True):
            if self.group.role(one) is Role.FULL:
                self.add(2, f"{name}_row = {name}_[row]")
            elif self.group.role(one) is Role.ROW and one in self.group.inputs:
                self.add(2, f"{self.names[one]} = {name}_[row]")
        for step in passes(self.group):
            self._pass(step)

    def _width(self) -> str:
        full, column = self.first(Role.FULL), self.first(Role.COLUMN)
        if full is not None:
            return f"{self.parameters[full]}.shape[-1]"
        return str(self.group.width) if column is None else f"{self.parameters[column]}.size"

    def _pass(self, step: Pass) -> None:
        outputs = dict(zip(self.group.outputs, self.parameters[len(self.group.inputs) :], strict=True))
        for one in step.of_row:
            if one.operator not in ALIASES:
                self.add(2, f"{self.names[one]} = {self.formula(one)}")
        self._store_rows(step.of_row, outputs)
        if not (step.reductions or step.stored):
            return
        for one in step.reductions:
            start = {"sum": "zero", "max": "real(-np.inf)", "argmax": "0"}[one.operator]
            self.add(2, f"{self.names[one]} = {start}")
            if one.operator == "argmax":
                self.add(2, f"m{self.names[one]} = real(-np.inf)")
        self.add(2, "for j in range(n):")
        for one in step.of_element:
            if one in self.names:
                self.add(3, f"{self.names[one]} = {self._element(one)}")
        for one in step.reductions:
            self._reduce(one)
        for one in step.stored:
            self.add(3, f"{outputs[one]}_row[j] = {self.operand(one, one.kind == 'real')}")
        self._store_rows(step.reductions, outputs)

    def _store_rows(self, ones: list[Expression], outputs: dict[Expression, str]) -> None:
        for one in ones:
            if one in outputs:
                place = "row" if self.group.role(one) is Role.ROW else "0"
                self.add(2, f"{outputs[one]}_[{place}] = {self.operand(one, one.kind == 'real')}")

    def _element(self, one: Expression) -> str:
        if one not in self.group.inputs:
            return self.formula(one)
        name = self.parameters[self.group.inputs.index(one)]
        return f"{name}_row[j]" if self.group.role(one) is Role.FULL else f"{name}_[j]"

    def _reduce(self, one: Expression) -> None:
        name, value = self.names[one], self.operand(one.inputs[0], True)
        if one.operator == "sum":
            self.add(3, f"{name} += {value}")
        elif one.operator == "max":
            self.add(3, f"{name} = {value} if {value} > {name} or {value} != {value} else {name}")
        else:
            self.add(3, f"if {value} > m{name} or ({value} != {value} and m{name} == m{name}):")
            self.add(4, f"m{name}, {name} = {value}, j")
