"""Scales targets for training, and checks that predictions are finite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...backends.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from ..data import Dataset
    from ..layers.base import Layer
    from .losses import Loss


def as_learned(data: Dataset, model: Layer, loss: Loss) -> Dataset:
    """The data set with targets scaled by the model's `target_scaling`, if it has one.

    Raises
    ------
    ConfigurationError
        The targets of the loss are labels, which cannot be scaled.
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
            f"model.target_scaling must not scale the labels or shares of {loss!r}; set it to None, or exclude these "
            "columns: gs.TargetScaling.of(y, numbers=[…])"
        )
    return data.with_targets(targets)


def loss_unit(model: Layer, loss: Loss) -> float:
    """The factor that converts a loss to the target's units (for one squared value); otherwise 1."""
    scaling = model.target_scaling
    return float(scaling.scale[0]) ** 2 if scaling is not None and loss.squared and len(scaling.scale) == 1 else 1.0


def check_finite(outputs: np.ndarray, x: Any, weights: dict[str, np.ndarray]) -> None:
    """Raises DataError if an output is NaN or infinite.

    Parameters
    ----------
    outputs : (rows, …) on the host.
    x : (rows, …) the inputs of these outputs.
    weights : the model's tensors by name.

    Raises
    ------
    DataError
        The message names the model's tensor that is not finite, or the first row and its largest value.
    """
    if np.isfinite(outputs).all():
        return
    for name, tensor in weights.items():
        if not np.isfinite(tensor).all():
            raise DataError(
                f"the model cannot predict: its tensor {name!r} holds NaN or infinite numbers. Load another "
                "checkpoint, or train the model again"
            )
    row = int((~np.isfinite(outputs.reshape(len(outputs), -1)).all(axis=1)).argmax())
    values = np.asarray(x[row].get() if hasattr(x[row], "get") else x[row], np.float64).reshape(-1)
    largest = values[np.abs(values).argmax()]
    raise DataError(
        f"x[{row}] has no prediction: the model's outputs are not finite in {outputs.dtype}. Its largest value is "
        f"{largest:g}; expected rows of the size that the model was trained on"
    )
