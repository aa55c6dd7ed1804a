"""The text of a kernel that computes a group: what the two languages have in common."""

from __future__ import annotations

import re

from .expression import LEAVES, Expression, ordered
from .group import Group, Role
from .operators import OPERATORS, Operator

ALIASES = ("broadcast", "reshape", "stop_gradient")
"""Operators that leave each number as it is."""


class KernelText:
    """Names and texts of a group's expressions; a subclass writes them in its language.

    Parameters
    ----------
    name : of the kernel.
    group : what it computes.
    """

    indent = "    "

    def __init__(self, name: str, group: Group) -> None:
        self.name, self.group = name, group
        self.arrays = [*group.inputs, *group.outputs]
        self.names = {one: f"v{number}" for number, one in enumerate(self._computed())}
        self.parameters = [*map(self._input_name, range(len(group.inputs)))]
        self.parameters += [self._output_name(number) for number in range(len(group.outputs))]
        self.outputs = dict(zip(group.outputs, self.parameters[len(group.inputs) :], strict=True))
        self.lines: list[str] = []

    def _computed(self) -> list[Expression]:
        leaves = set(self.group.inputs)
        every = ordered(self.group.outputs, leaves)
        return [one for one in every if one in leaves or one.operator not in (*LEAVES, "stack", *ALIASES)]

    def _input_name(self, number: int) -> str:
        names = [self._given(one) for one in self.group.inputs]
        own = names[number]
        fine = re.fullmatch(r"[a-z][a-z_0-9]*", own) and names.count(own) == 1
        return f"in_{own}" if fine else f"in_{number}"

    @staticmethod
    def _given(one: Expression) -> str:
        return str(one.options[0]).replace(" ", "_") if one.operator == "input" else ""

    def _output_name(self, number: int) -> str:
        return f"out_{number}"

    def literal(self, value: float) -> str:
        """A number."""
        raise NotImplementedError

    def number(self, text: str) -> str:
        """An integer as a number of the dtype that is computed in."""
        raise NotImplementedError

    def text_of(self, operator: Operator) -> str:
        """The operator in this language."""
        raise NotImplementedError

    def operand(self, one: Expression, real: bool) -> str:
        """An expression as the operand of another; `real` if integers must become real numbers."""
        while one.operator in ALIASES and one not in self.group.inputs:
            one = one.inputs[0]
        if one.operator == "constant" or (one.operator == "width" and one.options[0] != self.group.width):
            return self.literal(one.options[0])
        text = {"column": "j", "rows": "count", "width": "width"}.get(one.operator) or self.names[one]
        return self.number(text) if real and one.kind == "int" else text

    def formula(self, one: Expression) -> str:
        """The right-hand side of an element-wise expression."""
        numbers = all(part.kind == "int" for part in one.inputs if part.operator != "constant")
        texts = [self.operand(part, not numbers or one.kind == "real") for part in one.inputs]
        return self.text_of(OPERATORS[one.operator]).format(*texts)

    def add(self, depth: int, text: str) -> None:
        """Appends a line."""
        self.lines.append(self.indent * depth + text)

    def stores(self, ones: list[Expression]) -> list[tuple[str, str, str]]:
        """What a row writes of some expressions: array, place and number."""
        found = []
        for one in ones:
            if one in self.outputs and one.operator == "stack":
                size = len(one.inputs)
                parts = enumerate(self.operand(part, True) for part in one.inputs)
                found += [(self.outputs[one], f"row * {size} + {place}", text) for place, text in parts]
            elif one in self.outputs:
                place = "row" if self.group.role(one) is Role.ROW else "0"
                found.append((self.outputs[one], place, self.operand(one, one.kind == "real")))
        return found

    def first(self, role: Role) -> int | None:
        """The place of the first array with this role."""
        return next((place for place, one in enumerate(self.arrays) if self.group.role(one) is role), None)

    @property
    def real(self) -> int:
        """The place of the first array of real numbers of the results, or of the inputs."""
        places = [*range(len(self.group.inputs), len(self.arrays)), *range(len(self.group.inputs))]
        return next(place for place in places if self.arrays[place].kind == "real")
