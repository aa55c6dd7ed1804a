"""The layout: imports go one way, there are no circles, and the package is imported once under one name."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import gearshift

ROOT = Path(str(gearshift.__file__)).parent
FOLDERS = ("backends", "kernels", "dl", "bench")  # each imports from those before it only
ROOMS: tuple[str, ...] = (  # of dl/, likewise; they import from files that lie in dl/ itself, too
    "graph",
    "storage",
    "data",
    "layers",
    "losses",
    "optimizers",
    "step",
    "training",
    "exchange",
    "diagnostics",
    "estimators",
    "experiment",
    "commands",
)


def modules() -> dict[str, Path]:
    """The package's modules by name; a package is its __init__."""
    found = {path.stem: path for path in ROOT.glob("*.py")}
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            if "suites" not in path.parts:
                found[".".join(path.relative_to(ROOT).with_suffix("").parts)] = path
    return found


MODULES = modules()


def imported(name: str) -> Iterator[str]:
    """The modules of the package that a module imports anywhere in its text, for types only as well."""
    package = name.split(".")[:-1]
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
            for alias in node.names:
                candidates = [[*base, alias.name], [*base, alias.name, "__init__"], base, [*base, "__init__"]]
                yield next(found for parts in candidates if (found := ".".join(parts)) in MODULES)


IMPORTS = {name: {other for other in imported(name) if other != name} for name in MODULES}


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """A circle of the graph; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_folders_import_one_way() -> None:
    """No folder imports from one that comes after it in backends, kernels, dl, bench."""
    for name, others in IMPORTS.items():
        folder = name.split(".")[0]
        if folder in FOLDERS:
            later = FOLDERS[FOLDERS.index(folder) + 1 :]
            assert not [other for other in others if other.split(".")[0] in later], f"{name} imports upwards"


def test_rooms_of_dl_import_one_way() -> None:
    """No room of dl/ imports from one that comes after it, and files of dl/ itself import from no room."""
    for name, others in IMPORTS.items():
        parts = name.split(".")
        if parts[0] != "dl":
            continue
        later = ROOMS[ROOMS.index(parts[1]) + 1 :] if len(parts) > 2 else ROOMS
        assert not [other for other in others if other.startswith("dl.") and other.split(".")[1] in later], (
            f"{name} imports upwards"
        )


@pytest.mark.parametrize("packages", [False, True], ids=["files", "files and packages"])
def test_no_circles(packages: bool) -> None:
    """No import circle of files, type-only and function-level imports included; a package's __init__ counts, too."""
    graph = {
        name: {other for other in others if packages or not other.endswith("__init__")}
        for name, others in IMPORTS.items()
        if packages or not name.endswith("__init__")
    }
    assert circle(graph) == []


def test_class_names_stand_for_one_thing() -> None:
    """No two public classes of the package have one name."""
    places: dict[str, list[str]] = {}
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(name)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_package_is_imported_once() -> None:
    """No module of the package is loaded a second time under another name."""
    import gearshift.kernels.updates.adam

    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    assert files.count(gearshift.kernels.updates.adam.__file__) == 1


def test_package_data_are_listed() -> None:
    """Every folder with modules is a package of the wheel, and CUDA sources are packed."""
    text = (ROOT / "pyproject.toml").read_text() if (ROOT / "pyproject.toml").exists() else ""
    for path in MODULES.values():
        if path.name == "__init__.py" and path.parent != ROOT:
            name = ".".join(("gearshift", *path.parent.relative_to(ROOT).parts))
            assert not text or f'"{name}"' in text
    for source in ROOT.rglob("*.cu"):
        if source.relative_to(ROOT).parts[0] in FOLDERS and text:
            assert f'"{".".join(("gearshift", *source.parent.relative_to(ROOT).parts))}" = ["*.cu"' in text


def test_tests_lie_in_the_folders_of_what_they_test() -> None:
    """Except those that run a kind of check over the whole package."""
    tests = Path(__file__).parent
    folders = {path.parent.relative_to(tests) for path in tests.rglob("test_*.py")}
    across = {"conformance", "cuda", "fuzz"}
    assert not [str(folder) for folder in folders if not (ROOT / folder).is_dir() and folder.parts[0] not in across]
