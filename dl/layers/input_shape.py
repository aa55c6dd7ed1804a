"""The shape of the rows that a model expects."""

from __future__ import annotations

from typing import Any

from ...backends.errors import ShapeError


def input_shape_of(model: Any) -> tuple[int, ...]:
    """The shape of an input row that the model's first layer with a width expects."""
    for layer in (model, *model.children().values()):
        width = getattr(layer, "in_features", getattr(layer, "features", 0))
        if width:
            return (width,)
        if width is None:  # any
            break
        if layer is not model and layer.children():
            return input_shape_of(layer)
    raise ShapeError("the width of the input is not known; give summary(input_shape=(…,))")
