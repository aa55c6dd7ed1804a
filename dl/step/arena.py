"""All parameters of a model in one contiguous buffer, and buffers of the same layout for gradients and states.

One launch then updates all parameters. They are ordered by group. Within a group, parameters with weight decay come
first, so each group has at most two ranges. Ranges start on a 256-byte boundary, and the padding stays zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...backends import Backend
from ..optimizers.groups import ParameterGroup, members
from ..turns import Turns, at_rest

if TYPE_CHECKING:
    from ..layers.parameter import Parameter

BOUNDARY = 256  # bytes: alignment for vector loads and memory transactions of all GPUs


def padded(size: int, dtype: str | np.dtype) -> int:
    """Elements that a parameter of `size` elements takes, up to the next boundary."""
    step = BOUNDARY // np.dtype(dtype).itemsize
    return -(-size // step) * step


def named(vector: np.ndarray, parameters: Sequence[Parameter]) -> dict[str, np.ndarray]:
    """The values of these parameters in one vector, as arrays by their names."""
    parts = np.split(np.asarray(vector), np.cumsum([p.size for p in parameters])[:-1])
    return {p.name: part.reshape(p.shape) for p, part in zip(parameters, parts, strict=True)}


class Range(NamedTuple):
    """A range of the buffer whose elements are updated alike."""

    start: int
    stop: int
    decayed: bool
    group: int
    """The index of the group; for parameters in no group, the number of groups."""


class Place:
    """The owner of parameters, in place of the arena itself, to avoid a reference cycle."""

    def __init__(self, backend: Backend, turns: Turns | None) -> None:
        self.backend, self.turns = backend, turns


class Arena:
    """Parameters of one model on one backend.

    Parameters
    ----------
    backend : where the buffers live.
    dtype : of the parameters.
    parameters : parameters with names and values, which are copied; `attach` makes them views of the buffer.
    groups : parameters with a separate learning rate, which get separate ranges.
    copy : dtype of a low-precision copy for products, or None.
    turns : the lock held while the parameters are trained.
    room : elements behind the gradients, for what travels with them from rank to rank.

    Attributes
    ----------
    copy : the low-precision copy in the layout of `values`; refresh it before running plans, then updates write it.
    ranges : the ranges of the trained parameters, in the order of the buffer.
    """

    def __init__(
        self,
        backend: Backend,
        dtype: str,
        parameters: Iterable[Parameter],
        groups: Sequence[ParameterGroup] = (),
        copy: str | None = None,
        turns: Turns | None = None,
        room: int = 0,
    ) -> None:
        self.backend, self._place, self._room = backend, Place(backend, turns), room
        self.dtype = np.dtype(dtype)
        parameters = list(parameters)
        group_of = dict(zip((p.name for p in parameters), members(groups, parameters), strict=True))
        self.parameters = sorted(parameters, key=lambda p: (group_of[p.name], not (p.trained and p.decay)))
        self._slices: dict[str, slice] = {}
        self.ranges: list[Range] = []
        position = 0
        for parameter in self.parameters:
            if not parameter.trained:
                continue
            start, kind = position, (parameter.decay, group_of[parameter.name])
            self._slices[parameter.name] = slice(position, position + parameter.size)
            position += padded(parameter.size, self.dtype)
            if self.ranges and self.ranges[-1][2:] == kind:
                start = self.ranges.pop().start
            if position > start:
                self.ranges.append(Range(start, position, *kind))
        self.size = position
        for parameter in self.parameters:  # state that is not trained has a range of its own, behind
            if not parameter.trained:
                self._slices[parameter.name] = slice(position, position + parameter.size)
                position += padded(parameter.size, self.dtype)
        self.values = backend.zeros(position, self.dtype)
        self.copy = None if copy is None else backend.zeros(position, copy)
        self._message: Any = None
        with at_rest(self.parameters):
            for parameter in self.parameters:
                self._take(parameter)

    def attach(self) -> bool:
        """Makes every parameter's array a view of `values`; first copies arrays that were replaced meanwhile.

        Returns whether there were any.
        """
        replaced = [parameter for parameter in self.parameters if parameter.owner is not self._place]
        for parameter in replaced:
            self._take(parameter)
            parameter.array, parameter.owner = self.view(self.values, parameter), self._place
        return bool(replaced)

    def take(self) -> None:
        """Copies the parameters' present values; they stay where they are."""
        with at_rest(self.parameters):
            for parameter in self.parameters:
                self._take(parameter)
        self.refresh()

    def refresh(self) -> None:
        """Updates the low-precision copy, if there is one."""
        if self.copy is not None:
            with np.errstate(over="ignore"):  # such weights end in a loss that is reported
                self.copy[...] = self.values

    def _take(self, parameter: Parameter) -> None:
        self.view(self.values, parameter)[...] = self.backend.asarray(parameter.numpy(), dtype=self.dtype)

    @property
    def trained(self) -> Any:
        """The part of `values` that an optimizer updates."""
        return self.values[: self.size]

    @property
    def gradients(self) -> Any:
        """The gradients in the layout of `trained`; allocated when first needed."""
        return self.message[: self.size]

    @property
    def message(self) -> Any:
        """The gradients, with `room` behind them."""
        if self._message is None:
            self._message = self.backend.zeros(self.size + padded(self._room, self.dtype), self.dtype)
        return self._message

    def zeros(self) -> Any:
        """A new buffer for a gradient or an optimizer's state."""
        return self.backend.zeros(self.size, self.dtype)

    def view(self, buffer: Any, parameter: Parameter) -> Any:
        """The view of a buffer that belongs to a parameter, in its shape."""
        return buffer[self._slices[parameter.name]].reshape(parameter.shape)

    def offset(self, name: str) -> int:
        """The offset of a parameter in a buffer, in elements."""
        return self._slices[name].start

    def range_of(self, name: str) -> int:
        """The number of the range that a trained parameter lies in, or 0 if there is none."""
        start = self.offset(name)
        return next((i for i, (low, high, *_) in enumerate(self.ranges) if low <= start < high), 0)

    def flat(self, buffer: Any, parameters: Sequence[Parameter]) -> np.ndarray:
        """The values of these parameters in a buffer, copied to the host as one vector."""
        return np.concatenate([self.backend.to_numpy(self.view(buffer, p)).ravel() for p in parameters])

    def pack(self, buffer: Any) -> dict[str, np.ndarray]:
        """The named tensors of a buffer, copied to the host."""
        return {
            parameter.name: np.array(self.backend.to_numpy(self.view(buffer, parameter)))
            for parameter in self.parameters
            if parameter.trained or buffer is self.values
        }

    def unpack(self, buffer: Any, tensors: dict[str, np.ndarray]) -> None:
        """Fills a buffer from named tensors."""
        for parameter in self.parameters:
            if parameter.name in tensors:
                self.view(buffer, parameter)[...] = self.backend.asarray(tensors[parameter.name], dtype=self.dtype)
