"""Where targets meet a model, and where its outputs leave it: scaled as it learns them, and numbers or an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...backends.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from ..data import Dataset
    from ..layers.base import Layer
    from .losses import Loss


def as_learned(data: Dataset, model: Layer, loss: Loss) -> Dataset:
    """The data set with targets as the model learns them: by its `target_scaling`, where it has one.

    Raises
    ------
    ConfigurationError
        The loss learns labels, which cannot be scaled.
    ShapeError
        The scaling is for another number of columns.
    """
    scaling = model.target_scaling
    if scaling is None or data.y is None:
        return data
    targets = scaling.scaled(data.on_host("y"), model.dtype)
    numbers = loss.numbers(len(scaling.mean))
    if bool((~numbers & ((scaling.mean != 0) | (scaling.scale != 1))).any()):
        raise ConfigurationError(
            f"model.target_scaling scales what {loss!r} learns as labels or shares; set it to None, or leave out those "
            "columns: gs.TargetScaling.of(y, numbers=[…])"
        )
    return data.with_targets(targets)


def loss_unit(model: Layer, loss: Loss) -> float:
    """What a loss is multiplied with to be in the target's units: of one value's square; else 1."""
    scaling = model.target_scaling
    return float(scaling.scale[0]) ** 2 if scaling is not None and loss.squared and len(scaling.scale) == 1 else 1.0


def check_finite(outputs: np.ndarray, x: Any, weights: dict[str, np.ndarray]) -> None:
    """Raises where an output is NaN or infinite: such a number is no answer.

    Parameters
    ----------
    outputs : (rows, …) on the host.
    x : (rows, …) what they are the outputs for.
    weights : the model's tensors by name.

    Raises
    ------
    DataError
        Names the tensor of the model that is not finite, else the first row and its largest value.
    """
    if np.isfinite(outputs).all():
        return
    for name, tensor in weights.items():
        if not np.isfinite(tensor).all():
            raise DataError(
                f"the model has no answers: its tensor {name!r} holds NaN or infinite numbers. Load another "
                "checkpoint, or train it anew"
            )
    row = int((~np.isfinite(outputs.reshape(len(outputs), -1)).all(axis=1)).argmax())
    values = np.asarray(x[row].get() if hasattr(x[row], "get") else x[row], np.float64).reshape(-1)
    largest = values[np.abs(values).argmax()]
    raise DataError(
        f"x[{row}] has no answer: the model's outputs for it are not finite in {outputs.dtype}. Its largest value is "
        f"{largest:g}; expected rows of the size that the model was trained on"
    )
