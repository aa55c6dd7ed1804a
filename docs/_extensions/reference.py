"""The reference: a page for each group of public names, and docstrings with the types of their signatures.

Every name of ``gearshift.__all__`` is on a page, and so are the names of public modules, such as ``gs.plots``. A name
is in the group that names its module most closely; one whose module no group names is on the last page.
"""

from __future__ import annotations

import inspect
import re
from operator import attrgetter
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util import logging

import gearshift

GROUPS = {
    "training": (
        "Training",
        "dl.training.trainer dl.optimizers.groups dl.training dl.diagnostics.gradients dl.experiment dl.exchange",
    ),
    "layers": ("Layers and models", "dl.layers dl.layers.initializers"),
    "losses": ("Losses", "dl.losses dl.optimizers.regularizers"),
    "optimizers": ("Optimizers", "dl.optimizers.base dl.optimizers"),
    "schedules": ("Schedules", "dl.optimizers.schedules dl.optimizers.watching"),
    "diagnostics": ("Diagnostics", "dl.diagnostics"),
    "plots": (
        "Plots and pictures",
        "dl.diagnostics.answers_plots dl.diagnostics.boundary_plot dl.diagnostics.plots dl.experiment.pictures",
    ),
    "data": ("Data", "dl.data"),
    "estimators": ("Estimators for scikit-learn", "dl.estimators"),
    "backends": ("Backends", "backends.registry backends.base"),
    "formulas": ("Array functions of formulas", "kernels.tracing.xp"),
    "errors": ("Errors", "backends.errors"),
    "more": ("More", ""),
}
TABLE = [".. currentmodule:: gearshift", "", ".. autosummary::", "   :nosignatures:", ""]
INTRODUCTIONS = {
    "plots": """
They need Matplotlib (``pip install 'gearshift[plot]'``) and return a figure, which notebooks show. With a ``path`` they
also write it to a file, whose ending chooses the format. `History` and what `bias_variance` returns have a ``plot`` of
their own.

""",
    "formulas": """
``gs.xp`` has the array functions of :doc:`losses, layers, activations and optimizers of your own
</how-to/own-formulas>`, by the names of the array API standard. They trace in a formula, and compute on arrays.

""",
}
TABLE_ONLY = ("formulas",)  # functions whose one line says all
LOGGER = logging.getLogger(__name__)
STARS = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
HEADER = """
A page for each group of public names, each importable as ``gearshift.NAME``. Unless said otherwise, arrays have one
row for each example, and weights are (in_features, out_features).

In the examples, ``np`` is NumPy, ``data`` is ``gs.load_dataset("digits", seed=0)``, ``x`` and ``y`` are its training
rows (1258, 64) and their labels, and ``trainer`` has trained ``model`` on them. ``x_train``, ``y_train`` and ``x_test``
are those of a regression on three features.

"""


def names_by_group() -> dict[str, list[str]]:
    """The full names on each page, base classes first."""
    found: dict[str, list[str]] = {group: [] for group in GROUPS}
    public = {name: getattr(gearshift, name) for name in gearshift.__all__}
    names = {f"gearshift.{name}": value for name, value in public.items() if callable(value)}
    for module, value in public.items():
        if isinstance(value, ModuleType):
            listed = getattr(value, "__all__", None) or dir(value)
            names |= {f"gearshift.{module}.{name}": getattr(value, name) for name in listed}
    for name, value in names.items():
        home = value.__module__.removeprefix("gearshift.")
        near = [(len(m), g) for g, (_, modules) in GROUPS.items() for m in modules.split() if _within(home, m)]
        found[max(near)[1] if near else "more"].append(name)
    for group, members in found.items():
        modules = GROUPS[group][1].split()
        members.sort(key=lambda name: (_place(names[name], modules), not _is_root(names[name]), name.lower()))
    return {group: members for group, members in found.items() if members}


def _place(value: Any, modules: list[str]) -> int:
    """The place on a page: that of the nearest module."""
    home = value.__module__.removeprefix("gearshift.")
    return max(((len(module), i) for i, module in enumerate(modules) if _within(home, module)), default=(0, 0))[1]


def _is_root(value: Any) -> bool:
    """Whether other public names derive from this one, and it from none."""
    kinds = [kind for name in gearshift.__all__ if isinstance(kind := getattr(gearshift, name), type)]
    bases = [base for base in getattr(value, "__mro__", ())[1:] if _is_public(base)]
    return not bases and any(value in kind.__mro__[1:] for kind in kinds)


def write_pages(app: Sphinx) -> None:
    """Writes the pages that are not there yet, or have changed."""
    folder = Path(app.srcdir) / "reference"
    folder.mkdir(exist_ok=True)
    groups = names_by_group()
    tables = ""
    for group, names in groups.items():
        title = GROUPS[group][0]
        table = "\n".join([*TABLE, *(f"   {name.removeprefix('gearshift.')}" for name in names), "", ""])
        tables += f":doc:`{title} <{group}>`\n{'-' * (len(title + group) + 10)}\n\n{table}"
        bodies = "" if group in TABLE_ONLY else "\n".join(_entry(name) for name in names)
        _write(folder / f"{group}.rst", f"{title}\n{'=' * len(title)}\n\n{INTRODUCTIONS.get(group, '')}{table}{bodies}")
    tables += (
        "The program\n-----------\n\n:doc:`Command line <commands>`, :doc:`configuration keys <configuration>`\n\n"
    )
    tree = "\n".join(
        [".. toctree::", "   :hidden:", "", *(f"   {group}" for group in (*groups, "commands", "configuration"))]
    )
    _write(folder / "index.rst", f"Reference\n=========\n{HEADER}{tables}{tree}\n")


def _entry(name: str) -> str:
    value = _found(name)
    if not inspect.isclass(value):
        return f".. autofunction:: {name}\n"
    options = {"members": ", ".join(_members(value)), "show-inheritance": " " if _bases(value) else ""}
    return f".. autoclass:: {name}\n" + "".join(f"   :{key}: {text}\n" for key, text in options.items() if text)


def _members(kind: type) -> list[str]:
    """The documented members of a class that no public base, and no other package, documents already."""
    found = []
    for owner in kind.__mro__:
        if owner is not kind and (_is_public(owner) or not owner.__module__.startswith("gearshift.")):
            continue
        fields = ModuleAnalyzer.for_module(owner.__module__).find_attr_docs()
        methods = [name for name, value in vars(owner).items() if _documented(value)]
        found += [*(name for space, name in fields if space == owner.__qualname__), *methods]
    return [name for name in dict.fromkeys(found) if not name.startswith("_")]


def _documented(value: Any) -> bool:
    kinds = FunctionType | property | classmethod | staticmethod
    method = isinstance(value, kinds) or hasattr(value, "attribute_name")  # scikit-learn's available_if
    return method and bool(value.__doc__)


def _is_public(kind: type) -> bool:
    return kind.__name__ in gearshift.__all__ and getattr(gearshift, kind.__name__) is kind


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def _within(module: str, home: str) -> bool:
    return module == home or module.startswith(f"{home}.")


def _found(name: str) -> Any:
    return attrgetter(name.removeprefix("gearshift."))(gearshift)


def public_bases(app: Sphinx, name: str, obj: Any, options: Any, bases: list[Any]) -> None:
    """The nearest bases that a reader can look up, by their public names."""
    bases[:] = [f":py:obj:`gearshift.{base.__name__}`" if _is_public(base) else base for base in _bases(obj)]


def _bases(kind: type) -> list[type]:
    found: list[type] = []
    for base in kind.__bases__:
        public = _is_public(base) or not base.__module__.startswith("gearshift.")
        found += [base] if public else _bases(base)
    return list(dict.fromkeys(base for base in found if base.__module__ != "builtins" or issubclass(base, Exception)))


def with_types(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Writes ``name : text`` of a Parameters section as numpydoc's name, type and description.

    The types are those of the annotations, so that they are said once. Bars, as in |x|, are text.
    """
    try:
        known = dict(inspect.signature(obj).parameters)
    except (TypeError, ValueError):
        known = {}
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
    section, result = "", []
    for position, line in enumerate(lines):
        following = lines[position + 1] if position + 1 < len(lines) else ""
        if following and set(following) == {"-"}:
            section = line
        entry = re.match(r"([\w*][\w, *…]*) : (.*)", line)
        if entry and section in ("Parameters", "Attributes"):
            names = [key.strip(" *") for key in entry[1].split(",")]
            if section == "Parameters" and not takes_any and (unknown := set(names) - set(known)):
                LOGGER.warning("%s documents parameters that it does not have: %s", name, ", ".join(unknown))
            found = [known[key] for key in names if key in known]
            kind = " or ".join(dict.fromkeys(filter(None, map(_type, found))))
            stars = {parameter.name: STARS.get(parameter.kind, "") for parameter in found}
            title = ", ".join(stars.get(key, "") + key for key in names)
            result += [f"{title} : {kind}" if kind else title, f"    {_plain(entry[2])}"]
        else:
            result.append(_plain(line))
    lines[:] = result


def _plain(line: str) -> str:
    """The line with its bars as text, which otherwise name substitutions; code is left alone."""
    if line.lstrip().startswith(">>>"):
        return line
    parts = re.split(r"(`[^`]+`)", line)
    return "".join(part if part.startswith("`") else part.replace("|", r"\|") for part in parts)


def _type(parameter: inspect.Parameter) -> str:
    """An annotation as text; none for what says nothing."""
    annotation = parameter.annotation
    if annotation in (inspect.Parameter.empty, "Any"):
        return ""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    return text.replace(" | ", " or ").replace("np.", "numpy.")


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("builder-inited", write_pages, priority=100)
    app.connect("autodoc-process-bases", public_bases)
    app.connect("autodoc-process-docstring", with_types, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
