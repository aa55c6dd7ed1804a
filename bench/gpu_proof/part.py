"""One part of the proof, in this process: ``python -m gearshift.bench.gpu_proof.part N --out DIR``."""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ... import backends
from ...backends import Backend
from ...backends.errors import GearshiftError
from ..machine import versions
from .report import LIMIT, DeviceLost, NotRun, ProofReport, TimeUp
from .scale import BRIEF, FULL, SMALL, Scale
from .stand_in import prepared

PARTS = {
    1: ("works", "does it work?"),
    2: ("speed", "how fast is it?"),
    3: ("others", "how fast are others?"),
    4: ("limits", "what happens at the limits?"),
    5: ("sweep", "which batch size?"),
}
PACKAGES = ("numpy", "cupy-cuda12x", "cupy-cuda13x", "nvmath-python", "numba", "torch", "jax", "matplotlib")
UNAVAILABLE, LOST = 4, 3  # exit codes: there is no device; the device was lost


def machine(name: str) -> dict[str, Any]:
    """The machine and the versions of packages."""
    status = backends.available()[name]
    return {
        "backend": name,
        "device": status.device,
        "memory": status.memory,
        "versions": {**status.versions, **versions(PACKAGES), "python": platform.python_version()},
        "began": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def run(
    number: int,
    folder: Path,
    backend: Backend,
    scale: Scale,
    seconds: float = LIMIT,
    broken: Sequence[str] = (),
) -> ProofReport:
    """Runs a part; its results are in the report, also on disk, even after an error.

    Raises
    ------
    DeviceLost
        The device no longer answers this process.
    """
    name, title = PARTS[number]
    before = [check for check in ProofReport.read(number, title, folder).checks if check.name in broken]
    report = ProofReport(number, title, folder, machine(backend.name), seconds, before)
    report.write()
    try:
        importlib.import_module(f".{name}", __package__).run(report, backend, scale)
    except TimeUp as up:
        print(up, flush=True)
    except DeviceLost:
        raise
    except Exception as error:  # outside any check
        with report.check("the part itself", late=True):
            raise error
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a part; returns 0 if every check holds, 1 if one failed; see also `UNAVAILABLE` and `LOST`."""
    parser = argparse.ArgumentParser(prog="gearshift.bench.gpu_proof.part", description=__doc__)
    parser.add_argument("number", type=int, choices=PARTS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rehearse", action="store_true")
    parser.add_argument("--brief", action="store_true", help="leave out what tells least")
    parser.add_argument("--seconds", type=float, default=LIMIT)
    parser.add_argument("--broken", action="append", default=[], help="a check in which an earlier process ended")
    given = parser.parse_args(arguments)
    faulthandler.enable()
    try:
        backend = prepared(given.rehearse)
    except (GearshiftError, NotRun) as error:
        print(error, file=sys.stderr)
        return UNAVAILABLE
    scale = SMALL if given.rehearse else BRIEF if given.brief else FULL
    try:
        return 1 if run(given.number, given.out, backend, scale, given.seconds, given.broken).failed else 0
    except DeviceLost:
        return LOST


if __name__ == "__main__":
    sys.exit(main())
