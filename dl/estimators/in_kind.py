"""Arrays of other libraries: trained on as NumPy's, and answered in kind, where scikit-learn dispatches by array API.

That is within ``sklearn.config_context(array_api_dispatch=True)``; elsewhere answers are NumPy's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn import get_config
from sklearn.utils._array_api import _convert_to_numpy, device, get_namespace

from ...backends.errors import DataError


def taken(array: Any) -> Any:
    """An array of another library as NumPy's; everything else as it is.

    Raises
    ------
    DataError
        The array is on a GPU, and scikit-learn does not dispatch.
    """
    if hasattr(array, "__cuda_array_interface__") and not _foreign(array):
        library = type(array).__module__.split(".")[0]
        raise DataError(
            f"got a {library} array on a GPU; expected a NumPy array, or SCIPY_ARRAY_API=1 in the environment and a "
            "call within sklearn.config_context(array_api_dispatch=True)"
        )
    return _convert_to_numpy(array, get_namespace(array)[0]) if _foreign(array) else array


def as_given(answers: np.ndarray, X: Any) -> Any:
    """Answers in the library and on the device of X; text stays NumPy's, since other libraries have none."""
    if not _foreign(X) or answers.dtype.kind not in "biuf":
        return answers
    return get_namespace(X)[0].asarray(np.ascontiguousarray(answers), device=device(X))


def kind_of(X: Any) -> str:
    """The library and the device of X; empty where scikit-learn does not dispatch."""
    if not get_config()["array_api_dispatch"]:
        return ""
    return f"{get_namespace(X)[0].__name__} on {device(X)}" if _foreign(X) else "numpy on cpu"


def in_kind(method: Callable[..., np.ndarray]) -> Callable[..., Any]:
    """A method whose answer for X is of X's library, which must be that of `fit`, as scikit-learn asks for."""

    @wraps(method)
    def answering(self: Any, X: Any) -> Any:
        fitted, kind = getattr(self, "_kind", ""), kind_of(X)
        if fitted and kind and fitted != kind:
            raise DataError(
                f"inputs of {type(self).__name__}.{method.__name__}() must use the same namespace and device as those "
                f"of fit(): X is of {kind}, and fit() had {fitted}"
            )
        return as_given(method(self, X), X)

    return answering


def _foreign(array: Any) -> bool:
    """Whether scikit-learn dispatches an array that is not NumPy's."""
    if isinstance(array, np.ndarray) or not hasattr(array, "dtype") or issparse(array):
        return False
    return get_config()["array_api_dispatch"]
