"""Gearshift trains neural networks on arrays: on NumPy, Numba or CuPy, chosen by configuration.

Every public name is importable from here. `__init__.pyi` lists them; each is imported when it is first used.
"""

from __future__ import annotations

import atexit
import sys

from ._version import __version__ as __version__

_known: dict[str, str] = {}


def __getattr__(name: str) -> object:
    import importlib

    homes = _homes()
    if name == "__all__":
        value = [*homes, "__version__"]
    elif name not in homes:
        module = sys.modules[__name__]  # from it, Python suggests a name that is like this one
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name, obj=module)
    elif homes[name]:
        home = importlib.import_module(f"{__name__}.{homes[name]}")
        value = getattr(home, name, None) or importlib.import_module(f"{home.__name__}.{name}")  # or a module in it
    else:
        value = importlib.import_module(f"{__name__}.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_homes(), "__all__"})


def _homes() -> dict[str, str]:
    """The module of each public name, read from the stub when a name is first used."""
    if not _known:
        import ast
        import os

        with open(f"{os.path.splitext(__file__)[0]}.pyi", encoding="utf-8") as file:  # noqa: PTH122, PTH123
            lines = [line for line in ast.parse(file.read()).body if isinstance(line, ast.ImportFrom)]
        _known.update({alias.name: line.module or "" for line in lines for alias in line.names})
    return _known


def _leave() -> None:
    """Ranks that train do not wait for one that ends without."""
    if "mpi4py.MPI" in sys.modules:
        from .backends.launch import leave

        leave()


atexit.register(_leave)
