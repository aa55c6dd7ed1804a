"""The loop and the CUDA kernel of an update that is a formula; `kernels.updates.update` has the arguments."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .cuda_text import CudaText
from .expression import Expression, ordered
from .group import Group, Role
from .loop_text import LoopText
from .text import KernelText

IMPORT = "from gearshift.kernels.counters import FAILED, ROW\n"


@dataclass(eq=False)
class UpdateParts:
    """A traced update.

    Parameters
    ----------
    arrays : p, g and the states.
    results : the new p and the new states.
    rate, decay : the learning rate and the weight decay of a range.
    columns : the other numbers of a row of the table.
    couples : whether the kernel adds decay · p to g.
    """

    arrays: list[Expression]
    results: list[Expression]
    rate: Expression
    decay: Expression
    columns: list[Expression]
    couples: bool

    @property
    def group(self) -> Group:
        """As the group of a kernel, of which the numbers are inputs, too."""
        shape = self.arrays[0].shape
        return Group(shape, None, True, [], [*self.arrays, self.rate, self.decay, *self.columns], list(self.results))


class UpdateText(KernelText):
    """What the two languages have in common: names, and which expressions are computed once for a range."""

    def __init__(self, name: str, parts: UpdateParts) -> None:
        super().__init__(name, parts.group)
        self.parts = parts
        self.own = _own_names(parts.arrays)
        self.names.update({parts.rate: "rate", parts.decay: "decay"})
        self.names.update({one: f"constant_{number}" for number, one in enumerate(parts.columns)})

    @property
    def numbers(self) -> list[Expression]:
        """What is computed once for a range."""
        return [one for one in self.computed if self.group.role(one) is Role.ONE]

    @property
    def elements(self) -> list[Expression]:
        """What is computed for each element."""
        return [one for one in self.computed if self.group.role(one) is not Role.ONE]

    @property
    def computed(self) -> list[Expression]:
        """All that is computed, inputs first."""
        leaves = set(self.group.inputs)
        return [one for one in ordered(self.group.outputs, leaves) if one in self.names and one not in leaves]


def _own_names(arrays: Sequence[Expression]) -> list[str]:
    """Names of the arrays: the formula's own where both languages can spell them."""
    names = [str(one.options[0]) for one in arrays]
    return [own if re.fullmatch(r"[a-zA-Z]\w*", own, re.ASCII) else f"array_{n}" for n, own in enumerate(names)]


class UpdateLoop(UpdateText, LoopText):
    """`source` is the text of a module with the loop `name`."""

    def body(self) -> None:
        """The loop without its first lines."""
        self.add(1, "row = table[counters[ROW]]")
        for place, one in enumerate(self.parts.columns, 1):
            self.add(1, f"{self.names[one]} = row[{place}]")
        self.add(1, "scale = clip[0]")
        self.add(1, "for r in range(bounds.shape[0]):")
        self.add(2, "low, high = max(start, bounds[r, 0]), min(stop, bounds[r, 1])")
        self.add(2, "if high <= low:")
        self.add(3, "continue")
        self.add(2, "rate, decay = row[0] * factors[r, 0], factors[r, 1]")
        self.add(2, f"plain = {'decay == 0 and ' if self.parts.couples else ''}scale == 1")
        for one in self.numbers:
            self.add(2, f"{self.names[one]} = {self.formula(one)}")
        for own in self.own:
            self.add(2, f"{own}_part = {own}_all[low:high]")
        self.add(2, "for i in range(high - low):")
        p, g, *states = self.parts.arrays
        old = self.names.get(p, "old")
        self.add(3, f"{old} = {self.own[0]}_part[i]")
        coupled = f" + decay * {old}" if self.parts.couples else ""
        if g in self.names:
            gradient = f"{self.own[1]}_part[i]"
            self.add(3, f"{self.names[g]} = {gradient} if plain else {gradient} * scale{coupled}")
        for own, one in zip(self.own[2:], states, strict=True):
            if one in self.names:
                self.add(3, f"{self.names[one]} = {own}_part[i]")
        for one in self.elements:
            self.add(3, f"{self.names[one]} = {self.formula(one)}")
        for own, one in zip([self.own[0], *self.own[2:]], self.parts.results, strict=True):
            self.add(3, f"{own}_part[i] = {self.operand(one, one.kind == 'real')}")

    @property
    def source(self) -> str:
        """The text."""
        self.begin()
        self.body()
        arrays = ", ".join(f"{own}_all" for own in self.own)
        head = [
            f"def {self.name}(start, stop, {arrays}, bounds, factors, table, counters, clip):",
            "    if counters[FAILED] >= 0:",
            "        return",
            f"    y = {self.own[0]}_all",
        ]
        return self.module(head, IMPORT)


class UpdateCuda(UpdateText, CudaText):
    """`source` is the text of a program with the kernel `name`."""

    @property
    def source(self) -> str:
        """The text."""
        self.lines = []
        first, gradient, *states = self.own
        arrays = [f"REAL* {first}_all", f"const REAL* {gradient}_all", *(f"REAL* {own}_all" for own in states)]
        shared = ["const long long* bounds", "const REAL* factors", "const REAL* table", "const long long* counters"]
        shared += ["const REAL* clip", "COPY* copy", "long long ranges", "long long columns"]
        self.add(0, f"// {self.name}, generated from a formula.")
        self.include("counters.cuh", "elements.cuh")
        self.add(0, f'extern "C" __global__ void {self.name}({", ".join([*arrays, *shared])}) {{')
        self.add(1, "if (updates_are_off(counters)) return;")
        self.add(1, "const REAL* row = table + counters[ROW] * columns;")
        self.add(1, "const REAL scale = clip[0];")
        for place, one in enumerate(self.parts.columns, 1):
            self.add(1, f"const REAL {self.names[one]} = row[{place}];")
        self.add(1, "for (long long r = 0; r < ranges; ++r) {")
        self.add(2, "const REAL rate = row[0] * factors[2 * r], decay = factors[2 * r + 1];")
        for one in self.numbers:
            self.declare(2, one, self.formula(one))
        given = [f"REAL& {first}_one", f"REAL {gradient}_one", *(f"REAL& {own}_one" for own in states)]
        self.add(2, f"const auto update = [=]({', '.join(given)}) {{")
        self._element()
        self.add(2, "};")
        taken = [f"updates({first}_all, copy)", f"reads({gradient}_all)", *(f"changes({own}_all)" for own in states)]
        self.add(2, f"for_elements(bounds[2 * r], bounds[2 * r + 1], update, {', '.join(taken)});")
        self.add(1, "}")
        self.add(0, "}")
        return "\n".join(self.lines) + "\n"

    def _element(self) -> None:
        """The body of the update of one element."""
        p, g, *states = self.parts.arrays
        first, gradient, *own_states = (f"{own}_one" for own in self.own)
        coupled = f" + decay * {first}" if self.parts.couples else ""
        for one, value in [(p, first), (g, f"{gradient} * scale{coupled}"), *zip(states, own_states, strict=True)]:
            if one in self.names:
                self.declare(3, one, value)
        for one in self.elements:
            self.declare(3, one, self.formula(one))
        for own, one in zip([first, *own_states], self.parts.results, strict=True):
            self.add(3, f"{own} = {self.operand(one, one.kind == 'real')};")
