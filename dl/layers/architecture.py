"""Model structure as JSON: names of registered layer classes and their arguments. No code is ever loaded."""

from __future__ import annotations

from typing import Any

from ...backends.errors import CheckpointError, GearshiftError
from . import Layer, Model, Sequential
from .base import DEEPEST


def build(description: Any, depth: int = 0) -> Layer:
    """Builds the layer that `Layer.describe` described, without weights.

    Raises
    ------
    CheckpointError
        The description is malformed or names a class that is not registered.
    """
    if depth > DEEPEST:
        raise CheckpointError(f"the checkpoint's model has layers nested more than {DEEPEST} deep")
    try:
        name, dtype = description["class"], description["dtype"]
        kind = Layer.registered.get(name)
        if kind is not None and issubclass(kind, Sequential):
            return kind(*[build(child, depth + 1) for child in description["layers"]], dtype=dtype)
        if name == "Model":
            return Model.wired(
                [build(child, depth + 1) for child in description["layers"]], description["wiring"], dtype
            )
        if kind is None:
            raise CheckpointError(
                f"the checkpoint has a layer {name!r}, which is not known here; import the module that defines it first"
            )
        return kind(**description["arguments"]).astype(dtype)
    except CheckpointError:
        raise
    except (GearshiftError, KeyError, IndexError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"the checkpoint's model is malformed: {error!r}") from None
