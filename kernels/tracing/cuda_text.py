"""The kernel of a group in CUDA: a thread per four elements, or a warp per row."""

from __future__ import annotations

import math

from .expression import Expression, ordered
from .group import Role
from .operators import Operator
from .rows import Pass, elements, passes
from .text import ALIASES, KernelText

KINDS = {"real": "REAL", "int": "long long", "bool": "bool"}


class CudaText(KernelText):
    """`source` is the text of a program with the kernel `name`; `types` its macros."""

    @property
    def types(self) -> dict[str, int]:
        """The macro of each array's type, and the type that is computed in."""
        found = {self._type(place): place for place in range(len(self.arrays))}
        return {**found, "REAL": self.real}

    def _type(self, place: int) -> str:
        return f"VALUE{place}" if place else "VALUE"

    @property
    def source(self) -> str:
        """The text."""
        self.lines = []
        inputs, restrict = len(self.group.inputs), "" if self.group.flat else "__restrict__ "
        arrays = [
            f"{'const ' * (place < inputs)}{self._type(place)}* {restrict}{name}"
            for place, name in enumerate(self.parameters)
        ]
        extra = ["long long size"] if self.group.flat else ["long long lines", "int n"]
        extra.append("long long rows")
        self.add(0, f"// {self.name}, generated from a formula.")
        self.include("elements.cuh" if self.group.flat else "rows.cuh")
        self.add(0, f'extern "C" __global__ void {self.name}({", ".join([*arrays, *extra])}) {{')
        if any(one.operator == "rows" for one in ordered(self.group.outputs)):
            self.add(1, "const REAL count = (REAL)rows;")
        body = CudaText._flat if self.group.flat else CudaText._rows
        body(self)
        self.add(0, "}")
        return "\n".join(self.lines) + "\n"

    def literal(self, value: float) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        if math.isfinite(value):
            return f"(REAL){value!r}" if value >= 0 else f"(REAL)({value!r})"
        return "not_a_number((REAL)0)" if value != value else f"{'-' * (value < 0)}infinity((REAL)0)"

    def number(self, text: str) -> str:
        return f"(REAL){text}"

    def text_of(self, operator: Operator) -> str:
        return operator.c

    def include(self, *files: str) -> None:
        """Appends the lines that include files, and that of infinite constants where there are any."""
        every = ordered(self.group.outputs)
        infinite = any(one.operator == "constant" and not math.isfinite(one.value) for one in every)
        for file in (*files, *["infinity.cuh"] * infinite):
            self.add(0, f'#include "{file}"')
        self.add(0, "")

    def declare(self, depth: int, one: Expression, value: str) -> None:
        """Appends the declaration of an expression."""
        self.add(depth, f"const {KINDS[one.kind]} {self.names[one]} = {value};")

    def _flat(self) -> None:
        inputs, outputs = self.group.inputs, self.group.outputs
        names = self.parameters[len(inputs) :]
        for name, one in zip(self.parameters, inputs, strict=False):
            if self.group.role(one) is Role.ONE and one in self.names:
                self.declare(1, one, f"{name}[0]")
        pairs = zip(self.parameters, inputs, strict=False)
        flat = [(name, one) for name, one in pairs if self.group.role(one) is not Role.ONE and one in self.names]
        given = [f"{KINDS[one.kind]} {self.names[one]}" for _, one in flat]
        given += [f"{self._type(len(inputs) + place)}& {name}_OUT" for place, name in enumerate(names)]
        self.add(1, f"const auto body = [&]({', '.join(given)}) {{")
        for one in self._computed():
            if one not in inputs:
                self.declare(2, one, self.formula(one))
        for name, one in zip(names, outputs, strict=True):
            self.add(2, f"{name}_OUT = {self.operand(one, one.kind == 'real')};")
        self.add(1, "};")
        arrays = [f"reads({name})" for name, _ in flat] + [f"writes({name})" for name in names]
        self.add(1, f"for_elements(0, size, body, {', '.join(arrays)});")

    def _rows(self) -> None:
        self.add(1, "const int lane = threadIdx.x % WARP;")
        if any(one.operator == "width" for one in ordered(self.group.outputs)):
            self.add(1, "const REAL width = (REAL)n;")
        inputs = list(zip(self.parameters, self.group.inputs, strict=False))
        for name, one in inputs:
            if self.group.role(one) is Role.ONE and one in self.names:
                self.declare(1, one, f"{name}[0]")
        self.add(1, "for (long long row = first_row(); row < lines; row += rows_at_once()) {")
        for name, one in inputs:
            if self.group.role(one) is Role.ROW and one in self.names:
                self.declare(2, one, f"{name}[row]")
        for step in passes(self.group):
            self._pass(step)
        self.add(1, "}")

    def _pass(self, step: Pass) -> None:
        for one in step.of_row:
            if one in self.names and one.operator not in ALIASES:
                self.declare(2, one, self.formula(one))
        self._store_rows(step.of_row)
        if not (step.reductions or step.stored):
            return
        for one in step.reductions:
            kind, start = {
                "sum": ("REAL", "0"),
                "max": ("REAL", "-infinity((REAL)0)"),
                "argmax": ("Best", "none()"),
            }[one.operator]
            self.add(2, f"{kind} part_{self.names[one]} = {start};")
        self.add(2, "for (int j = lane; j < n; j += WARP) {")
        for one in elements(self.group, [*(one.inputs[0] for one in step.reductions), *step.stored]):
            if one in self.names:
                self.declare(3, one, self._element(one))
        for one in step.reductions:
            part, value = f"part_{self.names[one]}", self.operand(one.inputs[0], True)
            text = {
                "sum": f"{part} += {value};",
                "max": f"{part} = greater({part}, {value});",
                "argmax": f"{part} = better({part}, Best{{{value}, j}});",
            }
            self.add(3, text[one.operator])
        for one in step.stored:
            self.add(3, f"{self.outputs[one]}[row * n + j] = {self.operand(one, one.kind == 'real')};")
        self.add(2, "}")
        for one in step.reductions:
            function = {"sum": "warp_sum({})", "max": "warp_max({})", "argmax": "warp_best({}).place"}[one.operator]
            self.declare(2, one, function.format(f"part_{self.names[one]}"))
        self._store_rows(step.reductions)

    def _store_rows(self, ones: list[Expression]) -> None:
        for name, place, value in self.stores(ones):
            self.add(2, f"if (lane == 0) {name}[{place}] = {value};")

    def _element(self, one: Expression) -> str:
        if one not in self.group.inputs:
            return self.formula(one)
        name = self.parameters[self.group.inputs.index(one)]
        return f"{name}[row * n + j]" if self.group.role(one) is Role.FULL else f"{name}[j]"
