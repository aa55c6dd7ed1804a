"""Base class of optimizers: states, the table of constants, and use without a `Trainer`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ...backends.errors import ConfigurationError, ShapeError
from ...kernels.counters import COUNTERS, FAILED
from ...kernels.operation import Operation
from ..registered import Registered
from ..values import require_number


@dataclass
class State:
    """State of a parameter for use without a `Trainer`: the number of steps, the states by name, and whether the
    parameter was moved ahead for its gradient (`Nesterov`).
    """

    step: int = 0
    slots: dict[str, Any] = field(default_factory=dict)
    ahead: bool = False


class Optimizer(Registered):
    """Base class of optimizers. An optimizer has an operation, named states, and a row of constants per step.

    Parameters
    ----------
    lr : learning rate; a schedule multiplies it.
    weight_decay : applies to weights only in a `Trainer`, and to all given arrays in `update`.

    Raises
    ------
    ConfigurationError
        A number is below 0.

    Examples
    --------
    >>> @gs.optimizer  # a class that derives from it
    ... def plain_descent(p, g, *, lr=0.1):
    ...     return p - lr * g
    >>> p, optimizer = np.array([1.0, 2.0]), plain_descent()
    >>> optimizer.update(p, 2 * p, optimizer.init(p))  # one step towards the minimum of Σ p²
    >>> p
    array([0.8, 1.6])
    """

    operation: ClassVar[Operation]
    before: ClassVar[Operation | None] = None
    """The operation that moves the parameters before the gradient is computed, or None; arguments as `operation`."""
    registered: ClassVar[dict[str, type[Optimizer]]]
    slots: ClassVar[tuple[str, ...]] = ()
    on_host: ClassVar[bool] = False
    """Whether the host computes the direction at each step (`StepwisePlan`), from the complete gradient."""
    fixed: ClassVar[tuple[str, ...]] = ()
    """Settings that cannot change after training has begun."""
    proportional: ClassVar[bool] = False
    """Whether the step is proportional to the gradient, as for SGD; batch-size advice scales the rate accordingly."""
    full_batch: ClassVar[bool] = False
    """Whether each step needs all rows (full batch)."""

    def __init__(self, lr: float, weight_decay: float) -> None:
        self.lr, self.weight_decay = lr, weight_decay
        require_number(self, lr=lr, weight_decay=weight_decay, at_least=0)

    @property
    def states(self) -> tuple[str, ...]:
        """The states used with the current arguments; the others stay empty."""
        return self.slots

    @property
    def attributes(self) -> dict[str, int | float]:
        """Attributes of the operation."""
        return {}

    @property
    def initial(self) -> dict[str, float]:
        """Initial values of the states that do not start at 0."""
        return {}

    def constants(self, step: int, lr: float) -> tuple[float, ...]:
        """The operation's constants for update number `step`, from 0, at learning rate `lr`, in float64.

        Each is linear in `lr`, a + b · lr.
        """
        raise NotImplementedError

    def init(self, p: Any) -> Any:
        """A fresh state for the array p, or a dictionary of states for a dictionary of arrays."""
        if isinstance(p, Mapping):
            return {name: self.init(value) for name, value in p.items()}
        xp = array_module(p)
        return State(slots={name: xp.full_like(p, self.initial.get(name, 0)) for name in self.states})

    def update(self, p: Any, g: Any, state: Any) -> None:
        """One step on the array p with gradient g, in place; also on dictionaries of arrays.

        Parameters
        ----------
        p, g : C-contiguous NumPy or CuPy arrays of one shape, float32 or float64.
        state : what `init` returned for p; changed in place.

        Raises
        ------
        ShapeError
            p, g and the state's arrays differ in shape or dtype, are not arrays, not contiguous or not floating.
        """
        if isinstance(p, Mapping):
            if p.keys() != g.keys():
                raise ShapeError(f"parameters and gradients differ in names: {sorted(p.keys() ^ g.keys())}")
            for name in p:
                self.update(p[name], g[name], state[name])
            return
        self._apply(self.operation, p, g, state)
        state.step += 1

    def _apply(self, operation: Operation, p: Any, g: Any, state: State) -> None:
        """Runs one of the optimizer's operations on the given arrays."""
        xp = array_module(p)
        for name, array in (("p", p), ("g", g), *state.slots.items()):
            if array_module(array) is not xp:
                raise ShapeError(f"{name} is a {array_module(array).__name__} array, but p is a {xp.__name__} array")
            if array.shape != p.shape or array.dtype != p.dtype:
                raise ShapeError(f"{name} is {array.dtype} {array.shape}, but p is {p.dtype} {p.shape}")
            if array.dtype.kind != "f" or array.dtype.itemsize < 4:
                raise ShapeError(f"{name} has dtype {array.dtype}; expected float32 or float64")
            if not array.flags.c_contiguous:
                raise ShapeError(f"{name} is not C-contiguous; pass np.ascontiguousarray({name})")
        empty = xp.zeros(0, dtype=p.dtype)
        slots = [state.slots[name].reshape(-1) if name in state.slots else empty for name in self.slots]
        counters = xp.zeros(COUNTERS, dtype=xp.int64)
        counters[FAILED] = -1
        operation.reference(
            xp,
            p.reshape(-1),
            g.reshape(-1),
            *slots,
            xp.asarray([[0, p.size]], dtype=xp.int64),
            xp.asarray([[1.0, self.weight_decay]], dtype=p.dtype),
            xp.asarray([self.constants(state.step, self.lr)], dtype=p.dtype),
            counters,
            xp.ones(1, dtype=p.dtype),
            **self.attributes,
        )

    def _is_flag(self, name: str) -> None:
        value = getattr(self, name)
        if not isinstance(value, bool | int) or value not in (False, True):
            raise ConfigurationError(f"{type(self).__name__}: {name} is {value!r}; expected True or False")

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value}" for name, value in vars(self).items())
        return f"{type(self).__name__}({arguments})"


def array_module(array: Any) -> Any:
    """The module of an array: CuPy for CuPy arrays, otherwise NumPy."""
    if hasattr(array, "__cuda_array_interface__") and type(array).__module__.partition(".")[0] == "cupy":
        return importlib.import_module("cupy")
    if not isinstance(array, np.ndarray):
        raise ShapeError(f"got {type(array).__name__}; expected a NumPy or CuPy array")
    return np
