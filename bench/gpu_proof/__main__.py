"""The command: ``python -m gearshift.bench.gpu_proof --out DIR [--part N] [--backend NAME] [--small]``."""

from __future__ import annotations

import argparse
import importlib
import platform
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from ... import backends
from ...backends.errors import GearshiftError
from .report import Report, TimeUp
from .scale import FULL, SMALL

PARTS = {
    1: ("works", "does it work?"),
    2: ("speed", "how fast is it?"),
    3: ("rivals", "how fast are others?"),
    4: ("limits", "what happens at the limits?"),
    6: ("small", "do fewer launches make small networks faster?"),
}
PACKAGES = ("numpy", "cupy-cuda12x", "cupy-cuda13x", "nvmath-python", "numba", "torch", "jax", "matplotlib")


def machine(name: str) -> dict[str, Any]:
    """What the numbers were measured on, and with what."""
    status = backends.available()[name]
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "backend": name,
        "device": status.device,
        "memory": status.memory,
        "versions": {**status.versions, **found, "python": platform.python_version()},
        "began": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the parts asked for; 0 where every check holds, 1 where one failed, 2 where the backend does not run."""
    parser = argparse.ArgumentParser(prog="gearshift.bench.gpu_proof", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for part-N.json, part-N.md and pictures")
    parser.add_argument("--part", type=int, choices=PARTS, action="append", help="one part; all of them without it")
    parser.add_argument("--backend", default="cupy", help="the backend to prove")
    parser.add_argument("--small", action="store_true", help="sizes of a rehearsal")
    given = parser.parse_args(arguments)
    try:
        backend = backends.get(given.backend)
    except GearshiftError as error:
        print(error, file=sys.stderr)
        return 2
    failed = 0
    for number in given.part or PARTS:
        module, title = PARTS[number]
        print(f"part {number}: {title}", flush=True)
        report = Report(number, title, given.out, machine(given.backend))
        part = importlib.import_module(f".{module}", __package__)
        try:
            part.run(report, backend, SMALL if given.small else FULL)
        except TimeUp as up:
            print(up, flush=True)
        failed += report.failed
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
