"""Starts real ranks with mpiexec, from a wheel of MPICH or Open MPI beside Python's packages, or of the system."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PREFIXES = [Path(sys.prefix), Path(np.__file__).parents[4]]  # of the environment, and of that which it extends
MPIEXEC = next((str(p / "bin/mpiexec") for p in PREFIXES if (p / "bin/mpiexec").exists()), shutil.which("mpiexec"))

needs_mpi = pytest.mark.skipif(
    MPIEXEC is None or find_spec("mpi4py") is None, reason="no MPI here: pip install mpi4py mpich"
)


def environment(**more: str) -> dict[str, str]:
    """The environment of a launch: MPI's library is found, and Open MPI starts as root and on few cores."""
    libraries = os.pathsep.join(str(p / "lib") for p in PREFIXES)
    found = {
        "LD_LIBRARY_PATH": os.pathsep.join(filter(None, [libraries, os.environ.get("LD_LIBRARY_PATH")])),
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    }
    return {**os.environ, **found, **more}


def launch(size: int, *words: object, **environ: str) -> subprocess.Popen[str]:
    """Starts ranks of this Python with these arguments."""
    assert MPIEXEC is not None
    given: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [MPIEXEC, "-n", str(size), sys.executable, *map(str, words)]
    return subprocess.Popen(command, env=environment(**environ), **given)


def run(size: int, *words: object, **environ: str) -> subprocess.CompletedProcess[str]:
    """Runs ranks of this Python to their end."""
    process = launch(size, *words, **environ)
    try:
        said = process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        for rank in processes(process.pid).values():
            os.kill(rank, 9)
        process.kill()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, *said)


def processes(launcher: int) -> dict[int, int]:
    """The process of each rank that a launcher started."""
    found: dict[int, int] = {}
    for process in descendants(launcher):
        try:
            variables = Path(f"/proc/{process}/environ").read_bytes().decode(errors="replace")
            command = Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        number = re.search(r"(?:^|\0)(?:PMI|OMPI_COMM_WORLD)_RANK=(\d+)", variables)
        if number and command.startswith(sys.executable) and "watcher.py" not in command:
            found.setdefault(int(number[1]), process)
    return found


def descendants(process: int) -> Iterator[int]:
    """The processes that a process has started, and theirs."""
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            yield child
            yield from descendants(child)
