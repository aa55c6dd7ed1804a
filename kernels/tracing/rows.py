"""How a kernel goes through a row: passes over its elements, and what is computed between them from reductions.

A pass computes the elements that its reductions and outputs need from the arrays; what two passes need is computed in
both. Numbers that a row has one of are computed once, before the first pass that needs them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .expression import LEAVES, Expression, ordered
from .group import REDUCTIONS, Group, Role


@dataclass
class Pass:
    """One pass over a row: first numbers of the row, then what is made of its elements.

    Parameters
    ----------
    of_row : expressions with one number a row, computed before the elements.
    reductions : of the row's elements.
    stored : outputs with a number for each element.
    """

    of_row: list[Expression] = field(default_factory=list)
    reductions: list[Expression] = field(default_factory=list)
    stored: list[Expression] = field(default_factory=list)


def passes(group: Group) -> list[Pass]:
    """The passes over a row; after the last one come only numbers of the row."""
    every = _all(group)
    levels: dict[Expression, int] = {}
    for one in every:
        below = max((levels[part] for part in one.inputs if part in levels), default=0)
        levels[one] = below + (one.operator in REDUCTIONS)
    found = [Pass() for _ in range(max(levels.values(), default=0) + 1)]
    for one in every:
        role, step = group.role(one), found[levels[one]]
        if one.operator in REDUCTIONS:
            found[levels[one] - 1].reductions.append(one)
        elif role in (Role.ROW, Role.ONE):
            step.of_row.append(one)
        elif one in group.outputs:
            step.stored.append(one)
    return found


def _all(group: Group) -> list[Expression]:
    """The expressions that the group computes, inputs first; what it reads are leaves."""
    known = set(group.inputs)
    return [one for one in ordered(group.outputs, known) if one not in known and one.operator not in LEAVES]


def elements(group: Group, needs: Sequence[Expression], kept: Iterable[Expression] = ()) -> list[Expression]:
    """The expressions with a number for each element that `needs` are computed from, the arrays and `kept` included."""
    rows = {one for one in ordered(needs) if group.role(one) in (Role.ROW, Role.ONE) or one.operator == "constant"}
    stops = rows | set(group.inputs) | set(kept)
    return [one for one in ordered(needs, stops) if one not in rows]
