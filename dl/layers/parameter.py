"""A tensor of a layer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...backends import Backend
from ...backends.errors import CheckpointError, ConfigurationError
from .initializers import Initializer

LARGEST = 2**48  # elements of a tensor: more than processors can address


class Parameter:
    """A tensor of a layer, initialized when first needed.

    Parameters
    ----------
    shape : of the tensor.
    init : the initializer, see `gearshift.dl.layers.initializers`.
    decay : whether weight decay applies; True for weights, False for biases.
    trained : whether an optimizer updates it; False for statistics of the data, for example.

    Raises
    ------
    ConfigurationError
        The tensor is larger than any memory.

    Examples
    --------
    >>> class Shift(gs.Layer):
    ...     def __init__(self, features):
    ...         self.features, self.by = features, gs.Parameter((features,), gs.initializers.zeros, decay=False)
    ...     def forward(self, x):
    ...         return x + self.by
    >>> list(Shift(3).init().state_dict())
    ['by']
    """

    def __init__(self, shape: tuple[int, ...], init: Initializer, *, decay: bool = True, trained: bool = True) -> None:
        if any(isinstance(size, bool) for size in shape):
            raise ConfigurationError(f"a parameter has shape {shape}; expected integers")
        if math.prod(shape) >= LARGEST:
            sizes = " × ".join(map(str, shape))
            raise ConfigurationError(f"a tensor of {sizes} numbers is larger than any memory; use fewer features")
        self.shape, self.init, self.decay, self.trained = shape, init, decay, trained
        self.name = ""
        self.array: Any = None
        self.owner: Any = None  # an arena's `Place`, where the array is a view of the arena's

    def __getstate__(self) -> dict[str, Any]:
        """A copy has its own weights, on the host."""
        array = None if self.array is None else np.array(self.numpy())
        return {**vars(self), "array": array, "owner": None}

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def numpy(self) -> np.ndarray:
        """The values on the host."""
        backend: Backend | None = getattr(self.owner, "backend", None)
        return self.array if backend is None else backend.to_numpy(self.array)


def fitting(
    parameters: Sequence[Parameter], tensors: Mapping[str, Any], strict: bool
) -> tuple[dict[str, Parameter], list[str]]:
    """The parameters by name that the tensors are for, and the names of the others, for `Layer.load_state_dict`.

    Raises
    ------
    CheckpointError
        If `strict`, a name is missing or unknown, or a shape differs; otherwise, nothing fits.
    """
    found = {parameter.name: parameter for parameter in parameters}
    if not strict:
        left = [name for name, p in found.items() if name not in tensors or tuple(np.shape(tensors[name])) != p.shape]
        for name in left:
            del found[name]
        if not found:
            raise CheckpointError("no tensor has the name and the shape of one of the model's")
        return found, left
    missing, unknown = sorted(found.keys() - tensors.keys()), sorted(tensors.keys() - found.keys())
    if missing or unknown:
        raise CheckpointError(
            f"the tensors do not fit the model: missing {missing or 'none'}, unknown {unknown or 'none'}"
        )
    for name, parameter in found.items():
        shape = tuple(np.shape(tensors[name]))
        if shape != parameter.shape:
            raise CheckpointError(f"tensor {name!r} has shape {shape}, the model expects {parameter.shape}")
    return found, []
