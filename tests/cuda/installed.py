"""Environments in which something is not installed, or more than here."""

from __future__ import annotations

import sys
import venv
from collections.abc import Collection, Mapping
from fnmatch import fnmatch
from pathlib import Path


def environment(folder: Path, without: Collection[str] = (), more: Mapping[str, str] | None = None) -> str:
    """The interpreter of an environment with what is installed here.

    Parameters
    ----------
    folder : where the environment is made.
    without : patterns of what it lacks, relative to the folder of packages, as ``"nvidia/cublas"``.
    more : files in it, with their text.
    """
    venv.create(folder, symlinks=True)
    packages = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    for place in map(Path, sys.path):
        if place.name in ("site-packages", "dist-packages"):
            _link(place, packages, without)
    for name, text in (more or {}).items():
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).write_text(text)
    return str(folder / "bin" / "python")


def _link(source: Path, target: Path, without: Collection[str]) -> None:
    """Links to everything in a folder, except to what fits a pattern."""
    target.mkdir(exist_ok=True)
    for entry in source.iterdir():
        inside = [rest for first, _, rest in (p.partition("/") for p in without) if fnmatch(entry.name, first)]
        if "" in inside:
            continue
        if inside:
            _link(entry, target / entry.name, inside)
        elif not (target / entry.name).exists():
            (target / entry.name).symlink_to(entry)
