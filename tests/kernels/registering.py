"""Registers backends of tests for the time being."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gearshift import backends
from gearshift.backends import Backend, registry


@contextmanager
def registered(*kinds: type[Backend]) -> Iterator[None]:
    """These backends can be asked for by their names inside."""
    before = dict(registry._registered)
    for kind in kinds:
        backends.register(kind.name, kind)
    try:
        yield
    finally:
        registry._registered.clear()
        registry._registered.update(before)
        registry._forget()
