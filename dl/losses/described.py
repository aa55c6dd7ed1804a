"""Losses as JSON values in files of models, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...backends.errors import CheckpointError, GearshiftError
from ..layers import Layer
from ..layers.files import load as load_layers
from ..storage.models import loss_of
from .joint import Head, JointLoss
from .losses import Loss


def loss_from(description: dict[str, Any] | None) -> Loss | None:
    """The loss that `Loss.describe` described; None if it is not known here.

    Raises
    ------
    CheckpointError
        The description is malformed.
    """
    name = None if description is None else description.get("name")
    if description is None or name is None:
        return None
    try:
        if name == JointLoss.__name__ and description.get("heads"):
            heads = {}
            for head, one in description["heads"].items():
                loss = loss_from(one["loss"])
                if loss is None:
                    return None
                heads[head] = Head(loss, one["outputs"], one["weight"])
            return JointLoss(**heads)
        return Loss.registered[name](**description.get("arguments", {})) if name in Loss.registered else None
    except (GearshiftError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"the checkpoint's loss is malformed: {error!r}") from None


def load_model(path: str | Path) -> Layer:
    """The model of a file with its weights and, if known, its loss."""
    model = load_layers(path)
    model.loss = loss_from(loss_of(path))
    return model
