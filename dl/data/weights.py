"""Converts class weights to sample weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...backends.errors import ConfigurationError, DataError
from .dataset import Dataset


def with_class_weights(data: Dataset, class_weight: Any, classes: int, names: Sequence[Any] | None = None) -> Dataset:
    """The data set with each sample weight (1 if there are none) multiplied by the weight of its class.

    Parameters
    ----------
    class_weight : ``"balanced"``, which gives all classes together the same weight (n / (classes · rows of the
        class)), a weight for each class in order, or a mapping of classes to weights; missing classes have weight 1.
    classes : number of classes of the model; labels are 0 … classes - 1, or -1 and 1 for two classes.
    names : class names, used as keys of a mapping; None if the keys are the labels.

    Raises
    ------
    DataError
        The targets are not labels of one class a row.
    ConfigurationError
        The weights are not of that form, name a class that does not exist, or leave no row with a weight above 0.
    """
    labels = _labels(data)
    known = [-1, 1] if classes == 2 and labels.min() < 0 else list(range(classes))
    if isinstance(class_weight, str) and class_weight == "balanced":
        from sklearn.utils.class_weight import compute_sample_weight

        weights = np.asarray(compute_sample_weight("balanced", labels))
    else:
        weights = np.ones(len(labels))
        for label, weight in zip(known, _by_class(class_weight, known, names), strict=True):
            weights[labels == label] = weight
        if not weights.any():
            raise ConfigurationError(f"class_weight {_shown(class_weight)} gives every row the weight 0")
    return Dataset(data.x, data.y, weights if data.weight is None else weights * data.on_host("weight"))


def _labels(data: Dataset) -> np.ndarray:
    """The class of each row, int64 (n,)."""
    if data.y is not None and data.y.size == len(data):
        y = data.on_host("y").reshape(-1)
        if y.dtype.kind == "i":
            return y
        if np.isin(y, (-1, 0, 1)).all():  # of a binary loss
            return y.astype(np.int64)
    found = "missing" if data.y is None else f"{tuple(data.y.shape)} {data.y.dtype}"
    raise DataError(f"class_weight needs a class for each row as targets y, expected labels (n,); y is {found}")


def _by_class(class_weight: Any, known: list[int], names: Sequence[Any] | None) -> list[float]:
    """A weight for each class, checked."""
    called = list(names) if names is not None and len(names) == len(known) else known
    if isinstance(class_weight, Mapping):
        found = dict.fromkeys(called, 1.0)
        for key, weight in class_weight.items():
            name = key.item() if isinstance(key, np.generic) else key
            if not isinstance(name, str | int) or name not in found:
                raise ConfigurationError(
                    f"class_weight has the key {name!r}, which is no class; expected keys of: {_listed(called)}"
                )
            found[name] = _checked(name, weight)
        return list(found.values())
    if not isinstance(class_weight, Sequence | np.ndarray) or isinstance(class_weight, str):
        raise ConfigurationError(
            f"class_weight is {_shown(class_weight)}; expected 'balanced', a weight for each of the {len(called)} "
            f"classes, or a mapping with keys of: {_listed(called)}"
        )
    if len(class_weight) != len(called):
        raise ConfigurationError(
            f"class_weight has {len(class_weight)} weights; expected one for each of the {len(called)} classes: "
            f"{_listed(called)}"
        )
    return [_checked(name, weight) for name, weight in zip(called, class_weight, strict=True)]


def _checked(name: Any, weight: Any) -> float:
    if not isinstance(weight, int | float | np.number) or not 0 <= weight < math.inf:
        raise ConfigurationError(
            f"class_weight of class {name!r} is {weight!r}; expected a finite number of at least 0"
        )
    return float(weight)


def _listed(called: Sequence[Any]) -> str:
    text = ", ".join(map(repr, called[:20]))
    return f"{text}, … {called[-1]!r}" if len(called) > 20 else text


def _shown(class_weight: Any) -> str:
    text = repr(class_weight)
    return text if len(text) <= 200 else f"{text[:200]}…"
