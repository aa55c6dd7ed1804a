"""Loading models from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...backends.errors import CheckpointError, ConfigurationError
from ..data.target_scaling import TargetScaling
from ..storage.models import naming, read_model, take_feature_names
from ..storage.tensors import strip
from .architecture import build
from .base import Layer


def load(path: str | Path) -> Layer:
    """Loads a model and its weights from a file written by `Trainer.save` or `Layer.save`.

    Parameters
    ----------
    path : of the safetensors file. No code in it is executed.

    Raises
    ------
    CheckpointError
        The file is missing, truncated, foreign or malformed, or has a layer that is not registered.
    """
    tensors, metadata = read_model(path)
    with naming(path):
        model = build(metadata["model"])
        model.load_state_dict(strip(tensors, "model."))
        model.feature_names, model.target_scaling = take_feature_names(tensors), take_scaling(tensors)
        model.preparation = take_preparation(tensors)
    model.classes, model.signed_targets = metadata["classes"], tuple(metadata["signed"])
    return model


def take_preparation(tensors: dict[str, np.ndarray]) -> Any:
    """Removes a table's preparation from the tensors of a file and returns it, validated; None if there is none."""
    stored = tensors.pop("preparation", None)
    if stored is None:
        return None
    from ..data.preparation import Preparation  # pydantic, which models of arrays do without

    found = Preparation.model_validate_json(stored.tobytes())
    _ = found.dialect  # checks it
    return found


def take_scaling(tensors: dict[str, np.ndarray]) -> TargetScaling | None:
    """The target scaling among a file's tensors, validated; None if there is none."""
    found = strip(tensors, "target.")
    if not found:
        return None
    if found.keys() != {"mean", "scale"} or any(part.ndim != 1 or part.dtype != np.float64 for part in found.values()):
        raise CheckpointError("the target scaling must have a float64 mean and scale for each column")
    try:
        return TargetScaling(**found)
    except ConfigurationError as error:
        raise CheckpointError(str(error)) from None
