"""Every public name says what it is, and which errors it raises itself."""

from __future__ import annotations

import ast
import inspect
import textwrap
from types import FunctionType
from typing import Any

import pytest

import gearshift

MODULES = {name: getattr(gearshift, name) for name in gearshift.__all__ if inspect.ismodule(getattr(gearshift, name))}
PUBLIC = {name: getattr(gearshift, name) for name in gearshift.__all__ if callable(getattr(gearshift, name))} | {
    f"{module}.{name}": getattr(value, name)
    for module, value in MODULES.items()
    for name in getattr(value, "__all__", None) or dir(value)
}


def raised(function: FunctionType) -> set[str]:
    """The public errors that a function's own body raises by name."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = [node.exc.func for node in ast.walk(tree) if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)]
    return {call.id for call in calls if isinstance(call, ast.Name) and call.id in PUBLIC}


def inherited(kind: type, name: str) -> str:
    """The docstring of a member, which may be that of a base class."""
    return next((text for base in kind.__mro__ if (text := getattr(vars(base).get(name), "__doc__", None))), "")


def missing(value: Any) -> list[str]:
    """What the docstrings of a class or function leave out."""
    found = [] if value.__doc__ else [f"{value.__name__} has no docstring"]
    own = {"": value} if isinstance(value, FunctionType) else vars(value)
    for name, member in own.items():
        constructor = name in ("__init__", "__post_init__")
        if not isinstance(member, FunctionType) or (name.startswith("_") and not constructor):
            continue
        if "<string>" in member.__code__.co_filename:  # what a dataclass writes
            continue
        text = inherited(value, name) if isinstance(value, type) and not constructor else value.__doc__
        if not text:
            found.append(f"{value.__name__}.{name} has no docstring")
        said = f"{text} {value.__doc__}"  # what a class says of itself holds for its methods
        unsaid = sorted(error for error in raised(member) if error not in said)
        found += [f"{value.__name__}.{name} raises {error}; its docstring does not say so" for error in unsaid]
    return found


@pytest.mark.parametrize("name", PUBLIC)
def test_docstrings_are_whole(name: str) -> None:
    """Each has a docstring, and names the errors under Raises."""
    assert not missing(PUBLIC[name])
