"""Classes that files and configurations know by name: each one enters itself where it is defined."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from typing import Any, ClassVar

from ..backends.errors import ConfigurationError

PACKAGE = f"{__name__.partition('.')[0]}."


class Registered:
    """Base of layers, losses, optimizers and schedules: every subclass is in its family's `registered`, by name.

    A class that derives from this one directly begins a family. ``class Base(Optimizer, named=False)`` is a class that
    nobody chooses by name: a base of others, or one that cannot be made without arguments.

    Raises
    ------
    ConfigurationError
        A class from outside the package has the name of a built-in one.
    """

    registered: ClassVar[dict[str, Any]]

    def __init_subclass__(cls, *, named: bool = True, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if Registered in cls.__bases__:
            cls.registered = {}
            return
        known = cls.registered.get(cls.__name__)
        if known is not None and known.__module__.startswith(PACKAGE) and not cls.__module__.startswith(PACKAGE):
            raise ConfigurationError(
                f"class {cls.__name__}: the name is taken by a built-in class and would make saved files ambiguous; "
                "rename your class"
            )
        if named:
            cls.registered[cls.__name__] = cls


def import_all(package: str, folders: Iterable[str]) -> None:
    """Imports every module of a package, so that its classes are known."""
    for module in pkgutil.iter_modules(folders):
        importlib.import_module(f"{package}.{module.name}")
