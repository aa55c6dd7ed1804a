"""Standard JSON without NaN: NaN and infinity are written as null, and null is read as NaN."""

from __future__ import annotations

import json
import math
from typing import Any


def dumps(value: Any, **options: Any) -> str:
    """`json.dumps` with null for NaN and infinite numbers, which standard JSON does not have."""
    try:
        return json.dumps(value, allow_nan=False, **options)
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False, **options)


def record(found: dict[str, Any]) -> dict[str, Any]:
    """A record read from JSON, with NaN for null."""
    return {name: math.nan if value is None else value for name, value in found.items()}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
