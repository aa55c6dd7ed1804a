"""Which precisions a model can train in, and where."""

from __future__ import annotations

from ...backends import Backend
from ...backends import precision as short
from ...backends.errors import ConfigurationError

PRECISIONS = {
    "float32": "float32",
    "float64": "float64",
    "tf32": "float32",
    "bfloat16": "float32",
    "float16": "float32",
}
"""The dtype of the model for each precision."""


def check_precision(precision: str, dtype: str, backend: Backend) -> None:
    """Raises where a model of `dtype` cannot train in a precision on a backend; loads what the precision needs.

    Raises
    ------
    ConfigurationError
        The precision is unknown, is for models of another dtype, or is not there on the backend.
    """
    if precision not in PRECISIONS:
        raise ConfigurationError(
            f"Trainer: precision is {precision!r}; expected one of: {', '.join(PRECISIONS)}, or None"
        )
    wanted = PRECISIONS[precision]
    if wanted != dtype:
        raise ConfigurationError(
            f"Trainer: precision is {precision!r}, which is for models of dtype {wanted}, but the model's is {dtype}"
        )
    if precision not in backend.precisions:
        raise ConfigurationError(
            f"Trainer: precision {precision!r} is not there on backend {backend.name!r}, which has "
            f"{', '.join(backend.precisions)}; it needs a GPU with nvmath-python"
            + ("" if precision == "float16" else ", of compute capability 8.0")
            + ("" if precision == "tf32" else ", or backend 'numpy', which computes the same, slowly")
        )
    short.load(precision)
