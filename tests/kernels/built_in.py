"""The library's own classes of a family, without those that other tests have added."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def built_in(known: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `known`, as ``gs.Loss.registered``, that the library defines."""
    return {name: kind for name, kind in known.items() if kind.__module__.startswith("gearshift.")}
