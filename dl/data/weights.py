"""Class weights as weights of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...backends.errors import ConfigurationError, DataError
from .dataset import Dataset


def with_class_weights(data: Dataset, class_weight: Any) -> Dataset:
    """The data set with each row's weight, 1 if there are none, multiplied with that of its class.

    Parameters
    ----------
    class_weight : ``"balanced"``, which gives all classes together the same weight (n / (classes · rows of the
        class)), a weight for each class from 0 on, or a mapping of labels to weights, where others have 1.

    Raises
    ------
    DataError
        The targets are not labels.
    ConfigurationError
        The weights are not of that form.
    """
    labels = data.y
    if labels is None or labels.dtype.kind != "i" or labels.size != len(labels):
        raise DataError("class weights need integer labels (n,) as targets y")
    labels = data.on_host("y").reshape(-1)
    if isinstance(class_weight, str) and class_weight == "balanced":
        from sklearn.utils.class_weight import compute_sample_weight

        weights = np.asarray(compute_sample_weight("balanced", labels))
    else:
        weights = np.ones(len(labels))
        for label, weight in _by_label(class_weight, int(labels.max())).items():
            weights[labels == label] = weight
    return Dataset(data.x, data.y, weights if data.weight is None else weights * data.on_host("weight"))


def _by_label(class_weight: Any, greatest: int) -> dict[int, float]:
    """Weights by labels, checked against the greatest label that there is."""
    if isinstance(class_weight, Mapping):
        given: Any = dict(class_weight)
    elif isinstance(class_weight, Sequence | np.ndarray) and not isinstance(class_weight, str):
        given = dict(enumerate(class_weight))
        if greatest >= len(given):
            raise ConfigurationError(f"class_weight has weights for {len(given)} classes; there is a label {greatest}")
    else:
        given = {None: None}
    if not all(
        isinstance(label, int | np.integer) and isinstance(weight, int | float | np.number) and weight >= 0
        for label, weight in given.items()
    ):
        raise ConfigurationError(
            f"class_weight is {class_weight!r}; expected 'balanced', or a weight of at least 0 for each class"
        )
    return given
