"""The precisions that a model can train in, and the backends that support them."""

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
    """Raises an error if a model of `dtype` cannot train in a precision on a backend; loads what the precision needs.

    Raises
    ------
    ConfigurationError
        The precision is unknown, is for models of another dtype, or is not supported by the backend.
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
            f"Trainer: backend {backend.name!r} supports {', '.join(backend.precisions)}, but not {precision!r}. "
            "Use an NVIDIA GPU"
            + ("" if precision == "float16" else " (compute capability 8.0)")
            + " with nvmath-python"
            + ("" if precision == "tf32" else ", or backend 'numpy' (slow)")
        )
    short.load(precision)
