"""Errors of a traced function, which name the line of the user's code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

from ...backends.errors import ConfigurationError, ShapeError

ROOMS = tuple(str(Path(__file__).parents[2] / room) for room in ("backends", "bench", "dl", "kernels"))


def refuse(message: str) -> NoReturn:
    """Raises ConfigurationError with the place in the user's code."""
    raise ConfigurationError(_place() + message)


def refuse_shape(message: str) -> NoReturn:
    """Raises ShapeError with the place in the user's code."""
    raise ShapeError(_place() + message)


def _place() -> str:
    """The innermost line outside the package, as ``"own.py, line 7: "``."""
    frame = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename.startswith(ROOMS):
        frame = frame.f_back
    if frame is None:
        return ""
    return f"{Path(frame.f_code.co_filename).name}, line {frame.f_lineno}: "
