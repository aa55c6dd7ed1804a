"""Activations that are a formula: `activation` makes a layer of a function of one array."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ...backends.errors import ConfigurationError
from ..graph.graph import Graph, Value
from .activations import Activation
from .traced import Trace


class FormulaActivation(Activation, named=False):
    """Base class of activations whose `formula` is traced.

    Parameters
    ----------
    constants : the keyword arguments of `formula`.

    Raises
    ------
    ConfigurationError
        A constant is unknown, missing, or not a number.
    """

    def __init__(self, *unnamed: Any, **constants: float) -> None:
        self.constants = checked_constants(type(self).__name__, type(self).formula, constants, unnamed=unnamed)

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        bind_constants(cls)

    @staticmethod
    def formula(x: Any) -> Any:
        """The activation of an array, element by element."""
        raise NotImplementedError

    def config(self) -> dict[str, Any]:
        return dict(self.constants)

    def lower(self, graph: Graph, x: Value) -> Value:
        trace = Trace(graph, type(self).__name__, {})
        return trace.run(lambda x: type(self).formula(x, **self.constants), (x,))


class BoundFormula:
    """A formula in a class; an instance's has the instance's constants."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __get__(self, one: Any, kind: type) -> Callable[..., Any]:
        return self._function if one is None else partial(self._function, **one.constants)


def bind_constants(kind: Any) -> None:
    """Makes ``instance.formula`` know the instance's constants."""
    own = vars(kind).get("formula")
    if isinstance(own, staticmethod):
        kind.formula = BoundFormula(own.__func__)


def activation(formula: Callable[..., Any], /) -> type[FormulaActivation]:
    """Makes an activation class of a formula: a decorator.

    The function gets one traced array and returns one of the same shape. It uses `gearshift.xp` and Python's operators.
    Its keyword arguments become arguments of the class. Configurations use its name in lower case. Files of models hold
    the name; the function must be defined where they are loaded.

    Raises
    ------
    ConfigurationError
        The function takes other arguments than one array and keywords.

    Examples
    --------
    >>> @gs.activation
    ... def squared_relu(x, *, slope=1.0):
    ...     return slope * gs.xp.maximum(x, 0.0) ** 2
    >>> squared_relu(slope=2.0)
    squared_relu(slope=2.0)
    """
    keywords(formula, 1, "an activation takes one array, then keywords after *: (x, *, slope=0.1)")
    names = {"formula": staticmethod(formula), "__module__": formula.__module__, "__doc__": formula.__doc__}
    return type(formula.__name__, (FormulaActivation,), names)


def keywords(formula: Callable[..., Any], arrays: int, expected: str) -> dict[str, Any]:
    """The keyword-only arguments of a formula and their defaults.

    Raises
    ------
    ConfigurationError
        The formula takes another number of arrays, or other arguments, or has no name.
    """
    if not formula.__name__.isidentifier():
        raise ConfigurationError(
            f"{formula.__name__}: files know a formula by its name; define it by def, not as a lambda"
        )
    parameters = list(inspect.signature(formula).parameters.values())
    given = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    named = {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}
    if len(given) != arrays or len(given) + len(named) != len(parameters):
        raise ConfigurationError(f"{formula.__name__}{inspect.signature(formula)}: {expected}")
    return named


def checked_constants(
    name: str,
    formula: Callable[..., Any],
    constants: dict[str, Any],
    given: Sequence[str] = (),
    unnamed: Sequence[Any] = (),
) -> dict[str, Any]:
    """The keyword arguments of a formula: those in `constants`, and the defaults of the others; not those in `given`.

    Raises
    ------
    ConfigurationError
        One is unknown, missing, or not a number.
    """
    parameters = inspect.signature(formula).parameters.values()
    named = [one for one in parameters if one.kind is one.KEYWORD_ONLY and one.name not in given]
    known = {one.name: one.default for one in named}
    if unnamed:
        raise ConfigurationError(
            f"{name}: {unnamed[0]!r} has no name; expected keywords: {', '.join(f'{key}=…' for key in known) or 'none'}"
        )
    for key, value in constants.items():
        if key not in known:
            raise ConfigurationError(f"{name}: {key} is unknown; expected {', '.join(known) or 'no arguments'}")
        if not isinstance(value, int | float):
            raise ConfigurationError(f"{name}: {key} is {value!r}; expected a number")
    found = {key: constants.get(key, default) for key, default in known.items()}
    for key, value in found.items():
        if value is inspect.Parameter.empty:
            raise ConfigurationError(f"{name}: {key} is missing; expected a number")
    return found
