"""Compares gradients with central differences, for built-in and for custom layers."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...backends.errors import ConfigurationError
from ..data import as_dataset
from ..data.names import matched
from ..data.rows import flat
from ..graph.graph import Graph, Value
from ..layers.array_layer import ArrayLayer
from ..layers.base import Layer
from ..layers.initializers import zeros
from ..layers.parameter import Parameter
from ..losses.losses import Loss
from ..losses.values import MSELoss, ValuesLoss
from .objective import Objective, check_kinds

STEPS = (6e-6, 6e-7)  # the best one for third derivatives of 1, and one that steps over fewer kinks


@dataclass(frozen=True)
class Checked:
    """The result for one array: how many elements were compared, and the one that differs most."""

    name: str
    elements: int
    error: float
    index: tuple[int, ...]
    gradient: float
    difference: float


@dataclass(frozen=True)
class GradientCheck:
    """The result of `check_gradients`; prints as a table.

    Attributes
    ----------
    rows : a `Checked` for the input x and for each trained parameter.
    tolerance : the largest error that passes.
    """

    rows: tuple[Checked, ...]
    tolerance: float

    @property
    def worst(self) -> Checked:
        """The array with the largest error."""
        return max(self.rows, key=lambda row: row.error)

    @property
    def ok(self) -> bool:
        """Whether every error is at most `tolerance`."""
        return self.worst.error <= self.tolerance

    def __str__(self) -> str:
        cells = [("", "compared", "worst error", "at", "gradient", "difference")]
        cells += [
            (r.name, str(r.elements), f"{r.error:.1e}", str(list(r.index)), f"{r.gradient:.6g}", f"{r.difference:.6g}")
            for r in self.rows
        ]
        widths = [max(len(row[column]) for row in cells) for column in range(6)]
        lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in cells]
        verdict = "the gradients are right" if self.ok else f"the gradient of {self.worst.name!r} is wrong"
        return "\n".join([*(line.rstrip() for line in lines), f"{verdict} (tolerance {self.tolerance:g})"])

    __repr__ = __str__


def check_gradients(
    model: Layer,
    loss: Loss | None = None,
    x: Any = None,
    y: Any = None,
    *,
    train: bool = True,
    seed: int = 0,
    step: int = 0,
    most: int = 100,
    tolerance: float = 1e-6,
    backend: str | None = "numpy",
) -> GradientCheck:
    """Compares gradients with central differences (f(θ + h) − f(θ − h)) / 2h, in float64.

    Works for models, single layers and custom layers. The gradient with respect to x is checked as well, unless x are
    tokens. The error of an element is |difference − gradient| / (1 + |difference|). If there is a kink between the two
    sides, such as ReLU's, a smaller h is tried.

    Parameters
    ----------
    model : a float64 copy is checked; its weights are drawn from `seed` if there are none.
    loss : for a single layer, by default the squared error against random numbers.
    x, y : some rows and their targets.
    train, seed, step : whether dropout is on, and the seed and step of its mask.
    most : maximum number of elements to compare in each array; they are chosen at random.

    Returns
    -------
    GradientCheck
        ``.ok``, ``.worst`` and ``.rows``; it prints as a table.

    Raises
    ------
    ConfigurationError
        `model` or `loss` is none, there are no rows x, or no targets for a loss that needs them.

    Examples
    --------
    >>> model = gs.Sequential(gs.Linear(64, 5), gs.Tanh(), gs.Linear(5, 10))
    >>> gs.check_gradients(model, gs.CrossEntropyLoss(), x[:20], y[:20]).ok
    True
    """
    if x is None:
        raise ConfigurationError("check_gradients: x is None; expected some rows, as an array (rows, features)")
    check_kinds(model, loss or MSELoss())
    data = matched(as_dataset(x, y), model.feature_names)
    x, y = data.on_host("x").astype(np.float64), data.y
    graph, width = Graph("float64", train=train), flat(x).shape[1]
    shape = graph.lower(model, graph.batch((width,))).shape
    rows = None if graph.categories else len(x)
    shifted = _Shifted(copy.deepcopy(model).astype("float64"), rows, width)
    shifted.astype("float64")
    random = np.random.default_rng(seed)
    if y is None and not isinstance(loss, ValuesLoss | None):
        raise ConfigurationError(f"check_gradients: y is None; {type(loss).__name__} needs targets")
    if y is None:
        y = random.standard_normal((len(x), *shape))
    objective = Objective(
        shifted,
        loss or MSELoss(),
        x,
        y,
        train=train,
        seed=seed,
        step=step,
        backend=backend,
    )
    objective.evaluate()
    gradients = objective.arena.pack(objective.arena.gradients)
    found = [_checked(objective, p, gradients[p.name], most, tolerance, random) for p in objective.trained]
    return GradientCheck(tuple(found), tolerance)


def _checked(
    objective: Objective, parameter: Parameter, gradient: np.ndarray, most: int, tolerance: float, random: Any
) -> Checked:
    arena = objective.arena
    view = arena.view(arena.values, parameter).reshape(-1)
    places = np.arange(parameter.size)
    if parameter.size > most:
        places = np.sort(random.choice(parameter.size, most, replace=False))
    worst = (-1.0, 0, 0.0)
    for place in places.tolist():
        exact, found = float(gradient.flat[place]), (np.inf, 0.0)
        for h in STEPS:
            difference = _difference(objective, view, place, h)
            error = abs(difference - exact) / (1 + abs(difference))
            found = min(found, (error if np.isfinite(error) else np.inf, difference))
            if found[0] <= tolerance:
                break
        worst = max(worst, (found[0], place, found[1]))
    error, place, difference = worst
    index = tuple(int(i) for i in np.unravel_index(place, parameter.shape))
    name = parameter.name.removeprefix("inside.")
    return Checked(name, len(places), error, index, float(gradient.flat[place]), difference)


def _difference(objective: Objective, view: Any, place: int, h: float) -> float:
    before = float(view[place])
    h *= max(1.0, abs(before))
    sides = []
    for moved in (before + h, before - h):
        view[place] = moved
        sides.append(objective.value())
    view[place] = before
    return (sides[0] - sides[1]) / (2 * h)


class _Shift(ArrayLayer, named=False):
    """y = x + s with s as large as x, so that the gradient of s is that of x."""

    def __init__(self, rows: int, width: int) -> None:
        self.s = Parameter((rows, width), zeros)

    def forward(self, xp: Any, x: Any, s: Any) -> Any:
        return x + s

    def backward(self, xp: Any, dy: Any, x: Any, y: Any, s: Any) -> tuple[Any, ...]:
        return dy, dy


class _Shifted(Layer, named=False):
    """A layer whose input is trained, of `rows` rows, or is not, since tokens have no gradient: None."""

    def __init__(self, inside: Layer, rows: int | None, width: int) -> None:
        self.x = None if rows is None else _Shift(rows, width)
        self.inside = inside

    def parameters(self) -> list[Parameter]:
        found = super().parameters()
        if self.x is not None:
            self.x.s.name = "x"
        return found

    def lower(self, graph: Graph, x: Value) -> Value:
        return graph.lower(self.inside, x if self.x is None else graph.lower(self.x, x), "inside")
