"""`FormulaOptimizer`: optimizers whose update is a formula, and `optimizer`, which makes one of a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

from ...backends.errors import ConfigurationError
from ...kernels.operation import Operation
from ...kernels.updates.formula import DECAY, LR, UpdateFormula
from ..layers.formula import checked_constants
from .base import Optimizer

STEP = "step"
EXPECTED = "expected (p, g, *states, *, lr, …): two arrays, the states, then keywords after *, with lr among them"


class UpdateOperation:
    """The operation of an optimizer class's formula; its kernels are generated when it is first used."""

    def __get__(self, one: Any, kind: type[FormulaOptimizer]) -> Operation:
        return kind._update.operation


class FormulaOptimizer(Optimizer, named=False):
    """Base class of optimizers whose `formula` gives the new p and the new states of an element.

    Parameters
    ----------
    settings : the keyword arguments of `formula`, and ``weight_decay``.

    Raises
    ------
    ConfigurationError
        One is unknown, missing, not a number, or below 0 where it must not be.
    """

    _update: ClassVar[UpdateFormula]
    operation = UpdateOperation()  # pyright: ignore[reportAssignmentType]

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if "formula" in cls.__dict__:
            states, settings = parts_of(cls.formula)
            cls._update = UpdateFormula(cls.__name__.lower(), cls.formula, states, settings)
            cls.slots = tuple(states)

    def __init__(self, *unnamed: Any, **settings: float) -> None:
        decay = {} if DECAY in parts_of(type(self).formula)[1] else {DECAY: settings.pop(DECAY, 0.0)}
        found = checked_constants(type(self).__name__, type(self).formula, settings, (STEP,), unnamed) | decay
        for name, value in found.items():
            setattr(self, name, value)
        super().__init__(found[LR], found.get(DECAY, 0.0))

    @staticmethod
    def formula(p: Any, g: Any, *states: Any, lr: Any) -> Any:
        """The new p, or the new p and the new states, of an element."""
        raise NotImplementedError

    def settings(self, step: int) -> dict[str, float]:
        """The formula's keyword arguments for update number `step`, from 0, without the learning rate."""
        names = parts_of(type(self).formula)[1]
        return {name: step + 1 if name == STEP else getattr(self, name) for name in names if name not in (LR, DECAY)}

    def constants(self, step: int, lr: float) -> tuple[float, ...]:
        return self._update.row(lr, self.settings(step))


def parts_of(formula: Callable[..., Any]) -> tuple[list[str], list[str]]:
    """The names of a formula's states and of its keyword arguments.

    Raises
    ------
    ConfigurationError
        It takes other arguments than an update does.
    """
    parameters = list(inspect.signature(formula).parameters.values())
    arrays = [one.name for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    keywords = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY]
    if len(arrays) < 2 or len(arrays) + len(keywords) != len(parameters) or LR not in keywords:
        raise ConfigurationError(f"{formula.__name__}{inspect.signature(formula)}: {EXPECTED}")
    return arrays[2:], keywords


def optimizer(formula: Callable[..., Any], /) -> type[FormulaOptimizer]:
    """Makes an optimizer class of a formula: a decorator.

    The function gets a parameter p, its gradient g and the states, which begin at 0, as traced arrays; it returns the
    new p and the new states. It uses `gearshift.xp` and Python's operators, element by element. Its keyword arguments
    become arguments of the class. ``lr`` is the learning rate of the step; ``step``, if it is one, is the number of the
    step, from 1. If ``weight_decay`` is one, it is that of the weights and 0 for biases; if not, the class takes it
    too, and weight_decay · p is added to g.

    Raises
    ------
    ConfigurationError
        The function takes other arguments, or cannot be traced.

    Examples
    --------
    >>> @gs.optimizer
    ... def sign_descent(p, g, *, lr=1e-3):
    ...     return p - lr * gs.xp.sign(g)
    >>> sign_descent(lr=0.01)
    sign_descent(lr=0.01, weight_decay=0.0)
    """
    if not formula.__name__.isidentifier():
        raise ConfigurationError(
            f"{formula.__name__}: files know an optimizer by its name; define it by def, not as a lambda"
        )
    parts_of(formula)
    names = {"formula": staticmethod(formula), "__module__": formula.__module__, "__doc__": formula.__doc__}
    made = type(formula.__name__, (FormulaOptimizer,), names)
    made.__signature__ = _signature(formula)  # pyright: ignore[reportAttributeAccessIssue]
    return made


def _signature(formula: Callable[..., Any]) -> inspect.Signature:
    """The arguments of the class: the keyword arguments, and ``weight_decay``."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    found = [one for one in inspect.signature(formula).parameters.values() if one.kind is keyword and one.name != STEP]
    if all(one.name != DECAY for one in found):
        found.append(inspect.Parameter(DECAY, keyword, default=0.0))
    return inspect.Signature(found)
