"""Class weights as weights of rows."""

from __future__ import annotations

from collections.abc import Mapping
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
    from sklearn.utils.class_weight import compute_sample_weight

    labels = data.y
    if labels is None or labels.dtype.kind != "i":
        raise DataError("class weights need integer labels (n,) as targets y")
    if isinstance(class_weight, Mapping):
        given: Any = dict(class_weight)
    elif isinstance(class_weight, str):
        given = class_weight
    else:
        given = dict(enumerate(class_weight))
        if labels.max() >= len(given):
            raise ConfigurationError(
                f"class_weight has weights for {len(given)} classes; there is a label {labels.max()}"
            )
    if given != "balanced" and not (
        isinstance(given, dict) and all(isinstance(w, int | float | np.number) and w >= 0 for w in given.values())
    ):
        raise ConfigurationError(
            f"class_weight is {class_weight!r}; expected 'balanced', or a weight of at least 0 for each class"
        )
    weights = np.asarray(compute_sample_weight(given, data.on_host("y")))
    return Dataset(data.x, data.y, weights if data.weight is None else weights * data.on_host("weight"))
