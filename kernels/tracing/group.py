"""Divides expressions into groups, each of which becomes one operation.

A group has the element-wise operators and the reductions along the last axis of arrays whose rows are alike: one kernel
computes a row from the rows of its inputs, with each number loaded once and nothing stored between. An operator that
moves elements or multiplies matrices is a group of its own.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from .expression import LEAVES, ROWS, Expression, Shape, ordered
from .operators import OPERATORS

REDUCTIONS = ("sum", "max", "argmax")


class Role(Enum):
    """What an array of a kernel has a number for: every element, every row, every column, or everything."""

    FULL, ROW, COLUMN, ONE = range(4)


@dataclass(eq=False)
class Group:
    """Expressions that one operation computes.

    Parameters
    ----------
    outer : the shape of the rows that the kernel runs over.
    width : the size of the last axis; None where every array has one number a row.
    fused : whether it is a kernel; otherwise it is one operator in array code.
    """

    outer: Shape = ()
    width: int | None = None
    fused: bool = True
    nodes: list[Expression] = field(default_factory=list)
    inputs: list[Expression] = field(default_factory=list)
    outputs: list[Expression] = field(default_factory=list)

    def role(self, one: Expression) -> Role:
        """What an expression of the group has a number for."""
        if one.operator == "stack":
            return Role.ROW
        full = self.outer if self.width is None else (*self.outer, self.width)
        if self.width is None and one.batch and any(end.operator == "stack" for end in self.outputs):
            return Role.ROW  # outputs of one column, of which a loss has several numbers
        if _leading(one.shape) == _leading(full):
            return Role.FULL
        if _leading(one.shape) == ():
            return Role.ONE
        if self.width is None:
            return Role.FULL
        if one.shape == (*self.outer, 1) or (one.batch and _trailing(one.shape) == _trailing(self.outer)):
            return Role.ROW
        return Role.COLUMN

    @property
    def reduces(self) -> bool:
        """Whether a row must be gone through as a whole."""
        return any(node.operator in REDUCTIONS for node in self.nodes)

    @property
    def flat(self) -> bool:
        """Whether the kernel runs over single elements: all arrays have one shape, or are one number."""
        every = ordered(self.outputs)
        roles = {self.role(one) for one in (*self.inputs, *self.outputs)} - {Role.ONE}
        return roles == {Role.FULL} and not self.reduces and all(one.operator != "column" for one in every)


def _leading(shape: Shape) -> Shape:
    """The shape without leading axes of size 1."""
    while shape[:1] == (1,):
        shape = shape[1:]
    return shape


def _trailing(shape: Shape) -> Shape:
    """The shape without trailing axes of size 1."""
    while shape[-1:] == (1,):
        shape = shape[:-1]
    return shape


def inline(one: Expression) -> bool:
    """Whether a group computes an expression itself, wherever it needs it: leaves that are no arrays, conditions, and
    cheap formulas of parameters alone."""
    if one.operator in LEAVES:
        return True
    if one.operator not in OPERATORS and one.operator != "broadcast":
        return False
    costly = one.operator in OPERATORS and OPERATORS[one.operator].costly
    return one.kind == "bool" or not (one.batch or costly)


def sources(*ends: Expression) -> list[Expression]:
    """The arrays that expressions are computed from, through what is inline, in the order in which they are read."""
    found: dict[Expression, None] = {}
    seen, waiting = set[Expression](), [part for end in reversed(ends) for part in reversed(end.inputs)]
    while waiting:
        source = waiting.pop()
        if source not in seen:
            seen.add(source)
            if inline(source):
                waiting += reversed(source.inputs)
            else:
                found[source] = None
    return list(found)


def partition(ends: Sequence[Expression], known: Container[Expression] = ()) -> list[Group]:
    """The groups that compute `ends` from what is known, in the order in which they run."""
    groups: list[Group] = []
    of: dict[Expression, Group] = {}
    for node in ordered(ends, known):
        if node in known or node.operator == "input" or (inline(node) and node not in ends):
            continue
        group = _group_for(node, groups, of)
        group.nodes.append(node)
        of[node] = group
    for group in groups:
        _close(group, groups, ends)
    return _in_order(groups, of)


def _group_for(node: Expression, groups: list[Group], of: dict[Expression, Group]) -> Group:
    """The last group that may take the node, or a new one."""
    outer, width, fused = _place(node)
    needed = {of[source] for source in sources(node) if source in of}
    for group in reversed(groups) if fused else ():
        alike = group.fused and group.outer == outer and (None in (width, group.width) or width == group.width)
        if alike and not any(group in _before(one, of) for one in needed - {group}):
            group.width = width if group.width is None else group.width
            return group
    groups.append(Group(outer, width, fused))
    return groups[-1]


def _place(node: Expression) -> tuple[Shape, int | None, bool]:
    """The rows and the width of the kernel that computes a node, and whether one can."""
    if node.operator == "stack":
        return (ROWS,), None, True
    reads = node.inputs[0] if node.operator in REDUCTIONS else node
    if node.operator == "reshape":
        dropped = (*node.shape, 1) == node.inputs[0].shape or (*node.inputs[0].shape, 1) == node.shape
        if node.batch and dropped and math.prod(node.shape[1:]) == 1:
            return (ROWS,), None, True
        return (), None, False
    if node.operator not in OPERATORS and node.operator not in (*REDUCTIONS, "broadcast"):
        return (), None, False
    shape = reads.shape
    if shape == (ROWS,):
        return shape, None, True
    if not shape:
        return (), 1, True
    return shape[:-1], (None if shape[-1] == 1 and node.operator not in REDUCTIONS else shape[-1]), True


def _before(group: Group, of: dict[Expression, Group]) -> set[Group]:
    """The groups that a group waits for, and itself."""
    found, waiting = {group}, [group]
    while waiting:
        for node in waiting.pop().nodes:
            for source in sources(node):
                one = of.get(source)
                if one is not None and one not in found:
                    found.add(one)
                    waiting.append(one)
    return found


def _close(group: Group, groups: list[Group], ends: Iterable[Expression]) -> None:
    """Finds what the group reads from outside and what others read of it."""
    own = set(group.nodes)
    group.inputs = [source for source in sources(*group.nodes) if source not in own]
    wanted = set(ends)
    for other in groups:
        if other is not group:
            wanted.update(source for node in other.nodes for source in sources(node))
    group.outputs = [node for node in group.nodes if node in wanted]


def _in_order(groups: list[Group], of: dict[Expression, Group]) -> list[Group]:
    done: dict[Group, None] = {}

    def visit(group: Group) -> None:
        if group not in done:
            for one in group.inputs:
                if one in of:
                    visit(of[one])
            done[group] = None

    for group in groups:
        visit(group)
    return list(done)
