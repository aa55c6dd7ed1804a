"""All parameters of a model in one contiguous buffer, and buffers of the same layout for gradients and states.

One launch over one buffer then updates everything. Parameters are ordered decayed first, then not decayed, so
that "decay weights only" is two ranges; each starts on a 256-byte boundary and the padding stays zero.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backends import Backend

if TYPE_CHECKING:
    from .layers.base import Parameter

BOUNDARY = 256  # bytes: what vector loads and memory transactions of any GPU want


def padded(size: int, dtype: str | np.dtype) -> int:
    """Elements that a parameter of `size` elements takes, up to the next boundary."""
    step = BOUNDARY // np.dtype(dtype).itemsize
    return -(-size // step) * step


class Arena:
    """Parameters of one model on one backend.

    Parameters
    ----------
    backend : where the buffers live.
    dtype : of the parameters.
    parameters : with names and values, which are copied in; `attach` makes them live here.
    """

    def __init__(self, backend: Backend, dtype: str, parameters: Iterable[Parameter]) -> None:
        self.backend = backend
        self.dtype = np.dtype(dtype)
        self.parameters = sorted(parameters, key=lambda parameter: not (parameter.trained and parameter.decay))
        self._slices: dict[str, slice] = {}
        ends = {True: 0, False: 0}
        position = 0
        for parameter in self.parameters:
            if not parameter.trained:
                continue
            self._slices[parameter.name] = slice(position, position + parameter.size)
            position += padded(parameter.size, self.dtype)
            ends[parameter.decay] = position
        self.size = position
        decayed = ends[True]
        self.ranges = [
            (start, stop, decay)
            for start, stop, decay in ((0, decayed, True), (decayed, position, False))
            if stop > start
        ]
        for parameter in self.parameters:  # state that is not trained has a range of its own, behind
            if not parameter.trained:
                self._slices[parameter.name] = slice(position, position + parameter.size)
                position += padded(parameter.size, self.dtype)
        self.values = backend.zeros(position, self.dtype)
        self._gradients: Any = None
        for parameter in self.parameters:
            self._take(parameter)

    def attach(self) -> None:
        """Makes every parameter's array a view of `values`; takes in those that were set elsewhere meanwhile."""
        for parameter in self.parameters:
            if parameter.owner is not self:
                self._take(parameter)
                parameter.array, parameter.owner = self.view(self.values, parameter), self

    def _take(self, parameter: Parameter) -> None:
        self.view(self.values, parameter)[...] = self.backend.asarray(parameter.numpy(), dtype=self.dtype)

    @property
    def trained(self) -> Any:
        """The part of `values` that an optimizer updates."""
        return self.values[: self.size]

    @property
    def gradients(self) -> Any:
        """The gradients, laid out as `trained`; allocated at first need."""
        if self._gradients is None:
            self._gradients = self.zeros()
        return self._gradients

    def zeros(self) -> Any:
        """A new buffer for a gradient or an optimizer's state."""
        return self.backend.zeros(self.size, self.dtype)

    def view(self, buffer: Any, parameter: Parameter) -> Any:
        """The parameter's place in a buffer, in its shape."""
        return buffer[self._slices[parameter.name]].reshape(parameter.shape)

    def offset(self, name: str) -> int:
        """Where a parameter begins in a buffer, in elements."""
        return self._slices[name].start

    def range_of(self, name: str) -> int:
        """The number of the range that a trained parameter lies in, or 0 where there is none."""
        start = self.offset(name)
        return next((i for i, (low, high, _) in enumerate(self.ranges) if low <= start < high), 0)

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
